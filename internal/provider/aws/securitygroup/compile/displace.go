package compile

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/aws/securitygroup"
)

// original is a displaced rule that is not there, with the door it was displaced
// for.
type original struct {
	displaced

	door  firewall.Door
	since time.Time // zero if that is not known
	undo  string    // as it is stored
}

// gone returns the displaced rules that are not there, one for each content, of
// the groups that still exist. Of two with the same content the newer one is what
// its owner wants: he had written it anew.
func (d *draft) gone(displaced []plan.Change) ([]original, error) {
	var all []original
	for _, c := range slices.SortedFunc(slices.Values(displaced), plan.Compare) {
		if c.Op != plan.Displace {
			continue
		}
		x, err := readDisplaced(c)
		if err != nil {
			return nil, err
		}
		all = append(all, original{displaced: x, door: c.Door, since: c.Since, undo: c.Undo})
	}
	slices.SortStableFunc(all, func(a, b original) int { return b.since.Compare(a.since) })
	var out []original
	for _, x := range all {
		g, there := d.group(x.Group)
		if !there {
			continue // with its group, for good
		}
		same := func(r securitygroup.Rule) bool { return r.Content() == x.Rule.Content() }
		back := func(r securitygroup.Rule) bool { return same(r) && !d.IsRest(x.Group, r) }
		twice := func(o original) bool { return o.Group == x.Group && same(o.Rule) }
		if !slices.ContainsFunc(g.Ingress, back) && !slices.ContainsFunc(out, twice) {
			out = append(out, x)
		}
	}
	return out, nil
}

// reached returns the doors of locks that rule lets somebody in to who is not
// exempt, given who wears its group.
func (d *draft) reached(locks []firewall.Door, group string, rule securitygroup.Rule) []firewall.Door {
	var out []firewall.Door
	for _, door := range locks {
		if _, wears := slices.BinarySearch(d.wearing[group], door.VM); wears && d.admits(rule, door) {
			out = append(out, door)
		}
	}
	return out
}

// doorsOf returns the locked doors behind each group.
func (d *draft) doorsOf() map[string][]firewall.Door {
	out := map[string][]firewall.Door{}
	for _, door := range d.locks {
		for _, n := range d.interfaces[door.VM] {
			for _, id := range n.Groups {
				if !slices.Contains(out[id], door) {
					out[id] = append(out[id], door)
				}
			}
		}
	}
	return out
}

// admits reports whether rule lets anybody in to door who is not exempt there.
func (d *draft) admits(rule securitygroup.Rule, door firewall.Door) bool {
	if !rule.Matches(door.Protocol, door.Port) {
		return false
	}
	w, _ := d.want.Of(door)
	return !slices.ContainsFunc(w.Open, func(o firewall.Opening) bool {
		return o.Exempt() && rule.CIDR.IsValid() && firewall.Covers(o.From, rule.CIDR)
	})
}

// keptOut returns the doors for which x has to stay out. The door that it was
// displaced for is one as long as it is locked, whatever its VM wears now: a rule
// comes back only when somebody ends its lock, or where a copy does its work.
func (d *draft) keptOut(x original) []firewall.Door {
	doors := d.reached(d.locks, x.Group, x.Rule)
	if !slices.Contains(doors, x.door) && slices.Contains(d.locks, x.door) && d.admits(x.Rule, x.door) && !d.spared(x) {
		doors = append(doors, x.door)
	}
	return doors
}

// spared reports whether the VM that x is out for wears a copy of its group instead,
// and x is needed by those who come back to the group from copies, which say it. Who
// wears the group and has no copy never had x by it: for them it stays out.
func (d *draft) spared(x original) bool {
	wearers := d.wearing[x.Group]
	if _, copied := d.group(d.CopyName(x.door.VM, x.Group)); !copied || slices.Contains(wearers, x.door.VM) {
		return false
	}
	return !slices.ContainsFunc(wearers, func(vm firewall.VMID) bool { return !d.joining[split{vm, x.Group}] })
}

