package packet

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/sesame-access/sesame/internal/cloudsim/arm/packet/topology"
)

// A flow is a packet as the rules of one place see it.
type flow struct {
	Packet

	at       *topology.Subnet   // whose view of the service tags counts
	from, to *topology.Endpoint // nil where the address is no IP configuration's
}

func (k *walk) flow(p Packet, at *topology.Subnet, from, to *topology.Endpoint) flow {
	return flow{Packet: p, at: at, from: from, to: to}
}

// defaultRules are those that every network security group ends with.
func defaultRules() []topology.Rule {
	any := []string{"*"}
	of := func(name string, priority int, direction, from, to, access string) topology.Rule {
		return topology.Rule{
			Name: "defaultSecurityRules/" + name, Priority: priority, Direction: direction, Access: access, Protocols: any,
			Sources:      topology.Side{Addresses: []string{from}, ASGs: nil, IPGroups: nil, FQDNs: nil, Ports: any},
			Destinations: topology.Side{Addresses: []string{to}, ASGs: nil, IPGroups: nil, FQDNs: nil, Ports: any},
		}
	}
	return []topology.Rule{
		of("AllowVnetInBound", 65000, "Inbound", "VirtualNetwork", "VirtualNetwork", "Allow"),
		of("AllowAzureLoadBalancerInBound", 65001, "Inbound", "AzureLoadBalancer", "*", "Allow"),
		of("DenyAllInBound", 65500, "Inbound", "*", "*", "Deny"),
		of("AllowVnetOutBound", 65000, "Outbound", "VirtualNetwork", "VirtualNetwork", "Allow"),
		of("AllowInternetOutBound", 65001, "Outbound", "*", "Internet", "Allow"),
		of("DenyAllOutBound", 65500, "Outbound", "*", "*", "Deny"),
	}
}

// groupOf returns what the network security group with this id does with f: its
// first rule that matches decides. No group lets everything pass.
func (k *walk) groupOf(id, direction string, f flow) Outcome {
	if id == "" {
		return Delivered
	}
	g := k.Group(id)
	if g == nil {
		return k.decide(id, "", Unknown, "the group is not in this world")
	}
	var doubts []topology.Rule
	for _, r := range topology.InOrder(append(slices.Clone(g.Rules), defaultRules()...), direction) {
		switch k.matches(r, f) {
		case no:
		case perhaps:
			doubts = append(doubts, r)
		case yes:
			for _, d := range doubts {
				if d.Allows() != r.Allows() {
					return k.decide(g.ID, d.Name, Unknown, "it is not known whether the rule matches; else %s decides", r.Name)
				}
			}
			if r.Allows() {
				return k.decide(g.ID, r.Name, Delivered, "")
			}
			return k.decide(g.ID, r.Name, Denied, "")
		}
	}
	return k.decide(g.ID, "", Unknown, "no rule decides")
}

// An adminVerdict is what the security admin rules leave to say: the outcomes
// that are final, and whether the groups are asked at all.
type adminVerdict struct {
	final Outcome
	pass  bool
}

// admin returns what the security admin rules of network n do with f. They come
// before the groups: Deny drops and AlwaysAllow delivers, whatever the groups
// say; Allow, and no match, leave it to them.
func (k *walk) admin(n *topology.Network, direction string, f flow) adminVerdict {
	v := adminVerdict{final: 0, pass: false}
	for _, r := range topology.InOrder(n.AdminRules, direction) {
		match := k.matches(r, f)
		if match == no {
			continue
		}
		does := Outcome(0)
		switch strings.ToLower(r.Access) {
		case "deny":
			does = Denied
		case "alwaysallow":
			does = Delivered
		default:
			v.pass = true
		}
		v.final |= does
		if match == perhaps {
			k.decide(n.ID, r.Name, Unknown, "it is not known whether the rule matches")
			continue
		}
		if does != 0 {
			k.decide(n.ID, r.Name, does, "")
		}
		return v
	}
	v.pass = true
	return v
}

