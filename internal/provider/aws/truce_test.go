package aws_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
	"github.com/sesame-access/sesame/internal/plan"
)

// A pipeline of infrastructure as code puts the displaced rule back at each apply.
// It is displaced three times at once; then the door is held, and says why, and
// calls get rare. Locks that come and go are nobody's fight.
func TestTruce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGround(t, ec2.Config{Seed: 12, Unthrottled: true})
		theirs := world.Rule{ID: "sgr-0000000000000f001", Protocol: "tcp", First: 22, Last: 22, CIDR: netip.MustParsePrefix("203.0.113.0/25"), Description: "by Terraform"}
		apply := func() {
			g.edit(t, "other", func(x *world.Group) {
				if !slices.ContainsFunc(x.Rules, func(r world.Rule) bool { return !r.Egress && r.CIDR == theirs.CIDR }) {
					x.Rules = append(x.Rules, theirs)
				}
			})
		}
		d := g.ssh2
		from := netip.MustParseAddr("203.0.113.7")
		displaced, held, refused := 0, 0, ""
		var out []plan.Change
		for range 60 { // an hour
			apply()
			p, err := g.pass(t.Context(), locked(d, 0), out)
			if err != nil {
				t.Fatalf("%v:\n%v", err, p)
			}
			out = append(out, displacedBy(p)...)
			if g.now().admits(d, from) {
				held++
				refused = p.String()
			} else {
				displaced++
			}
			time.Sleep(time.Minute)
		}
		if displaced < 6 || displaced > 10 || held < 50 || !strings.Contains(refused, "undone each time") || !strings.Contains(refused, "refused  "+d.String()) {
			t.Errorf("displaced in %d minutes of 60, held in %d:\n%s", displaced, held, refused)
		}
		time.Sleep(2 * time.Hour)
		if p, err := g.pass(t.Context(), locked(d, 0), out); err != nil || g.now().admits(d, from) {
			t.Errorf("they have stopped: %v\n%v", err, p)
		}
		for range 8 {
			if p, err := g.pass(t.Context(), nil, out); err != nil || !g.now().admits(d, from) {
				t.Fatalf("disable: %v\n%v", err, p)
			}
			if p, err := g.pass(t.Context(), locked(d, 0), out); err != nil || g.now().admits(d, from) {
				t.Fatalf("enable: %v\n%v", err, p)
			}
		}
	})
}

// Somebody takes our group off the interface whenever he sees it.
func TestTruceOverTheGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGround(t, ec2.Config{Seed: 13, Unthrottled: true})
		attached := 0
		for range 10 {
			p, err := g.pass(t.Context(), locked(g.ssh, 1), nil)
			if err != nil {
				t.Fatalf("%v:\n%v", err, p)
			}
			if g.now().admits(g.ssh, netip.MustParseAddr("203.0.113.0")) {
				attached++
			}
			own := ""
			for _, x := range g.now().groups {
				if x.Name == g.own {
					own = x.ID
				}
			}
			g.sim.Hand(ec2.DefaultRegion, func(w *world.World, now time.Time) {
				for n := range w.Interfaces.All(now) {
					n.Groups = slices.DeleteFunc(slices.Clone(n.Groups), func(id string) bool { return id == own })
					w.Interfaces.Put(now, n)
				}
			})
		}
		if attached != 3 {
			t.Errorf("it was put on %d times in a minute, want 3", attached)
		}
	})
}
