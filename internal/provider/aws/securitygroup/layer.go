package securitygroup

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/aws/wall"
)

// Layer is r as the reach engine sees it: for every VM the rules of the groups
// that it wears, and where only some of its interfaces wear a group, for their
// addresses alone. It is a union, unless something has a wall around it: then the
// rules of the wall come first, in their order.
func (r Reading) Layer() firewall.Layer {
	l := firewall.Layer{Firewall: r.ID, Kind: firewall.Union, Rules: nil, Default: firewall.Deny}
	groups := map[string]int{}
	for i, g := range r.Groups {
		groups[g.ID] = i
	}
	machines := r.Machines()
	for _, vm := range slices.Sorted(maps.Keys(machines)) {
		free, walled := split(machines[vm], r.Walls)
		for _, n := range walled {
			l.Kind = firewall.Ordered
			alone, to := len(machines[vm]) == 1, prefixesOf(n.Addresses)
			if alone {
				to = nil // wherever its packets go
			}
			l.Rules = append(l.Rules, r.Walls[n.Subnet].Before(r.behind(vm, groups, []Interface{n}, alone), vm, to)...)
		}
		l.Rules = append(l.Rules, r.behind(vm, groups, free, len(walled) == 0)...)
	}
	if l.Kind == firewall.Union {
		slices.SortFunc(l.Rules, compareLines)
	}
	return l
}

// split returns the interfaces without a wall around them, and those with one.
func split(all []Interface, walls map[string]wall.Wall) (free, walled []Interface) {
	for _, n := range all {
		_, has := walls[n.Subnet]
		switch {
		case has && len(n.Addresses) > 0:
			walled = append(walled, n)
		case !has:
			free = append(free, n)
		}
	}
	return free, walled
}

// behind returns the rules of the groups that interfaces of vm wear. Those of a
// group that they all wear are for every address where they are all that vm has.
func (r Reading) behind(vm firewall.VMID, groups map[string]int, interfaces []Interface, all bool) []firewall.LayerRule {
	var out []firewall.LayerRule
	worn, addresses := map[string][]netip.Addr{}, 0
	for _, n := range interfaces {
		addresses += len(n.Addresses)
		for _, id := range n.Groups {
			worn[id] = append(worn[id], n.Addresses...)
		}
	}
	for id, to := range worn {
		only := prefixesOf(to)
		if all && len(to) == addresses {
			only = nil
		}
		i, known := groups[id]
		if !known { // attached since the groups were read
			out = append(out, firewall.LayerRule{Name: id, Action: firewall.Allow, Maybe: true, VM: vm, To: only, Last: lastPort})
			continue
		}
		_, owned := r.Owner(r.Groups[i])
		for _, rule := range r.Groups[i].Ingress {
			out = append(out, r.lines(id, vm, only, rule, owned)...)
		}
	}
	slices.SortFunc(out, compareLines)
	return out
}

func compareLines(a, b firewall.LayerRule) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.VM, b.VM), slices.CompareFunc(a.From, b.From, netip.Prefix.Compare))
}

// Machines returns the interfaces of each VM.
func (r Reading) Machines() map[firewall.VMID][]Interface {
	out := map[firewall.VMID][]Interface{}
	for _, n := range r.Interfaces {
		if n.VM != "" {
			out[n.VM] = append(out[n.VM], n)
		}
	}
	return out
}

// LineName is what the layer calls the rule of a group. It is said by what the rule
// lets in, so that another version of it has the same name.
func LineName(group string, rule Rule) string { return group + " " + rule.Content() }

// lines returns rule of the given group as it concerns vm at the addresses in to.
func (r Reading) lines(group string, vm firewall.VMID, to []netip.Prefix, rule Rule, owned bool) []firewall.LayerRule {
	line := firewall.LayerRule{
		Name: LineName(group, rule), Action: firewall.Allow, VM: vm,
		First: 0, Last: lastPort, To: to, Owned: owned || r.IsRest(group, rule),
	}
	switch rule.Protocol {
	case All:
	case 0: // an extension header of IPv6, which is no protocol of a connection
		return nil
	case tcp, udp:
		line.First, line.Last = uint16(rule.First), uint16(rule.Last) //nolint:gosec // canonical
		line.Protocol = firewall.Protocol(rule.Protocol)
	default:
		line.Protocol = firewall.Protocol(rule.Protocol) //nolint:gosec // canonical
		line.Maybe = rule.First != All                   // some types of it
	}
	from, known := r.sources(rule)
	switch {
	case !known:
		line.Maybe = true
	case len(from) == 0: // nobody
		return nil
	default:
		line.From = from
	}
	return []firewall.LayerRule{line}
}

// sources returns whom rule lets in; false when that is not known.
func (r Reading) sources(rule Rule) ([]netip.Prefix, bool) {
	switch {
	case rule.CIDR.IsValid():
		return []netip.Prefix{rule.CIDR}, true
	case rule.List != "":
		l, known := r.Lists[rule.List]
		return l.Entries, known
	case r.Find(rule.Group) < 0: // of another VPC
		members, known := r.Peers[rule.Group]
		return prefixesOf(members), known
	}
	var members []netip.Addr
	for _, n := range r.Interfaces {
		if slices.Contains(n.Groups, rule.Group) {
			members = append(members, n.Addresses...)
		}
	}
	return prefixesOf(members), true
}

// prefixesOf returns addresses as prefixes, sorted.
func prefixesOf(addrs []netip.Addr) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(addrs))
	for _, a := range addrs {
		out = append(out, netip.PrefixFrom(a, a.BitLen()))
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return slices.Compact(out)
}
