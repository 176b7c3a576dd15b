// Package reach answers one question exactly: which sources can open a
// connection to a door, and which rule decides.
//
// A VM is reached over paths, a path leads past hops, and at a hop stands a layer
// of rules ([inventory.VM], [firewall.Layer]). A source gets in if there is a
// path, and a source port, for which every layer on the way lets a packet pass.
// The door fixes VM, protocol and port, so each layer collapses to one dimension,
// the source address, and one sweep over the addresses where rules begin and end
// partitions it; layers and paths are joined piece by piece. IPv4 and IPv6 are
// both exact.
//
// What is not known stays unknown. A layer does to a packet one of a set of
// things: it denies it, lets it pass to the next layer, or delivers it past the
// others. The set has one element where everything is known; a rule that may or
// may not mean the packet adds one; sets are carried along the path, and where
// both an open and a closed end are possible the verdict is Unknown. Whether a
// packet is meant by one such rule is taken to be independent of all others: the
// engine may say Unknown where two rules that hang together would decide, and
// never Closed or Open where they would not.
//
// Everything is a pure function of its arguments.
package reach

import (
	"net/netip"
	"slices"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
)

// Verdict is what happens to a connection.
type Verdict uint8

// The verdicts. Their order is that of paths: the highest of them wins.
const (
	Closed Verdict = iota
	Unknown
	Open
)

// String returns the verdict's name.
func (v Verdict) String() string {
	switch v {
	case Closed:
		return "closed"
	case Open:
		return "open"
	case Unknown:
	}
	return "unknown"
}

// A Span is a range of sources that have the same verdict for the same reasons.
type Span struct {
	Range

	Verdict Verdict
	// Path is the path that the verdict is about: the one that lets most in;
	// empty when it is about the whole VM.
	Path string
	// Steps are the layers that decide, in the order of the path: of an open
	// path, all that the packet comes to; of a closed one, that which stops it.
	Steps []Step
}

// A Step is what one layer does to a packet.
type Step struct {
	// Firewall is whose layer it is; empty when Rule is no rule but a reason.
	Firewall firewall.ID
	Rule     string
	// Maybe is a rule that may come before Rule, if one makes the step uncertain.
	Maybe string
	Can   Outcomes
}

// String writes s as "FIREWALL: RULE", with the rule that is to be looked at.
func (s Step) String() string {
	rule := s.Rule
	if s.Maybe != "" {
		rule = s.Maybe
	}
	if s.Firewall == "" {
		return rule
	}
	return string(s.Firewall) + ": " + rule
}

// By returns the step that stands for all: of an unknown span the first that is
// not certain, of an open one that which delivers, or else the first.
func (x Span) By() string {
	if len(x.Steps) == 0 {
		return ""
	}
	by := slices.IndexFunc(x.Steps, func(s Step) bool {
		if x.Verdict == Unknown {
			return s.Can&(s.Can-1) != 0
		}
		return s.Can == Delivers
	})
	return x.Steps[max(by, 0)].String()
}

// alike reports whether x and y say the same about their sources.
func (x Span) alike(y Span) bool {
	return x.Verdict == y.Verdict && x.Path == y.Path && slices.Equal(x.Steps, y.Steps)
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

// A Model is the layers of all firewalls that could be read, ready for
// questions. One that is not there is unknown.
type Model map[firewall.ID]*Compiled

// NewModel makes layers ready.
func NewModel(layers map[firewall.ID]firewall.Layer) Model {
	m := make(Model, len(layers))
	for id, l := range layers {
		m[id] = Compile(l)
	}
	return m
}

// VM asks a single question; see [Query.VM]. Who has more of them makes a Model
// once and keeps a Query.
func VM(v inventory.VM, layers map[firewall.ID]firewall.Layer, d firewall.Door) Set {
	m := Model{}
	for _, id := range v.Firewalls() {
		if l, ok := layers[id]; ok {
			m[id] = Compile(l)
		}
	}
	var q Query
	return q.VM(v, m, d)
}

// Layer returns who passes l on the way to d, if nothing is known about d's
// address.
func Layer(l firewall.Layer, d firewall.Door) Set {
	v := inventory.VM{ID: d.VM, Paths: []inventory.Path{{Hops: []inventory.Hop{{Firewall: l.Firewall}}}}}
	return VM(v, map[firewall.ID]firewall.Layer{l.Firewall: l}, d)
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
