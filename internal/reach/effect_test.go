package reach_test

import (
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/reach"
)

// edited returns l with one certain rule more, or with one less: rules of ours
// are certain.
func (r dice) edited(l firewall.Layer) firewall.Layer {
	l.Rules = slices.Clone(l.Rules)
	if at := r.IntN(len(l.Rules) + 1); at < len(l.Rules) && !l.Rules[at].Maybe && r.one(2) {
		l.Rules = slices.Delete(l.Rules, at, at+1)
	} else {
		x := r.rule()
		x.Maybe, x.SourceFirst, x.SourceLast = false, 0, 0
		if x.Action == firewall.Unknown || x.Action == firewall.Deliver {
			x.Action = firewall.Allow
		}
		l.Rules = slices.Insert(l.Rules, at, x)
	}
	return l
}

// Whatever turns out of what is not known, an effect tells what a change would
// do then.
func TestEffectInEveryWorld(t *testing.T) {
	told, hidden := 0, 0
	for seed := range uint64(3000) {
		r := roll(seed)
		v, layers, d := r.known()
		ids := slices.Sorted(maps.Keys(layers))
		if len(ids) == 0 {
			continue
		}
		own := ids[r.IntN(len(ids))]
		if slices.ContainsFunc(layers[own].Rules, func(x firewall.LayerRule) bool { return x.Action == firewall.Deliver }) {
			continue
		}
		after := r.edited(layers[own])
		// Another one was not read.
		known := maps.Clone(layers)
		if others := slices.DeleteFunc(ids, func(id firewall.ID) bool { return id == own }); len(others) > 0 {
			delete(known, others[r.IntN(len(others))])
		}
		e := reach.NewEffect(known, after)
		got := e.Of(v, d)
		for _, w := range everyWorld(known, layers, own, after) {
			was, is := reach.VM(v, w.before, d), reach.VM(v, w.after, d)
			change := reach.Diff(was, is)
			for _, part := range []struct {
				name      string
				want, got reach.Change
			}{
				{"admits", change.Admits(), got.Admits()},
				{"shuts", change.Shuts(), got.Shuts()},
			} {
				if missed := part.want.Sources().Minus(part.got.Sources()); !missed.Empty() {
					t.Fatalf("seed %d: the change %s %s in some world, and that is not told", seed, part.name, missed)
				}
				told += len(part.want)
			}
		}
		hidden += len(got) - len(reach.Diff(reach.VM(v, known, d), e.After(v, d)))
	}
	if told < 300 || hidden < 5 {
		t.Errorf("only %d changes told, and %d of them hidden behind what is not known: the draw is too tame", told, hidden)
	}
}

// Behind a change what may deliver does, or else nobody is let in whatever changes;
// before it that would skip the change, but for a firewall that nothing skips.
func TestEffectWithDeliveries(t *testing.T) {
	maybe := all("perhaps", firewall.Deliver)
	maybe.Maybe = true
	admin, host := ordered("admin", maybe), ordered("host", line("office", firewall.Allow, "203.0.113.0/24"))
	for name, c := range map[string]struct {
		behind front
		always bool
		want   bool
	}{
		"behind":               {behind: behind(ordered("host"), admin), want: true},
		"before":               {behind: behind(admin, ordered("host"))},
		"before, never passed": {behind: behind(admin, ordered("host")), always: true, want: true},
	} {
		layers := map[firewall.ID]firewall.Layer{}
		for i := range c.behind.path.Hops {
			layers[c.behind.layers[i].Firewall] = c.behind.layers[i]
			c.behind.path.Hops[i].Always = c.always
		}
		v := inventory.VM{ID: ssh.VM, Paths: []inventory.Path{c.behind.path}, Missing: []string{"another interface"}}
		got := reach.NewEffect(layers, host).Of(v, ssh).Admits().Sources()
		if want := reach.Of(prefixes("203.0.113.0/24")...); c.want && !slices.Equal(got, want) || !c.want && !got.Empty() {
			t.Errorf("%s: it admits %s", name, got)
		}
	}
}

type beforeAndAfter struct {
	before, after map[firewall.ID]firewall.Layer
}

// everyWorld returns every way in which rules that may match turn out, and in
// which layers that were not read let everybody pass, or nobody.
func everyWorld(known, all map[firewall.ID]firewall.Layer, own firewall.ID, after firewall.Layer) []beforeAndAfter {
	var out []beforeAndAfter
	for _, action := range []firewall.Action{firewall.Allow, firewall.Deny} {
		both := maps.Clone(known)
		for id := range all {
			if _, read := known[id]; !read {
				both[id] = firewall.Layer{Firewall: id, Kind: firewall.Ordered, Default: action}
			}
		}
		// The rules that were there before turn out alike in both.
		const twin = "twin"
		both[twin] = after
		for _, w := range together(both, own, twin) {
			next := maps.Clone(w)
			is := next[twin]
			is.Firewall = own
			next[own] = is
			out = append(out, beforeAndAfter{before: w, after: next})
		}
	}
	return out
}

// together returns worlds in which a rule that stands in both layers matches in
// both or in neither.
func together(layers map[firewall.ID]firewall.Layer, a, b firewall.ID) []map[firewall.ID]firewall.Layer {
	named := func(l firewall.Layer) firewall.Layer {
		l.Rules = slices.Clone(l.Rules)
		return l
	}
	for id, l := range layers {
		layers[id] = named(l)
	}
	var out []map[firewall.ID]firewall.Layer
	var turn func(map[firewall.ID]firewall.Layer)
	turn = func(w map[firewall.ID]firewall.Layer) {
		for _, id := range slices.Sorted(maps.Keys(w)) {
			i := slices.IndexFunc(w[id].Rules, func(x firewall.LayerRule) bool { return x.Maybe })
			if i < 0 {
				continue
			}
			doubt := w[id].Rules[i]
			for _, matches := range []bool{true, false} {
				next := maps.Clone(w)
				for _, at := range []firewall.ID{id, a, b} {
					if at != id && (id != a && id != b) {
						continue
					}
					l := named(next[at])
					for n, x := range slices.Backward(l.Rules) {
						if !x.Maybe || !x.Same(doubt) {
							continue
						}
						if l.Rules[n].Maybe = false; !matches {
							l.Rules = slices.Delete(l.Rules, n, n+1)
						}
					}
					next[at] = l
				}
				turn(next)
			}
			return
		}
		out = append(out, w)
	}
	turn(layers)
	return out
}

