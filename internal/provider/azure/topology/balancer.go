package topology

import (
	"encoding/json"
	"net/netip"
	"strings"

	"github.com/sesame-access/sesame/internal/firewall"
)

// A Balancer is a load balancer.
type Balancer struct {
	ID        string
	Frontends []Frontend
	NAT       []Balancing // inbound NAT rules
	Pools     []Balancing // load-balancing rules
	Probes    []Probe
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
}

// A probe is one as documents have it.
type probe struct {
	Name       string
	Properties struct{ Port uint16 }
}

func (e *Estate) readBalancer(id string, text json.RawMessage) error {
	type shape struct {
		Name       string
		Properties struct {
			FrontendIPConfiguration reference
			Protocol                string
			FrontendPort            uint16
			FrontendPortRangeStart  uint16
			FrontendPortRangeEnd    uint16
			BackendPort             uint16
			BackendIPConfiguration  reference
			BackendAddressPool      reference
			BackendAddressPools     []reference
			Probe                   reference
		}
	}
	var d struct {
		Properties struct {
			FrontendIPConfigurations []struct {
				Name       string
				Properties struct {
					PublicIPAddress, Subnet reference
					PrivateIPAddress        string
				}
			}
			InboundNatRules, LoadBalancingRules []shape
			Probes                              []probe
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
	read := func(kind string, shapes []shape) (out []Balancing) {
		for _, x := range shapes {
			p := x.Properties
			r := Balancing{
				ID: key(id + kind + x.Name), Name: x.Name, Frontend: key(p.FrontendIPConfiguration.ID),
				First: p.FrontendPort, Last: p.FrontendPort, Backend: p.BackendPort, Target: key(p.BackendIPConfiguration.ID),
				Pools: keys(append(p.BackendAddressPools, p.BackendAddressPool)...), Probe: key(p.Probe.ID),
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
	b.NAT = read("/inboundNatRules/", d.Properties.InboundNatRules)
	b.Pools = read("/loadBalancingRules/", d.Properties.LoadBalancingRules)
	for _, x := range d.Properties.Probes {
		b.Probes = append(b.Probes, Probe{ID: key(id + "/probes/" + x.Name), Name: x.Name, Port: x.Properties.Port})
	}
	e.Balancers = append(e.Balancers, b)
	return nil
}
