// Package reach answers one question exactly: which sources can open a
// connection to a door, and which rule decides.
//
// The door fixes VM, protocol and port, so a layer of rules collapses to one
// dimension, the source address, and one sweep over the rules' endpoints
// partitions it. IPv4 and IPv6 are both exact. What is not known stays unknown:
// it is neither closed nor open. Everything is a pure function of its arguments.
package reach

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
)

// Verdict is what happens to a connection.
type Verdict uint8

// The verdicts. Their order is that of a path: the lowest of its hops wins.
const (
	Closed Verdict = iota
	Unknown
	Open
)

// A Span is a range of sources that one rule decides.
type Span struct {
	Range
	Verdict Verdict
	By      string // the deciding rule: "FIREWALL: RULE"
}

// A Set is the verdict for every source: a partition of both families, sorted.
type Set []Span

// Sources returns the addresses whose verdict is v.
func (s Set) Sources(v Verdict) Ranges {
	var r Ranges
	for _, x := range s {
		if x.Verdict == v {
			r = append(r, x.Range)
		}
	}
	return r.normal()
}

// MaybeOpen returns the addresses that are not proven closed.
func (s Set) MaybeOpen() Ranges { return s.Sources(Open).Union(s.Sources(Unknown)) }

// At returns the span that a lies in.
func (s Set) At(a netip.Addr) Span {
	i, ok := slices.BinarySearchFunc(s, a, func(x Span, a netip.Addr) int {
		switch {
		case x.To.Less(a):
			return -1
		case a.Less(x.From):
			return 1
		}
		return 0
	})
	if !ok {
		return Span{}
	}
	return s[i]
}

// Within returns the spans of s that p touches, cut to p. It costs a search and
// the spans that it returns.
func (s Set) Within(p netip.Prefix) Set {
	from, to := p.Masked().Addr(), last(p)
	i, _ := slices.BinarySearchFunc(s, from, func(x Span, a netip.Addr) int { return x.To.Compare(a) })
	var out Set
	for ; i < len(s) && !to.Less(s[i].From); i++ {
		x := s[i]
		if x.From.Less(from) {
			x.From = from
		}
		if to.Less(x.To) {
			x.To = to
		}
		out = append(out, x)
	}
	return out
}

// all returns the set with one verdict for every source.
func all(v Verdict, by string) Set {
	var s Set
	for _, r := range All() {
		s = append(s, Span{Range: r, Verdict: v, By: by})
	}
	return s
}

// VM returns who can come through d of v, given what each firewall shows. A
// source gets in if any path lets it in. A firewall without a layer is unknown;
// a VM without a path has nothing in front of it and is open. While something
// about the VM is missing there may be a path that nobody has seen, and no
// source is proven to be kept out.
func VM(v inventory.VM, layers map[firewall.ID]firewall.Layer, d firewall.Door) Set {
	if len(v.Paths) == 0 {
		if len(v.Missing) > 0 {
			return all(Unknown, "not known: "+v.Missing[0])
		}
		return all(Open, "no firewall in front of "+string(v.ID))
	}
	either := func(a, b Span) Span {
		if b.Verdict > a.Verdict {
			return b
		}
		return a
	}
	out := path(v.Paths[0], layers, d)
	for _, p := range v.Paths[1:] {
		out = combine(out, path(p, layers, d), either)
	}
	if len(v.Missing) > 0 {
		out = combine(out, all(Unknown, "not known: "+v.Missing[0]), either)
	}
	return out
}

// path returns who passes every hop of p.
func path(p inventory.Path, layers map[firewall.ID]firewall.Layer, d firewall.Door) Set {
	out := all(Open, "no firewall on path "+p.Name)
	for i, h := range p.Hops {
		s := hop(h, layers, d)
		if i == 0 {
			out = s
			continue
		}
		out = combine(out, s, func(a, b Span) Span {
			if b.Verdict < a.Verdict {
				return b
			}
			return a
		})
	}
	return out
}

// hop returns who passes h. Behind an address translation everybody shares the
// verdict of the translated source, the least certain one within it.
func hop(h inventory.Hop, layers map[firewall.ID]firewall.Layer, d firewall.Door) Set {
	l, ok := layers[h.Firewall]
	if !ok {
		return all(Unknown, string(h.Firewall)+": not read")
	}
	s := Layer(l, d)
	if !h.Sees.IsValid() {
		return s
	}
	within := s.Within(h.Sees)
	low := slices.MinFunc(within, func(a, b Span) int { return cmp.Compare(a.Verdict, b.Verdict) })
	high := slices.MaxFunc(within, func(a, b Span) int { return cmp.Compare(a.Verdict, b.Verdict) })
	if low.Verdict != high.Verdict {
		return all(Unknown, low.By)
	}
	return all(low.Verdict, low.By)
}

