package compile

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider/aws/securitygroup"
)

// A split is a foreign group of which a VM wears a copy instead, or is to.
type split struct {
	vm    firewall.VMID
	group string
}

// splits settles which copies there are: one for each group that reaches a locked
// door of a VM and that others wear who do not have that lock. What is worn is
// settled before anything else, and everything else is decided as if it were so:
// a copy has no rule that reaches the door, so that there is nothing to displace.
// Not for the VMs in without: theirs has to be decided without copies.
func (d *draft) splits(gone []original, without map[firewall.VMID]bool) {
	d.unsplit, d.splitting, d.joining = map[split]string{}, map[firewall.VMID]bool{}, map[split]bool{}
	doors := map[firewall.VMID][]firewall.Door{}
	for _, w := range d.want {
		doors[w.Door.VM] = append(doors[w.Door.VM], w.Door)
	}
	needed := map[split][]firewall.Door{}
	all := d.candidates(doors)
	for _, s := range all {
		g, there := d.group(s.group)
		have, copied := d.group(d.CopyName(s.vm, s.group))
		needed[s] = d.reachedBy(d.whole(g, gone), doors[s.vm])
		// Of one that its owner has deleted what the copy says is all there is.
		if there && copied && len(needed[s]) == 0 {
			d.join(s, have)
		}
	}
	d.look() // who wears the original again may be missed now
	for _, s := range all {
		g, there := d.group(s.group)
		_, copied := d.group(d.CopyName(s.vm, s.group))
		if wanted := d.Shared == securitygroup.Split && !without[s.vm] && !d.spares(needed[s]) && d.missed(s, needed[s]); there && len(needed[s]) > 0 && (copied || wanted) {
			g.Ingress = d.whole(g, gone)
			d.apart(s, g, needed[s], gone)
		}
	}
	d.look()
}

// reachedBy returns those of doors that rules let anybody in to who is not exempt.
func (d *draft) reachedBy(rules []securitygroup.Rule, doors []firewall.Door) []firewall.Door {
	return slices.DeleteFunc(slices.Clone(doors), func(door firewall.Door) bool {
		return !slices.ContainsFunc(rules, func(r securitygroup.Rule) bool { return d.admits(r, door) })
	})
}

// look finds everything again in the reading as it will be.
func (d *draft) look() {
	if len(d.changes) == 0 {
		return
	}
	d.Reading = d.after()
	clear(d.index)
	for i, g := range d.Groups {
		_, ours := d.Owner(g)
		_, _, copied := d.CopyOf(g)
		if d.index[g.ID] = i; ours || copied {
			d.index[g.Name] = i
		}
	}
	d.wearing, d.interfaces = d.Wearers(), d.Machines()
}

// whole returns what g says but for what locks have done to it: its own rules, and
// those that are displaced. What a copy says does not depend on the locks of others.
func (d *draft) whole(g securitygroup.Group, gone []original) []securitygroup.Rule {
	var out, rests []securitygroup.Rule
	for _, r := range g.Ingress {
		if d.IsRest(g.ID, r) {
			r.Description = "" // a mark, which would be a broken one
			rests = append(rests, r)
			continue
		}
		out = append(out, r)
	}
	for _, x := range gone {
		if x.Group == g.ID {
			out = append(out, x.Rule)
		}
	}
	for _, r := range rests { // of rules that the book has lost
		if !slices.ContainsFunc(out, r.Within) {
			out = append(out, r)
		}
	}
	return out
}

// candidates returns the groups that VMs with doors wear, and the copies that
// there are.
func (d *draft) candidates(doors map[firewall.VMID][]firewall.Door) []split {
	all := map[split]bool{}
	for g := range d.foreign() {
		if vm, group, copied := d.CopyOf(g); copied {
			all[split{vm, group}] = true
			continue
		}
		for _, vm := range d.wearing[g.ID] {
			if len(doors[vm]) > 0 {
				all[split{vm, g.ID}] = true
			}
		}
	}
	return slices.SortedFunc(maps.Keys(all), func(a, b split) int {
		return compareSpots(spot{string(a.vm), a.group}, spot{string(b.vm), b.group})
	})
}

// missed reports whether somebody else who wears the group of s would lose what is
// taken out for doors.
func (d *draft) missed(s split, doors []firewall.Door) bool {
	for _, vm := range d.wearing[s.group] {
		for _, p := range portsOf(doors) {
			if _, locked := d.want.Of(firewall.Door{VM: vm, Protocol: p.Protocol, Port: p.Number}); !locked {
				return true
			}
		}
	}
	return false
}

