package topology

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"

	"github.com/sesame-access/sesame/internal/firewall"
)

// A Balancer is a load balancer.
type Balancer struct {
	ID        string
	Frontends []Frontend
	NAT       []Balancing // inbound NAT rules, and pools of such
	Pools     []Balancing // load-balancing rules
	Members   []Member    // of pools, by their addresses
	Probes    []Probe
}

// A Member is in a backend pool by its address, and not by its interface.
type Member struct {
	Pool    string // id
	Address netip.Addr
	Network string // id; empty where the document does not say
	Config  string // id of the IP configuration, where the document says it instead
}

// A Probe asks the members of a pool over TCP whether they are well.
type Probe struct {
	ID, Name string
	Port     uint16
}

// A Frontend has a public address, or one in a subnet.
type Frontend struct {
	ID      string
	Public  string // id
	Subnet  *Subnet
	Address netip.Addr
}

// A Balancing is a rule of a balancer.
type Balancing struct {
	ID, Name    string
	Frontend    string // id
	Protocol    firewall.Protocol
	First, Last uint16 // frontend ports; 0 and 0 is all of them
	Backend     uint16
	Target      string   // id of the IP configuration of an inbound NAT rule
	Pools       []string // ids
	Probe       string   // id
	// Floating says that what arrives still has the frontend's address.
	Floating bool
	// Dealt says that a scale set made its rules from this one: each has the name
	// of this one, a dot and a number.
	Dealt bool
}

// A probe is one as documents have it.
type probe struct {
	Name       string
	Properties struct{ Port uint16 }
}

// A balancing is a rule of a balancer as documents have it.
type balancing struct {
	Name       string
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
		Probe                   reference
	}
}

// A pool is a backend pool as documents have it. Its members by interface are
// listed at their interfaces, too.
type pool struct {
	Name       string
	Properties struct {
		VirtualNetwork               reference
		LoadBalancerBackendAddresses []struct {
			Properties struct {
				IPAddress                                               string
				VirtualNetwork, Subnet, NetworkInterfaceIPConfiguration reference
			}
		}
	}
}

func (e *Estate) readBalancer(id string, text json.RawMessage) error {
	var d struct {
		Properties struct {
			FrontendIPConfigurations []struct {
				Name       string
				Properties struct {
					PublicIPAddress, Subnet reference
					PrivateIPAddress        string
				}
			}
			InboundNatRules, InboundNatPools, LoadBalancingRules []balancing
			BackendAddressPools                                  []pool
			Probes                                               []probe
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		return err
	}
	b := &Balancer{ID: id}
	for _, x := range d.Properties.FrontendIPConfigurations {
		f := Frontend{
			ID: key(id + "/frontendIPConfigurations/" + x.Name), Public: key(x.Properties.PublicIPAddress.ID),
			Subnet: e.subnets[key(x.Properties.Subnet.ID)],
		}
		f.Address, _ = netip.ParseAddr(x.Properties.PrivateIPAddress)
		b.Frontends = append(b.Frontends, f)
	}
	b.NAT = readBalancings(id+"/inboundNatRules/", d.Properties.InboundNatRules)
	for _, r := range readBalancings(id+"/inboundNatRules/", d.Properties.InboundNatPools) {
		r.Dealt = true
		b.NAT = append(b.NAT, r)
	}
	b.Pools = readBalancings(id+"/loadBalancingRules/", d.Properties.LoadBalancingRules)
	for _, x := range d.Properties.BackendAddressPools {
		members, err := x.members(key(id + "/backendAddressPools/" + x.Name))
		if err != nil {
			return err
		}
		b.Members = append(b.Members, members...)
	}
	for _, x := range d.Properties.Probes {
		b.Probes = append(b.Probes, Probe{ID: key(id + "/probes/" + x.Name), Name: x.Name, Port: x.Properties.Port})
	}
	e.Balancers = append(e.Balancers, b)
	return nil
}

// members returns who is in the pool with this id by address.
func (p pool) members(id string) ([]Member, error) {
	var out []Member
	for _, x := range p.Properties.LoadBalancerBackendAddresses {
		m := Member{Pool: id, Config: key(x.Properties.NetworkInterfaceIPConfiguration.ID)}
		for _, network := range []string{x.Properties.VirtualNetwork.ID, networkOf(x.Properties.Subnet.ID), p.Properties.VirtualNetwork.ID} {
			if m.Network == "" {
				m.Network = key(network)
			}
		}
		if text := x.Properties.IPAddress; text != "" {
			var err error
			if m.Address, err = netip.ParseAddr(text); err != nil {
				return nil, fmt.Errorf("read a member of pool %s: %w", p.Name, err)
			}
		}
		out = append(out, m)
	}
	return out, nil
}

// networkOf returns the id of the network that the subnet with this id is in.
func networkOf(subnet string) string {
	return subnet[:max(0, strings.LastIndex(key(subnet), "/subnets/"))]
}

// readBalancings reads rules, whose ids are their names behind what is given.
func readBalancings(ids string, shapes []balancing) []Balancing {
	var out []Balancing
	for _, x := range shapes {
		p := x.Properties
		r := Balancing{
			ID: key(ids + x.Name), Name: x.Name, Frontend: key(p.FrontendIPConfiguration.ID),
			First: p.FrontendPort, Last: p.FrontendPort, Backend: p.BackendPort, Target: key(p.BackendIPConfiguration.ID),
			Pools: keys(append(p.BackendAddressPools, p.BackendAddressPool)...), Probe: key(p.Probe.ID), Floating: p.EnableFloatingIP,
		}
		if p.FrontendPortRangeEnd > 0 {
			r.First, r.Last = p.FrontendPortRangeStart, p.FrontendPortRangeEnd
		}
		switch strings.ToLower(p.Protocol) {
		case "tcp":
			r.Protocol = firewall.TCP
		case "udp":
			r.Protocol = firewall.UDP
		}
		out = append(out, r)
	}
	return out
}