// matches reports whether r speaks about f.
func (k *walk) matches(r topology.Rule, f flow) answer {
	return min(
		protocolMatches(r, f.Protocol),
		portMatches(r.Sources.Ports, f.Protocol, f.FromPort),
		portMatches(r.Destinations.Ports, f.Protocol, f.ToPort),
		k.sideMatches(r.Sources, f, true),
		k.sideMatches(r.Destinations, f, false),
	)
}

// protocolMatches compares names without case: the API does not keep it.
func protocolMatches(r topology.Rule, p Protocol) answer {
	for _, name := range r.Protocols {
		switch strings.ToLower(name) {
		case "*", "any":
			return yes
		case "tcp":
			if p == TCP {
				return yes
			}
		case "udp":
			if p == UDP {
				return yes
			}
		case "icmp":
			if p == ICMP {
				return yes
			}
		case "esp":
			if p == ESP {
				return yes
			}
		case "ah":
			if p == AH {
				return yes
			}
		default:
			return perhaps
		}
	}
	return no
}

// portMatches reports whether port is in one of the ranges. Whether a list of
// ports speaks about protocols without ports is not documented.
func portMatches(ranges []string, p Protocol, port uint16) answer {
	if len(ranges) == 0 {
		return perhaps
	}
	found := no
	for _, text := range ranges {
		if text == "*" {
			return yes
		}
		if p != TCP && p != UDP {
			found = perhaps
			continue
		}
		first, last, isRange := strings.Cut(text, "-")
		if !isRange {
			last = first
		}
		from, err1 := strconv.Atoi(strings.TrimSpace(first))
		to, err2 := strconv.Atoi(strings.TrimSpace(last))
		if err1 != nil || err2 != nil {
			found = perhaps
			continue
		}
		if from <= int(port) && int(port) <= to {
			return yes
		}
	}
	return found
}

// sideMatches reports whether the source or the destination of f is one that s
// lists. A side that lists nothing cannot be written; perhaps it is any.
func (k *walk) sideMatches(s topology.Side, f flow, source bool) answer {
	address, end := f.To, f.to
	if source {
		address, end = f.From, f.from
	}
	if len(s.Addresses)+len(s.ASGs)+len(s.IPGroups)+len(s.FQDNs) == 0 {
		return perhaps
	}
	found := no
	for _, text := range s.Addresses {
		found = max(found, k.covers(text, address, f.at))
	}
	for _, id := range s.ASGs {
		found = max(found, k.member(id, address, end, f.at))
	}
	for _, id := range s.IPGroups {
		g := k.IPGroup(id)
		if g == nil {
			found = max(found, perhaps)
			continue
		}
		for _, text := range g.Addresses {
			found = max(found, k.covers(text, address, f.at))
		}
	}
	if len(s.FQDNs) > 0 {
		found = max(found, perhaps)
	}
	return found
}

// member reports whether address, which is end's if anybody's, is one of an
// application security group, as seen from subnet at. Azure wants the members of
// a rule's groups in one virtual network, and does not say what a rule does with
// one in a network that is peered.
func (k *walk) member(group string, address netip.Addr, end *topology.Endpoint, at *topology.Subnet) answer {
	if at == nil {
		return perhaps
	}
	if end != nil && end.Address != address {
		// A floating IP: whether it is a member with its machine, nobody says.
		return min(perhaps, certain(topology.OneOf(end.ASGs, group)))
	}
	if end != nil && end.Subnet.Network == at.Network {
		return certain(topology.OneOf(end.ASGs, group))
	}
	for _, e := range k.Endpoints {
		if e.Address == address && topology.OneOf(e.ASGs, group) && e.Subnet.Network != at.Network && k.Joined(e.Subnet.Network, at.Network) {
			return perhaps
		}
	}
	return no
}
