package topology

import (
	"encoding/json"
	"net/netip"
	"strconv"
	"strings"
)

// The shapes below are the parts of Azure's documents that matter to a packet.
// encoding/json reads keys in any case, as Azure does.

type reference struct{ ID string }

func idsOf(references []reference) []string {
	var out []string
	for _, r := range references {
		out = append(out, r.ID)
	}
	return out
}

// prefixes reads address prefixes, and passes over what is none.
func prefixes(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, text := range texts {
		if p, err := netip.ParsePrefix(text); err == nil {
			out = append(out, p.Masked())
		}
	}
	return out
}

// both joins the singular form of a field with its plural twin.
func both(singular string, plural []string) []string {
	if singular == "" {
		return plural
	}
	return append([]string{singular}, plural...)
}

func (w *World) readNetwork(id string, text json.RawMessage) error {
	var d struct {
		Properties struct {
			AddressSpace struct{ AddressPrefixes []string }
			Subnets      []struct {
				ID, Name   string
				Properties struct {
					AddressPrefix        string
					AddressPrefixes      []string
					NetworkSecurityGroup reference
					RouteTable           reference
				}
			}
			VirtualNetworkPeerings []struct {
				Properties struct {
					PeeringState              string
					AllowVirtualNetworkAccess bool
					RemoteVirtualNetwork      reference
					RemoteAddressSpace        struct{ AddressPrefixes []string }
				}
			}
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		return err
	}
	n := &Network{ID: id, Space: prefixes(d.Properties.AddressSpace.AddressPrefixes...)}
	for _, s := range d.Properties.Subnets {
		n.Subnets = append(n.Subnets, &Subnet{
			ID: id + "/subnets/" + s.Name, Network: n,
			Prefixes: prefixes(both(s.Properties.AddressPrefix, s.Properties.AddressPrefixes)...),
			Group:    s.Properties.NetworkSecurityGroup.ID, Table: s.Properties.RouteTable.ID,
		})
	}
	for _, p := range d.Properties.VirtualNetworkPeerings {
		n.Peerings = append(n.Peerings, Peering{
			Remote:      p.Properties.RemoteVirtualNetwork.ID,
			Connected:   strings.EqualFold(p.Properties.PeeringState, "Connected"),
			Access:      p.Properties.AllowVirtualNetworkAccess,
			RemoteSpace: prefixes(p.Properties.RemoteAddressSpace.AddressPrefixes...),
		})
	}
	w.networks = append(w.networks, n)
	return nil
}

func (w *World) readInterface(text json.RawMessage) error {
	var d struct {
		Properties struct {
			NetworkSecurityGroup reference
			IPConfigurations     []struct {
				ID         string
				Properties struct {
					PrivateIPAddress                string
					Subnet, PublicIPAddress         reference
					ApplicationSecurityGroups       []reference
					LoadBalancerInboundNatRules     []reference
					LoadBalancerBackendAddressPools []reference
				}
			}
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		return err
	}
	for _, c := range d.Properties.IPConfigurations {
		a, err := netip.ParseAddr(c.Properties.PrivateIPAddress)
		s := w.Subnet(c.Properties.Subnet.ID)
		if err != nil || s == nil {
			continue // not on any network: no packet gets there
		}
		w.Endpoints = append(w.Endpoints, &Endpoint{
			ID: c.ID, Group: d.Properties.NetworkSecurityGroup.ID, Subnet: s, Address: a,
			PublicAddress: c.Properties.PublicIPAddress.ID,
			ASGs:          idsOf(c.Properties.ApplicationSecurityGroups),
			NATRules:      idsOf(c.Properties.LoadBalancerInboundNatRules),
			Pools:         idsOf(c.Properties.LoadBalancerBackendAddressPools),
		})
	}
	return nil
}

// A ruleDocument is a security rule or, with lists of objects as its two ends, a
// security admin rule.
type ruleDocument struct {
	Name, ID   string
	Properties struct {
		Priority                             int
		Direction, Access, Protocol          string
		SourcePortRange                      string
		SourcePortRanges                     []string
		DestinationPortRange                 string
		DestinationPortRanges                []string
		SourceAddressPrefix                  string
		SourceAddressPrefixes                []string
		DestinationAddressPrefix             string
		DestinationAddressPrefixes           []string
		SourceApplicationSecurityGroups      []reference
		DestinationApplicationSecurityGroups []reference
		Sources, Destinations                []struct{ AddressPrefix string }
	}
}

func (d ruleDocument) rule() Rule {
	p := d.Properties
	r := Rule{
		Name: d.Name, Priority: p.Priority, Direction: p.Direction, Access: p.Access, Protocols: []string{p.Protocol},
		Sources: Side{
			Addresses: both(p.SourceAddressPrefix, p.SourceAddressPrefixes),
			ASGs:      idsOf(p.SourceApplicationSecurityGroups),
			IPGroups:  nil, FQDNs: nil,
			Ports: both(p.SourcePortRange, p.SourcePortRanges),
		},
		Destinations: Side{
			Addresses: both(p.DestinationAddressPrefix, p.DestinationAddressPrefixes),
			ASGs:      idsOf(p.DestinationApplicationSecurityGroups),
			IPGroups:  nil, FQDNs: nil,
			Ports: both(p.DestinationPortRange, p.DestinationPortRanges),
		},
	}
	for _, s := range p.Sources {
		r.Sources.Addresses = append(r.Sources.Addresses, s.AddressPrefix)
	}
	for _, s := range p.Destinations {
		r.Destinations.Addresses = append(r.Destinations.Addresses, s.AddressPrefix)
	}
	return r
}

func (w *World) readGroup(id string, text json.RawMessage) error {
	var d struct {
		Properties struct{ SecurityRules []ruleDocument }
	}
	if err := json.Unmarshal(text, &d); err != nil {
		return err
	}
	g := &Group{ID: id, Rules: nil}
	for _, r := range d.Properties.SecurityRules {
		x := r.rule()
		x.Name = "securityRules/" + x.Name
		g.Rules = append(g.Rules, x)
	}
	w.groups = append(w.groups, g)
	return nil
}

// readAdminRules reads the effective security admin rules of a network. A
// listing that leaves out an end of a rule, or its ports, means any.
func (w *World) readAdminRules(id string, text json.RawMessage) error {
	var d struct{ Value []ruleDocument }
	if err := json.Unmarshal(text, &d); err != nil {
		return err
	}
	n := w.Network(id)
	if n == nil {
		return nil
	}
	for _, r := range d.Value {
		x := r.rule()
		x.Name = r.ID
		for _, end := range []*Side{&x.Sources, &x.Destinations} {
			if len(end.Addresses) == 0 {
				end.Addresses = []string{"*"}
			}
			for i, p := range end.Ports {
				if p == "0-65535" {
					end.Ports[i] = "*"
				}
			}
			if len(end.Ports) == 0 {
				end.Ports = []string{"*"}
			}
		}
		n.AdminRules = append(n.AdminRules, x)
	}
	return nil
}

func (w *World) readTable(id string, text json.RawMessage) error {
	var d struct {
		Properties struct {
			Routes []struct {
				Name       string
				Properties struct{ AddressPrefix, NextHopType, NextHopIPAddress string }
			}
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		return err
	}
	t := &table{id: id, routes: nil}
	for _, r := range d.Properties.Routes {
		hop, _ := netip.ParseAddr(r.Properties.NextHopIPAddress)
		for _, p := range prefixes(r.Properties.AddressPrefix) {
			t.routes = append(t.routes, Route{Name: r.Name, Prefix: p, Hop: r.Properties.NextHopType, Address: hop})
		}
	}
	w.tables = append(w.tables, t)
	return nil
}

func (w *World) readPublicAddress(id string, text json.RawMessage) error {
	var d struct {
		SKU        struct{ Name string }
		Properties struct {
			IPAddress       string
			IPConfiguration reference
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		return err
	}
	a, err := netip.ParseAddr(d.Properties.IPAddress)
	if err != nil {
		return nil //nolint:nilerr // an address that is not assigned yet is nobody's
	}
	w.PublicAddresses = append(w.PublicAddresses, PublicAddress{
		ID: id, Address: a, Standard: strings.EqualFold(d.SKU.Name, "Standard"), Used: d.Properties.IPConfiguration.ID != "",
	})
	return nil
}

// A poolShape is a backend pool whose members are listed by their addresses.
type poolShape struct {
	Name       string
	Properties struct {
		VirtualNetwork               reference
		LoadBalancerBackendAddresses []struct {
			Properties struct {
				IPAddress      string
				VirtualNetwork reference
			}
		}
	}
}

// members returns who is in the pool with this id by address.
func (s poolShape) members(id string) []Member {
	var out []Member
	for _, m := range s.Properties.LoadBalancerBackendAddresses {
		a, err := netip.ParseAddr(m.Properties.IPAddress)
		if err != nil {
			continue // a member by interface, which says so itself
		}
		network := m.Properties.VirtualNetwork.ID
		if network == "" {
			network = s.Properties.VirtualNetwork.ID
		}
		out = append(out, Member{Pool: id, Network: network, Address: a})
	}
	return out
}

func (w *World) readBalancer(id string, text json.RawMessage) error {
	type ruleShape struct {
		ID, Name   string
		Properties struct {
			FrontendIPConfiguration reference
			Protocol                string
			FrontendPort            uint16
			FrontendPortRangeStart  uint16
			FrontendPortRangeEnd    uint16
			BackendPort             uint16
			EnableFloatingIP        bool
			BackendIPConfiguration  reference
			BackendAddressPool      reference
			BackendAddressPools     []reference
		}
	}
	var d struct {
		Properties struct {
			FrontendIPConfigurations []struct {
				ID, Name   string
				Properties struct {
					PublicIPAddress, Subnet reference
					PrivateIPAddress        string
				}
			}
			InboundNatRules, LoadBalancingRules []ruleShape
			BackendAddressPools                 []poolShape
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		return err
	}
	b := &Balancer{ID: id, Frontends: nil, NATRules: nil, PoolRules: nil}
	for _, f := range d.Properties.FrontendIPConfigurations {
		a, _ := netip.ParseAddr(f.Properties.PrivateIPAddress)
		b.Frontends = append(b.Frontends, &Frontend{
			ID: id + "/frontendIPConfigurations/" + f.Name, PublicAddress: f.Properties.PublicIPAddress.ID,
			Subnet: f.Properties.Subnet.ID, Address: a,
		})
	}
	shape := func(kind string, r ruleShape) *BalancerRule {
		p := r.Properties
		out := &BalancerRule{
			ID: id + kind + r.Name, Frontend: p.FrontendIPConfiguration.ID, Protocol: p.Protocol,
			First: p.FrontendPort, Last: 0, BackendPort: p.BackendPort,
			Target: p.BackendIPConfiguration.ID, Pools: idsOf(append(p.BackendAddressPools, p.BackendAddressPool)), Floating: p.EnableFloatingIP,
		}
		if p.FrontendPortRangeEnd > 0 {
			out.First, out.Last = p.FrontendPortRangeStart, p.FrontendPortRangeEnd
		}
		return out
	}
	for _, r := range d.Properties.InboundNatRules {
		b.NATRules = append(b.NATRules, shape("/inboundNatRules/", r))
	}
	for _, r := range d.Properties.LoadBalancingRules {
		b.PoolRules = append(b.PoolRules, shape("/loadBalancingRules/", r))
	}
	for _, pool := range d.Properties.BackendAddressPools {
		b.Members = append(b.Members, pool.members(id+"/backendAddressPools/"+pool.Name)...)
	}
	w.Balancers = append(w.Balancers, b)
	return nil
}

// number reads a port as a firewall's document has it: text.
func number(text string) uint16 {
	n, _ := strconv.ParseUint(text, 10, 16)
	return uint16(n)
}
