package aws_test

import (
	"net/netip"
	"testing"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/gate"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/aws"
	"github.com/sesame-access/sesame/internal/provider/aws/securitygroup"
)

const role = "arn:aws:iam::" + ec2.DefaultAccount + ":role/"

// roles are the least that each of them needs. What opens and what closes is tied
// to our tag.
func roles() []gate.Role {
	ours := world.Tags{securitygroup.OwnTag: "main"}
	named := func(name string, may ...gate.Statement) gate.Role {
		return gate.Role{ARN: role + name, ExternalID: "between us", Trusts: []string{ec2.DefaultAccount}, May: may}
	}
	return []gate.Role{
		named("reader", gate.Statement{Actions: []string{"ec2:Describe*", "ec2:GetManagedPrefixListEntries"}}),
		named("opener",
			gate.Statement{Actions: []string{"ec2:AuthorizeSecurityGroupIngress", "ec2:UpdateSecurityGroupRuleDescriptionsIngress"}, Tags: ours},
			gate.Statement{Actions: []string{"ec2:CreateTags"}, Tags: ours, Types: []string{"security-group-rule"}},
		),
		named("closer", gate.Statement{Actions: []string{"ec2:RevokeSecurityGroupIngress"}, Tags: ours}),
		named("locker", gate.Statement{Actions: []string{"ec2:*"}}),
	}
}

// Who grants needs no right to lock, and who ends a grant none to grant.
func TestRoles(t *testing.T) {
	g := newGround(t, ec2.Config{Seed: 9, Roles: roles()})
	as := func(a aws.Account) {
		t.Helper()
		a.ExternalID = "between us"
		regions, err := aws.Connect(t.Context(), awssdk.Config{
			Region: ec2.DefaultRegion, BaseEndpoint: awssdk.String("http://ec2.example"), HTTPClient: g.sim.Client(),
			Credentials: credentials.NewStaticCredentialsProvider(ec2.DefaultKey, ec2.DefaultSecret, ""),
		}, a)
		if err != nil {
			t.Fatal(err)
		}
		g.provider = aws.New(aws.Config{Keys: keys, Regions: regions[:1], Network: securitygroup.Network{Lose: true}})
	}
	show := func(want firewall.Wants, fine bool) {
		t.Helper()
		if p, err := g.pass(t.Context(), want, nil); (err == nil) != fine {
			t.Errorf("%v:\n%v", err, p)
		}
	}
	as(aws.Account{Reader: role + "reader", Opener: role + "opener", Closer: role + "closer"})
	show(locked(g.ssh, 0), false) // there is no locker
	as(aws.Account{Reader: role + "reader", Locker: role + "locker"})
	show(locked(g.ssh, 0), true)
	show(locked(g.ssh, 1), false) // no opener
	as(aws.Account{Reader: role + "reader", Opener: role + "opener"})
	show(locked(g.ssh, 1), true)
	show(locked(g.ssh, 0), false) // no closer
	as(aws.Account{Reader: role + "reader", Closer: role + "closer"})
	show(locked(g.ssh, 0), true)
	if g.now().admits(g.ssh, netip.MustParseAddr("203.0.113.0")) {
		t.Error("the grant has ended, and its source still gets in")
	}
}
