package reach_test

import (
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/reach"
)

var ssh = firewall.Door{VM: "host://a", Protocol: firewall.TCP, Port: 22}

func drawAction(t *rapid.T) firewall.Action {
	return rapid.SampledFrom([]firewall.Action{firewall.Deny, firewall.Allow, firewall.Unknown}).Draw(t, "action")
}

func drawRule(t *rapid.T) firewall.LayerRule {
	first := rapid.SampledFrom([]uint16{0, 1, 21, 22, 23, 80, 65535}).Draw(t, "first")
	return firewall.LayerRule{
		Name:     rapid.StringMatching(`[a-z]{1,3}`).Draw(t, "name"),
		Action:   drawAction(t),
		VM:       rapid.SampledFrom([]firewall.VMID{"", "host://a", "host://b"}).Draw(t, "vm"),
		Protocol: rapid.SampledFrom([]firewall.Protocol{0, firewall.TCP, firewall.UDP, 1}).Draw(t, "protocol"),
		First:    first,
		Last:     rapid.SampledFrom([]uint16{first, 65535}).Draw(t, "last"),
		From:     drawPrefixes(t, 3),
	}
}

func drawLayer(t *rapid.T, id firewall.ID) firewall.Layer {
	l := firewall.Layer{
		Firewall: id,
		Kind:     rapid.SampledFrom([]firewall.LayerKind{firewall.Ordered, firewall.Union}).Draw(t, "kind"),
		Rules:    rapid.SliceOfN(rapid.Custom(drawRule), 0, 8).Draw(t, "rules"),
		Default:  drawAction(t),
	}
	if l.Kind == firewall.Union {
		l.Default = firewall.Deny
	}
	return l
}

func verdictOf(a firewall.Action) reach.Verdict {
	return map[firewall.Action]reach.Verdict{firewall.Deny: reach.Closed, firewall.Allow: reach.Open, firewall.Unknown: reach.Unknown}[a]
}

// decide is the obvious reading of a layer, one packet at a time: what the
// engine computes for all packets at once.
func decide(l firewall.Layer, d firewall.Door, from netip.Addr) (reach.Verdict, string) {
	var hits []firewall.LayerRule
	for _, r := range l.Rules {
		if r.Matches(d) && (len(r.From) == 0 || in(r.From, from)) {
			hits = append(hits, r)
		}
	}
	pick := func(a firewall.Action) (reach.Verdict, string, bool) {
		var names []string
		for _, r := range hits {
			if r.Action == a {
				names = append(names, r.Name)
			}
		}
		if len(names) == 0 {
			return 0, "", false
		}
		return verdictOf(a), string(l.Firewall) + ": " + slices.Min(names), true
	}
	if l.Kind == firewall.Union {
		for _, a := range []firewall.Action{firewall.Allow, firewall.Unknown} {
			if v, by, ok := pick(a); ok {
				return v, by
			}
		}
	} else if len(hits) > 0 {
		return verdictOf(hits[0].Action), string(l.Firewall) + ": " + hits[0].Name
	}
	return verdictOf(l.Default), string(l.Firewall) + ": default"
}

func prefixesOf(layers ...firewall.Layer) (all []netip.Prefix) {
	for _, l := range layers {
		for _, r := range l.Rules {
			all = append(all, r.From...)
		}
	}
	return all
}

// checkPartition fails unless s holds every address of both families once, in
// order, and no two neighbours that could be one.
func checkPartition(t testing.TB, s reach.Set) {
	t.Helper()
	next := netip.IPv4Unspecified()
	spans := slices.Collect(s.All())
	for i, x := range spans {
		if x.From != next || x.To.Less(x.From) || x.From.BitLen() != x.To.BitLen() {
			t.Fatalf("span %d is %v, expected to begin at %v", i, x, next)
		}
		if i > 0 && x.From.BitLen() == spans[i-1].From.BitLen() && same(x, spans[i-1]) {
			t.Fatalf("spans %v and %v are one", spans[i-1], x)
		}
		if next = x.To.Next(); !next.IsValid() && x.To.Is4() {
			next = netip.IPv6Unspecified()
		}
	}
	if next.IsValid() {
		t.Fatalf("nothing is said about %v", next)
	}
}

