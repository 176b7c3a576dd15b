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
	"maps"
	"slices"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/reach/sieve"
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

// A Model is the layers of all firewalls that could be read, ready for
// questions. One that is not there is unknown.
type Model map[firewall.ID]*sieve.Layer

// NewModel makes layers ready.
func NewModel(layers map[firewall.ID]firewall.Layer) Model {
	m := make(Model, len(layers))
	for _, l := range layers {
		m.Put(l)
	}
	return m
}

// Put puts l into m, in the place of the layer that its firewall had.
func (m Model) Put(l firewall.Layer) { m[l.Firewall] = sieve.Compile(l) }

// With returns m with l in the place of the layer that its firewall has.
func (m Model) With(l firewall.Layer) Model {
	out := maps.Clone(m)
	out.Put(l)
	return out
}

// VM asks a single question; see [Query.VM]. Who has more of them makes a Model
// once and keeps a Query.
func VM(v inventory.VM, layers map[firewall.ID]firewall.Layer, d firewall.Door) Set {
	m := Model{}
	for _, id := range v.Firewalls() {
		if l, ok := layers[id]; ok {
			m.Put(l)
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

// Ports returns one port of every class that the layers' rules and the paths tell
// apart for this VM and protocol: asking about these asks about all 65,536.
func Ports(v inventory.VM, proto firewall.Protocol, layers ...firewall.Layer) []uint16 {
	ports := []uint16{0}
	class := func(first, last uint16) {
		if ports = append(ports, first); last < 65535 {
			ports = append(ports, last+1)
		}
	}
	for _, p := range v.Paths {
		if p.Port != 0 {
			class(p.Port, p.Port)
		}
	}
	for _, l := range layers {
		for _, r := range l.Rules {
			if (r.VM == "" || r.VM == v.ID) && (r.Protocol == 0 || r.Protocol == proto) {
				class(r.First, r.Last)
			}
		}
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}
