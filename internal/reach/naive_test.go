package reach_test

import (
	"net/netip"
	"slices"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
)

// The naive evaluator asks what the engine computes about all packets at once of
// one packet at a time, in the words of the model and with nothing of the
// engine: it goes along every path and reads every rule from the top.

// A naivePacket is one packet as one hop sees it. A part that is not known is
// every value it may have.
type naivePacket struct {
	vm    firewall.VMID
	proto firewall.Protocol
	port  uint16
	from  []netip.Addr
	sport []uint16
	to    netip.Addr // invalid when it is not known
}

// ends is which ends are possible.
type ends struct{ open, closed bool }

func (e ends) verdict() string {
	switch {
	case e.open && e.closed:
		return "unknown"
	case e.open:
		return "open"
	}
	return "closed"
}

// A naiveWorld is a model, and the addresses and source ports where anything in
// it can change, or beside: who agrees on all of these agrees on all there are.
type naiveWorld struct {
	vm     inventory.VM
	layers map[firewall.ID]firewall.Layer
	door   firewall.Door
	at     []netip.Addr
	sports []uint16
}

func newNaiveWorld(v inventory.VM, layers map[firewall.ID]firewall.Layer, d firewall.Door) naiveWorld {
	var ps []netip.Prefix
	for _, l := range layers {
		ps = append(ps, prefixesOf(l)...)
	}
	for _, p := range v.Paths {
		ps = append(ps, p.From...)
		for _, h := range p.Hops {
			if h.Sees.IsValid() {
				ps = append(ps, h.Sees)
			}
		}
	}
	return naiveWorld{vm: v, layers: layers, door: d, at: corners(ps...), sports: sportsOf(d.Protocol, layers)}
}

// verdict says what becomes of connections from one source: the best that any of
// its ports gets on any path.
func (w naiveWorld) verdict(from netip.Addr) string {
	if len(w.vm.Paths) == 0 && len(w.vm.Missing) == 0 {
		return "open"
	}
	sure, perhaps := false, len(w.vm.Missing) > 0
	for _, p := range w.vm.Paths {
		if p.Protocol != 0 && p.Protocol != w.door.Protocol || p.Port != 0 && p.Port != w.door.Port {
			continue
		}
		for _, sport := range w.sports {
			switch w.path(p, from, sport).verdict() {
			case "open":
				sure = true
			case "unknown":
				perhaps = true
			}
		}
	}
	switch {
	case sure:
		return "open"
	case perhaps:
		return "unknown"
	}
	return "closed"
}

func (w naiveWorld) path(p inventory.Path, from netip.Addr, sport uint16) ends {
	mayNot := false
	if p.From != nil && !in(p.From, from) || p.From == nil && p.Unsure {
		if !p.Unsure {
			return ends{closed: true}
		}
		mayNot = true
	}
	if len(p.To) > 0 && !naiveTo(p.To, from.Is4()).IsValid() {
		return ends{closed: true}
	}
	e := w.hops(p, p.Hops, from, sport, false)
	return ends{open: e.open, closed: e.closed || mayNot}
}

func naiveTo(list []netip.Addr, four bool) netip.Addr {
	for _, a := range list {
		if a.Is4() == four {
			return a
		}
	}
	return netip.Addr{}
}

// hops goes past the first of hops and on from there.
func (w naiveWorld) hops(p inventory.Path, hops []inventory.Hop, from netip.Addr, sport uint16, delivered bool) ends {
	if len(hops) == 0 {
		return ends{open: true}
	}
	h, rest := hops[0], hops[1:]
	if delivered && !h.Always {
		return w.hops(p, rest, from, sport, true)
	}
	x := naivePacket{vm: w.vm.ID, proto: w.door.Protocol, port: w.door.Port, from: []netip.Addr{from}, sport: []uint16{sport}}
	if h.Port != 0 {
		x.port = h.Port
	}
	if h.Sees.IsValid() {
		x.from, x.sport = nil, w.sports
		for _, a := range w.at {
			if h.Sees.Contains(a) {
				x.from = append(x.from, a)
			}
		}
	}
	list := p.To
	if h.To != nil {
		list = h.To
	}
	x.to = naiveTo(list, x.from[0].Is4())
	can := naiveFirewall(h.Firewall, w.layers, x)
	out := ends{closed: can.deny}
	on := func(delivered bool) {
		then := w.hops(p, rest, from, sport, delivered)
		out.open, out.closed = out.open || then.open, out.closed || then.closed
	}
	if can.pass {
		on(delivered)
	}
	if can.deliver {
		on(true)
	}
	return out
}