// same reports whether x and y say the same about their sources.
func same(x, y reach.Span) bool {
	return x.Verdict == y.Verdict && x.Path() == y.Path() && slices.Equal(x.Steps(), y.Steps())
}

func TestLayerIsFirstMatch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLayer(t, "fw")
		s := reach.Layer(l, ssh)
		for _, a := range corners(prefixesOf(l)...) {
			v, by := decide(l, ssh, a)
			if got := s.At(a); got.Verdict != v || got.By() != by || a.Less(got.From) || got.To.Less(a) {
				t.Fatalf("%v gets %v by %q from the engine, %v by %q from reading the rules", a, got.Verdict, got.By(), v, by)
			}
		}
		for _, v := range []reach.Verdict{reach.Closed, reach.Unknown, reach.Open} {
			for _, a := range corners(prefixesOf(l)...) {
				if s.Sources(v).Contains(a) != (s.At(a).Verdict == v) {
					t.Fatalf("Sources(%v) and At(%v) disagree", v, a)
				}
			}
		}
		if !slices.Equal(s.MaybeOpen(), reach.All().Minus(s.Sources(reach.Closed))) {
			t.Fatal("MaybeOpen is not what is not closed")
		}
	})
}

func TestWithin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLayer(t, "fw")
		s, p := reach.Layer(l, ssh), drawPrefix(t)
		within := s.Within(p)
		var covered reach.Ranges
		for x := range within {
			covered = append(covered, x.Range)
			if got := s.At(x.From); !same(got, x) || !same(s.At(x.To), got) {
				t.Fatalf("%v is not a part of %v", x, got)
			}
		}
		if !slices.Equal(covered.Union(nil), reach.Of(p)) {
			t.Fatalf("Within(%v) covers %v", p, covered)
		}
	})
}

func TestVMSaysWhy(t *testing.T) {
	from := netip.MustParseAddr("203.0.113.7")
	deny := firewall.Layer{Firewall: "nsg", Rules: []firewall.LayerRule{{Name: "no ssh", Action: firewall.Deny, First: 22, Last: 22}}, Default: firewall.Allow}
	allow := firewall.Layer{Firewall: "host", Default: firewall.Allow}
	layers := map[firewall.ID]firewall.Layer{"nsg": deny, "host": allow}
	path := func(ids ...firewall.ID) inventory.Path {
		p := inventory.Path{Name: "eth0"}
		for _, id := range ids {
			p.Hops = append(p.Hops, inventory.Hop{Firewall: id})
		}
		return p
	}
	for name, c := range map[string]struct {
		vm   inventory.VM
		want reach.Verdict
		by   string
	}{
		"nothing in front":        {inventory.VM{ID: "host://a"}, reach.Open, "no firewall in front of host://a"},
		"nothing known":           {inventory.VM{ID: "host://a", Missing: []string{"no rights"}}, reach.Unknown, "not known: no rights"},
		"an empty path":           {inventory.VM{Paths: []inventory.Path{path()}}, reach.Open, "no firewall on path eth0"},
		"one firewall":            {inventory.VM{Paths: []inventory.Path{path("nsg")}}, reach.Closed, "nsg: no ssh"},
		"two in a row":            {inventory.VM{Paths: []inventory.Path{path("host", "nsg")}}, reach.Closed, "nsg: no ssh"},
		"a way around":            {inventory.VM{Paths: []inventory.Path{path("nsg"), path("host")}}, reach.Open, "host: default"},
		"one is unread":           {inventory.VM{Paths: []inventory.Path{path("host", "hub")}}, reach.Unknown, "hub: not read"},
		"unread, but closed":      {inventory.VM{Paths: []inventory.Path{path("hub", "nsg")}}, reach.Closed, "nsg: no ssh"},
		"closed as far as we see": {inventory.VM{Paths: []inventory.Path{path("nsg")}, Missing: []string{"eth1"}}, reach.Unknown, "not known: eth1"},
		"open as far as we see":   {inventory.VM{Paths: []inventory.Path{path("host")}, Missing: []string{"eth1"}}, reach.Open, "host: default"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := reach.VM(c.vm, layers, ssh).At(from); got.Verdict != c.want || got.By() != c.by {
				t.Errorf("%v by %q, want %v by %q", got.Verdict, got.By(), c.want, c.by)
			}
		})
	}
}

