package path

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/provider/azure/rule"
	"github.com/sesame-access/sesame/internal/provider/azure/topology"
	"github.com/sesame-access/sesame/internal/provider/prefix"
)

// A turn is where a subnet's routes send packets to some address.
type turn struct {
	kind kind
	wall *wall             // the firewall that they lead through
	what string            // what nobody can see into
	at   *topology.Network // where that stands, if it is known
	own  netip.Prefix      // the addresses that it may have for its own
}

type kind uint8

const (
	straight kind = iota
	nowhere
	through // a firewall
	blind   // something that is not known
)

// A way is a part of the private network that comes to an address alike.
type way struct {
	turn

	name   string
	from   []netip.Prefix
	unsure bool // others may come, too
	hops   []inventory.Hop
	sees   netip.Prefix // the source behind hops, where it is not the client's
}

// turn returns where the routes of s send packets to a. The longest prefix wins;
// between equal ones, and only then, the user's beats the system's, which are the
// spaces of the network and of its peers.
func (e *estate) turn(s *topology.Subnet, a netip.Addr) turn {
	routes, known := e.RoutesOf(s)
	if !known {
		return turn{kind: blind, what: "route table " + last(s.Table) + " was not read", own: around(nil, a)}
	}
	var best topology.Route
	for _, r := range routes {
		if r.Prefix.Contains(a) && (!best.Prefix.IsValid() || r.Prefix.Bits() > best.Prefix.Bits()) {
			best = r
		}
	}
	longer := func(p netip.Prefix) bool { return p.Contains(a) && p.Bits() > best.Prefix.Bits() }
	peers := func(p topology.Peering) bool {
		return p.Connected && slices.ContainsFunc(e.SpaceOf(p), longer)
	}
	if !best.Prefix.IsValid() || slices.ContainsFunc(s.Network.Space, longer) || slices.ContainsFunc(s.Network.Peerings, peers) {
		return turn{kind: straight}
	}
	switch best.Hop {
	case "vnetlocal":
		return turn{kind: straight}
	case "none":
		return turn{kind: nowhere}
	case "virtualappliance":
		for _, w := range e.walls {
			if w.Address == best.To && w.subnet != nil && topology.Near(s.Network, w.subnet.Network) {
				if w.Address == a {
					return turn{kind: straight} // there it is
				}
				return turn{kind: through, wall: w}
			}
		}
		at, own := e.site(s.Network, best.To)
		return turn{kind: blind, what: "route " + best.Name + " leads through " + best.To.String(), at: at, own: around(own, a)}
	}
	return turn{kind: blind, what: "route " + best.Name + " leads to " + best.Hop, own: around(nil, a)}
}

// site returns the network, n or one around it, where an appliance with address a
// stands, and the subnets in which it has interfaces. Of one that was not read, or
// that a load balancer stands before, these may be all of the network: a machine's
// interfaces are in one network, and often in a subnet each. None are any.
func (e *estate) site(n *topology.Network, a netip.Addr) (at *topology.Network, own []netip.Prefix) {
	for _, m := range append([]*topology.Network{n}, e.Networks...) {
		lies := func(s *topology.Subnet) bool { return prefix.Contains(s.Prefixes, a) }
		if topology.Near(n, m) && slices.ContainsFunc(m.Subnets, lies) {
			at = m
			break
		}
	}
	if at == nil {
		return nil, nil
	}
	for _, m := range e.holders[a] {
		for _, c := range m.Configs {
			if c.Subnet.Network == at && len(m.Missing) == 0 {
				own = append(own, c.Subnet.Prefixes...)
			}
		}
	}
	if own == nil {
		own = at.Space
	}
	return at, own
}

// leads reports whether t may lead packets from network m to one of n. A next hop
// that stands nowhere around m is none.
func (t turn) leads(m, n *topology.Network) bool {
	switch t.kind {
	case straight:
		return topology.Near(m, n)
	case through:
		return topology.Near(t.wall.subnet.Network, n)
	case blind:
		return topology.Near(m, n) || t.at != nil && topology.Near(t.at, n)
	case nowhere:
	}
	return false
}

// A destination is the addresses of one family in a subnet.
type destination struct {
	subnet *topology.Subnet
	six    bool
}

// waysTo returns how the private networks come to c. What is alike for all addresses
// of a subnet is found once.
func (e *estate) waysTo(c *topology.Config) []way {
	at := destination{subnet: c.Subnet, six: !c.Address.Is4()}
	ways, found := e.shared[at]
	if found && prefix.Contains(c.Subnet.Prefixes, c.Address) {
		return ways
	}
	ways = e.ways(c.Subnet.Network, c.Address, nil, 0)
	if e.uniform(c.Subnet) {
		e.shared[at] = ways
	}
	return ways
}