// apart makes the copy of g what it has to be, and puts it on in the place of g.
func (d *draft) apart(s split, g securitygroup.Group, doors []firewall.Door, gone []original) {
	name := d.CopyName(s.vm, g.ID)
	rules, why := d.without(g, doors)
	have, copied := d.group(name)
	wanted, missing := map[string]bool{}, []securitygroup.Rule(nil)
	for _, rule := range rules {
		wanted[rule.Content()] = true
		if !slices.ContainsFunc(have.Ingress, func(o securitygroup.Rule) bool { return o.Content() == rule.Content() }) {
			missing = append(missing, rule)
		}
	}
	switch {
	case why != "":
	case !copied:
		why = d.bound(s, g, gone)
	case !d.CostOf(have.Ingress...).Fits(d.CostOf(missing...), d.Quotas):
		why = "its copy has no room to change"
		d.shut(s, missing)
	}
	if why != "" { // a copy that is there stays as it is, and holds its door
		d.unsplit[s] = why
		return
	}
	first := doors[0]
	if d.splitting[s.vm] = true; !copied {
		d.serve(stepMake, plan.Lock, first, "others wear "+g.ID+", too", securitygroup.Write{Do: securitygroup.Make, Group: name, VM: s.vm})
	}
	for _, rule := range missing {
		d.serve(stepKeep, plan.Keep, first, "as "+g.ID+" says it", securitygroup.Write{Do: securitygroup.Authorize, Group: name, Rule: &rule})
	}
	for _, rule := range have.Ingress {
		if !wanted[rule.Content()] {
			d.serve(stepDisplace, plan.Close, first, g.ID+" does not say it, or it reaches a locked door", securitygroup.Write{Do: securitygroup.Revoke, Group: name, Rule: &rule})
		}
	}
	for _, n := range d.interfaces[s.vm] {
		if slices.Contains(n.Groups, g.ID) {
			swap := securitygroup.Write{Do: securitygroup.Swap, Group: name, Interface: n.ID, Instead: g.ID}
			if waits, contested := d.Contested[swap.Contest()]; contested {
				d.unsplit[s] = waits
				continue
			}
			d.serve(stepSwap, plan.Lock, first, "its copy does not reach "+first.String(), swap)
		}
	}
}

// shut holds the doors of ended locks that the copy of s goes on shutting, because it
// has no room for the rules that are missing in it: they stay locked until it has,
// or until no lock needs a copy.
func (d *draft) shut(s split, missing []securitygroup.Rule) {
	for _, door := range slices.SortedFunc(maps.Keys(d.shown), firewall.CompareDoors) {
		_, wanted := d.want.Of(door)
		if !wanted && door.VM == s.vm && len(d.reachedBy(missing, []firewall.Door{door})) > 0 {
			d.stuck[door] = true
			d.hold(door, "no room in the copy of %s that %s wears for what lets somebody in again: it holds %d rules of each family", s.group, s.vm.Name(), d.Quotas.Rules)
		}
	}
}

// join puts the group back on where its copy is, which ends.
func (d *draft) join(s split, have securitygroup.Group) {
	door := firewall.Door{VM: s.vm, Protocol: 0, Port: 0}
	d.joining[s] = true
	for _, n := range d.Interfaces {
		if slices.Contains(n.Groups, have.ID) {
			// After what comes back to the group and before openings go, so that nobody
			// is cut in between. No rule was out: the group is as its owner has it now.
			d.serve(stepUnlock, plan.Drop, door, "no lock needs a copy of it any more", securitygroup.Write{Do: securitygroup.Swap, Group: s.group, Interface: n.ID, Instead: have.Name})
		}
	}
	d.serve(stepDelete, plan.Drop, door, "no lock needs it", securitygroup.Write{Do: securitygroup.Delete, Group: have.Name})
}

// without returns the rules of g but for what reaches doors, or why they cannot be
// had.
func (d *draft) without(g securitygroup.Group, doors []firewall.Door) (out []securitygroup.Rule, why string) {
	there := map[string]bool{}
	add := func(rules ...securitygroup.Rule) {
		for _, r := range rules {
			if !there[r.Content()] {
				r.ID, r.Tags = "", nil
				there[r.Content()] = true
				out = append(out, r)
			}
		}
	}
	var parts []securitygroup.Rule
	for _, rule := range g.Ingress {
		var its []firewall.Door
		for _, door := range doors {
			if d.admits(rule, door) {
				its = append(its, door)
			}
		}
		if len(its) == 0 {
			add(rule)
			continue
		}
		rest, _ := rule.Rest(portsOf(its), d.Keep)
		parts = append(parts, rest...)
	}
	if add(parts...); !(securitygroup.Cost{}).Fits(d.CostOf(out...), d.Quotas) {
		return nil, fmt.Sprintf("its copy would have %d rules", len(out))
	}
	return out, ""
}

// bound says why nobody can wear a copy instead of g; empty when somebody can. A
// copy is another group to those who name the original, and what it lets out is
// what any new group does.
func (d *draft) bound(s split, g securitygroup.Group, gone []original) string {
	for _, other := range d.Groups {
		for _, rule := range other.Ingress {
			if rule.Group == g.ID {
				return fmt.Sprintf("%s in %s names it as a source", rule.Content(), other.ID)
			}
		}
	}
	for _, x := range gone {
		if x.Rule.Group == g.ID {
			return fmt.Sprintf("%s in %s names it as a source, once it is given back", x.Rule.Content(), x.Group)
		}
	}
	for _, n := range d.interfaces[s.vm] {
		six := slices.ContainsFunc(n.Addresses, netip.Addr.Is6)
		if !g.Plain4 || six && !g.Plain6 {
			return "it does not let everything out"
		}
	}
	return ""
}
