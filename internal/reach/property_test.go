package reach_test

import (
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/reach"
	"github.com/sesame-access/sesame/internal/reach/sentence"
)

// known draws a model in which the only things that are not known are rules that
// may match.
func (r dice) known() (inventory.VM, map[firewall.ID]firewall.Layer, firewall.Door) {
	for {
		v, layers, d := r.model()
		v.Missing = nil
		doubts := 0
		for i := range v.Paths {
			p := &v.Paths[i]
			p.Unsure, p.To = false, addrs("10.0.0.9", "2001:db8::9")
			for h := range p.Hops {
				p.Hops[h].Sees, p.Hops[h].To = netip.Prefix{}, nil
				if p.Hops[h].Firewall == "unread" {
					p.Hops[h].Firewall = "f1"
				}
			}
		}
		about := !r.one(4) // every rule is about the door
		for id, l := range layers {
			for i := range l.Rules {
				if x := &l.Rules[i]; about {
					x.SourceFirst, x.SourceLast, x.VM, x.Protocol, x.First, x.Last, x.Maybe = 0, 0, "", 0, 0, 65535, r.one(3)
				}
				if l.Rules[i].Action == firewall.Unknown {
					l.Rules[i].Action = firewall.Deny
				}
				if l.Rules[i].Maybe {
					doubts++
				}
			}
			if l.Default == firewall.Unknown {
				l.Default = firewall.Deny
			}
			layers[id] = l
		}
		if doubts > 0 && doubts <= 5 {
			return v, layers, d
		}
	}
}

// worlds returns every way in which the rules that may match can turn out.
func worlds(layers map[firewall.ID]firewall.Layer) []map[firewall.ID]firewall.Layer {
	type rule struct {
		id firewall.ID
		at int
	}
	var doubts []rule
	for _, id := range slices.Sorted(maps.Keys(layers)) {
		for i, r := range layers[id].Rules {
			if r.Maybe {
				doubts = append(doubts, rule{id, i})
			}
		}
	}
	var out []map[firewall.ID]firewall.Layer
	for world := range 1 << len(doubts) {
		w := map[firewall.ID]firewall.Layer{}
		for id, l := range layers {
			rules := l.Rules
			l.Rules = nil
			for i, r := range rules {
				n := slices.Index(doubts, rule{id, i})
				if n >= 0 && world&(1<<n) == 0 {
					continue
				}
				r.Maybe = false
				l.Rules = append(l.Rules, r)
			}
			w[id] = l
		}
		out = append(out, w)
	}
	return out
}

// TestUnknownsAgainstTheirWorlds plays out every way in which the rules that may
// match can turn out, and asks the naive evaluator in each. What the engine
// proves holds in all of them. What it calls unknown is open in one and closed in
// another, at least where a rule is met once: on a single way past each layer
// once, from a single class of source ports.
func TestUnknownsAgainstTheirWorlds(t *testing.T) {
	exact := 0
	for seed := range uint64(1500) {
		v, layers, d := roll(seed).known()
		s := reach.VM(v, layers, d)
		var seen []firewall.ID
		for _, p := range v.Paths {
			for _, h := range p.Hops {
				seen = append(seen, h.Firewall)
			}
		}
		slices.Sort(seen)
		w := newNaiveWorld(v, layers, d)
		once := len(v.Paths) == 1 && len(slices.Compact(slices.Clone(seen))) == len(seen) && len(w.sports) == 1
		verdicts := map[netip.Addr]map[string]bool{}
		for _, world := range worlds(layers) {
			w.layers = world
			for _, a := range w.at {
				if verdicts[a] == nil {
					verdicts[a] = map[string]bool{}
				}
				verdicts[a][w.verdict(a)] = true
			}
		}
		for a, possible := range verdicts {
			got := s.At(a).Verdict.String()
			if got != "unknown" && (len(possible) != 1 || !possible[got]) {
				t.Fatalf("seed %d: %s is proven %s, but the worlds say %v", seed, a, got, possible)
			}
			if got == "unknown" && once {
				if exact++; len(possible) != 2 {
					t.Fatalf("seed %d: %s is unknown, but the worlds say %v", seed, a, possible)
				}
			}
		}
	}
	if exact < 100 {
		t.Errorf("only %d unknowns were judged exactly", exact)
	}
}

