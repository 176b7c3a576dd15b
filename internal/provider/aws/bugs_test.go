package aws_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
	"github.com/sesame-access/sesame/internal/firewall"
)

// The tests in this file are bugs that other reconcilers of security groups had,
// each named after where it was reported. Of those that concern more than security
// groups, and of what the EC2 API is known for, the tests are elsewhere:
//
//   - cloud-provider-azure #6342, provider-aws for Crossplane #1954: a foreign rule is
//     touched, or not seen. TestConformance, securitygroup/compile.TestLockAndUnlock.
//   - cloud-provider-azure #10862, #6075: what one does not need any more is taken
//     from another who shares it. securitygroup/compile.TestSharedGroup.
//   - cloud-provider-azure #1829: an item twice in one request fails all of it.
//     TestEqualRestsAreOneRule, securitygroup.TestWritesOfAStepAreFewCalls.
//   - kubernetes #55733, cloud-provider-azure #1845, #741: rules are compared by name
//     alone, or as they are spelt. TestRulesAreFoundAgain, TestEditedRuleIsOneRuleAgain,
//     securitygroup.TestContentIsIdentity, securitygroup.TestCanonical.
//   - Cluster API for Azure #3395: what is not wanted any more stays. TestConformance.
//   - terraform #7547, cloud-gov/terraform-provision #2359: two writers put back what
//     the other takes out, for ever. TestTruce.
//   - The EC2 API: answers lag behind writes (TestConformance/lagging); a request of
//     which some is done already fails whole (TestHalfDone); Duplicate, NotFound,
//     DependencyViolation and the others (securitygroup.TestOutcomes, TestErrors);
//     buckets for each action (TestErrors, BenchmarkCrowd); tracked and untracked
//     sessions (TestConformance, compile.TestSpares).

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

