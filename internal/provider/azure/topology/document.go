package topology

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/azure/firewall/collection"
	"github.com/sesame-access/sesame/internal/provider/azure/rule"
)

// A Network is a virtual network.
type Network struct {
	ID       string
	Space    []netip.Prefix
	Subnets  []*Subnet
	Peerings []Peering
	Gateway  *Subnet // the subnet of gateways; nil if it has none
}

// A Peering is one direction of a peering of two networks.
type Peering struct {
	Remote    string // id
	Connected bool
	Access    bool // the peer is in the tag VirtualNetwork
	Gateways  bool // the peer lends its gateways
	Space     []netip.Prefix
}

// A Subnet is one of a virtual network.
type Subnet struct {
	ID       string
	Network  *Network
	Prefixes []netip.Prefix
	Group    string // id of its network security group
	Table    string // id of its route table
}

// A Machine is a virtual machine.
type Machine struct {
	ID      string
	Tags    map[string]string
	NICs    []string // ids
	Configs []*Config
	Missing []string // what could not be read about it
}

// A NIC is a network interface.
type NIC struct {
	ID      string
	Machine string // id, empty for an interface of something else
	Group   string // id of its network security group
	Configs []*Config
	Missing []string
}

// A Config is an IP configuration of an interface.
type Config struct {
	Name                    string
	ID                      string
	VM                      firewall.VMID
	NIC                     *NIC
	Subnet                  *Subnet
	Address                 netip.Addr
	Public                  string   // id of its public address
	ASGs, InboundNAT, Pools []string // ids
}

// A Route is a user-defined one.
type Route struct {
	Name   string
	Prefix netip.Prefix
	Hop    string // the type of the next hop, in lower case
	To     netip.Addr
}

// A PublicAddress is a public IP address; Address is not valid while it is not
// assigned.
type PublicAddress struct {
	Address  netip.Addr
	Standard bool
}

type reference struct{ ID string }

func keys(references ...reference) []string {
	var out []string
	for _, r := range references {
		if r.ID != "" {
			out = append(out, key(r.ID))
		}
	}
	return out
}