// A naiveFate is what may happen to a packet somewhere.
type naiveFate struct{ deny, pass, deliver bool }

func (f naiveFate) and(g naiveFate) naiveFate {
	return naiveFate{f.deny || g.deny, f.pass || g.pass, f.deliver || g.deliver}
}

func naiveFirewall(id firewall.ID, layers map[firewall.ID]firewall.Layer, x naivePacket) (can naiveFate) {
	l, read := layers[id]
	if !read {
		return naiveFate{deny: true, pass: true}
	}
	for _, from := range x.from {
		for _, sport := range x.sport {
			if l.Kind == firewall.Union {
				can = can.and(naiveUnion(l, x, from, sport))
			} else {
				can = can.and(naiveOrdered(l, x, from, sport))
			}
		}
	}
	return can
}

// naiveUnion reads what admits; the best that any rule gives counts.
func naiveUnion(l firewall.Layer, x naivePacket, from netip.Addr, sport uint16) naiveFate {
	surely, perhaps := naiveFate{}, naiveFate{}
	for _, r := range l.Rules {
		match := naiveMatch(r, x, from, sport)
		if match == "no" {
			continue
		}
		sure := match == "yes" && r.Action != firewall.Unknown
		switch r.Action {
		case firewall.Allow, firewall.Unknown:
			surely.pass, perhaps.pass = surely.pass || sure, perhaps.pass || !sure
		case firewall.Deliver:
			surely.deliver, perhaps.deliver = surely.deliver || sure, perhaps.deliver || !sure
		case firewall.Deny:
		}
	}
	switch {
	case surely.deliver:
		return naiveFate{deliver: true}
	case surely.pass:
		return naiveFate{pass: true, deliver: perhaps.deliver}
	}
	return naiveAction(l.Default).and(perhaps)
}

func naiveOrdered(l firewall.Layer, x naivePacket, from netip.Addr, sport uint16) (can naiveFate) {
	for _, r := range l.Rules {
		match := naiveMatch(r, x, from, sport)
		if match == "no" {
			continue
		}
		can = can.and(naiveAction(r.Action))
		if match == "yes" {
			return can
		}
	}
	return can.and(naiveAction(l.Default))
}

func naiveAction(a firewall.Action) naiveFate {
	switch a {
	case firewall.Deny:
		return naiveFate{deny: true}
	case firewall.Allow:
		return naiveFate{pass: true}
	case firewall.Deliver:
		return naiveFate{deliver: true}
	case firewall.Unknown:
	}
	return naiveFate{deny: true, pass: true}
}

func naiveMatch(r firewall.LayerRule, x naivePacket, from netip.Addr, sport uint16) string {
	switch {
	case r.VM != "" && r.VM != x.vm,
		r.Protocol != 0 && r.Protocol != x.proto,
		x.port < r.First || x.port > r.Last,
		(r.SourceFirst != 0 || r.SourceLast != 0) && (sport < r.SourceFirst || sport > r.SourceLast),
		len(r.From) > 0 && !in(r.From, from):
		return "no"
	}
	if len(r.To) > 0 {
		sameFamily := slices.ContainsFunc(r.To, func(p netip.Prefix) bool { return p.Addr().Is4() == from.Is4() })
		switch {
		case !sameFamily, x.to.IsValid() && !in(r.To, x.to):
			return "no"
		case !x.to.IsValid():
			return "perhaps"
		}
	}
	if r.Maybe {
		return "perhaps"
	}
	return "yes"
}

// sportsOf returns the source ports where anything can change, and those beside
// them: 0 alone for a protocol without ports.
func sportsOf(p firewall.Protocol, layers map[firewall.ID]firewall.Layer) []uint16 {
	out := []uint16{0}
	if p != firewall.TCP && p != firewall.UDP {
		return out
	}
	for _, l := range layers {
		for _, r := range l.Rules {
			if r.SourceFirst == 0 && r.SourceLast == 0 {
				continue
			}
			for _, n := range []int{int(r.SourceFirst) - 1, int(r.SourceFirst), int(r.SourceLast), int(r.SourceLast) + 1, 65535} {
				if n >= 0 && n <= 65535 {
					out = append(out, uint16(n))
				}
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
