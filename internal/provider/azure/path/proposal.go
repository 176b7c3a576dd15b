package path

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/dialect"
	"github.com/sesame-access/sesame/internal/provider/azure/rule"
	"github.com/sesame-access/sesame/internal/provider/azure/topology"
	"github.com/sesame-access/sesame/internal/provider/prefix"
	"github.com/sesame-access/sesame/internal/reach"
)

// Prefixes shorter than these are not somebody's few machines.
const (
	few4 = 24
	few6 = 64
)

const (
	sshPort = 22
	rdpPort = 3389
)

// management are the ports by which machines are managed: SSH, RDP, WinRM.
func management() []uint16 { return []uint16{sshPort, rdpPort, 5985, 5986} }

// A proposer finds out who should stay exempt from locks.
type proposer struct {
	*estate

	probes map[string][]inventory.Proposal // by backend pool
	model  reach.Model                     // of the layers that were asked about
	query  reach.Query
}

func (e *estate) proposer() *proposer {
	p := &proposer{estate: e, probes: map[string][]inventory.Proposal{}, model: reach.Model{}}
	for _, b := range e.Balancers {
		for _, r := range b.Pools {
			at := slices.IndexFunc(b.Probes, func(x topology.Probe) bool { return x.ID == r.Probe })
			if at < 0 {
				continue
			}
			for _, pool := range r.Pools {
				p.probes[pool] = append(p.probes[pool], inventory.Proposal{
					Kind: inventory.Probe, Name: last(b.ID) + "/" + b.Probes[at].Name, Protocol: firewall.TCP, Port: b.Probes[at].Port, From: rule.Probes(),
				})
			}
		}
	}
	return p
}

// proposals returns who should stay exempt from locks of v, which is m.
func (p *proposer) proposals(m *topology.Machine, v inventory.VM) []inventory.Proposal {
	var out []inventory.Proposal
	var networks []*topology.Network
	a := &audience{proposer: p, vm: v, ports: map[uint16]reach.Set{}}
	for _, c := range m.Configs {
		for _, pool := range c.Pools {
			out = append(out, p.probes[pool]...)
		}
		if !slices.Contains(networks, c.Subnet.Network) {
			networks = append(networks, c.Subnet.Network)
			out = append(out, p.bastions(c.Subnet.Network)...)
		}
		for _, id := range []string{c.Subnet.Group, c.NIC.Group} {
			out = append(out, p.managers(id, c, a)...)
		}
	}
	slices.SortFunc(out, compare)
	return slices.CompactFunc(out, func(a, b inventory.Proposal) bool { return compare(a, b) == 0 })
}

func compare(a, b inventory.Proposal) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), strings.Compare(a.Name, b.Name), cmp.Compare(a.Port, b.Port), slices.CompareFunc(a.From, b.From, netip.Prefix.Compare))
}

// bastions returns the subnets from which Bastion hosts come to n.
func (p *proposer) bastions(n *topology.Network) []inventory.Proposal {
	var out []inventory.Proposal
	for _, m := range p.Networks {
		for _, s := range m.Subnets {
			if last(s.ID) != "azurebastionsubnet" || !topology.Near(m, n) {
				continue
			}
			for _, port := range []uint16{sshPort, rdpPort} {
				out = append(out, inventory.Proposal{
					Kind: inventory.Bastion, Name: "AzureBastionSubnet of " + last(m.ID), Protocol: firewall.TCP, Port: port, From: prefix.Union(s.Prefixes),
				})
			}
		}
	}
	return out
}

// managers returns the sources that the rules of a group let manage c.
func (p *proposer) managers(id string, c *topology.Config, a *audience) []inventory.Proposal {
	var out []inventory.Proposal
	for _, r := range p.Groups[id] {
		name := nameOf(r)
		if r.Action != firewall.Allow || r.Doubt != "" || passing(name) {
			continue
		}
		from := p.few(r.Source, c)
		if len(from) == 0 || !p.about(r, c) {
			continue
		}
		for _, port := range management() {
			named := len(r.Destination.Ports) == 0 || slices.ContainsFunc(r.Destination.Ports, func(x rule.Ports) bool { return x.First <= port && port <= x.Last })
			if named && a.admits(port, from) {
				out = append(out, inventory.Proposal{Kind: inventory.Management, Name: last(id) + "/" + name, Protocol: firewall.TCP, Port: port, From: from})
			}
		}
	}
	return out
}

// nameOf returns the name of a rule without its number.
func nameOf(r rule.Rule) string {
	_, quoted, _ := strings.Cut(r.Name, " ")
	name, err := strconv.Unquote(quoted)
	if err != nil {
		return r.Name
	}
	return name
}

// passing reports whether a rule of this name ends by itself: one of Sesame's, of any
// installation, or of the just-in-time access of Microsoft Defender for Cloud.
func passing(name string) bool {
	name = strings.ToLower(name)
	return strings.HasPrefix(name, strings.TrimSuffix(dialect.Prefix(""), "-")) ||
		strings.HasPrefix(name, "securitycenter-jitrule") || strings.HasPrefix(name, "microsoftdefenderforcloud-jitrule")
}

// few returns the addresses that s names, if they are few and known: addresses, or
// the members of application security groups.
func (p *proposer) few(s rule.Side, c *topology.Config) []netip.Prefix {
	if s.Any || len(s.Tags) > 0 || len(s.Prefixes)+len(s.Groups) == 0 {
		return nil
	}
	set := p.views[c.Subnet].Addresses(s)
	if len(set.Perhaps) > 0 || slices.ContainsFunc(set.Sure, func(x netip.Prefix) bool {
		return x.Addr().Is4() && x.Bits() < few4 || x.Addr().Is6() && x.Bits() < few6
	}) {
		return nil
	}
	return set.Sure
}

// about reports whether r surely is about TCP to c.
func (p *proposer) about(r rule.Rule, c *topology.Config) bool {
	if len(r.Protocols) > 0 && !slices.Contains(r.Protocols, firewall.TCP) {
		return false
	}
	return r.Destination.Any || prefix.Contains(p.views[c.Subnet].Addresses(r.Destination).Sure, c.Address)
}

// An audience is who gets in to one machine, by port.
type audience struct {
	*proposer

	vm    inventory.VM
	ports map[uint16]reach.Set
}

// admits reports whether somebody of from gets in, or may: a rule that never decides
// anything proposes nobody.
func (a *audience) admits(port uint16, from []netip.Prefix) bool {
	set, known := a.ports[port]
	if !known {
		for _, id := range a.vm.Firewalls() {
			if l, read := a.layers[id]; read && a.model[id] == nil {
				a.model.Put(l)
			}
		}
		set = a.query.VM(a.vm, a.model, firewall.Door{VM: a.vm.ID, Protocol: firewall.TCP, Port: port})
		a.ports[port] = set
	}
	for _, x := range from {
		for span := range set.Within(x) {
			if span.Verdict != reach.Closed {
				return true
			}
		}
	}
	return false
}
