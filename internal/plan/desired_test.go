package plan_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/reach"
)

var (
	noon = time.Date(2030, 1, 31, 12, 0, 0, 0, time.UTC)
	web  = firewall.Door{VM: "host://web", Protocol: firewall.TCP, Port: 22}
	db   = firewall.Door{VM: "host://db", Protocol: firewall.TCP, Port: 22}

	prefixes = cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{})
)

func clocks() access.Reading {
	return access.Reading{Wall: noon, Boot: time.Hour, BootID: "boot-1", Third: noon}
}

func sources(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		p, err := firewall.ParseSource(s)
		if err != nil {
			panic(err)
		}
		out = append(out, p)
	}
	return out
}

// grant returns a grant from noon, unless it is edited.
func grant(id string, d firewall.Door, length time.Duration, from ...string) access.Grant {
	return access.Grant{
		ID: id, Door: d, Sources: sources(from...), Start: noon, Created: noon,
		Deadline: access.DeadlineAt(noon.Add(length), clocks()),
	}
}

// opening returns an opening that ends so long after noon; 0 is exempt.
func opening(from string, length time.Duration, holders firewall.Holders) firewall.Opening {
	o := firewall.Opening{From: sources(from)[0], Until: time.Time{}, Grants: holders}
	if length != 0 {
		o.Until = noon.Add(length)
	}
	return o
}

func locked(d firewall.Door, open ...firewall.Opening) firewall.Want {
	return firewall.Want{Door: d, Locked: true, Cut: false, Open: open}
}

