// Package path turns an Azure estate into machines with the paths that lead to
// them, and the layers that stand on these.
//
// # The paths to an IP configuration
//
//   - From the virtual network and its connected peers, in both directions. Which
//     way a packet takes, the route table of its subnet says: straight, through an
//     Azure Firewall (network rules, then application rules), through something
//     that nobody can see into, or nowhere. Between a user's route and one of the
//     system the longer prefix wins, and of equal ones the user's.
//   - From behind a gateway, of the network itself or of a peer that lends it.
//     What gateways lead to is not in any document: it is known, or anybody may
//     come that way.
//   - From the platform: health probes.
//   - From the Internet by a public address of its own; a standard one in front of
//     no network security group is documented as closed, and not believed.
//   - By a load balancer's frontend: an inbound NAT rule leads to one port of one
//     machine, a load-balancing rule to all machines of a pool, whose members are
//     known by their interface or by their address and network. The client's
//     address stays. With a floating IP the frontend's stays as well, so that
//     rules about the machine's own do not match.
//   - By an address of an Azure Firewall, public or private, and a translation. The
//     machine then sees some address of the firewall's subnet. One in a virtual
//     hub may lead to anybody who has the address that it translates to: which
//     networks the hub joins no document says.
//
// At its end every path has the security admin rules of the network, the network
// security group of the subnet, and that of the interface. No group lets
// everything pass.
//
// # What is not known
//
// Of what was not read nothing is known: a group is a layer that may do anything, a
// peer's routes may lead anywhere, and what package topology found missing is said
// in the machine's Missing. Behind an appliance of somebody else the source is the
// client's, or an address of a subnet that the appliance has an interface in; if it
// is not known which machine it is, of any in its network.
//
// # Who should stay exempt
//
// What a machine's surroundings show to need it without asking is proposed: the
// probes of load balancers, the subnet of a Bastion host in its network or a peer,
// and the machines from which rules let somebody manage it. A rule counts when it is
// somebody else's and lasting, names few addresses, and really lets them in. Whether a
// machine is backed up by somebody who connects to it no document says: nothing is
// proposed for that.
//
// # What is left out
//
// The rules at the source, which may stop a packet before it is under way; network
// address translation in virtual network gateways; application gateways and
// private links, which open connections of their own; threat intelligence; and
// translations for destinations that are not the firewall's own.
//
// (learn.microsoft.com: virtual network traffic routing, virtual network peering,
// load balancer inbound NAT rules, Azure Firewall DNAT and
// private IP DNAT, and the pages that packages
// rule and collection name.)
package path

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/provider/azure/rule"
	"github.com/sesame-access/sesame/internal/provider/azure/topology"
)

// Known is what no document says.
type Known struct {
	// Tags are service tags by name, in any case. One that is not there is not
	// known.
	Tags map[string][]netip.Prefix
	// Gateways are the addresses that the gateways of a virtual network lead to,
	// by the network's id in any case. Of a network that has a gateway subnet and
	// is not there they are not known.
	Gateways map[string][]netip.Prefix
}

// An estate is a topology with what is computed from it.
type estate struct {
	*topology.Estate

	known  Known
	views  map[*topology.Subnet]rule.View
	walls  []*wall
	layers map[firewall.ID]firewall.Layer
	paths  map[*topology.Config][]inventory.Path
	shared map[destination][]way
	floats map[*topology.Config][]netip.Addr

	holders map[netip.Addr][]*topology.Machine // by private address, in each network
}

func newEstate(t *topology.Estate, known Known) *estate {
	e := &estate{
		Estate: t,
		known:  Known{Tags: map[string][]netip.Prefix{}, Gateways: map[string][]netip.Prefix{}},
		views:  map[*topology.Subnet]rule.View{},
		layers: map[firewall.ID]firewall.Layer{},
		paths:  map[*topology.Config][]inventory.Path{},
		shared: map[destination][]way{},
		floats: map[*topology.Config][]netip.Addr{},

		holders: map[netip.Addr][]*topology.Machine{},
	}
	for _, m := range t.Machines {
		for _, c := range m.Configs {
			e.holders[c.Address] = append(e.holders[c.Address], m)
		}
	}
	for name, list := range known.Tags {
		e.known.Tags[strings.ToLower(name)] = list
	}
	for id, list := range known.Gateways {
		e.known.Gateways[strings.ToLower(id)] = list
	}
	return e
}