// Layer returns who passes l on the way to d. Each family costs one sweep,
// O(n log n) in the number of the rules' sources.
func Layer(l firewall.Layer, d firewall.Door) Set {
	rules := make([]firewall.LayerRule, 0, len(l.Rules))
	for _, r := range l.Rules {
		if r.Matches(d) && !(l.Kind == firewall.Union && r.Action == firewall.Deny) {
			rules = append(rules, r)
		}
	}
	if l.Kind == firewall.Union {
		// Any Allow admits: put first what is certain, and first-match decides.
		slices.SortStableFunc(rules, func(a, b firewall.LayerRule) int {
			return cmp.Or(cmp.Compare(rank(a.Action), rank(b.Action)), cmp.Compare(a.Name, b.Name))
		})
	}
	rules = append(rules, firewall.LayerRule{
		Name: "default", Action: l.Default, VM: "", Protocol: 0,
		First: 0, Last: 65535, From: nil, Owned: false,
	})
	return sweep(string(l.Firewall), rules)
}

func rank(a firewall.Action) int {
	if a == firewall.Allow {
		return 0
	}
	return 1
}

func verdict(a firewall.Action) Verdict {
	switch a {
	case firewall.Allow:
		return Open
	case firewall.Deny:
		return Closed
	case firewall.Unknown:
	}
	return Unknown
}

// interval is one source range of the rule at index.
type interval struct {
	Range
	index int
}

// active is a heap of the intervals that the sweep line is in, by the index of
// their rule: the first rule that matches decides, and stands in front.
type active []interval

func (h *active) push(x interval) {
	*h = append(*h, x)
	s := *h
	for i := len(s) - 1; i > 0; {
		up := (i - 1) / 2
		if s[up].index <= s[i].index {
			return
		}
		s[up], s[i] = s[i], s[up]
		i = up
	}
}

// pop removes the front.
func (h *active) pop() {
	s := *h
	n := len(s) - 1
	s[0] = s[n]
	s = s[:n]
	*h = s
	for i := 0; ; {
		down := 2*i + 1
		if down >= n {
			return
		}
		if down+1 < n && s[down+1].index < s[down].index {
			down++
		}
		if s[i].index <= s[down].index {
			return
		}
		s[i], s[down] = s[down], s[i]
		i = down
	}
}

// sweep partitions the address space by the first rule that matches. The last
// rule matches everything.
func sweep(firewallName string, rules []firewall.LayerRule) Set {
	everybody := All()
	ivs := make([]interval, 0, len(rules)+2)
	for i, r := range rules {
		from := everybody
		if len(r.From) > 0 {
			from = Of(r.From...)
		}
		for _, x := range from {
			ivs = append(ivs, interval{Range: x, index: i})
		}
	}
	cuts := make([]netip.Addr, 0, 2*len(ivs)) // where the deciding rule can change
	for _, x := range ivs {
		cuts = append(cuts, x.From)
		if next := x.To.Next(); next.IsValid() {
			cuts = append(cuts, next)
		}
	}
	slices.SortFunc(cuts, netip.Addr.Compare)
	cuts = slices.Compact(cuts)
	slices.SortFunc(ivs, func(a, b interval) int { return a.From.Compare(b.From) })

	out := make(Set, 0, len(cuts))
	names := make([]string, len(rules)) // each is made once, when its rule first decides
	var in active
	for n, at := range cuts {
		for len(ivs) > 0 && ivs[0].From == at {
			in.push(ivs[0])
			ivs = ivs[1:]
		}
		for len(in) > 0 && in[0].To.Less(at) {
			in.pop()
		}
		to := highest(at)
		if n+1 < len(cuts) && cuts[n+1].BitLen() == at.BitLen() {
			to = cuts[n+1].Prev()
		}
		i := in[0].index
		if names[i] == "" {
			names[i] = firewallName + ": " + rules[i].Name
		}
		out = appendSpan(out, Span{Range: Range{From: at, To: to}, Verdict: verdict(rules[i].Action), By: names[i]})
	}
	return out
}

// highest returns the last address of a's family.
func highest(a netip.Addr) netip.Addr { return last(netip.PrefixFrom(a, 0)) }

// appendSpan appends x to s, joining it with the span before when the same rule
// decides both.
func appendSpan(s Set, x Span) Set {
	if n := len(s); n > 0 && s[n-1].Verdict == x.Verdict && s[n-1].By == x.By && touches(s[n-1].To, x.From) {
		s[n-1].To = x.To
		return s
	}
	return append(s, x)
}

// combine merges two partitions; pick chooses between the spans of each piece.
func combine(a, b Set, pick func(a, b Span) Span) Set {
	var out Set
	for i, j := 0, 0; i < len(a) && j < len(b); {
		from, to := a[i].From, a[i].To
		if from.Less(b[j].From) {
			from = b[j].From
		}
		if b[j].To.Less(to) {
			to = b[j].To
		}
		x := pick(a[i], b[j])
		x.Range = Range{From: from, To: to}
		out = appendSpan(out, x)
		if a[i].To == to {
			i++
		}
		if b[j].To == to {
			j++
		}
	}
	return out
}

// Ports returns one port of every class that the layers' rules tell apart for
// this VM and protocol: asking about these asks about all 65,536.
func Ports(vm firewall.VMID, proto firewall.Protocol, layers ...firewall.Layer) []uint16 {
	ports := []uint16{0}
	for _, l := range layers {
		for _, r := range l.Rules {
			if (r.VM != "" && r.VM != vm) || (r.Protocol != 0 && r.Protocol != proto) {
				continue
			}
			ports = append(ports, r.First)
			if r.Last < 65535 {
				ports = append(ports, r.Last+1)
			}
		}
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}