func TestDesired(t *testing.T) {
	lock := access.Lock{Door: web}
	exempt := access.Lock{Door: web, Exempt: sources("10.0.0.0/8", "192.0.2.1")}
	later := grant("g-1", web, 2*time.Hour, "203.0.113.7")
	later.Start, later.Created = noon.Add(time.Hour), noon
	ended := grant("g-1", web, time.Hour, "203.0.113.7")
	ended.Ended.At = noon
	damaged := grant("g-1", web, time.Hour)
	damaged.Sources = []netip.Prefix{{}, netip.PrefixFrom(netip.MustParseAddr("203.0.113.7"), 24)}
	for name, c := range map[string]struct {
		locks  []access.Lock
		grants []access.Grant
		after  time.Duration
		want   firewall.Wants
	}{
		"nothing":        {nil, nil, 0, firewall.Wants{}},
		"a lock":         {[]access.Lock{lock}, nil, 0, firewall.Wants{locked(web)}},
		"exempt sources": {[]access.Lock{exempt}, nil, 0, firewall.Wants{locked(web, opening("10.0.0.0/8", 0, ""), opening("192.0.2.1", 0, ""))}},
		"a lock twice":   {[]access.Lock{exempt, lock, exempt}, nil, 0, firewall.Wants{locked(web, opening("10.0.0.0/8", 0, ""), opening("192.0.2.1", 0, ""))}},
		"a grant":        {[]access.Lock{lock}, []access.Grant{grant("g-1", web, time.Hour, "203.0.113.7")}, 0, firewall.Wants{locked(web, opening("203.0.113.7", time.Hour, "g-1"))}},
		"its last moment": {
			[]access.Lock{lock},
			[]access.Grant{grant("g-1", web, time.Hour, "203.0.113.7")},
			time.Hour - 1,
			firewall.Wants{locked(web, opening("203.0.113.7", time.Hour, "g-1"))},
		},
		"its end":       {[]access.Lock{lock}, []access.Grant{grant("g-1", web, time.Hour, "203.0.113.7")}, time.Hour, firewall.Wants{locked(web)}},
		"ended early":   {[]access.Lock{lock}, []access.Grant{ended}, 0, firewall.Wants{locked(web)}},
		"not yet":       {[]access.Lock{lock}, []access.Grant{later}, time.Hour - 1, firewall.Wants{locked(web)}},
		"started":       {[]access.Lock{lock}, []access.Grant{later}, time.Hour, firewall.Wants{locked(web, opening("203.0.113.7", 2*time.Hour, "g-1"))}},
		"without lock":  {nil, []access.Grant{grant("g-1", web, time.Hour, "203.0.113.7")}, 0, firewall.Wants{}},
		"another door":  {[]access.Lock{lock}, []access.Grant{grant("g-1", db, time.Hour, "203.0.113.7")}, 0, firewall.Wants{locked(web)}},
		"no source":     {[]access.Lock{lock}, []access.Grant{grant("g-1", web, time.Hour)}, 0, firewall.Wants{locked(web)}},
		"a damaged row": {[]access.Lock{lock}, []access.Grant{damaged}, 0, firewall.Wants{locked(web, opening("203.0.113.0/24", time.Hour, "g-1"))}},
		"counted": {
			[]access.Lock{lock},
			[]access.Grant{
				grant("g-2", web, time.Hour, "203.0.113.7", "203.0.113.8"),
				grant("g-1", web, 2*time.Hour, "203.0.113.7"),
				grant("g-3", web, time.Minute, "203.0.113.7"),
			},
			time.Minute - 1,
			firewall.Wants{locked(web, opening("203.0.113.7", 2*time.Hour, "g-1,g-2,g-3"), opening("203.0.113.8", time.Hour, "g-2"))},
		},
		"one of them ended": {
			[]access.Lock{lock},
			[]access.Grant{grant("g-2", web, time.Hour, "203.0.113.7"), grant("g-1", web, 2*time.Hour, "203.0.113.7")},
			time.Hour,
			firewall.Wants{locked(web, opening("203.0.113.7", 2*time.Hour, "g-1"))},
		},
		"exempt anyway": {[]access.Lock{exempt}, []access.Grant{grant("g-1", web, time.Hour, "192.0.2.1")}, 0, firewall.Wants{locked(web, opening("10.0.0.0/8", 0, ""), opening("192.0.2.1", 0, ""))}},
		"within an exempt source": {
			[]access.Lock{exempt},
			[]access.Grant{grant("g-1", web, time.Hour, "10.1.2.3")},
			0,
			firewall.Wants{locked(web, opening("10.0.0.0/8", 0, ""), opening("10.1.2.3", time.Hour, "g-1"), opening("192.0.2.1", 0, ""))},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := plan.Desired(c.locks, c.grants, clocks().Add(c.after))
			if diff := cmp.Diff(c.want, got, prefixes); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestDesiredCutsWhereAnyLockSaysSo(t *testing.T) {
	got := plan.Desired([]access.Lock{{Door: web}, {Door: web, Cut: true}, {Door: web}, {Door: db}}, nil, clocks())
	if len(got) != 2 || got[0].Cut || !got[1].Cut {
		t.Errorf("got %+v", got)
	}
}

func TestDesiredDemandsProofWhereAnyLockDoes(t *testing.T) {
	got := plan.Desired([]access.Lock{{Door: web}, {Door: web, Proof: true}, {Door: web}, {Door: db}}, nil, clocks())
	if len(got) != 2 || got[0].Proof || !got[1].Proof {
		t.Errorf("got %+v", got)
	}
}

// A wall clock that was set back must not lengthen what a firewall is told.
func TestDesiredEndsByTheClockThatIsFurthestAlong(t *testing.T) {
	g := grant("g-1", web, time.Hour, "203.0.113.7")
	now := clocks().Add(10 * time.Minute)
	now.Wall = now.Wall.Add(-24 * time.Hour)
	got := plan.Desired([]access.Lock{{Door: web}}, []access.Grant{g}, now)
	if want := now.Wall.Add(50 * time.Minute); len(got[0].Open) != 1 || !got[0].Open[0].Until.Equal(want) {
		t.Errorf("opened until %v, want 50 minutes from now, %v", got[0].Open, want)
	}
	// Drift below the slack moves nothing, so that the same grant gives the same want.
	now = clocks().Add(10 * time.Minute)
	now.Third = now.Third.Add(1900 * time.Millisecond)
	if got := plan.Desired([]access.Lock{{Door: web}}, []access.Grant{g}, now); !got[0].Open[0].Until.Equal(noon.Add(time.Hour)) {
		t.Errorf("drift moved the end to %v", got[0].Open[0].Until)
	}
}

func drawDoor(t *rapid.T) firewall.Door {
	return firewall.Door{
		VM:       rapid.SampledFrom([]firewall.VMID{"host://a", "host://b", "host://c"}).Draw(t, "vm"),
		Protocol: rapid.SampledFrom([]firewall.Protocol{firewall.TCP, firewall.UDP}).Draw(t, "protocol"),
		Port:     rapid.SampledFrom([]uint16{22, 53}).Draw(t, "port"),
	}
}

func drawSource(t *rapid.T) netip.Prefix {
	return sources(rapid.SampledFrom([]string{"203.0.113.7", "203.0.113.8", "203.0.113.0/24", "10.0.0.0/8", "2001:db8::7", "2001:db8::/64"}).Draw(t, "source"))[0]
}

func drawLocks(t *rapid.T) (out []access.Lock) {
	for range rapid.IntRange(0, 6).Draw(t, "locks") {
		out = append(out, access.Lock{
			Door: drawDoor(t), Exempt: rapid.SliceOfN(rapid.Custom(drawSource), 0, 2).Draw(t, "exempt"), Cut: rapid.Bool().Draw(t, "cut"),
		})
	}
	return out
}

func drawGrants(t *rapid.T) (out []access.Grant) {
	for i := range rapid.IntRange(0, 12).Draw(t, "grants") {
		g := grant(fmt.Sprintf("g-%02d", i), drawDoor(t), time.Hour)
		g.Start = noon.Add(time.Duration(rapid.IntRange(-100, 3600).Draw(t, "start")) * time.Second)
		length := time.Duration(rapid.IntRange(1, 7200).Draw(t, "length")) * time.Second
		g.Deadline = access.DeadlineAt(g.Start.Add(length), clocks())
		g.Sources = rapid.SliceOfN(rapid.Custom(drawSource), 0, 3).Draw(t, "sources")
		if rapid.IntRange(0, 4).Draw(t, "ended") == 0 {
			g.Ended.At = noon
		}
		out = append(out, g)
	}
	return out
}

func drawReading(t *rapid.T) access.Reading {
	return clocks().Add(time.Duration(rapid.Int64Range(0, int64(3*time.Hour)).Draw(t, "now")))
}

func TestDesiredDoesNotDependOnOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		locks, grants, now := drawLocks(t), drawGrants(t), drawReading(t)
		want := plan.Desired(locks, grants, now)
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		r.Shuffle(len(locks), func(i, j int) { locks[i], locks[j] = locks[j], locks[i] })
		r.Shuffle(len(grants), func(i, j int) { grants[i], grants[j] = grants[j], grants[i] })
		for i := range grants {
			s := slices.Clone(grants[i].Sources)
			r.Shuffle(len(s), func(i, j int) { s[i], s[j] = s[j], s[i] })
			grants[i].Sources = s
		}
		if diff := cmp.Diff(want, plan.Desired(locks, grants, now), prefixes); diff != "" {
			t.Fatalf("another order, another result (-first +second):\n%s", diff)
		}
	})
}