// Machines returns the machines with their paths, sorted by id, and the layers on
// these.
func Machines(t *topology.Estate, known Known) ([]inventory.VM, map[firewall.ID]firewall.Layer) {
	e := newEstate(t, known)
	e.settle()
	e.lead()
	p := e.proposer()
	var out []inventory.VM
	for _, m := range e.Estate.Machines {
		v := inventory.VM{
			ID: firewall.VMID(strings.ToLower(m.ID)), Name: last(m.ID), Spelled: m.ID, Addresses: nil, Tags: maps.Clone(m.Tags), Paths: nil,
			Missing: slices.Concat(m.Missing, e.Missing),
		}
		var public []netip.Addr
		for _, c := range m.Configs {
			v.Addresses = append(v.Addresses, c.Address)
			v.Interfaces = attach(v.Interfaces, c)
			v.Paths = append(v.Paths, e.paths[c]...)
			if p, used := e.public(c.Public); used && p.Address.IsValid() {
				public = append(public, p.Address)
			}
		}
		slices.SortFunc(v.Addresses, netip.Addr.Compare)
		slices.SortFunc(public, netip.Addr.Compare)
		v.Addresses = append(slices.Compact(v.Addresses), slices.Compact(public)...) // its own come first
		if v.Paths == nil && v.Missing == nil {
			// Without a path it would have nothing in front of it.
			v.Paths = []inventory.Path{{Name: "no address", From: []netip.Prefix{}}}
		}
		v.Proposed = p.proposals(m, v)
		out = append(out, v)
	}
	return out, e.layers
}

// attach adds an IP configuration to the interfaces of a machine.
func attach(list []inventory.Interface, c *topology.Config) []inventory.Interface {
	i, known := slices.BinarySearchFunc(list, c.NIC.ID, func(x inventory.Interface, id string) int { return strings.Compare(x.ID, id) })
	if !known {
		list = slices.Insert(list, i, inventory.Interface{ID: c.NIC.ID, Group: c.NIC.Group, Addresses: nil})
	}
	list[i].Addresses = append(list[i].Addresses, c.Address)
	return list
}

// last returns what people call the resource.
func last(id string) string { return id[strings.LastIndexByte(id, '/')+1:] }

// lead finds the paths to every IP configuration.
func (e *estate) lead() {
	for _, c := range e.Configs() {
		for _, w := range e.waysTo(c) {
			e.path(c, inventory.Path{Name: w.name, From: w.from, Unsure: w.unsure, Hops: slices.Concat(w.hops, e.end(c, false, w.sees))})
		}
		if p, used := e.public(c.Public); used {
			e.path(c, inventory.Path{Name: "by its public address " + last(c.Public), From: rule.Public(), Hops: e.end(c, p.Standard, netip.Prefix{})})
		}
	}
	for _, b := range e.Balancers {
		for _, f := range b.Frontends {
			for _, l := range e.landings(b, f) {
				e.balanced(b, f, l)
			}
		}
	}
	for _, w := range e.walls {
		e.translated(w)
	}
}

// path adds a path to c, whose name and address it completes.
func (e *estate) path(c *topology.Config, p inventory.Path) {
	p.Name = c.Name + " " + p.Name
	p.To = []netip.Addr{c.Address}
	e.paths[c] = append(e.paths[c], p)
}

// public returns the public address with this id, and whether packets can come to
// it. One that was not read may be of any kind.
func (e *estate) public(id string) (topology.PublicAddress, bool) {
	if id == "" {
		return topology.PublicAddress{}, false
	}
	p, known := e.Publics[id]
	if !known {
		return topology.PublicAddress{Address: netip.Addr{}, Standard: true}, true
	}
	return p, p.Address.IsValid()
}

// end returns the hops at the end of every path to c: the network's security admin
// rules, the subnet's group and the interface's. bare says that it comes by a
// standard public address.
func (e *estate) end(c *topology.Config, bare bool, sees netip.Prefix) []inventory.Hop {
	var hops []inventory.Hop
	if rules, known := e.AdminRules[c.Subnet.Network.ID]; !known || len(rules) > 0 {
		hops = append(hops, inventory.Hop{Firewall: adminOf(c.Subnet.Network)})
	}
	grouped := false
	for _, id := range []string{c.Subnet.Group, c.NIC.Group} {
		if grouped = grouped || id != ""; id != "" {
			hops = append(hops, inventory.Hop{Firewall: firewall.ID(id)})
		}
	}
	if bare && !grouped {
		hops = append(hops, e.unknown("a standard public address without a network security group is documented as closed"))
	}
	for i := range hops {
		hops[i].Sees = sees
	}
	return hops
}

// balanced adds the paths over frontend f to the landing l.
func (e *estate) balanced(b *topology.Balancer, f topology.Frontend, l landing) {
	path := inventory.Path{Name: fmt.Sprintf("over %s, %s", last(b.ID), l.by), Protocol: l.protocol, Port: l.backend}
	choice := e.doubtful(l)
	if p, used := e.public(f.Public); used {
		path.From = rule.Public()
		path.Hops = append(slices.Clone(choice), l.seen(e.end(l.to, p.Standard, netip.Prefix{}))...)
		e.path(l.to, path)
	}
	if f.Subnet == nil || !f.Address.IsValid() {
		return
	}
	for _, w := range e.ways(f.Subnet.Network, f.Address, []netip.Addr{f.Address}, l.first) {
		p := path
		p.Name += " " + w.name
		p.From, p.Unsure = w.from, w.unsure
		p.Hops = slices.Concat(w.hops, choice, l.seen(e.end(l.to, false, w.sees)))
		e.path(l.to, p)
	}
}
