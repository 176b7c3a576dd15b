package packet

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/sesame-access/sesame/internal/cloudsim/arm/packet/topology"
)

// route follows p, which has left its source in network n, to its destination.
// from is nil where the source is no IP configuration: a gateway, a firewall, a
// probe.
func (k *walk) route(p Packet, n *topology.Network, from *topology.Endpoint) Verdict {
	at := n.SubnetOf(p.From)
	if at == nil {
		for _, s := range n.Subnets {
			if strings.HasSuffix(strings.ToLower(s.ID), "/gatewaysubnet") && !probes(p.From) {
				at = s // what comes through a gateway follows the routes of its subnet
			}
		}
	}
	if r, ok := k.userRoute(n, at, p.To); ok {
		switch strings.ToLower(r.Hop) {
		case "vnetlocal":
		case "none":
			return k.lost(p, Denied, at.Table, "route %s drops it", r.Name)
		case "virtualappliance":
			for _, f := range k.Firewalls {
				if f.Address == r.Address && f.Subnet != nil && topology.Near(n, f.Subnet.Network) {
					return k.filter(p, f)
				}
			}
			if s := k.subnetNear(n, r.Address); s != nil && k.someoneNear(s.Network, p.To) || k.someoneNear(n, p.To) {
				return k.lost(p, Unknown, at.Table, "route %s leads through %s", r.Name, r.Address)
			}
			return k.lost(p, Denied, at.Table, "route %s leads through %s, around which nobody has the address", r.Name, r.Address)
		default:
			if !special(p.To) || k.someoneNear(n, p.To) {
				return k.lost(p, Unknown, at.Table, "route %s leads to %s", r.Name, r.Hop)
			}
			return k.lost(p, Denied, at.Table, "route %s leads to %s, and nobody around has the address", r.Name, r.Hop)
		}
	}
	return k.direct(p, n, from)
}

// subnetNear returns the subnet that a lies in, of n or of a network that is
// peered with it.
func (k *walk) subnetNear(n *topology.Network, a netip.Addr) *topology.Subnet {
	if s := n.SubnetOf(a); s != nil {
		return s
	}
	for _, peer := range n.Peerings {
		if m := k.Network(peer.Remote); m != nil && topology.Near(n, m) && m.SubnetOf(a) != nil {
			return m.SubnetOf(a)
		}
	}
	return nil
}

// someoneNear reports whether somebody in n, or in a network that is peered with
// it, has address a.
func (k *walk) someoneNear(n *topology.Network, a netip.Addr) bool {
	for _, b := range k.Balancers {
		for _, f := range b.Frontends {
			if s := k.Subnet(f.Subnet); f.Address == a && s != nil && topology.Near(n, s.Network) {
				return true
			}
		}
	}
	for _, f := range k.Firewalls {
		if f.Address == a && f.Subnet != nil && topology.Near(n, f.Subnet.Network) {
			return true
		}
	}
	return k.EndpointNear(n, a) != nil
}

// direct delivers p without anything between.
func (k *walk) direct(p Packet, n *topology.Network, from *topology.Endpoint) Verdict {
	for _, f := range k.Firewalls {
		if f.Address == p.To && f.Subnet != nil && topology.Near(n, f.Subnet.Network) {
			return k.translate(p, f)
		}
	}
	if to := k.EndpointNear(n, p.To); to != nil {
		return k.arrive(p, to, false)
	}
	for _, b := range k.Balancers {
		for _, f := range b.Frontends {
			if s := k.Subnet(f.Subnet); f.Address == p.To && s != nil && topology.Near(n, s.Network) {
				return k.balance(p, b, f, false)
			}
		}
	}
	if special(p.To) || n.SubnetOf(p.To) != nil {
		return k.lost(p, Denied, p.To.String(), "nobody has the address")
	}
	// To a public address a VM comes with its own one, if it has one.
	if from != nil && from.PublicAddress != "" {
		for _, pip := range k.PublicAddresses {
			if topology.Same(pip.ID, from.PublicAddress) {
				p.In, p.From = "", pip.Address
				return k.internet(p)
			}
		}
	}
	return k.lost(p, Unknown, p.To.String(), "with which address it leaves for the Internet is not known")
}

// userRoute returns the user-defined route of subnet at for address a. The
// longest prefix wins; between equal ones, and only then, the user's beats the
// system's, which are the spaces of n and of its peers.
func (k *walk) userRoute(n *topology.Network, at *topology.Subnet, a netip.Addr) (topology.Route, bool) {
	if at == nil {
		return topology.Route{}, false
	}
	var best topology.Route
	found := false
	for _, r := range k.RoutesOf(at) {
		if r.Prefix.Contains(a) && (!found || r.Prefix.Bits() > best.Prefix.Bits()) {
			best, found = r, true
		}
	}
	if !found {
		return best, false
	}
	system := n.Space
	for _, p := range n.Peerings {
		if p.Connected {
			system = append(slices.Clip(system), k.SpaceOf(p)...)
		}
	}
	for _, p := range system {
		if p.Contains(a) && p.Bits() > best.Prefix.Bits() {
			return best, false
		}
	}
	return best, true
}

