package aws_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/aws"
)

// pass observes, compiles and applies.
func (g *ground) pass(ctx context.Context, want firewall.Wants, displaced []plan.Change) (plan.Plan, error) {
	s, err := g.provider.Observe(ctx, g.vpc, nil)
	if err != nil {
		return plan.Plan{}, err
	}
	p, err := g.provider.Compile(s, want, displaced)
	if err != nil {
		return plan.Plan{}, err
	}
	return p, g.provider.Apply(ctx, s, p)
}

func locked(d firewall.Door, sources int) firewall.Wants {
	w := firewall.Want{Door: d, Locked: true, Cut: false, Open: nil}
	for i := range sources {
		w.Open = append(w.Open, firewall.Opening{
			From:  netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}), 32),
			Until: firewall.Instant(time.Now().Add(time.Hour)), Grants: firewall.HoldersOf(fmt.Sprintf("g-%d", i)),
		})
	}
	return firewall.Wants{w}
}

func displacedBy(p plan.Plan) []plan.Change {
	return slices.DeleteFunc(slices.Clone(p.Changes), func(c plan.Change) bool { return c.Op != plan.Displace })
}

// Over a real connection, from enable to disable: the rules are those that were.
func TestOverHTTP(t *testing.T) {
	g := newGround(t, ec2.Config{Seed: 5})
	server := httptest.NewServer(g.sim)
	defer server.Close()
	g.provider = connected(t, awssdk.Config{
		Region: ec2.DefaultRegion, BaseEndpoint: awssdk.String(server.URL), HTTPClient: server.Client(),
		Credentials: credentials.NewStaticCredentialsProvider(ec2.DefaultKey, ec2.DefaultSecret, ""),
	})
	before := g.foreign()
	p, err := g.pass(t.Context(), locked(g.ssh, 1), nil)
	if err != nil {
		t.Fatalf("enable: %v\n%v", err, p)
	}
	if !g.now().admits(g.ssh, netip.MustParseAddr("203.0.113.0")) || g.now().admits(g.ssh, netip.MustParseAddr("203.0.113.1")) {
		t.Error("the port is not open to its grant alone")
	}
	if p, err := g.pass(t.Context(), nil, displacedBy(p)); err != nil {
		t.Fatalf("disable: %v\n%v", err, p)
	}
	if after := g.foreign(); after != before {
		t.Errorf("not what was:\n%swas\n%s", after, before)
	}
	if x := g.now(); slices.ContainsFunc(x.groups, func(w world.Group) bool { return strings.HasPrefix(w.Name, "sesame-") }) {
		t.Error("the owned group is left")
	}
}

// A grant is one call, and so are forty; so is their end.
func TestFewCalls(t *testing.T) {
	g := newGround(t, ec2.Config{Seed: 6})
	if _, err := g.pass(t.Context(), locked(g.ssh, 0), nil); err != nil {
		t.Fatal(err)
	}
	calls := func(action string, want firewall.Wants) int {
		before := g.sim.Calls()[action]
		if _, err := g.pass(t.Context(), want, nil); err != nil {
			t.Fatal(err)
		}
		return g.sim.Calls()[action] - before
	}
	const authorize, revoke = "AuthorizeSecurityGroupIngress", "RevokeSecurityGroupIngress"
	for _, n := range []int{1, 40} {
		if got := calls(authorize, locked(g.ssh, n)); got != 1 {
			t.Errorf("%d grants are %d calls, want 1", n, got)
		}
		if got := calls(revoke, locked(g.ssh, 0)); got != 1 {
			t.Errorf("the end of %d grants is %d calls, want 1", n, got)
		}
	}
}