func TestUnknownIsNeitherOpenNorClosed(t *testing.T) {
	l := firewall.Layer{Firewall: "fw", Rules: []firewall.LayerRule{
		{Name: "tag", Action: firewall.Unknown, Last: 65535},
	}, Default: firewall.Allow}
	s := reach.Layer(l, ssh)
	if !s.Sources(reach.Open).Empty() || !s.Sources(reach.Closed).Empty() || s.MaybeOpen().String() != "anybody" {
		t.Errorf("an unknown rule over everything gives %v", s)
	}
}

// TestPortsTellsAllClassesApart asks about every one of the 65,536 ports the slow
// way and compares with the representative of its class.
func TestPortsTellsAllClassesApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, m := drawLayer(t, "l"), drawLayer(t, "m")
		ports := reach.Ports(inventory.VM{ID: ssh.VM}, ssh.Protocol, l, m)
		if !slices.IsSorted(ports) || len(slices.Compact(slices.Clone(ports))) != len(ports) || ports[0] != 0 {
			t.Fatalf("ports %v", ports)
		}
		for _, port := range []uint16{0, 1, 2, 20, 21, 22, 23, 24, 79, 80, 81, 1000, 65534, 65535} {
			i, exact := slices.BinarySearch(ports, port)
			if !exact {
				i--
			}
			asked, class := ssh, ssh
			asked.Port, class.Port = port, ports[i]
			for _, layer := range []firewall.Layer{l, m} {
				if !slices.EqualFunc(slices.Collect(reach.Layer(layer, asked).All()), slices.Collect(reach.Layer(layer, class).All()), func(x, y reach.Span) bool { return x.Range == y.Range && same(x, y) }) {
					t.Fatalf("port %d is not in the class of %d", port, class.Port)
				}
			}
		}
	})
}

// Behind a translation to several addresses, of which some get in, nobody knows
// who does.
func TestTranslationIntoTheUnknown(t *testing.T) {
	l := firewall.Layer{Firewall: "inner", Rules: []firewall.LayerRule{
		{Name: "one", Action: firewall.Allow, Last: 65535, From: []netip.Prefix{netip.MustParsePrefix("10.9.9.9/32")}},
	}, Default: firewall.Deny}
	for sees, want := range map[string]reach.Verdict{
		"10.9.9.9/32": reach.Open, "10.9.9.8/32": reach.Closed, "10.9.9.8/31": reach.Unknown, "10.9.8.0/24": reach.Closed,
	} {
		v := inventory.VM{ID: ssh.VM, Paths: []inventory.Path{{Name: "p", Hops: []inventory.Hop{{Firewall: "inner", Sees: netip.MustParsePrefix(sees)}}}}}
		got := reach.VM(v, map[firewall.ID]firewall.Layer{"inner": l}, ssh)
		if !slices.Equal(got.Sources(want), reach.All()) {
			t.Errorf("seen as %s: %v, want %v for everybody", sees, got, want)
		}
	}
}

