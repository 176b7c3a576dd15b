package aws_test

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/gate"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/aws"
	"github.com/sesame-access/sesame/internal/provider/aws/role"
)

const arnOfRole = "arn:aws:iam::" + ec2.DefaultAccount + ":role/"

// allowed reads a policy as the simulator enforces it.
func allowed(t testing.TB, policy []byte) []gate.Statement {
	t.Helper()
	var document struct {
		Version   string
		Statement []struct {
			Sid, Effect      string
			Action, Resource []string
			Condition        map[string]map[string][]string
		}
	}
	if err := json.Unmarshal(policy, &document); err != nil {
		t.Fatalf("%v:\n%s", err, policy)
	}
	var out []gate.Statement
	for _, s := range document.Statement {
		may := gate.Statement{Deny: s.Effect != "Allow", Actions: s.Action}
		for _, r := range s.Resource {
			if r == "*" {
				continue
			}
			_, kind, _ := strings.Cut(r, ":*:*:")
			may.Types = append(may.Types, strings.TrimSuffix(kind, "/*"))
		}
		for key, values := range s.Condition["StringLike"] {
			_, tag, _ := strings.Cut(key, "/")
			may.Tags = world.Tags{tag: values[0]}
		}
		out = append(out, may)
	}
	return out
}

// roles are those of the policies, which trust the user of the tests.
func roles(t testing.TB) []gate.Role {
	t.Helper()
	var out []gate.Role
	for _, r := range role.All() {
		out = append(out, gate.Role{
			ARN: arnOfRole + string(r), ExternalID: "between us", Trusts: []string{ec2.DefaultAccount},
			May: allowed(t, role.Policy(r, "main")),
		})
	}
	return out
}

// as makes the provider of g one with these roles.
func (g *ground) as(t testing.TB, a aws.Account) {
	t.Helper()
	a.ExternalID = "between us"
	regions, err := aws.Connect(t.Context(), awssdk.Config{
		Region: ec2.DefaultRegion, BaseEndpoint: awssdk.String("http://ec2.example"), HTTPClient: g.sim.Client(),
		Credentials: credentials.NewStaticCredentialsProvider(ec2.DefaultKey, ec2.DefaultSecret, ""),
	}, a)
	if err != nil {
		t.Fatal(err)
	}
	g.provider = aws.New(aws.Config{Keys: keys, Regions: regions[:1]})
}

// Who grants needs no right to lock, and who ends a grant none to grant.
func TestRoles(t *testing.T) {
	g := newGround(t, ec2.Config{Seed: 9, Roles: roles(t)})
	show := func(want firewall.Wants, fine bool) {
		t.Helper()
		if p, err := g.pass(t.Context(), want, nil); (err == nil) != fine {
			t.Errorf("%v:\n%v", err, p)
		}
	}
	reader, opener, closer, locker := arnOfRole+"reader", arnOfRole+"opener", arnOfRole+"closer", arnOfRole+"locker"
	g.as(t, aws.Account{Reader: reader, Opener: opener, Closer: closer})
	show(locked(g.ssh, 0), false) // there is no locker
	g.as(t, aws.Account{Reader: reader, Locker: locker})
	show(locked(g.ssh, 0), true)
	show(locked(g.ssh, 1), false) // no opener
	g.as(t, aws.Account{Reader: reader, Opener: opener})
	show(locked(g.ssh, 1), true)
	show(locked(g.ssh, 0), false) // no closer
	g.as(t, aws.Account{Reader: reader, Closer: closer})
	show(locked(g.ssh, 0), true)
	if g.now().admits(g.ssh, netip.MustParseAddr("203.0.113.0")) {
		t.Error("the grant has ended, and its source still gets in")
	}
}

// The policies allow what the provider does, and nothing that it never does.
func TestPoliciesAreWhatIsCalled(t *testing.T) {
	g := newGround(t, ec2.Config{Seed: 9, Roles: roles(t), Unthrottled: true})
	g.sim.Hand(ec2.DefaultRegion, func(w *world.World, now time.Time) { // something for each of the reads
		w.PrefixLists.Put(now, world.PrefixList{Resource: world.Resource{ID: "pl-0a", Owner: ec2.DefaultAccount}, Name: "x", MaxEntries: 1, Version: 1})
	})
	g.edit(t, "other", func(x *world.Group) {
		x.Rules = append(x.Rules,
			world.Rule{ID: "sgr-0a", Protocol: "tcp", First: 443, Last: 443, List: "pl-0a"},
			world.Rule{ID: "sgr-0b", Protocol: "tcp", First: 443, Last: 443, Group: "sg-0aaaaaaaaaaaaaaaa", GroupOwner: ec2.DefaultAccount})
	})
	g.as(t, aws.Account{Reader: arnOfRole + "reader", Opener: arnOfRole + "opener", Closer: arnOfRole + "closer", Locker: arnOfRole + "locker"})
	if _, err := g.provider.Inventory(t.Context()); err != nil {
		t.Fatal(err)
	}
	p, err := g.pass(t.Context(), locked(g.ssh, 2), nil)
	if err != nil {
		t.Fatal(err)
	}
	displaced := displacedBy(p)
	g.edit(t, g.own, func(x *world.Group) {
		x.Rules[0].Tags = world.Tags{"sesame": "main", "cost": "theirs"}
		x.Rules[0].Description = ""
	})
	later := locked(g.ssh, 2)
	later[0].Open[1].Until = later[0].Open[1].Until.Add(time.Minute)
	for _, want := range []firewall.Wants{later, locked(g.ssh, 0), nil} {
		if p, err = g.pass(t.Context(), want, displaced); err != nil {
			t.Fatalf("%v:\n%v", err, p)
		}
	}
	var may []string
	for _, r := range role.All() {
		may = append(may, role.Actions(r)...)
	}
	slices.Sort(may)
	may = slices.Compact(may)
	var called []string
	for name := range g.sim.Calls() {
		if name != "AssumeRole" && name != "GetCallerIdentity" { // of STS
			called = append(called, name)
		}
	}
	slices.Sort(called)
	if !slices.Equal(may, called) {
		t.Errorf("the policies allow\n%s\nwhat is called is\n%s", strings.Join(may, " "), strings.Join(called, " "))
	}
}