// What of a call is done already is no reason to leave the rest undone.
func TestHalfDone(t *testing.T) {
	g := newGround(t, ec2.Config{Seed: 7})
	if _, err := g.pass(t.Context(), locked(g.ssh, 0), nil); err != nil {
		t.Fatal(err)
	}
	stale, err := g.provider.Observe(t.Context(), g.vpc, nil)
	if err != nil {
		t.Fatal(err)
	}
	three, one := locked(g.ssh, 3), locked(g.ssh, 3)
	one[0].Open = one[0].Open[1:2]
	if _, err := g.pass(t.Context(), one, nil); err != nil {
		t.Fatal(err)
	}
	apply := func(want firewall.Wants) {
		t.Helper()
		p, err := g.provider.Compile(stale, want, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := g.provider.Apply(t.Context(), stale, p); err != nil {
			t.Error(err)
		}
	}
	admitted := func() (n int) {
		for _, o := range three[0].Open {
			if g.now().admits(g.ssh, o.From.Addr()) {
				n++
			}
		}
		return n
	}
	if apply(three); admitted() != 3 {
		t.Errorf("%d of 3 get in", admitted())
	}
	if stale, err = g.provider.Observe(t.Context(), g.vpc, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := g.pass(t.Context(), one, nil); err != nil {
		t.Fatal(err)
	}
	if apply(locked(g.ssh, 0)); admitted() != 0 {
		t.Errorf("%d still get in", admitted())
	}
}

func TestErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGround(t, ec2.Config{Seed: 8, Quotas: world.Quotas{RulesPerGroup: 3}})
		// The quota is believed to be 60.
		if _, err := g.pass(t.Context(), locked(g.ssh, 5), nil); !errors.Is(err, provider.ErrRefused) {
			t.Errorf("too many rules: %v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		g := newGround(t, ec2.Config{Seed: 8})
		if _, err := g.pass(t.Context(), locked(g.ssh, 0), nil); err != nil {
			t.Fatal(err)
		}
		s, err := g.provider.Observe(t.Context(), g.vpc, nil)
		if err != nil {
			t.Fatal(err)
		}
		p, err := g.provider.Compile(s, locked(g.ssh, 1), nil)
		if err != nil {
			t.Fatal(err)
		}
		g.flush()
		if err := g.provider.Apply(t.Context(), s, p); !errors.Is(err, provider.ErrConflict) {
			t.Errorf("the group is gone: %v", err)
		}
		g.sim.Fail(ec2.Fault{Kind: ec2.Ambiguous})
		if _, err := g.pass(t.Context(), locked(g.ssh, 1), nil); err == nil || errors.Is(err, provider.ErrConflict) || errors.Is(err, provider.ErrRefused) {
			t.Errorf("nobody knows: %v", err)
		}
		g.sim.Mend()
		g.sim.Fail(ec2.Fault{Kind: ec2.Throttled, Times: 4, Action: "CreateSecurityGroup"})
		if _, err := g.pass(t.Context(), locked(g.ssh, 1), nil); err != nil {
			t.Errorf("throttled for a while: %v", err)
		}
	})
	g := newGround(t, ec2.Config{Seed: 8})
	for _, id := range []firewall.ID{"host", "arn:aws:ec2:eu-west-9:1:vpc/vpc-1"} {
		if s, err := g.provider.Observe(t.Context(), id, nil); err == nil {
			t.Errorf("%s is %v", id, s)
		}
	}
}

// Regions that are not named are all that are enabled.
func TestConnect(t *testing.T) {
	sim, err := ec2.New(ec2.Config{Regions: []string{"eu-central-1", "eu-west-1"}})
	if err != nil {
		t.Fatal(err)
	}
	regions, err := aws.Connect(t.Context(), awssdk.Config{
		Region: "eu-central-1", BaseEndpoint: awssdk.String("http://ec2.example"), HTTPClient: sim.Client(),
		Credentials: credentials.NewStaticCredentialsProvider(ec2.DefaultKey, ec2.DefaultSecret, ""),
	}, aws.Account{})
	if err != nil || len(regions) != 2 || regions[1].Name != "eu-west-1" || regions[1].Account != ec2.DefaultAccount || regions[1].Partition != "aws" {
		t.Errorf("%+v, %v", regions, err)
	}
}