func TestUnionAdmitsWhenAnyRuleDoes(t *testing.T) {
	l := firewall.Layer{Firewall: "sg", Kind: firewall.Union, Rules: []firewall.LayerRule{
		{Name: "a prefix list", Action: firewall.Unknown, Last: 65535},
		{Name: "no such thing", Action: firewall.Deny, Last: 65535},
		{Name: "office", Action: firewall.Allow, Last: 65535, From: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}},
	}, Default: firewall.Deny}
	s := reach.Layer(l, ssh)
	if got := s.At(netip.MustParseAddr("203.0.113.7")); got.Verdict != reach.Open || got.By() != "sg: office" {
		t.Errorf("the office gets %v by %q", got.Verdict, got.By())
	}
	if got := s.At(netip.MustParseAddr("198.51.100.7")); got.Verdict != reach.Unknown || got.By() != "sg: a prefix list" {
		t.Errorf("others get %v by %q", got.Verdict, got.By())
	}
}

func TestAtOutsideOfASet(t *testing.T) {
	var none reach.Set
	if got := none.At(netip.MustParseAddr("::1")); got.By() != "" {
		t.Errorf("an empty set says %v", got)
	}
	if got := reach.Layer(firewall.Layer{}, ssh).At(netip.Addr{}); got.By() != "" {
		t.Errorf("no address at all gets %v", got)
	}
}

func TestPortsOfPaths(t *testing.T) {
	v := inventory.VM{ID: ssh.VM, Paths: []inventory.Path{{Port: 22}, {Port: 65535}, {}}}
	if got := reach.Ports(v, firewall.TCP); !slices.Equal(got, []uint16{0, 22, 23, 65535}) {
		t.Errorf("classes %v", got)
	}
}

func TestSpansCanBeLeftEarly(t *testing.T) {
	s := reach.Layer(firewall.Layer{Firewall: "fw", Default: firewall.Deny}, ssh)
	for x := range s.All() {
		if x.From.Is6() {
			t.Error("went on")
		}
		break
	}
	for x := range s.Within(netip.MustParsePrefix("10.0.0.0/8")) {
		if x.Range.String() != "10.0.0.0/8" {
			t.Errorf("within: %s", x.Range)
		}
		break
	}
	for range s.Within(netip.Prefix{}) {
		t.Error("there is something within nothing")
	}
}

// TestClosedByWhatTellsMost: where every way to a VM is closed, what is named is a
// rule rather than the default of a layer, and that rather than there being no
// way, whichever way comes first.
func TestClosedByWhatTellsMost(t *testing.T) {
	lock := firewall.LayerRule{Name: "sesame-lock", Action: firewall.Deny, Protocol: firewall.TCP, First: 22, Last: 22}
	layers := map[firewall.ID]firewall.Layer{
		"rule":    {Firewall: "rule", Rules: []firewall.LayerRule{lock}, Default: firewall.Allow},
		"default": {Firewall: "default", Default: firewall.Deny},
	}
	byRule := inventory.Path{Name: "eth0", Hops: []inventory.Hop{{Firewall: "rule"}}}
	byDefault := inventory.Path{Name: "eth1", Hops: []inventory.Hop{{Firewall: "default"}}}
	noWay := inventory.Path{Name: "eth2", From: []netip.Prefix{}, Hops: []inventory.Hop{{Firewall: "rule"}}}
	for _, c := range []struct {
		by    string
		paths []inventory.Path
	}{
		{"rule: sesame-lock", []inventory.Path{byDefault, noWay, byRule}},
		{"rule: sesame-lock", []inventory.Path{byRule, byDefault, noWay}},
		{"default: default", []inventory.Path{noWay, byDefault}},
		{"default: default", []inventory.Path{byDefault, noWay}},
		{"nobody comes from there by path eth2", []inventory.Path{noWay}},
	} {
		v := inventory.VM{ID: ssh.VM, Paths: c.paths}
		if got := reach.VM(v, layers, ssh).At(netip.MustParseAddr("203.0.113.7")); got.Verdict != reach.Closed || got.By() != c.by {
			t.Errorf("%v: %v by %q, want %q", c.paths, got.Verdict, got.By(), c.by)
		}
	}
}
