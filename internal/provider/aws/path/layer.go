package path

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/prefix"
)

// aclLayer returns what an ACL does with packets on their way in.
func aclLayer(a ACL) firewall.Layer {
	return entries(a, false, firewall.ID(a.ID), func(e Entry, r *firewall.LayerRule) {
		r.First, r.Last = e.ports()
	})
}

// returnLayer returns what an ACL does with answers: its entries see the client as
// the destination, and the client's port as the port.
func returnLayer(a ACL) firewall.Layer {
	return entries(a, true, firewall.ID(a.ID+toReturn), func(e Entry, r *firewall.LayerRule) {
		r.First, r.Last = 0, math.MaxUint16
		r.SourceFirst, r.SourceLast = e.ports()
		// A source port of zero alone cannot be said, only that it may be any.
		r.Maybe = r.SourceLast == 0
	})
}

func entries(a ACL, egress bool, id firewall.ID, ports func(Entry, *firewall.LayerRule)) firewall.Layer {
	all := slices.Clone(a.Entries)
	slices.SortStableFunc(all, func(x, y Entry) int { return cmp.Compare(x.Number, y.Number) })
	l := firewall.Layer{Firewall: id, Kind: firewall.Ordered, Rules: nil, Default: firewall.Deny}
	for _, e := range all {
		protocol, ok := e.protocol()
		if e.Egress != egress || !ok {
			continue
		}
		r := firewall.LayerRule{Name: fmt.Sprint(e.Number), Action: firewall.Deny, Protocol: protocol, From: []netip.Prefix{e.CIDR.Masked()}}
		if e.Allow {
			r.Action = firewall.Allow
		}
		ports(e, &r)
		l.Rules = append(l.Rules, r)
	}
	l.Rules = append(l.Rules, firewall.LayerRule{Name: "*", Action: firewall.Deny, Last: math.MaxUint16})
	return l
}

// protocol returns the protocol as layers have it; not ok is one that packets do
// not have.
func (m Match) protocol() (firewall.Protocol, bool) {
	if m.Protocol == All {
		return 0, true
	}
	if m.Protocol <= 0 || m.Protocol > math.MaxUint8 {
		return 0, false
	}
	return firewall.Protocol(m.Protocol), true
}

// ports returns the ports, which only rules about TCP and UDP have.
func (m Match) ports() (first, last uint16) {
	if m.Protocol != int(firewall.TCP) && m.Protocol != int(firewall.UDP) || m.First == All {
		return 0, math.MaxUint16
	}
	clamp := func(n int) uint16 { return uint16(min(max(n, 0), math.MaxUint16)) }
	return clamp(m.First), clamp(m.Last)
}

// A wearer is where interfaces wear a group and see other groups alike.
type wearer struct {
	at *place
	to []netip.Addr
}

// groupLayer returns what any of the security groups admits to who wears them all.
func (v *view) groupLayer(id firewall.ID, groups []string) firewall.Layer {
	l := firewall.Layer{Firewall: id, Kind: firewall.Union, Rules: nil, Default: firewall.Deny}
	for _, id := range groups {
		if g, read := v.groups[id]; read {
			l.Rules = append(l.Rules, v.admits(g)...)
			continue
		}
		l.Rules = append(l.Rules, firewall.LayerRule{Name: id + " was not read", Action: firewall.Allow, Maybe: true, Last: math.MaxUint16})
	}
	slices.SortStableFunc(l.Rules, func(a, b firewall.LayerRule) int { return cmp.Compare(a.Name, b.Name) })
	return l
}

// admits returns the rules of a security group.
func (v *view) admits(g Group) (out []firewall.LayerRule) {
	wearers := v.wearers(g.ID)
	for _, x := range g.Rules {
		protocol, ok := x.protocol()
		if !ok {
			continue
		}
		r := firewall.LayerRule{Name: x.ID, Action: firewall.Allow, Protocol: protocol}
		r.First, r.Last = x.ports()
		list, known := v.lists[x.PrefixList]
		switch {
		case x.CIDR.IsValid():
			r.From = []netip.Prefix{x.CIDR.Masked()}
		case x.Group != "":
			out = append(out, v.members(r, x.Group, wearers)...)
			continue
		case known && x.PrefixList != "":
			if r.From = prefix.Union(list); r.From == nil {
				continue // nobody
			}
		default: // a list that was not resolved, or a source of a new kind
			r.Maybe = true
		}
		out = append(out, r)
	}
	return out
}

// wearers returns where interfaces wear the group.
func (v *view) wearers(group string) []wearer {
	var out []wearer
	for _, n := range v.Interfaces {
		s := v.subnets[n.Subnet]
		if s == nil || !slices.Contains(n.Groups, group) {
			continue
		}
		at := slices.IndexFunc(out, func(w wearer) bool { return w.at == s })
		if at < 0 {
			at = len(out)
			out = append(out, wearer{at: s})
		}
		for _, a := range n.Addresses {
			out[at].to = append(out[at].to, a.Private)
		}
	}
	return out
}

// members returns r for the members of a group, for each of the places where it is
// asked: who is a member, and comes by a private way, differs between them.
func (v *view) members(r firewall.LayerRule, group string, at []wearer) []firewall.LayerRule {
	_, known := v.groups[group]
	var out []firewall.LayerRule
	for _, w := range at {
		r.To = prefix.Of(w.to...)
		sure, perhaps := []netip.Prefix(nil), prefix.Everything()
		if known {
			sure, perhaps = v.addresses(group, w.at.VPC)
		}
		for _, of := range []struct {
			list  []netip.Prefix
			maybe bool
		}{{sure, false}, {prefix.Minus(perhaps, sure), true}} {
			if r.From, r.Maybe = prefix.Minus(of.list, w.at.beyond), of.maybe; len(r.From) > 0 {
				out = append(out, r)
			}
		}
	}
	return out
}

// addresses returns the private addresses of the interfaces that wear the group, in
// a VPC or in one that is joined to it. Those in a subnet that was not read are
// perhaps there.
func (v *view) addresses(group, vpc string) (sure, perhaps []netip.Prefix) {
	var in, maybe []netip.Addr
	for _, n := range v.Interfaces {
		if !slices.Contains(n.Groups, group) {
			continue
		}
		for _, a := range n.Addresses {
			switch s := v.subnets[n.Subnet]; {
			case s == nil:
				maybe = append(maybe, a.Private)
			case v.joined(vpc, s.VPC):
				in = append(in, a.Private)
			}
		}
	}
	return prefix.Of(in...), prefix.Of(maybe...)
}

// joined reports whether a is b, or an active peering joins them.
func (v *view) joined(a, b string) bool {
	return a == b || slices.ContainsFunc(v.Peerings, func(p Peering) bool {
		return p.Active && (p.Requester == a && p.Accepter == b || p.Requester == b && p.Accepter == a)
	})
}