// eachVerdict calls check with what becomes of every address where anything in
// either model can change.
func eachVerdict(v inventory.VM, before, after map[firewall.ID]firewall.Layer, d firewall.Door, check func(a netip.Addr, was, is reach.Verdict)) {
	s, then := reach.VM(v, before, d), reach.VM(v, after, d)
	at := slices.Concat(newNaiveWorld(v, before, d).at, newNaiveWorld(v, after, d).at)
	for _, a := range at {
		check(a, s.At(a).Verdict, then.At(a).Verdict)
	}
}

// with returns layers with edit done to the rules of one of them, f1.
func with(layers map[firewall.ID]firewall.Layer, edit func([]firewall.LayerRule) []firewall.LayerRule) map[firewall.ID]firewall.Layer {
	out := maps.Clone(layers)
	l := out["f1"]
	l.Rules = edit(slices.Clone(l.Rules))
	out["f1"] = l
	return out
}

func TestMonotony(t *testing.T) {
	for seed := range uint64(400) {
		r := roll(seed)
		v, layers, d := r.model()
		extra := r.rule()
		first := func(a firewall.Action) map[firewall.ID]firewall.Layer {
			extra.Action, extra.Maybe = a, false
			return with(layers, func(rules []firewall.LayerRule) []firewall.LayerRule { return slices.Insert(rules, 0, extra) })
		}
		eachVerdict(v, layers, first(firewall.Deny), d, func(a netip.Addr, was, is reach.Verdict) {
			if is > was {
				t.Fatalf("seed %d: a Deny lets %s get from %v to %v", seed, a, was, is)
			}
		})
		eachVerdict(v, layers, first(firewall.Deliver), d, func(a netip.Addr, was, is reach.Verdict) {
			if is < was {
				t.Fatalf("seed %d: a Deliver takes %s from %v to %v", seed, a, was, is)
			}
		})
	}
}

// Who knows less proves less, and never something else.
func TestLessKnowledgeProvesLess(t *testing.T) {
	for seed := range uint64(400) {
		r := roll(seed)
		v, layers, d := r.model()
		forget := func(a netip.Addr, was, is reach.Verdict) {
			if is != was && is != reach.Unknown {
				t.Fatalf("seed %d: with less knowledge, %s gets from %v to %v", seed, a, was, is)
			}
		}
		if rules := layers["f1"].Rules; len(rules) > 0 {
			i := r.IntN(len(rules))
			eachVerdict(v, layers, with(layers, func(rules []firewall.LayerRule) []firewall.LayerRule {
				rules[i].Maybe = true
				return rules
			}), d, forget)
		}
		for i := range layers {
			l := layers[i]
			for _, x := range l.Rules {
				if x.Action == firewall.Deliver {
					l.Rules = nil // then even an unread layer could not deliver
				}
			}
			layers[i] = l
		}
		without := maps.Clone(layers)
		delete(without, "f2")
		eachVerdict(v, layers, without, d, forget)
	}
}

// The order of rules that no packet meets both of does not matter.
func TestDisjointRulesHaveNoOrder(t *testing.T) {
	swapped := 0
	for seed := range uint64(2000) {
		r := roll(seed)
		v, layers, d := r.model()
		rules := layers["f1"].Rules
		if len(rules) < 2 {
			continue
		}
		i := r.IntN(len(rules) - 1)
		if x, y := rules[i], rules[i+1]; len(x.From) == 0 || len(y.From) == 0 || slices.ContainsFunc(x.From, func(p netip.Prefix) bool { return slices.ContainsFunc(y.From, p.Overlaps) }) {
			continue
		}
		swapped++
		after := with(layers, func(rules []firewall.LayerRule) []firewall.LayerRule {
			rules[i], rules[i+1] = rules[i+1], rules[i]
			return rules
		})
		if got, want := written(t, reach.VM(v, after, d)), written(t, reach.VM(v, layers, d)); got != want {
			t.Fatalf("seed %d: swapped, the answer is\n%swas\n%s", seed, got, want)
		}
	}
	if swapped < 100 {
		t.Errorf("only %d pairs were disjoint", swapped)
	}
}