// portsOf returns the ports of doors.
func portsOf(doors []firewall.Door) []securitygroup.Port {
	var out []securitygroup.Port
	for _, door := range doors {
		if p := (securitygroup.Port{Protocol: door.Protocol, Number: door.Port}); !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

// displace takes out the foreign rules that reach a locked door, keeps the exact
// rest of each, and gives back what no lock needs out any more. What is kept
// follows from the originals and the locks alone, never from one lock's share.
func (d *draft) displace(gone []original) {
	var coming []original
	for _, x := range gone {
		if doors := d.keptOut(x); len(doors) > 0 {
			d.keep(x.Group, x.Rule, doors)
			continue
		}
		coming = append(coming, x)
	}
	in, out, doorsOf := map[string][]securitygroup.Rule{}, map[string][]securitygroup.Rule{}, d.doorsOf()
	for g := range d.foreign() {
		for _, rule := range g.Ingress {
			at := spot{g.ID, rule.Content()}
			if _, ours := d.have[at]; ours {
				continue
			}
			doors := d.reached(doorsOf[g.ID], g.ID, rule)
			if _, stays := d.stays[at]; stays || len(doors) == 0 {
				in[g.ID] = append(in[g.ID], rule)
				continue
			}
			d.keep(g.ID, rule, doors)
			why := fmt.Sprintf("it reaches %s, which is locked", doors[0])
			if _, lost := rule.Rest(portsOf(doors), d.Keep); lost != "" {
				why += "; lost: " + lost
			}
			if rule.CIDR.IsValid() && rule.CIDR.Bits() == 0 {
				why += "; sessions that it let in may be untracked, and are cut"
			}
			x := displaced{Group: g.ID, Rule: rule}
			out[g.ID] = append(out[g.ID], rule)
			d.foreignChange(stepDisplace, plan.Displace, doors[0], x, x.text(), why, securitygroup.Write{Do: securitygroup.Revoke, Group: g.ID, Rule: &rule})
		}
	}
	d.settleRests(in, d.restore(coming, out))
}

// restore gives back what there is room for, once out has gone, and returns it by
// group. Whatever else is to come into a group is known by then.
func (d *draft) restore(coming []original, out map[string][]securitygroup.Rule) map[string][]securitygroup.Rule {
	kept := map[string][]securitygroup.Rule{}
	for _, at := range slices.SortedFunc(maps.Keys(d.targets), compareSpots) {
		if _, have := d.have[at]; !have && d.targets[at].kind == provider.OwnedRest {
			kept[at.group] = append(kept[at.group], d.targets[at].rule)
		}
	}
	back := map[string][]securitygroup.Rule{}
	for _, x := range coming {
		if d.stuckBy(x, slices.Concat(kept[x.Group], back[x.Group]), out[x.Group]) {
			continue
		}
		back[x.Group] = append(back[x.Group], x.Rule)
		w := securitygroup.Write{Do: securitygroup.Authorize, Group: x.Group, Rule: &x.Rule}
		if at := (spot{x.Group, x.Rule.Content()}); d.have[at].Description != "" {
			w.Do = securitygroup.Describe // the rest of another one says the same
			delete(d.have, at)
		}
		d.foreignChange(stepRestore, plan.Restore, x.door, x.displaced, x.undo, "no lock needs it out any more"+x.fine(d.At), w)
	}
	return back
}

// stuckBy reports whether x cannot come back now, and holds the doors that wait
// for it. Before it in comes into its group, and out goes.
func (d *draft) stuckBy(x original, in, out []securitygroup.Rule) bool {
	g, _ := d.group(x.Group)
	used := d.CostOf(slices.Concat(g.Ingress, in)...).Minus(d.CostOf(out...))
	if at := (spot{x.Group, x.Rule.Content()}); d.have[at].Description != "" || used.Fits(d.CostOf(x.Rule), d.Quotas) {
		return false
	}
	if d.shown[x.door] {
		d.stuck[x.door] = true // it shows until then
	}
	d.hold(x.door, "no room in %s to give back %s: it holds %d rules of each family", x.Group, x.Rule.Content(), d.Quotas.Rules)
	return true
}

// foreignChange adds a change to a foreign rule, with the rule as it was read.
func (d *draft) foreignChange(step int, op plan.Op, door firewall.Door, x displaced, undo, why string, w securitygroup.Write) {
	d.changes = append(d.changes, plan.Change{
		Step: step, Op: op, Door: door, Why: x.Group + " " + x.Rule.Content() + ": " + why, Native: w.Text(), Undo: undo, Rule: securitygroup.LineName(x.Group, x.Rule),
	})
}

// keep aims at what else rule lets in than to doors. One rule serves all that
// need it.
func (d *draft) keep(group string, rule securitygroup.Rule, doors []firewall.Door) {
	rest, _ := rule.Rest(portsOf(doors), d.Keep)
	for _, part := range rest {
		at := spot{group, part.Content()}
		if _, there := d.targets[at]; !there {
			d.targets[at] = target{kind: provider.OwnedRest, rule: d.SealRest(group, part), door: doors[0], why: "the rest of " + rule.Content() + " in " + group}
		}
	}
}

// settleRests drops what was kept of rules that are back, and what foreign rules
// say already. A rest is never dropped while nothing else lets its sources in:
// half a list of displaced rules must not cut anybody off.
func (d *draft) settleRests(in, back map[string][]securitygroup.Rule) {
	said := map[string][]securitygroup.Rule{}
	for at, rule := range d.have {
		if _, stays := d.stays[at]; stays { // what it says need not be said in parts
			in[at.group] = append(in[at.group], rule)
		}
	}
	for _, at := range slices.SortedFunc(maps.Keys(d.targets), compareSpots) {
		t := d.targets[at]
		if t.kind != provider.OwnedRest {
			continue
		}
		_, have := d.have[at]
		if !have && slices.ContainsFunc(slices.Concat(in[at.group], back[at.group]), t.rule.Within) {
			delete(d.targets, at)
			continue
		}
		said[at.group] = append(said[at.group], t.rule)
	}
	strays := d.strayRests()
	for at, rule := range strays {
		covers := func(other securitygroup.Rule) bool { return other.Content() != at.content && rule.Within(other) }
		others := slices.Concat(said[at.group], in[at.group], back[at.group])
		for other, r := range strays {
			if other.group == at.group {
				others = append(others, r)
			}
		}
		if !slices.ContainsFunc(others, covers) {
			var nowhere firewall.Door
			d.targets[at] = target{kind: provider.OwnedRest, rule: rule, door: nowhere, why: "nothing else lets these sources in"}
		}
	}
}

// strayRests returns what is to be kept of the rests that no displaced rule asks
// for, and closes what of them reaches a locked door.
func (d *draft) strayRests() map[spot]securitygroup.Rule {
	out := map[spot]securitygroup.Rule{}
	for _, at := range slices.SortedFunc(maps.Keys(d.have), compareSpots) {
		rule := d.have[at]
		if _, aimed := d.targets[at]; aimed || !d.IsRest(at.group, rule) {
			continue
		}
		doors := d.reached(d.locks, at.group, rule)
		if _, stays := d.stays[at]; stays || len(doors) == 0 {
			out[at] = rule
			continue
		}
		rest, _ := rule.Rest(portsOf(doors), d.Keep)
		for _, part := range rest {
			out[spot{at.group, part.Content()}] = d.SealRest(at.group, part)
		}
		delete(d.have, at)
		d.serve(stepDisplace, plan.Close, doors[0], "what was kept reaches a locked door", securitygroup.Write{Do: securitygroup.Revoke, Group: at.group, Rule: &rule})
	}
	return out
}
