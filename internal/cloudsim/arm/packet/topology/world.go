// Package topology reads the ARM documents of a network into the few values
// that a packet meets on its way: virtual networks, IP configurations, rules,
// routes, load balancers and firewalls.
//
// Nothing is judged here but order: what Azure sorts, by priority or by
// inheritance, comes sorted. Ids are kept as they are given and compared without
// case; an empty id means that there is nothing. What no packet meets is passed
// over.
package topology

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// AdminRules is what an id ends with under which [Read] looks for the security
// admin rules of a virtual network: the reply of the operation of that name, an
// object whose value lists the effective rules.
const AdminRules = "/listNetworkManagerEffectiveSecurityAdminRules"

// A World is what packets travel through. It is read only.
type World struct {
	// Endpoints, PublicAddresses, Balancers and Firewalls are sorted by id.
	Endpoints       []*Endpoint
	PublicAddresses []PublicAddress
	Balancers       []*Balancer
	Firewalls       []*Firewall

	networks []*Network
	groups   []*Group
	tables   []*table
	policies []*policy
	ipGroups []*AddressGroup
}

// A Network is a virtual network.
type Network struct {
	ID         string
	Space      []netip.Prefix
	Subnets    []*Subnet
	Peerings   []Peering
	AdminRules []Rule // effective security admin rules
}

// A Subnet is one of a virtual network.
type Subnet struct {
	ID       string
	Network  *Network
	Prefixes []netip.Prefix
	Group    string // id of its network security group
	Table    string // id of its route table
}

// A Peering is one direction of a peering of two networks.
type Peering struct {
	Remote      string // id of the other network
	Connected   bool
	Access      bool // the peer's space is in the service tag VirtualNetwork
	RemoteSpace []netip.Prefix
}

// An Endpoint is an IP configuration of a network interface.
type Endpoint struct {
	ID            string
	Group         string // id of its interface's network security group
	Subnet        *Subnet
	Address       netip.Addr
	PublicAddress string   // id
	ASGs          []string // ids of application security groups
	NATRules      []string // ids of inbound NAT rules that lead here
	Pools         []string // ids of backend address pools
}

// A Group is a network security group, without its default rules.
type Group struct {
	ID    string
	Rules []Rule
}

type table struct {
	id     string
	routes []Route
}

// A Route is a user-defined one.
type Route struct {
	Name    string
	Prefix  netip.Prefix
	Hop     string     // VnetLocal, VirtualAppliance, None, Internet or VirtualNetworkGateway
	Address netip.Addr // of a virtual appliance
}

// A PublicAddress is a public IP address that has been assigned.
type PublicAddress struct {
	ID       string
	Address  netip.Addr
	Standard bool // of the standard kind
	Used     bool // its document names an IP configuration that holds it
}

// A Balancer is a load balancer.
type Balancer struct {
	ID        string
	Frontends []*Frontend
	NATRules  []*BalancerRule
	PoolRules []*BalancerRule
	Members   []Member
}

// A Member is in a backend pool by its address in a network.
type Member struct {
	Pool    string // id
	Network string // id
	Address netip.Addr
}

// A Frontend has a public address, or one in a subnet.
type Frontend struct {
	ID            string
	PublicAddress string // id
	Subnet        string // id
	Address       netip.Addr
}

// A BalancerRule is an inbound NAT rule or a load-balancing rule.
type BalancerRule struct {
	ID          string
	Frontend    string // id
	Protocol    string // Tcp, Udp or All
	First, Last uint16 // frontend ports; Last is 0 where First is the only one
	BackendPort uint16
	Target      string   // id of the IP configuration of an inbound NAT rule
	Pools       []string // ids
	Floating    bool     // the destination stays the frontend's
}

// An AddressGroup is an IP group.
type AddressGroup struct {
	id        string
	Addresses []string
}

// Read reads a world from its documents, by id, as Azure Resource Manager shows
// them. Children of a resource are read from its own document, but for the rule
// collection groups of firewall policies, which are not in it. A document that
// cannot be read is an error.
func Read(documents map[string]json.RawMessage) (*World, error) {
	w := &World{}
	ids := slices.Sorted(maps.Keys(documents))
	// Networks come first: everything else points into them.
	for _, id := range ids {
		if kindOf(id) == "virtualnetworks" {
			if err := w.readNetwork(id, documents[id]); err != nil {
				return nil, fmt.Errorf("read %s: %w", id, err)
			}
		}
	}
	for _, id := range ids {
		if err := w.read(id, documents[id]); err != nil {
			return nil, fmt.Errorf("read %s: %w", id, err)
		}
	}
	return w, nil
}

// kindOf returns the resource type that id is of, without its provider, in lower
// case: "virtualnetworks" or "firewallpolicies/rulecollectiongroups".
func kindOf(id string) string {
	at := strings.LastIndex(strings.ToLower(id), "/providers/")
	if at < 0 {
		return ""
	}
	parts := strings.Split(strings.ToLower(id[at+len("/providers/"):]), "/")
	var types []string
	for i := 1; i < len(parts); i += 2 {
		types = append(types, parts[i])
	}
	return strings.Join(types, "/")
}