// TestDesiredAgainstItsDefinition asks for each door and source whether it
// should be open, and until when, straight from the grants.
func TestDesiredAgainstItsDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		locks, grants, now := drawLocks(t), drawGrants(t), drawReading(t)
		got := plan.Desired(locks, grants, now)
		for i, w := range got {
			if i > 0 && firewall.CompareDoors(got[i-1].Door, w.Door) >= 0 {
				t.Fatalf("%v and %v are out of order", got[i-1].Door, w.Door)
			}
			if !w.Locked || !slices.ContainsFunc(locks, func(l access.Lock) bool { return l.Door == w.Door }) {
				t.Fatalf("%v is wanted without a lock", w.Door)
			}
			for j, o := range w.Open {
				if j > 0 && firewall.CompareOpenings(w.Open[j-1], o) >= 0 {
					t.Fatalf("%v and %v are out of order", w.Open[j-1], o)
				}
				checkOpening(t, locks, grants, now, w.Door, o)
			}
		}
		for _, l := range locks {
			w, ok := got.Of(l.Door)
			if !ok {
				t.Fatalf("the lock of %v is forgotten", l.Door)
			}
			for _, g := range grants {
				for _, s := range g.Sources {
					open := slices.ContainsFunc(w.Open, func(o firewall.Opening) bool { return o.From == s })
					if g.Door == l.Door && g.Live(now) && !open {
						t.Fatalf("%s is live, and %v is not let in", g.ID, s)
					}
				}
			}
		}
	})
}

