package path

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/azure/rule"
	"github.com/sesame-access/sesame/internal/provider/azure/topology"
	"github.com/sesame-access/sesame/internal/provider/prefix"
)

// look finds out what names stand for.
func (e *estate) look() {
	for _, n := range e.Networks {
		members := e.members(n)
		for _, s := range n.Subnets {
			e.views[s] = rule.View{VirtualNetwork: e.virtualNetwork(s), Known: true, Tags: e.known.Tags, Groups: members}
		}
	}
}

// settle makes the layers.
func (e *estate) settle() {
	e.look()
	e.float()
	behind, within := map[string][]*topology.Config{}, map[*topology.Network][]*topology.Config{}
	for _, c := range e.Configs() {
		for _, id := range slices.Compact([]string{c.Subnet.Group, c.NIC.Group}) {
			behind[id] = append(behind[id], c)
		}
		within[c.Subnet.Network] = append(within[c.Subnet.Network], c)
	}
	for id, rules := range e.Groups {
		e.add(rule.Layer(firewall.ID(id), rules, e.places(behind[id]), firewall.Deny))
	}
	for _, n := range e.Networks {
		id := adminOf(n)
		if rules, known := e.AdminRules[n.ID]; known {
			e.add(rule.Layer(id, rules, e.places(within[n]), firewall.Allow))
			continue
		}
		e.add(firewall.Unread(id, "security admin rules that were not read", true))
	}
	for id, why := range e.Unread {
		if strings.Contains(id, "/networksecuritygroups/") {
			e.add(firewall.Unread(firewall.ID(id), why, false))
		}
	}
	for _, f := range e.Firewalls {
		e.settleWall(&wall{Firewall: f, subnet: e.Subnet(f.Subnet)})
	}
}

func (e *estate) add(l firewall.Layer) { e.layers[l.Firewall] = l }

// adminOf names the security admin rules of n.
func adminOf(n *topology.Network) firewall.ID { return firewall.ID(n.ID + "/securityadminrules") }

// members returns the application security groups as rules in n know them. Azure
// wants the members of a rule's groups in one virtual network, and does not say
// what a rule does with one in a network that is peered.
func (e *estate) members(n *topology.Network) map[string]rule.Set {
	sure, perhaps := map[string][]netip.Addr{}, map[string][]netip.Addr{}
	joined := e.Joined(n)
	for _, nic := range e.NICs {
		for _, c := range nic.Configs {
			for _, id := range c.ASGs {
				switch {
				case c.Subnet.Network == n:
					sure[id] = append(sure[id], c.Address)
				case slices.Contains(joined, c.Subnet.Network):
					perhaps[id] = append(perhaps[id], c.Address)
				}
			}
		}
	}
	out := map[string]rule.Set{}
	for _, id := range slices.Concat(slices.Collect(maps.Keys(e.ASGs)), slices.Collect(maps.Keys(sure)), slices.Collect(maps.Keys(perhaps))) {
		set := rule.Set{Sure: prefix.Of(sure[id]...), Perhaps: prefix.Of(perhaps[id]...)}
		if e.Hidden || !e.ASGs[id] { // who else is in it is not known
			set = rule.Union(set, rule.Anybody())
		}
		out[id] = rule.Union(set)
	}
	return out
}

// places returns the IP configurations that some layer stands before, those together
// that see names alike.
func (e *estate) places(behind []*topology.Config) []rule.Place {
	var out []rule.Place
	var of []*topology.Network
	for _, c := range behind {
		at := 0
		for at < len(out) && (of[at] != c.Subnet.Network || !out[at].View.VirtualNetwork.Equal(e.views[c.Subnet].VirtualNetwork)) {
			at++
		}
		if at == len(out) {
			out, of = append(out, rule.Place{View: e.views[c.Subnet]}), append(of, c.Subnet.Network)
		}
		out[at].Ends = append(out[at].Ends, rule.End{VM: c.VM, Address: c.Address, Groups: c.ASGs})
		for _, a := range e.floats[c] {
			out[at].Ends = append(out[at].Ends, rule.End{VM: c.VM, Address: a, Groups: c.ASGs, Floating: true})
		}
	}
	return out
}

// virtualNetwork returns what the tag VirtualNetwork stands for, as seen from s.
// A default route "might" be in it, says the documentation, and not which subnets'
// routes count.
func (e *estate) virtualNetwork(s *topology.Subnet) rule.Set {
	n := s.Network
	set := rule.Set{Sure: slices.Concat(n.Space, rule.Probes()[:1]), Perhaps: nil}
	for _, p := range n.Peerings {
		if p.Connected && p.Access {
			set.Sure = append(set.Sure, e.SpaceOf(p)...)
		}
		if p.Connected && p.Gateways {
			set = rule.Union(set, e.behindGateways(p.Remote))
		}
	}
	if n.Gateway != nil {
		set = rule.Union(set, e.behindGateways(n.ID))
	}
	for _, other := range n.Subnets {
		routes, known := e.RoutesOf(other)
		if !known {
			set = rule.Union(set, rule.Anybody())
		}
		for _, r := range routes {
			if other == s && r.Prefix.Bits() > 0 {
				set.Sure = append(set.Sure, r.Prefix)
				continue
			}
			set.Perhaps = append(set.Perhaps, r.Prefix)
		}
	}
	return rule.Union(set)
}

// behindGateways returns what the gateways of a network lead to.
func (e *estate) behindGateways(id string) rule.Set {
	list, known := e.known.Gateways[id]
	if !known {
		return rule.Anybody()
	}
	return rule.Set{Sure: prefix.Union(list), Perhaps: nil}
}

// Views returns what names in rules stand for in each subnet. Subnets that see the
// same share a view.
func Views(t *topology.Estate, known Known) map[*topology.Subnet]*rule.View {
	e := newEstate(t, known)
	e.look()
	out := map[*topology.Subnet]*rule.View{}
	for _, n := range t.Networks {
		var seen []*rule.View
		for _, s := range n.Subnets {
			same := func(v *rule.View) bool { return v.VirtualNetwork.Equal(e.views[s].VirtualNetwork) }
			i := slices.IndexFunc(seen, same)
			if i < 0 {
				i = len(seen)
				seen = append(seen, new(e.views[s]))
			}
			out[s] = seen[i]
		}
	}
	return out
}