// What is unknown before and after hides nothing from whoever asks for the effect.
func TestEffectBehindAnUnreadLayer(t *testing.T) {
	v := inventory.VM{ID: "host://a", Paths: []inventory.Path{{To: addrs("10.0.0.9"), Hops: []inventory.Hop{{Firewall: "admin"}, {Firewall: "nsg"}}}}}
	d := firewall.Door{VM: v.ID, Protocol: firewall.TCP, Port: 22}
	closed := firewall.Layer{Firewall: "nsg", Kind: firewall.Ordered, Default: firewall.Deny}
	open := closed
	open.Rules = []firewall.LayerRule{{Name: "wide", Action: firewall.Allow, Last: 65535}}
	for name, admin := range map[string]firewall.Layer{
		"unread":          firewall.Unread("admin", "no rights", false),
		"may deliver":     firewall.Unread("admin", "no rights", true),
		"unresolved tag":  {Firewall: "admin", Kind: firewall.Ordered, Default: firewall.Allow, Rules: []firewall.LayerRule{{Name: "tag", Action: firewall.Deny, Maybe: true, Last: 65535}}},
		"unknown default": {Firewall: "admin", Kind: firewall.Ordered, Default: firewall.Unknown},
	} {
		both := map[firewall.ID]firewall.Layer{"admin": admin, "nsg": closed}
		if got := reach.NewEffect(both, open).Of(v, d).Admits().Sources(); !got.Covers(netip.MustParsePrefix("0.0.0.0/0")) {
			t.Errorf("%s: opening for everybody admits %s", name, got)
		}
		both["nsg"] = open
		if got := reach.NewEffect(both, closed).Of(v, d).Shuts().Sources(); !got.Covers(netip.MustParsePrefix("0.0.0.0/0")) {
			t.Errorf("%s: closing for everybody shuts %s", name, got)
		}
		delete(both, "admin")
		if got := reach.NewEffect(both, closed).Of(v, d).Shuts().Sources(); !got.Covers(netip.MustParsePrefix("0.0.0.0/0")) {
			t.Errorf("%s: closing behind a firewall that is not there shuts %s", name, got)
		}
	}
}

// Nothing is known of the firewall before it changes, and it is not known who comes:
// what the change does is told all the same, however often one asks.
func TestEffectOfAFirewallThatWasNotRead(t *testing.T) {
	unsure := inventory.Path{To: addrs("10.0.0.9"), From: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Unsure: true, Hops: []inventory.Hop{{Firewall: "nsg"}}}
	v := inventory.VM{ID: "host://a", Paths: []inventory.Path{unsure}}
	d := firewall.Door{VM: v.ID, Protocol: firewall.TCP, Port: 22}
	office, strangers := netip.MustParsePrefix("203.0.113.0/24"), netip.MustParseAddr("192.0.2.1")
	open := firewall.Layer{Firewall: "nsg", Default: firewall.Deny, Rules: []firewall.LayerRule{{Name: "office", Action: firewall.Allow, Last: 65535, From: []netip.Prefix{office}}}}
	e := reach.NewEffect(nil, open)
	for range 2 {
		if got := e.Of(v, d); !got.Shuts().Sources().Contains(strangers) || got.Admits().Sources().Contains(strangers) {
			t.Errorf("after nobody knows what, %s are let in and %s shut out", got.Admits().Sources(), got.Shuts().Sources())
		}
	}
	closed := open
	closed.Rules = nil
	e = reach.NewEffect(map[firewall.ID]firewall.Layer{"nsg": closed}, open)
	for range 2 {
		if got := e.Of(v, d); !got.Admits().Sources().Covers(office) || got.Admits().Sources().Contains(strangers) || len(got.Shuts()) > 0 {
			t.Errorf("%s are let in, and %s shut out", got.Admits().Sources(), got.Shuts().Sources())
		}
	}
	// And where something behind it was not read, so that who may come stays unknown.
	v.Paths[0].Hops = append(v.Paths[0].Hops, inventory.Hop{Firewall: "unread"})
	for range 2 {
		if got := e.Of(v, d); !got.Admits().Sources().Covers(office) || got.Admits().Sources().Contains(strangers) {
			t.Errorf("before what was not read, %s are let in", got.Admits().Sources())
		}
	}
	// One who may come at all, by that way alone, is let in by it.
	e = reach.NewEffect(map[firewall.ID]firewall.Layer{"nsg": firewall.Unread("nsg", "no rights", false)}, firewall.Layer{Firewall: "nsg", Default: firewall.Allow})
	v.Paths[0].Hops = v.Paths[0].Hops[:1]
	if got := e.Of(v, d).Admits().Sources(); !got.Contains(strangers) {
		t.Errorf("of those who may come %s are let in", got)
	}
}

func TestNothingIsSaidOutsideOfASet(t *testing.T) {
	if x := (reach.Set{}).At(netip.MustParseAddr("10.0.0.1")); x.Path() != "" || x.By() != "" || x.Steps() != nil {
		t.Errorf("%q by %q", x.Path(), x.By())
	}
}