func (w *World) read(id string, text json.RawMessage) error {
	switch kindOf(id) {
	case "virtualnetworks/" + strings.ToLower(AdminRules[1:]):
		return w.readAdminRules(strings.TrimSuffix(id, id[len(id)-len(AdminRules):]), text)
	case "networkinterfaces":
		return w.readInterface(text)
	case "networksecuritygroups":
		return w.readGroup(id, text)
	case "routetables":
		return w.readTable(id, text)
	case "publicipaddresses":
		return w.readPublicAddress(id, text)
	case "loadbalancers":
		return w.readBalancer(id, text)
	case "azurefirewalls":
		return w.readFirewall(id, text)
	case "firewallpolicies":
		return w.readPolicy(id, text)
	case "firewallpolicies/rulecollectiongroups":
		return w.readRuleCollectionGroup(id, text)
	case "ipgroups":
		var d struct {
			Properties struct{ IPAddresses []string }
		}
		if err := json.Unmarshal(text, &d); err != nil {
			return err
		}
		w.ipGroups = append(w.ipGroups, &AddressGroup{id: id, Addresses: d.Properties.IPAddresses})
	}
	return nil
}

// Network returns the network with this id, nil if there is none.
func (w *World) Network(id string) *Network {
	for _, n := range w.networks {
		if Same(n.ID, id) {
			return n
		}
	}
	return nil
}

// Subnet returns the subnet with this id, nil if there is none.
func (w *World) Subnet(id string) *Subnet {
	for _, n := range w.networks {
		for _, s := range n.Subnets {
			if Same(s.ID, id) {
				return s
			}
		}
	}
	return nil
}

// SubnetOf returns the subnet of n that a lies in.
func (n *Network) SubnetOf(a netip.Addr) *Subnet {
	for _, s := range n.Subnets {
		for _, p := range s.Prefixes {
			if p.Contains(a) {
				return s
			}
		}
	}
	return nil
}

// EndpointAt returns who has address a in network n. The same address may exist
// in other networks.
func (w *World) EndpointAt(n *Network, a netip.Addr) *Endpoint {
	for _, e := range w.Endpoints {
		if e.Subnet.Network == n && e.Address == a {
			return e
		}
	}
	return nil
}

// EndpointNear returns who has address a in network n or in one that is peered
// with it, in both directions.
func (w *World) EndpointNear(n *Network, a netip.Addr) *Endpoint {
	for _, e := range w.Endpoints {
		if e.Address == a && Near(n, e.Subnet.Network) {
			return e
		}
	}
	return nil
}

// Group returns the network security group with this id, nil if there is none.
func (w *World) Group(id string) *Group {
	for _, g := range w.groups {
		if Same(g.ID, id) {
			return g
		}
	}
	return nil
}

// AllRules returns the rules of all groups and all security admin rules.
func (w *World) AllRules() []Rule {
	var out []Rule
	for _, g := range w.groups {
		out = append(out, g.Rules...)
	}
	for _, n := range w.networks {
		out = append(out, n.AdminRules...)
	}
	return out
}

// IPGroup returns the IP group with this id, nil if there is none.
func (w *World) IPGroup(id string) *AddressGroup {
	for _, g := range w.ipGroups {
		if Same(g.id, id) {
			return g
		}
	}
	return nil
}

// RoutesOf returns the user-defined routes of s.
func (w *World) RoutesOf(s *Subnet) []Route {
	for _, t := range w.tables {
		if Same(t.id, s.Table) {
			return t.routes
		}
	}
	return nil
}

// SpaceOf returns the address space of a peer, from its own document where there
// is one, else as the peering remembers it.
func (w *World) SpaceOf(p Peering) []netip.Prefix {
	if n := w.Network(p.Remote); n != nil {
		return n.Space
	}
	return p.RemoteSpace
}

// Near reports whether two networks are one, or are peered both ways.
func Near(a, b *Network) bool {
	if a == b {
		return true
	}
	there, back := false, false
	for _, p := range a.Peerings {
		there = there || p.Connected && Same(p.Remote, b.ID)
	}
	for _, p := range b.Peerings {
		back = back || p.Connected && Same(p.Remote, a.ID)
	}
	return there && back
}

// Joined reports whether a chain of peerings leads from one network to the other.
func (w *World) Joined(a, b *Network) bool {
	seen := []*Network{a}
	for i := 0; i < len(seen); i++ {
		for _, n := range w.networks {
			if Near(seen[i], n) && !slices.Contains(seen, n) {
				seen = append(seen, n)
			}
		}
	}
	return slices.Contains(seen, b)
}

// Same compares ids, which are case-insensitive. No id is the same as nothing.
func Same(a, b string) bool { return a != "" && strings.EqualFold(a, b) }

// OneOf reports whether id is one of ids.
func OneOf(ids []string, id string) bool {
	return slices.ContainsFunc(ids, func(x string) bool { return Same(x, id) })
}

// Peers returns the networks that are peered with n, both ways.
func (w *World) Peers(n *Network) []*Network {
	var out []*Network
	for _, x := range w.networks {
		if x != n && Near(n, x) {
			out = append(out, x)
		}
	}
	return out
}