// uniform reports whether no route is about some addresses of s and not about
// others.
func (e *estate) uniform(s *topology.Subnet) bool {
	splits := func(cut netip.Prefix) bool {
		return slices.ContainsFunc(s.Prefixes, func(p netip.Prefix) bool { return cut.Overlaps(p) && cut.Bits() > p.Bits() })
	}
	for _, n := range e.Networks {
		if slices.ContainsFunc(n.Space, splits) {
			return false
		}
		for _, p := range n.Peerings {
			if slices.ContainsFunc(p.Space, splits) {
				return false
			}
		}
	}
	for _, routes := range e.Tables {
		if slices.ContainsFunc(routes, func(r topology.Route) bool { return splits(r.Prefix) }) {
			return false
		}
	}
	// Of several prefixes each may meet routes of its own.
	return len(s.Prefixes) == 1 || len(s.Prefixes) == 2 && s.Prefixes[0].Addr().Is4() != s.Prefixes[1].Addr().Is4()
}

// ways returns how the private networks around n come to address a of it. A
// firewall on the way sees to and port, where they are not the door's own.
func (e *estate) ways(n *topology.Network, a netip.Addr, to []netip.Addr, port uint16) []way {
	out := []way{{turn: turn{kind: straight}, from: rule.Probes()}}
	at := func(t turn) *way {
		i := slices.IndexFunc(out, func(w way) bool { return w.turn == t })
		if i < 0 {
			i = len(out)
			out = append(out, way{turn: t})
		}
		return &out[i]
	}
	for _, m := range e.Networks {
		for _, s := range m.Subnets {
			if t := e.turn(s, a); t.leads(m, n) {
				w := at(t)
				w.from = append(w.from, s.Prefixes...)
			}
		}
		if m.Gateway == nil || m != n && !lends(m, n) {
			continue
		}
		t := e.turn(m.Gateway, a)
		if !t.leads(m, n) {
			continue
		}
		w := at(t)
		behind := e.behindGateways(m.ID)
		w.from = append(w.from, behind.Sure...)
		w.unsure = w.unsure || len(behind.Perhaps) > 0
	}
	for _, p := range n.Peerings {
		if p.Connected && e.Network(p.Remote) == nil {
			// What its packets meet is not known; they come from its addresses.
			w := at(turn{kind: blind, what: "peered network " + last(p.Remote) + " was not read", own: around(p.Space, a)})
			w.from = append(w.from, p.Space...)
			w.unsure = w.unsure || p.Gateways
		}
	}
	var ways []way
	for _, w := range out {
		ways = append(ways, e.along(w, a, to, port)...)
	}
	return ways
}

// lends reports whether network from lends its gateways to n.
func lends(from, n *topology.Network) bool {
	return slices.ContainsFunc(n.Peerings, func(p topology.Peering) bool { return p.Gateways && p.Connected && p.Remote == from.ID })
}

// along returns w with what it meets, in as many ways as there are.
func (e *estate) along(w way, a netip.Addr, to []netip.Addr, port uint16) []way {
	w.from = prefix.Union(w.from)
	if w.from == nil {
		w.from = []netip.Prefix{} // nobody, which nil would not be
	}
	w.name = "from the network"
	switch w.kind {
	case straight:
		return []way{w}
	case blind:
		w.name += ", " + w.what
		w.hops = []inventory.Hop{e.unknown(w.what)}
		// It keeps the source, or takes an address of its own.
		kept := w
		w.name += ", from its own address"
		w.sees = w.own
		return []way{kept, w}
	case nowhere:
		return nil
	case through:
	}
	f := w.wall
	w.name += " through " + last(f.ID)
	w.hops = []inventory.Hop{{Firewall: firewall.ID(strings.ToLower(f.ID)), To: to, Port: port}}
	ways := []way{w}
	if f.ownRanges {
		// The source is kept, or not.
		w.hops = append(slices.Clone(w.hops), e.unknown(last(f.ID)+" has its own ranges of private addresses"))
		ways = []way{w}
		w.sees = around(f.addresses(), a)
		ways = append(ways, w)
	}
	if len(f.rules.Application) > 0 {
		w.name += " by application rules"
		w.hops = []inventory.Hop{{Firewall: f.applications(), To: to, Port: port}}
		w.sees = around(f.addresses(), a)
		ways = append(ways, w)
	}
	return ways
}

// unknown returns a hop of which only is known why nothing else is.
func (e *estate) unknown(why string) inventory.Hop {
	id := firewall.ID("unknown: " + why)
	e.add(firewall.Unread(id, why, false))
	return inventory.Hop{Firewall: id}
}