func written(t testing.TB, s reach.Set) string {
	t.Helper()
	text, err := s.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestDiff(t *testing.T) {
	for seed := range uint64(300) {
		r := roll(seed)
		v, layers, d := r.model()
		extra := r.rule()
		after := with(layers, func(rules []firewall.LayerRule) []firewall.LayerRule {
			return append([]firewall.LayerRule{extra}, rules...)
		})
		s, then := reach.VM(v, layers, d), reach.VM(v, after, d)
		change, back := reach.Diff(s, then), reach.Diff(then, s)
		if len(reach.Diff(s, s)) != 0 {
			t.Fatalf("seed %d: something changes by itself", seed)
		}
		if !slices.Equal(change.Admits().Sources(), back.Shuts().Sources()) || !slices.Equal(change.Shuts().Sources(), back.Admits().Sources()) {
			t.Fatalf("seed %d: there and back are not the same", seed)
		}
		allowed := reach.Of(r.prefix(), r.prefix())
		outside := change.Outside(allowed)
		if !slices.Equal(outside.Sources(), change.Sources().Minus(allowed)) {
			t.Fatalf("seed %d: outside of %v are %v of %v", seed, allowed, outside.Sources(), change.Sources())
		}
		eachVerdict(v, layers, after, d, func(a netip.Addr, was, is reach.Verdict) {
			for _, c := range []struct {
				name string
				part reach.Change
				in   bool
			}{
				{"changes", change, was != is},
				{"gets further", change.Admits(), was < is},
				{"gets less far", change.Shuts(), was > is},
				{"is closed out", change.To(reach.Closed), was != is && is == reach.Closed},
				{"was let in", change.From(reach.Open), was != is && was == reach.Open},
			} {
				if c.part.Sources().Contains(a) != c.in {
					t.Fatalf("seed %d: %s, from %v to %v, %s: %v", seed, a, was, is, c.name, !c.in)
				}
			}
		})
		for _, x := range change {
			if x.Before.Verdict == x.After.Verdict || !(reach.Ranges{x.Before.Range}).Contains(x.From) || !(reach.Ranges{x.After.Range}).Contains(x.To) {
				t.Fatalf("seed %d: %+v", seed, x)
			}
		}
	}
}

func TestTextIsStable(t *testing.T) {
	good := written(t, behind(ordered("nsg", line("office", firewall.Allow, "203.0.113.0/24"))).ask(ssh))
	if want := `0.0.0.0-203.0.112.255 closed "nic" "nsg" "default" "" deny
203.0.113.0/24 open "nic" "nsg" "office" "" pass
203.0.114.0-255.255.255.255 closed "nic" "nsg" "default" "" deny
::/0 closed "nic" "" "nobody comes from there by path nic" "" deny
`; good != want {
		t.Errorf("written\n%swant\n%s", good, want)
	}
}

func TestSentence(t *testing.T) {
	web := firewall.Door{VM: "host://web-1", Protocol: firewall.TCP, Port: 22}
	tag := line("200 tag", firewall.Allow, "198.51.100.0/24")
	tag.Maybe = true
	f := behind(ordered("nsg-web", line(`310 "old-office"`, firewall.Allow, "203.0.113.0/24"), tag, line(`4000 "sesame-lock"`, firewall.Deny)))
	f.path.To = nil
	if got, want := sentence.Of(f.ask(web), web), `203.0.113.0/24 → web-1 tcp/22: open, by nsg-web rule 310 "old-office"; 198.51.100.0/24: unknown by rule 200 tag; everything else: closed by rule 4000 "sesame-lock"`; got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	group := ordered("/subscriptions/s/networkSecurityGroups/nsg-web", line(`310 "old-office"`, firewall.Allow, "203.0.113.0/24"), line(`100 "sesame-lock"`, firewall.Deny))
	f = behind(group)
	f.path.To = nil
	if got, want := sentence.Of(f.ask(web), web), `203.0.113.0/24 → web-1 tcp/22: open, by nsg-web rule 310 "old-office"; everything else: closed by rule 100 "sesame-lock"`; got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if got, want := sentence.Of(reach.VM(inventory.VM{ID: web.VM}, nil, web), web), "anybody → web-1 tcp/22: open, no firewall in front of host://web-1"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
