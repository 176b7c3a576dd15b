package inventory

import (
	"cmp"
	"math"
	"net/netip"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/provider/aws/path"
	"github.com/sesame-access/sesame/internal/provider/prefix"
)

// An appliance is an interface of something that is no instance and reaches some.
type appliance struct {
	name   string
	groups []string
	from   []netip.Prefix
}

func applianceOf(x types.NetworkInterface, n path.Interface) appliance {
	a := appliance{name: cmp.Or(strings.TrimPrefix(aws.ToString(x.Description), "ELB "), n.ID), groups: n.Groups}
	for _, to := range n.Addresses {
		a.from = append(a.from, prefix.Of(to.Private)...)
	}
	return a
}

// ofBalancer reports whether x is a load balancer's, whose health checks come from
// its private addresses. (Elastic Load Balancing user guides.)
func ofBalancer(x types.NetworkInterface) bool {
	switch x.InterfaceType { //nolint:exhaustive // there are many others
	case types.NetworkInterfaceTypeLoadBalancer, types.NetworkInterfaceTypeNetworkLoadBalancer, types.NetworkInterfaceTypeGatewayLoadBalancer:
		return true
	}
	return aws.ToString(x.RequesterId) == "amazon-elb" || strings.HasPrefix(aws.ToString(x.Description), "ELB ")
}

// connects reports whether x is the list of where EC2 Instance Connect comes from.
func connects(x types.ManagedPrefixList) bool {
	return aws.ToString(x.OwnerId) == "AWS" && strings.HasSuffix(aws.ToString(x.PrefixListName), ".ec2-instance-connect")
}

// small is how many bits a network has at least that somebody may manage from, of
// each family: an office or a bastion host, and no provider's range.
const small4, small6 = 24, 56

// management are the ports that machines are managed through: SSH, RDP, WinRM.
func management() []uint16 { return []uint16{22, 3389, 5985, 5986} }

// proposed returns who should stay exempt at each machine, by the rules that are
// there, sorted.
func (r Region) proposed() map[firewall.VMID][]inventory.Proposal {
	byGroup := map[string][]inventory.Proposal{}
	for _, g := range r.groups {
		for _, x := range g.IpPermissions {
			if list := r.proposedBy(x); len(list) > 0 {
				id := aws.ToString(g.GroupId)
				byGroup[id] = append(byGroup[id], list...)
			}
		}
	}
	out := map[firewall.VMID][]inventory.Proposal{}
	for _, n := range r.Estate.Interfaces {
		if n.Machine == "" {
			continue
		}
		for _, g := range n.Groups {
			out[n.Machine] = append(out[n.Machine], byGroup[g]...)
		}
	}
	for vm, list := range out {
		slices.SortFunc(list, compareProposals)
		out[vm] = slices.CompactFunc(list, func(a, b inventory.Proposal) bool { return compareProposals(a, b) == 0 })
	}
	return out
}

func compareProposals(a, b inventory.Proposal) int {
	return cmp.Or(
		cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Protocol, b.Protocol),
		slices.CompareFunc(a.From, b.From, netip.Prefix.Compare),
	)
}

// proposedBy returns whom a permission shows to need the machines behind it.
func (r Region) proposedBy(x types.IpPermission) []inventory.Proposal {
	var out []inventory.Proposal
	add := func(kind inventory.ProposalKind, name string, from ...netip.Prefix) {
		for _, p := range portsOf(x, kind == inventory.Management) {
			out = append(out, inventory.Proposal{Kind: kind, Name: name, Protocol: p.protocol, Port: p.number, From: prefix.Union(from)})
		}
	}
	for _, pair := range x.UserIdGroupPairs {
		id := aws.ToString(pair.GroupId)
		for _, a := range r.balancers {
			if slices.Contains(a.groups, id) {
				add(inventory.Probe, a.name, a.from...)
			}
		}
		for _, a := range r.endpoints {
			if slices.Contains(a.groups, id) {
				add(inventory.Bastion, a.name, a.from...)
			}
		}
	}
	for _, l := range x.PrefixListIds {
		i := slices.IndexFunc(r.Estate.PrefixLists, func(o path.PrefixList) bool { return o.ID == aws.ToString(l.PrefixListId) })
		if known := r.lists[aws.ToString(l.PrefixListId)]; i >= 0 && connects(known) {
			add(inventory.Bastion, aws.ToString(known.PrefixListName), r.Estate.PrefixLists[i].Entries...)
		}
	}
	narrow := func(cidr, description *string, bits int) {
		if p, err := netip.ParsePrefix(aws.ToString(cidr)); err == nil && p.Bits() >= bits {
			add(inventory.Management, cmp.Or(aws.ToString(description), p.String()), p)
		}
	}
	for _, v4 := range x.IpRanges {
		narrow(v4.CidrIp, v4.Description, small4)
	}
	for _, v6 := range x.Ipv6Ranges {
		narrow(v6.CidrIpv6, v6.Description, small6)
	}
	return out
}

// A port is one that a permission is about; 0 is every port.
type port struct {
	protocol firewall.Protocol
	number   uint16
}

// portsOf returns the ports of a permission: the one it names, or all; of those of
// management each of them alone, and none else.
func portsOf(x types.IpPermission, managing bool) []port {
	protocol := map[string]firewall.Protocol{"tcp": firewall.TCP, "udp": firewall.UDP}[aws.ToString(x.IpProtocol)]
	every := aws.ToString(x.IpProtocol) == "-1"
	if protocol == 0 && !every {
		return nil // nothing that a lock is about
	}
	first, last := aws.ToInt32(x.FromPort), aws.ToInt32(x.ToPort)
	if every {
		first, last = 0, math.MaxUint16
	}
	if !managing {
		if first != last {
			return []port{{protocol, 0}}
		}
		return []port{{protocol, uint16(first)}}
	}
	var out []port
	for _, n := range management() {
		if protocol != firewall.UDP && first <= int32(n) && int32(n) <= last {
			out = append(out, port{firewall.TCP, n})
		}
	}
	return out
}
