package ec2

import (
	"time"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2/packet"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
)

// A documents is what decides about packets in a region, as of one write.
type documents struct {
	packets *packet.World
	writes  uint64
}

// packets returns the documents that decide about packets now. They are made
// anew when something has changed.
func (s *Simulator) packets(w *world.World, now time.Time) *packet.World {
	if d, made := s.packed[w.Region]; made && d.writes == w.Past.Writes() {
		return d.packets
	}
	p := documentsOf(w, now)
	s.packed[w.Region] = documents{p, w.Past.Writes()}
	return p
}

func documentsOf(w *world.World, now time.Time) *packet.World {
	p := &packet.World{}
	for s := range w.Subnets.All(now) {
		p.Subnets = append(p.Subnets, subnetDocument(w, now, s))
	}
	for n := range w.Interfaces.All(now) {
		x := packet.Interface{ID: n.ID, Instance: n.Instance, Subnet: n.Subnet, Groups: n.Groups}
		for _, a := range n.Private {
			x.Addresses = append(x.Addresses, packet.Address{Private: a.Addr, Public: a.Public})
		}
		for _, a := range n.IPv6 {
			x.Addresses = append(x.Addresses, packet.Address{Private: a})
		}
		p.Interfaces = append(p.Interfaces, x)
	}
	for g := range w.Groups.All(now) {
		x := packet.Group{ID: g.ID, VPC: g.VPC}
		for _, r := range g.Rules {
			x.Rules = append(x.Rules, packet.Rule{
				ID: r.ID, Egress: r.Egress, CIDR: r.CIDR, PrefixList: r.List, Group: r.Group,
				Match: packet.Match{Protocol: world.Number(r.Protocol), First: r.First, Last: r.Last},
			})
		}
		p.Groups = append(p.Groups, x)
	}
	for l := range w.PrefixLists.All(now) {
		x := packet.PrefixList{ID: l.ID, Known: true}
		for _, e := range l.Entries {
			x.Entries = append(x.Entries, e.CIDR)
		}
		p.PrefixLists = append(p.PrefixLists, x)
	}
	for x := range w.Peerings.All(now) {
		p.Peerings = append(p.Peerings, packet.Peering{ID: x.ID, Requester: x.Requester, Accepter: x.Accepter, Active: x.Active()})
	}
	return p
}

func subnetDocument(w *world.World, now time.Time, s world.Subnet) packet.Subnet {
	x := packet.Subnet{ID: s.ID, VPC: s.VPC, ACL: s.ACL}
	x.CIDRs = append(x.CIDRs, s.CIDR)
	if s.CIDR6.IsValid() {
		x.CIDRs = append(x.CIDRs, s.CIDR6)
	}
	t, _ := w.RouteTable(now, s)
	for _, r := range t.Routes {
		if r.List == "" {
			x.Routes = append(x.Routes, packet.Route{Destination: r.Destination, Target: r.Target, Blackhole: r.Blackhole})
		}
	}
	a, _ := w.NetworkACLs.Get(now, s.ACL)
	for _, e := range a.Entries {
		x.Entries = append(x.Entries, packet.Entry{
			Number: e.Number, Egress: e.Egress, Allow: e.Allow, CIDR: e.CIDR,
			Match: packet.Match{Protocol: e.Protocol, First: e.First, Last: e.Last},
		})
	}
	return x
}
