package path

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/provider/azure/topology"
)

// A landing is an IP configuration that a frontend leads to.
type landing struct {
	to       *topology.Config
	by       string // the rule
	protocol firewall.Protocol
	// first and last are the ports of the frontend, and backend that of the
	// configuration; 0, 0 and 0 where they are the same.
	first, last, backend uint16
	doubt                string // why this port may lead here, or not
	// at is the destination that arrives, where it is not the configuration's own
	// address: the frontend's, and empty where that is not known.
	at []netip.Addr
}

// landings returns where frontend f of b leads to.
func (e *estate) landings(b *topology.Balancer, f topology.Frontend) []landing {
	var out []landing
	configs := e.Configs()
	add := func(r topology.Balancing, leads func(*topology.Config) (bool, string)) {
		l := landing{by: r.Name, protocol: r.Protocol, first: r.First, last: r.Last, backend: r.Backend}
		if r.First == 0 {
			l.backend = 0
		}
		if r.Floating {
			l.at = e.addressOf(f)
		}
		for _, c := range configs {
			if here, doubt := leads(c); here {
				l.to, l.doubt = c, doubt
				out = append(out, l)
			}
		}
	}
	for _, r := range b.NAT {
		if r.Frontend != f.ID {
			continue
		}
		// A range of ports is dealt out to the members of a pool, by Azure.
		choice := "which machine of the pool a port of " + r.Name + " leads to"
		add(r, func(c *topology.Config) (bool, string) {
			dealt := func(id string) bool { return r.Dealt && strings.HasPrefix(id, r.ID+".") }
			if member, _ := pooled(b, r, c); member || slices.ContainsFunc(c.InboundNAT, dealt) {
				return true, choice
			}
			return !r.Dealt && (c.ID == r.Target || slices.Contains(c.InboundNAT, r.ID)), ""
		})
	}
	for _, r := range b.Pools {
		if r.Frontend == f.ID {
			add(r, func(c *topology.Config) (bool, string) { return pooled(b, r, c) })
		}
	}
	return out
}

// doubtful returns the hop that stands for the doubt about l, if there is one.
func (e *estate) doubtful(l landing) []inventory.Hop {
	if l.doubt == "" {
		return nil
	}
	return []inventory.Hop{e.unknown(l.doubt)}
}

// seen returns the hops at the end of a path with the destination that they see.
func (l landing) seen(hops []inventory.Hop) []inventory.Hop {
	for i := range hops {
		hops[i].To = l.at
	}
	return hops
}

// float notes at which addresses, other than its own, packets come to each IP
// configuration.
func (e *estate) float() {
	for _, b := range e.Balancers {
		for _, f := range b.Frontends {
			for _, l := range e.landings(b, f) {
				e.floats[l.to] = append(e.floats[l.to], l.at...)
			}
		}
	}
	for c, list := range e.floats {
		slices.SortFunc(list, netip.Addr.Compare)
		e.floats[c] = slices.Compact(list)
	}
}

// addressOf returns the address of f, which is of one of two kinds; empty, and not
// nil, where it was not read.
func (e *estate) addressOf(f topology.Frontend) []netip.Addr {
	for _, a := range []netip.Addr{f.Address, e.Publics[f.Public].Address} {
		if a.IsValid() {
			return []netip.Addr{a}
		}
	}
	return []netip.Addr{}
}

// pooled reports whether c is in a pool of r, and why it perhaps is not.
func pooled(b *topology.Balancer, r topology.Balancing, c *topology.Config) (member bool, doubt string) {
	if slices.ContainsFunc(c.Pools, func(id string) bool { return slices.Contains(r.Pools, id) }) {
		return true, ""
	}
	for _, m := range b.Members {
		switch {
		case !slices.Contains(r.Pools, m.Pool):
		case m.Config == c.ID, m.Address == c.Address && m.Network == c.Subnet.Network.ID:
			return true, ""
		case m.Address == c.Address && m.Network == "":
			member, doubt = true, "in which network the members of "+last(m.Pool)+" are"
		}
	}
	return member, doubt
}