func prefixes(texts ...string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range texts {
		if text == "" {
			continue
		}
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("read a prefix: %w", err)
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

func (e *Estate) readNetwork(id string, text json.RawMessage) error {
	var d struct {
		Properties struct {
			AddressSpace struct{ AddressPrefixes []string }
			Subnets      []struct {
				Name       string
				Properties struct {
					AddressPrefix                    string
					AddressPrefixes                  []string
					NetworkSecurityGroup, RouteTable reference
				}
			}
			VirtualNetworkPeerings []struct {
				Properties struct {
					PeeringState              string
					AllowVirtualNetworkAccess bool
					UseRemoteGateways         bool
					RemoteVirtualNetwork      reference
					RemoteAddressSpace        struct{ AddressPrefixes []string }
				}
			}
		}
	}
	err := json.Unmarshal(text, &d)
	if err != nil {
		return err
	}
	n := &Network{ID: key(id)}
	if n.Space, err = prefixes(d.Properties.AddressSpace.AddressPrefixes...); err != nil {
		return err
	}
	for _, x := range d.Properties.Subnets {
		s := &Subnet{
			ID: key(id + "/subnets/" + x.Name), Network: n,
			Group: key(x.Properties.NetworkSecurityGroup.ID), Table: key(x.Properties.RouteTable.ID),
		}
		if s.Prefixes, err = prefixes(append(x.Properties.AddressPrefixes, x.Properties.AddressPrefix)...); err != nil {
			return err
		}
		n.Subnets = append(n.Subnets, s)
		if strings.EqualFold(x.Name, "GatewaySubnet") {
			n.Gateway = s
		}
	}
	for _, x := range d.Properties.VirtualNetworkPeerings {
		p := Peering{
			Remote: key(x.Properties.RemoteVirtualNetwork.ID), Connected: strings.EqualFold(x.Properties.PeeringState, "Connected"),
			Access: x.Properties.AllowVirtualNetworkAccess, Gateways: x.Properties.UseRemoteGateways,
		}
		if p.Space, err = prefixes(x.Properties.RemoteAddressSpace.AddressPrefixes...); err != nil {
			return err
		}
		n.Peerings = append(n.Peerings, p)
	}
	for _, s := range n.Subnets {
		e.subnets[s.ID] = s
	}
	e.Networks = append(e.Networks, n)
	return nil
}

func (e *Estate) readMachine(id string, text json.RawMessage) error {
	var d struct {
		Tags       map[string]string
		Properties struct {
			NetworkProfile struct{ NetworkInterfaces []reference }
		}
	}
	m := &Machine{ID: id}
	err := json.Unmarshal(text, &d)
	if err != nil {
		m.Missing = []string{fmt.Sprintf("its document could not be read: %v", err)}
	}
	m.Tags, m.NICs = d.Tags, keys(d.Properties.NetworkProfile.NetworkInterfaces...)
	e.Machines = append(e.Machines, m)
	return err
}

func (e *Estate) readNIC(id string, text json.RawMessage) error {
	var d struct {
		Properties struct {
			NetworkSecurityGroup, VirtualMachine reference
			IPConfigurations                     []struct {
				ID, Name   string
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
	n := &NIC{ID: key(id), Machine: d.Properties.VirtualMachine.ID, Group: key(d.Properties.NetworkSecurityGroup.ID)}
	for _, x := range d.Properties.IPConfigurations {
		p := x.Properties
		if p.PrivateIPAddress == "" {
			continue // a machine that is deallocated: no packet gets there
		}
		c := &Config{
			Name: last(id) + "/" + last(x.ID), ID: key(x.ID), NIC: n, Public: key(p.PublicIPAddress.ID),
			ASGs: keys(p.ApplicationSecurityGroups...), InboundNAT: keys(p.LoadBalancerInboundNatRules...),
			Pools: keys(p.LoadBalancerBackendAddressPools...),
		}
		var err error
		if c.Address, err = netip.ParseAddr(p.PrivateIPAddress); err != nil {
			return fmt.Errorf("read the address of %s: %w", x.ID, err)
		}
		if c.Subnet = e.subnets[key(p.Subnet.ID)]; c.Subnet == nil {
			n.Missing = append(n.Missing, fmt.Sprintf("%s is in a subnet that was not read: %s", c.Name, p.Subnet.ID))
			continue
		}
		n.Configs = append(n.Configs, c)
	}
	e.NICs[n.ID] = n
	return nil
}

func (e *Estate) readTable(id string, text json.RawMessage) error {
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
	routes := []Route{}
	for _, x := range d.Properties.Routes {
		r := Route{Name: x.Name, Hop: strings.ToLower(x.Properties.NextHopType)}
		var err error
		if r.Prefix, err = netip.ParsePrefix(x.Properties.AddressPrefix); err != nil {
			// A service tag: its packets go another way, and nobody knows which.
			return fmt.Errorf("read route %s: %w", x.Name, err)
		}
		r.Prefix = r.Prefix.Masked()
		r.To, _ = netip.ParseAddr(x.Properties.NextHopIPAddress)
		routes = append(routes, r)
	}
	e.Tables[key(id)] = routes
	return nil
}

func (e *Estate) readPublic(id string, text json.RawMessage) error {
	var d struct {
		SKU        struct{ Name string }
		Properties struct{ IPAddress string }
	}
	if err := json.Unmarshal(text, &d); err != nil {
		return err
	}
	p := PublicAddress{Standard: !strings.EqualFold(d.SKU.Name, "Basic")}
	if d.Properties.IPAddress != "" {
		var err error
		if p.Address, err = netip.ParseAddr(d.Properties.IPAddress); err != nil {
			return err
		}
	}
	e.Publics[key(id)] = p
	return nil
}

func (e *Estate) readIPGroup(id string, text json.RawMessage) error {
	var d struct {
		Properties struct{ IPAddresses []string }
	}
	if err := json.Unmarshal(text, &d); err != nil {
		return err
	}
	var s rule.Side
	s.Add(d.Properties.IPAddresses...)
	if len(d.Properties.IPAddresses) == 0 {
		e.IPGroups[key(id)] = rule.Set{}
		return nil
	}
	e.IPGroups[key(id)] = rule.View{}.Addresses(s)
	return nil
}

func (e *Estate) readFirewall(id string, text json.RawMessage) error {
	f, err := collection.ReadFirewall(text)
	if err != nil {
		return err
	}
	f.ID = id
	e.Firewalls = append(e.Firewalls, f)
	return nil
}