// How many groups an interface may wear is what the account says, whatever the
// configuration believes, and what that says where the account may not be asked.
func TestAccountSaysItsQuota(t *testing.T) {
	for most, refused := range map[int]bool{2: true, 3: false} {
		g := newGround(t, ec2.Config{Seed: 41, Quotas: world.Quotas{GroupsPerInterface: most}})
		if _, err := g.provider.Inventory(t.Context()); err != nil {
			t.Fatal(err)
		}
		before := g.foreign()
		p, err := g.pass(t.Context(), locked(g.ssh, 0), nil) // which wears two
		if err != nil || (len(p.Refused) > 0) != refused || refused && g.foreign() != before {
			t.Errorf("with room for %d: %v\n%v", most, err, p)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		g := newGround(t, ec2.Config{Seed: 41, Quotas: world.Quotas{GroupsPerInterface: 2}})
		g.sim.Fail(ec2.Fault{Kind: ec2.Throttled, Times: 1000, Action: "DescribeAccountAttributes"})
		if vms, err := g.provider.Inventory(t.Context()); err != nil || len(vms) != 2 {
			t.Errorf("it cannot be asked: %d machines, %v", len(vms), err)
		}
		if p, err := g.pass(t.Context(), locked(g.ssh, 0), nil); err == nil || len(p.Refused) > 0 {
			t.Errorf("five are believed in: %v\n%v", err, p)
		}
	})
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

// Somebody edits a rule of ours by its id: upjet #104 made a second rule and left
// the first one, which let in whoever it named now.
func TestEditedRuleIsOneRuleAgain(t *testing.T) {
	g := newGround(t, ec2.Config{Seed: 35})
	want := locked(g.ssh, 1)
	if _, err := g.pass(t.Context(), want, nil); err != nil {
		t.Fatal(err)
	}
	g.edit(t, g.own, func(x *world.Group) { x.Rules[0].CIDR = netip.MustParsePrefix("198.51.100.0/24") })
	if !g.now().admits(g.ssh, netip.MustParseAddr("198.51.100.7")) {
		t.Fatal("the edit lets nobody in")
	}
	if _, err := g.pass(t.Context(), want, nil); err != nil {
		t.Fatal(err)
	}
	if got := g.rulesOf(g.own, netip.MustParsePrefix("198.51.100.0/24")); len(got) > 0 {
		t.Errorf("the edited rule is left: %v", got)
	}
	if got := g.rulesOf(g.own, want[0].Open[0].From); !slices.Equal(got, []string{"22-22"}) {
		t.Errorf("the grant is %v", got)
	}
}

// A new group lets everything out, and so does one that somebody gave a rule to:
// provider-aws for Crossplane #352 saw it as never ready. Ours lets nothing out.
func TestOwnGroupLetsNothingOut(t *testing.T) {
	g := newGround(t, ec2.Config{Seed: 36})
	lets := func() (n int) {
		for _, x := range g.now().groups {
			for _, r := range x.Rules {
				if x.Name == g.own && r.Egress {
					n++
				}
			}
		}
		return n
	}
	for range 2 {
		if _, err := g.pass(t.Context(), locked(g.ssh, 1), nil); err != nil || lets() != 0 {
			t.Fatalf("%v, and %d rules let something out", err, lets())
		}
		g.edit(t, g.own, func(x *world.Group) {
			x.Rules = append(x.Rules, world.Rule{ID: "sgr-0000000000000c001", Egress: true, Protocol: "-1", First: world.All, Last: world.All, CIDR: netip.MustParsePrefix("0.0.0.0/0")})
		})
	}
}

// A rule that somebody wrote into our group: aws-load-balancer-controller #3988
// revoked it without a word, from a group that others were told to use. Ours is for
// openings alone, since whatever stands in it would outlive the sweep; the plan
// names what it takes out.
func TestForeignRuleInOwnGroup(t *testing.T) {
	g := newGround(t, ec2.Config{Seed: 37})
	if _, err := g.pass(t.Context(), locked(g.ssh, 1), nil); err != nil {
		t.Fatal(err)
	}
	from := netip.MustParsePrefix("198.51.100.0/24")
	g.edit(t, g.own, func(x *world.Group) {
		x.Rules = append(x.Rules,
			world.Rule{ID: "sgr-0000000000000c002", Protocol: "tcp", First: 22, Last: 22, CIDR: from},
			world.Rule{ID: "sgr-0000000000000c003", Protocol: "tcp", First: 8443, Last: 8443, CIDR: from})
	})
	p, err := g.pass(t.Context(), locked(g.ssh, 1), nil)
	if got := g.rulesOf(g.own, from); err != nil || len(got) > 0 {
		t.Errorf("%v is left: %v", got, err)
	}
	for _, named := range []string{"22/tcp from 198.51.100.0/24", "8443/tcp from 198.51.100.0/24"} {
		if !strings.Contains(p.String(), named) {
			t.Errorf("the plan does not name %s:\n%v", named, p)
		}
	}
}

// The API lists in no order; plans do not depend on it.
func TestOrderOfAnswersIsNoMatter(t *testing.T) {
	var plans [2]string
	for i := range plans {
		g := newGround(t, ec2.Config{Seed: 38})
		g.edit(t, "web", func(x *world.Group) {
			for n := range 9 {
				x.Rules = append(x.Rules, world.Rule{ID: fmt.Sprint("sgr-0000000000000c01", n), Protocol: "tcp", First: 20 - n, Last: 30 + n, CIDR: netip.MustParsePrefix("10.0.0.0/8")})
			}
			if i == 1 {
				slices.Reverse(x.Rules)
			}
		})
		if i == 1 {
			g.sim.Hand(ec2.DefaultRegion, func(w *world.World, now time.Time) {
				for n := range w.Interfaces.All(now) {
					n.Groups = slices.Clone(n.Groups)
					slices.Reverse(n.Groups)
					w.Interfaces.Put(now, n)
				}
			})
		}
		s, err := g.provider.Observe(t.Context(), g.vpc, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := slices.Concat(locked(g.ssh, 9), locked(g.rdp, 3), locked(g.ssh2, 0))
		want.Sort()
		for n := range want {
			for k := range want[n].Open {
				want[n].Open[k].Until = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
			}
		}
		p, err := g.provider.Compile(s, want, nil)
		if err != nil {
			t.Fatal(err)
		}
		plans[i] = p.String()
	}
	if plans[0] != plans[1] || !strings.Contains(plans[0], "displace") {
		t.Errorf("%s\nand\n%s", plans[0], plans[1])
	}
}

// A group that somebody's rule names cannot be deleted (DependencyViolation).
// Everything else is given back all the same, and it goes when nobody names it.
func TestGroupThatIsStillNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGround(t, ec2.Config{Seed: 39, Unthrottled: true})
		before := g.foreign()
		p, err := g.pass(t.Context(), locked(g.ssh, 0), nil)
		if err != nil {
			t.Fatal(err)
		}
		own := func() string {
			for _, x := range g.now().groups {
				if x.Name == g.own {
					return x.ID
				}
			}
			return ""
		}
		names := world.Rule{ID: "sgr-0000000000000c004", Protocol: "tcp", First: 9999, Last: 9999, Group: own()}
		g.edit(t, "other", func(x *world.Group) { x.Rules = append(x.Rules, names) })
		out := displacedBy(p)
		if _, err := g.pass(t.Context(), nil, out); err == nil || own() == "" {
			t.Errorf("it is deleted although it is named: %v", err)
		}
		g.edit(t, "other", func(x *world.Group) {
			x.Rules = slices.DeleteFunc(x.Rules, func(r world.Rule) bool { return r.ID == names.ID })
		})
		if got := g.foreign(); got != before {
			t.Errorf("not given back:\n%swas\n%s", got, before)
		}
		if _, err := g.pass(t.Context(), nil, nil); err != nil || own() != "" {
			t.Errorf("it is left: %v", err)
		}
	})
}

// To put a group on an interface replaces the whole list, on no condition. What
// somebody has put on since it was read stays.
func TestWhatWasAttachedMeanwhileStays(t *testing.T) {
	g := newGround(t, ec2.Config{Seed: 40})
	s, err := g.provider.Observe(t.Context(), g.vpc, nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := g.provider.Compile(s, locked(g.ssh, 0), nil)
	if err != nil {
		t.Fatal(err)
	}
	other := ""
	for _, x := range g.now().groups {
		if x.Name == "other" {
			other = x.ID
		}
	}
	g.sim.Hand(ec2.DefaultRegion, func(w *world.World, now time.Time) {
		for n := range w.Interfaces.All(now) {
			if n.Instance == g.ssh.VM.Name() {
				n.Groups = append(slices.Clone(n.Groups), other)
				w.Interfaces.Put(now, n)
			}
		}
	})
	if err := g.provider.Apply(t.Context(), s, p); err != nil {
		t.Fatal(err)
	}
	for _, n := range g.now().interfaces {
		if n.Instance == g.ssh.VM.Name() && (len(n.Groups) != 4 || !slices.Contains(n.Groups, other)) {
			t.Errorf("%s wears %v", n.ID, n.Groups)
		}
	}
}