// translate follows a packet that came to an address of firewall f: its DNAT rules are the only way in. A rule that matches translates and allows; by
// the newer documentation no network rule is asked after it. The VM sees an
// address of the firewall's subnet, and nobody says which.
func (k *walk) translate(p Packet, f *topology.Firewall) Verdict {
	if k.translations++; k.translations > 4 {
		return k.lost(p, Denied, f.ID, "firewalls translate to each other without end")
	}
	defer func() { k.translations-- }()
	for _, c := range k.CollectionsOf(f, topology.Translation) {
		for _, r := range c.Rules {
			switch k.firewallMatches(r.Rule, p, f) {
			case no:
				continue
			case perhaps:
				return k.lost(p, Unknown, f.ID, "it is not known whether %s/%s matches", c.Name, r.Name)
			case yes:
			}
			if !r.To.IsValid() {
				return k.lost(p, Unknown, f.ID, "%s/%s translates to a name", c.Name, r.Name)
			}
			if f.Subnet == nil {
				return k.lost(p, Unknown, f.ID, "the subnet of the firewall is not in this world")
			}
			k.decide(f.ID, c.Name+"/"+r.Name, Delivered, "to %s port %d", r.To, r.ToPort)
			return k.fromFirewall(Packet{
				In: f.Subnet.Network.ID, From: f.Address, FromPort: p.FromPort, To: r.To, ToPort: r.ToPort, Protocol: p.Protocol,
			}, f)
		}
	}
	return k.lost(p, Denied, f.ID, "no DNAT rule matches")
}

// fromFirewall sends p on from every address, and every kind of port, that the
// firewall may use. Only what happens to all of them is certain.
func (k *walk) fromFirewall(p Packet, f *topology.Firewall) Verdict {
	const (
		most     = 256 // Azure's own advice is a /26
		reserved = 4   // the first addresses of every subnet are Azure's
	)
	var v Verdict
	tried := 0
	for _, prefix := range f.Subnet.Prefixes {
		for a := prefix.Addr(); prefix.Contains(a); a = a.Next() {
			if tried++; tried > most {
				return k.lost(p, Unknown, f.ID, "which address of its subnet it uses is not known")
			}
			if a.Is4() != p.To.Is4() {
				break
			}
			if tried <= reserved {
				continue
			}
			p.From = a
			for _, port := range k.portClasses() {
				p.FromPort = port
				kept := len(k.steps)
				got := k.route(p, f.Subnet.Network, nil)
				if got.Outcome == v.Outcome {
					k.steps = k.steps[:kept] // the same once more
				}
				got.Outcome |= v.Outcome
				v = got
			}
		}
	}
	if v.Outcome == 0 {
		return k.lost(p, Unknown, f.ID, "the subnet of the firewall has no addresses of this family")
	}
	return v
}

// portClasses returns one source port of every kind that a rule tells apart.
func (k *walk) portClasses() []uint16 {
	ports := []uint16{0}
	for _, r := range k.AllRules() {
		for _, text := range r.Sources.Ports {
			first, last, _ := strings.Cut(text, "-")
			if from, err := strconv.ParseUint(first, 10, 16); err == nil {
				ports = append(ports, uint16(from), uint16(from)+1)
			}
			if to, err := strconv.ParseUint(last, 10, 16); err == nil {
				ports = append(ports, uint16(to)+1)
			}
		}
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}

// filter judges a packet that a route leads through firewall f: network rules
// first, then application rules, then nothing passes.
func (k *walk) filter(p Packet, f *topology.Firewall) Verdict {
	if p.To == f.Address {
		return k.translate(p, f) // it is there
	}
	v := Verdict{Outcome: 0, Reached: "", Source: p.From, To: p.To, Port: p.ToPort, Steps: nil}
	does, decided := k.networkRules(p, f)
	if does&Delivered != 0 {
		v = k.direct(p, f.Subnet.Network, nil) // between private addresses the source stays
	}
	if !decided && k.applies(p, f) {
		// Whether it passes depends on names. Who does, comes from the firewall.
		snat := p
		snat.From, snat.In = f.Address, f.Subnet.Network.ID
		got := k.fromFirewall(snat, f)
		got.Outcome |= v.Outcome
		v = got
	}
	if does&Denied != 0 || !decided {
		v.Outcome |= Denied
	}
	return v
}

// networkRules returns what the network rules of f may do with p, and whether one
// of them surely decides.
func (k *walk) networkRules(p Packet, f *topology.Firewall) (does Outcome, decided bool) {
	for _, c := range k.CollectionsOf(f, topology.NetworkRules) {
		for _, r := range c.Rules {
			match := k.firewallMatches(r.Rule, p, f)
			if match == no {
				continue
			}
			o := Denied
			if r.Allows() {
				o = Delivered
			}
			does |= o
			if match == yes {
				k.decide(f.ID, c.Name+"/"+r.Name, o, "")
				return does, true
			}
			k.decide(f.ID, c.Name+"/"+r.Name, Unknown, "it is not known whether the rule matches")
		}
	}
	return does, false
}

// applies reports whether an application rule of f is about the source and the
// port of p.
func (k *walk) applies(p Packet, f *topology.Firewall) bool {
	for _, c := range k.CollectionsOf(f, topology.ApplicationRules) {
		for _, r := range c.Rules {
			if p.Protocol == TCP && k.firewallMatches(r.Rule, p, f) != no {
				k.decide(f.ID, c.Name+"/"+r.Name, Unknown, "it depends on names")
				return true
			}
		}
	}
	k.decide(f.ID, "", Denied, "no rule matches")
	return false
}

// firewallMatches reports whether r speaks about p. An IP group that is empty
// takes its rule out.
func (k *walk) firewallMatches(r topology.Rule, p Packet, f *topology.Firewall) answer {
	for _, id := range append(slices.Clip(r.Sources.IPGroups), r.Destinations.IPGroups...) {
		if g := k.IPGroup(id); g != nil && len(g.Addresses) == 0 {
			return no
		}
	}
	return k.matches(r, k.flow(p, f.Subnet, nil, nil))
}
