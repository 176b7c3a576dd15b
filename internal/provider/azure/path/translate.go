package path

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/provider/azure/rule"
	"github.com/sesame-access/sesame/internal/provider/azure/topology"
)

// An approach is how packets come to an address of a firewall.
type approach struct {
	way

	to []netip.Addr // the address; empty where it is not known
}

// translated adds the paths over the addresses of w. A translation that matches
// also allows; what it leads to sees an address of the firewall.
func (e *estate) translated(w *wall) {
	var public []approach
	for _, id := range w.PublicAddresses {
		p, known := e.Publics[strings.ToLower(id)]
		if known && !p.Address.IsValid() {
			continue
		}
		x := approach{way: way{name: "by " + last(id), from: rule.Public()}, to: []netip.Addr{}}
		if known {
			x.to = append(x.to, p.Address)
		}
		public = append(public, x)
	}
	for _, a := range w.PublicHub {
		public = append(public, approach{way: way{name: "by " + a.String(), from: rule.Public()}, to: []netip.Addr{a}})
	}
	for _, x := range append(public, e.within(w, 0)...) {
		e.anywhere(w, x)
	}
	for _, t := range w.targets() {
		for _, door := range w.doors(t) {
			e.aimed(w, t, door, public)
			if w.inner(e, t) {
				e.aimed(w, t, door, e.within(w, door))
			}
		}
	}
}

// within returns how packets come to port door of the private address of w.
func (e *estate) within(w *wall, door uint16) []approach {
	to := []netip.Addr{w.Address}
	switch {
	case !w.Address.IsValid():
		return nil
	case w.subnet == nil: // nobody says what is around it
		return []approach{{way: way{name: "from the network", from: []netip.Prefix{}, unsure: true}, to: to}}
	}
	var out []approach
	for _, x := range e.ways(w.subnet.Network, w.Address, to, door) {
		out = append(out, approach{way: x, to: to})
	}
	return out
}

// over adds the path to c that begins with x.
func (e *estate) over(w *wall, x approach, c *topology.Config, p inventory.Path) {
	p.Name = fmt.Sprintf("%s of %s, %s", x.name, last(w.ID), p.Name)
	p.From, p.Unsure = x.from, x.unsure
	e.path(c, p)
}

// anywhere adds the paths of translations that may lead to anybody: those to
// names, and those that could not be read.
func (e *estate) anywhere(w *wall, x approach) {
	why, ports := "", []uint16(nil)
	switch {
	case w.subnet == nil && !w.Hub:
		why, ports = "the subnet of "+last(w.ID)+" was not read", []uint16{0}
	case w.unread != "":
		why, ports = w.unread, []uint16{0}
	default:
		for _, r := range w.rules.Translations {
			if !r.To.IsValid() {
				why, ports = last(w.ID)+" translates to a name", append(ports, r.Port)
			}
		}
	}
	slices.Sort(ports)
	for _, port := range slices.Compact(ports) {
		for _, c := range e.Configs() {
			if w.subnet == nil || topology.Near(w.subnet.Network, c.Subnet.Network) {
				hops := append([]inventory.Hop{e.unknown(why)}, e.end(c, false, around(w.addresses(), c.Address))...)
				e.over(w, x, c, inventory.Path{Name: why, Port: port, Hops: hops})
			}
		}
	}
}

// behind returns what translations of w to a meet, and whether they come there.
func (e *estate) behind(w *wall, a netip.Addr) ([]inventory.Hop, bool) {
	if w.subnet == nil {
		return []inventory.Hop{e.unknown("which networks the hub of " + last(w.ID) + " joins")}, true
	}
	switch r := e.turn(w.subnet, a); r.kind {
	case straight:
	case nowhere:
		return nil, false
	case blind:
		return []inventory.Hop{e.unknown(r.what)}, true
	case through:
		return []inventory.Hop{e.unknown("translations of " + last(w.ID) + " go on through " + last(r.wall.ID))}, true
	}
	return nil, true
}

// aimed adds the paths of translations to t of what comes to port door.
func (e *estate) aimed(w *wall, t target, door uint16, from []approach) {
	behind, leads := e.behind(w, t.to)
	if !leads {
		return
	}
	for _, l := range e.arrivals(w, t.to) {
		if l.last != 0 && (t.port < l.first || l.last < t.port) {
			continue
		}
		port := t.port
		if l.backend != 0 {
			port = l.backend
		}
		end := l.seen(e.end(l.to, false, around(w.addresses(), l.to.Address)))
		for _, x := range from {
			at := inventory.Hop{Firewall: w.translations(t), To: x.to, Port: door, Sees: x.sees}
			hops := slices.Concat(x.hops, []inventory.Hop{at}, behind, e.doubtful(l), end)
			e.over(w, x, l.to, inventory.Path{Name: fmt.Sprintf("port %d", door), Protocol: l.protocol, Port: port, Hops: hops})
		}
	}
}

// arrivals returns who has address a around w.
func (e *estate) arrivals(w *wall, a netip.Addr) []landing {
	near := func(n *topology.Network) bool { return w.subnet == nil || topology.Near(w.subnet.Network, n) }
	var out []landing
	for _, c := range e.Configs() {
		if c.Address == a && near(c.Subnet.Network) {
			out = append(out, landing{to: c})
		}
	}
	for _, b := range e.Balancers {
		for _, f := range b.Frontends {
			if f.Address == a && f.Subnet != nil && near(f.Subnet.Network) {
				out = append(out, e.landings(b, f)...)
			}
		}
	}
	return out
}
