package aws_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
	"github.com/sesame-access/sesame/internal/firewall"
)

// The tests in this file are bugs that other reconcilers of security groups had,
// each named after where it was reported.

// Two rules that are displaced leave the same rest: aws-load-balancer-controller
// #1438 and kubernetes #92263 sent it twice, and the whole call was refused.
func TestEqualRestsAreOneRule(t *testing.T) {
	g := newGround(t, ec2.Config{Seed: 31})
	at := netip.MustParsePrefix("10.0.0.0/8")
	g.edit(t, "other", func(x *world.Group) {
		x.Rules = append(x.Rules,
			world.Rule{ID: "sgr-0000000000000a001", Protocol: "tcp", First: 22, Last: 30, CIDR: at, Description: "one"},
			world.Rule{ID: "sgr-0000000000000a002", Protocol: "tcp", First: 20, Last: 30, CIDR: at, Description: "two"})
	})
	before := g.foreign()
	p, err := g.pass(t.Context(), locked(g.ssh2, 0), nil)
	if err != nil || len(p.Refused) > 0 {
		t.Fatalf("%v\n%v", err, p)
	}
	if got := g.rulesOf("other", at); !slices.Equal(got, []string{"20-21", "23-30"}) {
		t.Errorf("what stays is %v", got)
	}
	if _, err := g.pass(t.Context(), nil, displacedBy(p)); err != nil || g.foreign() != before {
		t.Errorf("%v\n%swas\n%s", err, g.foreign(), before)
	}
}

// rulesOf returns the port ranges of the rules of a group for a source, sorted.
func (g *ground) rulesOf(name string, from netip.Prefix) []string {
	var out []string
	for _, x := range g.now().groups {
		for _, r := range x.Rules {
			if x.Name == name && !r.Egress && r.CIDR == from {
				out = append(out, fmt.Sprintf("%d-%d", r.First, r.Last))
			}
		}
	}
	slices.Sort(out)
	return out
}

// Two grants need the same source; the first ends: kubernetes/website #21418
// deleted the rule for both.
func TestTheLastHolderEndsARule(t *testing.T) {
	g := newGround(t, ec2.Config{Seed: 32})
	both, one := locked(g.ssh, 1), locked(g.ssh, 1)
	both[0].Open[0].Grants = firewall.HoldersOf("g-1", "g-2")
	one[0].Open[0].Grants = firewall.HoldersOf("g-2")
	source := both[0].Open[0].From.Addr()
	for _, want := range []firewall.Wants{both, one} {
		if p, err := g.pass(t.Context(), want, nil); err != nil || !g.now().admits(g.ssh, source) {
			t.Fatalf("%v\n%v", err, p)
		}
	}
	if n := g.sim.Calls()["RevokeSecurityGroupIngress"]; n > 3 { // what the lock has displaced
		t.Errorf("%d calls revoked something", n)
	}
	if p, err := g.pass(t.Context(), locked(g.ssh, 0), nil); err != nil || g.now().admits(g.ssh, source) {
		t.Errorf("%v\n%v", err, p)
	}
}

// A group is full: aws-load-balancer-controller #3538 and #4800 found out when the
// call failed, and then revoked first. Here the lock is refused before anything is
// written, and a full owned group refuses the grant that is too many, by name.
func TestQuotaIsKnownBefore(t *testing.T) {
	g := newGround(t, ec2.Config{Seed: 33})
	g.edit(t, "other", func(x *world.Group) {
		x.Rules = append(x.Rules, world.Rule{ID: "sgr-0000000000000b000", Protocol: "tcp", First: 20, Last: 24, CIDR: netip.MustParsePrefix("10.0.0.0/8")})
		for i := range 58 {
			x.Rules = append(x.Rules, world.Rule{ID: "sgr-0000000000000b1" + string(rune('a'+i/26)) + string(rune('a'+i%26)), Protocol: "tcp", First: 1000 + i, Last: 1000 + i, CIDR: netip.MustParsePrefix("10.0.0.0/8")})
		}
	})
	before := g.foreign()
	p, err := g.pass(t.Context(), locked(g.ssh2, 0), nil)
	if err != nil || !strings.Contains(p.String(), "no room for the 2 rules that keep what else it lets in") || g.foreign() != before {
		t.Errorf("%v\n%v", err, p)
	}
	if _, err := g.pass(t.Context(), locked(g.ssh, 0), nil); err != nil {
		t.Fatal(err)
	}
	p, err = g.pass(t.Context(), locked(g.ssh, 61), nil)
	if err != nil || len(p.Refused) != 1 || !strings.Contains(p.String(), "no room for another rule") {
		t.Errorf("%v\n%v", err, p.Refused)
	}
}

// A rule is found again in the form that the cloud keeps it in: terraform #6938
// looked for the one that it had sent, and waited. A second plan is empty here.
func TestRulesAreFoundAgain(t *testing.T) {
	g := newGround(t, ec2.Config{Seed: 34})
	want := locked(g.ssh, 0)
	want[0].Open = []firewall.Opening{{From: netip.MustParsePrefix("2001:db8:0:7::/64"), Until: firewall.Instant(time.Now().Add(time.Hour)), Grants: "g-1"}}
	if _, err := g.pass(t.Context(), want, nil); err != nil {
		t.Fatal(err)
	}
	s, err := g.provider.Observe(t.Context(), g.vpc, nil)
	if err != nil {
		t.Fatal(err)
	}
	if p, err := g.provider.Compile(s, want, nil); err != nil || !p.Empty() {
		t.Errorf("%v\n%v", err, p)
	}
}