func checkOpening(t *rapid.T, locks []access.Lock, grants []access.Grant, now access.Reading, d firewall.Door, o firewall.Opening) {
	exempt := slices.ContainsFunc(locks, func(l access.Lock) bool { return l.Door == d && slices.Contains(l.Exempt, o.From) })
	var until time.Time
	var ids []string
	for _, g := range grants {
		if g.Door == d && g.Live(now) && slices.Contains(g.Sources, o.From) {
			ids = append(ids, g.ID)
			if g.Deadline.Wall.After(until) {
				until = g.Deadline.Wall
			}
		}
	}
	switch {
	case exempt != o.Exempt():
		t.Fatalf("%v of %v: exempt is %v", o, d, exempt)
	case !exempt && (!o.Until.Equal(until) || o.Grants != firewall.HoldersOf(ids...)):
		t.Fatalf("%v of %v: should be until %v for %v", o, d, until, ids)
	}
}

func TestRoute(t *testing.T) {
	snat := sources("10.9.9.9")[0]
	path := func(hops ...inventory.Hop) inventory.Path { return inventory.Path{Name: "p", Hops: hops} }
	direct, behind := inventory.Hop{Firewall: "nsg"}, inventory.Hop{Firewall: "nsg", Sees: snat}
	hub := inventory.Hop{Firewall: "hub"}
	two := locked(web, opening("203.0.113.7", time.Hour, "g-1"), opening("203.0.113.8", 2*time.Hour, "g-2"))
	merged := opening("10.9.9.9", 2*time.Hour, "g-1,g-2")
	for name, c := range map[string]struct {
		want  firewall.Want
		paths []inventory.Path
		out   map[firewall.ID]firewall.Wants
	}{
		"direct":    {two, []inventory.Path{path(direct)}, map[firewall.ID]firewall.Wants{"nsg": {two}}},
		"two hops":  {two, []inventory.Path{path(hub, direct)}, map[firewall.ID]firewall.Wants{"hub": {two}, "nsg": {two}}},
		"no path":   {two, nil, map[firewall.ID]firewall.Wants{}},
		"two paths": {two, []inventory.Path{path(direct), path(hub, direct)}, map[firewall.ID]firewall.Wants{"hub": {two}, "nsg": {two}}},
		"translated": {
			two,
			[]inventory.Path{path(hub, behind)},
			map[firewall.ID]firewall.Wants{"hub": {two}, "nsg": {locked(web, merged)}},
		},
		"direct and translated": {
			two,
			[]inventory.Path{path(direct), path(hub, behind)},
			map[firewall.ID]firewall.Wants{"hub": {two}, "nsg": {locked(web, append([]firewall.Opening{merged}, two.Open...)...)}},
		},
		"translated and direct": {
			two,
			[]inventory.Path{path(hub, behind), path(direct)},
			map[firewall.ID]firewall.Wants{"hub": {two}, "nsg": {locked(web, append([]firewall.Opening{merged}, two.Open...)...)}},
		},
		"nobody to translate": {locked(web), []inventory.Path{path(behind)}, map[firewall.ID]firewall.Wants{"nsg": {locked(web)}}},
		"an exempt source behind": {
			locked(web, opening("203.0.113.7", time.Hour, "g-1"), opening("198.51.100.1", 0, "")),
			[]inventory.Path{path(behind)},
			map[firewall.ID]firewall.Wants{"nsg": {locked(web, opening("10.9.9.9", 0, ""))}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			vms := []inventory.VM{{ID: "host://other", Paths: []inventory.Path{path(hub)}}, {ID: web.VM, Paths: c.paths}}
			got := plan.Route(firewall.Wants{c.want}, vms)
			if diff := cmp.Diff(c.out, got, prefixes); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestRouteLetsInWhoIsWanted shows what is routed in the plainest way, and asks who
// comes through then: everybody who is wanted, and nobody else.
func TestRouteLetsInWhoIsWanted(t *testing.T) {
	ids := []firewall.ID{"a", "b", "c"}
	rapid.Check(t, func(t *rapid.T) {
		w := locked(web)
		for _, p := range []string{"203.0.113.7", "198.51.100.0/24", "2001:db8::7"} {
			if rapid.Bool().Draw(t, p) {
				w.Open = append(w.Open, opening(p, time.Hour, "g-1"))
			}
		}
		firewall.Wants{w}.Sort()
		v := inventory.VM{ID: web.VM}
		for range rapid.IntRange(1, 3).Draw(t, "paths") {
			hop := rapid.Custom(func(t *rapid.T) inventory.Hop {
				return inventory.Hop{Firewall: rapid.SampledFrom(ids).Draw(t, "firewall")}
			})
			v.Paths = append(v.Paths, inventory.Path{Hops: rapid.SliceOfN(hop, 1, 2).Draw(t, "hops")})
		}
		layers := map[firewall.ID]firewall.Layer{}
		for id, ws := range plan.Route(firewall.Wants{w}, []inventory.VM{v}) {
			l := firewall.Layer{Firewall: id, Kind: firewall.Union, Default: firewall.Deny}
			for _, o := range ws[0].Open {
				l.Rules = append(l.Rules, rule("grant", firewall.Allow, web.VM, o.From.String()))
			}
			layers[id] = l
		}
		var from []netip.Prefix
		for _, o := range w.Open {
			from = append(from, o.From)
		}
		if got, want := reach.VM(v, layers, web).Sources(reach.Open), reach.Of(from...); !slices.Equal(got, want) {
			t.Fatalf("%v come through, not %v", got, want)
		}
	})
}

func TestRouteLeavesItsArgumentsAlone(t *testing.T) {
	wants := firewall.Wants{locked(web, opening("203.0.113.7", time.Hour, "g-1"))}
	vms := []inventory.VM{{ID: web.VM, Paths: []inventory.Path{
		{Name: "a", Hops: []inventory.Hop{{Firewall: "f"}}},
		{Name: "b", Hops: []inventory.Hop{{Firewall: "f", Sees: sources("10.9.9.9")[0]}}},
	}}}
	plan.Route(wants, vms)
	if diff := cmp.Diff(firewall.Wants{locked(web, opening("203.0.113.7", time.Hour, "g-1"))}, wants, prefixes); diff != "" {
		t.Errorf("Route changed its argument (-before +after):\n%s", diff)
	}
}

// busy returns n grants on one door: each from its own source, or all from one.
func busy(n int, shared bool) []access.Grant {
	grants := make([]access.Grant, n)
	for i := range grants {
		grants[i] = grant(fmt.Sprintf("g-%016d", i), web, time.Hour+time.Duration(i)*time.Millisecond)
		a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		if shared {
			a = netip.AddrFrom4([4]byte{10, 0, 0, 1})
		}
		grants[i].Sources = []netip.Prefix{netip.PrefixFrom(a, 32)}
	}
	return grants
}

func BenchmarkDesired(b *testing.B) {
	for _, n := range []int{10, 1_000, 10_000} {
		for _, shared := range []bool{false, true} {
			grants := busy(n, shared)
			b.Run(fmt.Sprintf("grants=%d/one-source=%v", n, shared), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if w := plan.Desired([]access.Lock{{Door: web}}, grants, clocks()); len(w) != 1 {
						b.Fatal(w)
					}
				}
			})
		}
	}
}

func BenchmarkRouteTranslated(b *testing.B) {
	wants := plan.Desired([]access.Lock{{Door: web}}, busy(10_000, false), clocks())
	vms := []inventory.VM{{ID: web.VM, Paths: []inventory.Path{
		{Name: "direct", Hops: []inventory.Hop{{Firewall: "nsg"}}},
		{Name: "hub", Hops: []inventory.Hop{{Firewall: "hub"}, {Firewall: "nsg", Sees: sources("10.9.9.9")[0]}}},
	}}}
	for b.Loop() {
		if got := plan.Route(wants, vms); len(got["nsg"][0].Open) != 10_001 {
			b.Fatal(len(got["nsg"][0].Open))
		}
	}
}
