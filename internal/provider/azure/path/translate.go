package path

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/provider/azure/rule"
	"github.com/sesame-access/sesame/internal/provider/azure/topology"
)

// translated adds the paths over the public addresses of w. A translation that
// matches also allows; what it leads to sees an address of the firewall.
func (e *estate) translated(w *wall) {
	for _, id := range w.PublicAddresses {
		p, known := e.Publics[strings.ToLower(id)]
		if known && !p.Address.IsValid() {
			continue
		}
		front := []netip.Addr{} // not known
		if known {
			front = append(front, p.Address)
		}
		over := func(c *topology.Config, port uint16, protocol firewall.Protocol, name string, hops ...inventory.Hop) {
			e.path(c, inventory.Path{
				Name: fmt.Sprintf("by %s of %s, %s", last(id), last(w.ID), name), Protocol: protocol, Port: port, From: rule.Public(),
				Hops: append(hops, e.end(c, false, around(w.subnet, c.Address))...),
			})
		}
		e.anywhere(w, over)
		for _, t := range w.targets() {
			e.aimed(w, t, front, over)
		}
	}
}

type over func(c *topology.Config, port uint16, protocol firewall.Protocol, name string, hops ...inventory.Hop)

// anywhere adds the paths of translations that may lead to anybody: those to
// names, and those that could not be read.
func (e *estate) anywhere(w *wall, add over) {
	why, ports := "", []uint16(nil)
	switch {
	case w.subnet == nil:
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
				add(c, port, 0, why, e.unknown(why))
			}
		}
	}
}

// aimed adds the paths of translations to t, for packets to the address front.
func (e *estate) aimed(w *wall, t target, front []netip.Addr, add over) {
	var behind []inventory.Hop
	switch r := e.turn(w.subnet, t.to); r.kind {
	case straight:
	case nowhere:
		return
	case blind:
		behind = append(behind, e.unknown(r.what))
	case through:
		behind = append(behind, e.unknown("translations of "+last(w.ID)+" go on through "+last(r.wall.ID)))
	}
	for _, l := range e.arrivals(w.subnet.Network, t.to) {
		if l.last != 0 && (t.port < l.first || l.last < t.port) {
			continue
		}
		port := t.port
		if l.backend != 0 {
			port = l.backend
		}
		hops := slices.Concat(behind, e.doubtful(l))
		for _, door := range w.doors(t) {
			at := inventory.Hop{Firewall: w.translations(t), To: front, Port: door}
			add(l.to, port, l.protocol, fmt.Sprintf("port %d", door), append([]inventory.Hop{at}, hops...)...)
		}
	}
}

// arrivals returns who has address a in n or around it.
func (e *estate) arrivals(n *topology.Network, a netip.Addr) []landing {
	var out []landing
	for _, c := range e.Configs() {
		if c.Address == a && topology.Near(n, c.Subnet.Network) {
			out = append(out, landing{to: c})
		}
	}
	for _, b := range e.Balancers {
		for _, f := range b.Frontends {
			if f.Address == a && f.Subnet != nil && topology.Near(n, f.Subnet.Network) {
				out = append(out, e.landings(b, f)...)
			}
		}
	}
	return out
}
