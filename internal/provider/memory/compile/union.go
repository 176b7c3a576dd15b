package compile

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/memory/dialect"
)

// The protocols that are kept of a displaced rule for any protocol, besides TCP
// and UDP: those that a cloud can name.
const (
	icmp  firewall.Protocol = 1
	icmp6 firewall.Protocol = 58
)

// displace takes out the foreign rules that reach a locked door, keeps the
// exact rest of each, and gives back what no lock needs out any more. What is
// kept follows from the originals and the locks alone, never from one lock's
// share of them. A lock is held when what it needs kept has no room.
func (d *draft) displace(displaced []plan.Change) error {
	gone, err := d.gone(displaced)
	if err != nil {
		return err
	}
	room := d.Config.Rooms - d.Used() + d.closing()
	stays := d.reopened(gone, room)
	for _, w := range d.want {
		if d.has(d.targets[d.LockRule(w.Door, w.Cut).Name]) {
			continue
		}
		d.locks = append(d.locks, w.Door)
		why := ""
		if i := slices.IndexFunc(stays, func(r dialect.Rule) bool { return r.Line(false).Matches(w.Door) }); i >= 0 {
			why = fmt.Sprintf("the rule %s lets somebody in and cannot be taken out", stays[i].Name)
		} else if n := d.lacking(gone, stays); n > room {
			why = fmt.Sprintf("no room for the %d rules that would keep what else is let in: %d of %d used", n, d.Used(), d.Config.Rooms)
		}
		if why != "" {
			d.locks = d.locks[:len(d.locks)-1]
			d.hold(w.Door, "%s", why)
		}
	}
	var back []dialect.Rule
	_, in := d.split(gone, stays)
	for _, x := range gone {
		switch doors := d.reaches(x.rule); {
		case len(doors) > 0:
			d.keep(x.rule, doors[0])
		case d.cramped[x.rule.Name]:
			d.hold(x.door, "no room to give %s back: %d of %d rules used", x.rule.Name, d.Used(), d.Config.Rooms)
			delete(d.have, d.LockRule(x.door, false).Name) // the lock shows until then
		default:
			back = append(back, x.rule)
			d.foreignChange(stepRestore, plan.Restore, x.door, x.rule, "no lock needs "+x.rule.Name+" out any more", dialect.Edit{Put: &x.rule})
		}
	}
	for _, r := range d.foreign {
		if doors := d.reaches(r); len(doors) > 0 && !slices.ContainsFunc(in, r.Is) {
			d.keep(r, doors[0])
			d.takeOut(r, doors)
		}
	}
	d.settleRests(in, back)
	d.keepHeld()
	return nil
}

// reopened looks at the doors that are locked already. It returns the foreign
// rules that reach them and stay all the same: those of another installation,
// those that are spared, and those whose rest has no room.
func (d *draft) reopened(gone []original, room int) (stays []dialect.Rule) {
	for _, w := range d.want {
		if d.has(d.targets[d.LockRule(w.Door, w.Cut).Name]) {
			d.locks = append(d.locks, w.Door)
		}
	}
	for _, r := range d.foreign {
		if _, state, _ := d.Mark(r); state == firewall.MarkForeign {
			stays = append(stays, r)
			for _, door := range d.reaches(r) {
				d.hold(door, "the rule %s of another installation lets somebody in", r.Name)
			}
		} else if d.spares(r) {
			stays = append(stays, r)
		}
	}
	for _, r := range d.foreign {
		doors := d.reaches(r)
		if len(doors) == 0 || slices.ContainsFunc(stays, r.Is) || d.lacking(gone, stays) <= room {
			continue
		}
		stays = append(stays, r)
		for _, door := range doors {
			d.hold(door, "no room for the rules that would keep what else %s lets in: %d of %d used", r.Name, d.Used(), d.Config.Rooms)
		}
	}
	return stays
}

// spares reports whether every lock that needs r out would rather be exposed.
func (d *draft) spares(r dialect.Rule) bool {
	spared := false
	for _, w := range d.want {
		if r.Action == firewall.Allow && r.Line(false).Matches(w.Door) {
			if spared = w.Spares; !spared {
				return false
			}
		}
	}
	return spared
}

// split returns the foreign rules that the locks keep out, and those that are in.
func (d *draft) split(gone []original, stays []dialect.Rule) (out, in []dialect.Rule) {
	for _, x := range gone {
		if len(d.reaches(x.rule)) > 0 {
			out = append(out, x.rule)
		}
	}
	for _, r := range d.foreign {
		if len(d.reaches(r)) > 0 && !slices.ContainsFunc(stays, r.Is) {
			out = append(out, r)
		} else {
			in = append(in, r)
		}
	}
	return out, in
}

// original is a displaced foreign rule.
type original struct {
	rule dialect.Rule
	door firewall.Door
}

// gone returns the displaced rules that are not there, one for each content.
func (d *draft) gone(displaced []plan.Change) ([]original, error) {
	var out []original
	present := d.foreign
	for _, c := range slices.SortedFunc(slices.Values(displaced), plan.Compare) {
		if c.Op != plan.Displace {
			continue
		}
		var r dialect.Rule
		if err := r.UnmarshalJSON([]byte(c.Undo)); err != nil {
			return nil, fmt.Errorf("read a displaced rule: %w", err)
		}
		same := func(o dialect.Rule) bool { return o.Content() == r.Content() || o.Name == r.Name }
		if !slices.ContainsFunc(present, same) && !slices.ContainsFunc(out, func(o original) bool { return same(o.rule) }) {
			out = append(out, original{rule: r, door: c.Door})
		}
	}
	return out, nil
}

// reaches returns the locked doors that r lets somebody in to.
func (d *draft) reaches(r dialect.Rule) []firewall.Door {
	return slices.DeleteFunc(slices.Clone(d.locks), func(door firewall.Door) bool {
		return r.Action != firewall.Allow || !r.Line(false).Matches(door)
	})
}

// takeOut adds the change that displaces r.
func (d *draft) takeOut(r dialect.Rule, doors []firewall.Door) {
	for _, door := range doors {
		d.shaken[door] = true
	}
	d.foreignChange(stepDisplace, plan.Displace, doors[0], r, r.Name+" reaches a locked door", dialect.Edit{Delete: r.Name, Was: &r})
}

// foreignChange adds a change to a foreign rule, with the rule as it was read.
func (d *draft) foreignChange(step int, op plan.Op, door firewall.Door, r dialect.Rule, why string, e dialect.Edit) {
	d.changes = append(d.changes, plan.Change{Step: step, Op: op, Door: door, Why: why, Native: dialect.Encode(e), Undo: r.Text(), Rule: r.Name})
}

// complement returns what of r does not reach a locked door, as few rules of
// ours.
func (d *draft) complement(r dialect.Rule) []dialect.Rule {
	protocols := []firewall.Protocol{r.Protocol}
	if r.Protocol == 0 {
		protocols = []firewall.Protocol{firewall.TCP, firewall.UDP, icmp, icmp6}
	}
	var out []dialect.Rule
	for _, proto := range protocols {
		r.Protocol = proto
		if proto != firewall.TCP && proto != firewall.UDP {
			out = append(out, d.rest(r, r.VM, int(r.First), int(r.Last)))
			continue
		}
		locked := func(vm firewall.VMID, port uint16) bool {
			return slices.ContainsFunc(d.locks, func(l firewall.Door) bool {
				return l.Protocol == proto && l.Port == port && (vm == "" || vm == l.VM)
			})
		}
		out = append(out, d.runs(r, r.VM, func(port uint16) bool { return locked(r.VM, port) })...)
		if r.VM != "" {
			continue
		}
		// A port that is locked for one VM stays reachable at the others.
		for _, vm := range d.VMs {
			out = append(out, d.runs(r, vm, func(port uint16) bool { return locked(vm, port) || !locked("", port) })...)
		}
	}
	return out
}

// runs returns r for vm without the ports to skip, one rule for each unbroken
// run of the others.
func (d *draft) runs(r dialect.Rule, vm firewall.VMID, skip func(uint16) bool) []dialect.Rule {
	var out []dialect.Rule
	cuts := []int{int(r.First), int(r.Last) + 1}
	for _, l := range d.locks {
		cuts = append(cuts, int(l.Port), int(l.Port)+1)
	}
	slices.Sort(cuts)
	start := -1
	for _, at := range slices.Compact(cuts) {
		if at < int(r.First) || at > int(r.Last)+1 {
			continue
		}
		open := at <= int(r.Last) && !skip(uint16(at)) //nolint:gosec // at most 65535
		switch {
		case open && start < 0:
			start = at
		case !open && start >= 0:
			out = append(out, d.rest(r, vm, start, at-1))
			start = -1
		}
	}
	return out
}

// rest is a part of r, as a rule of ours.
func (d *draft) rest(r dialect.Rule, vm firewall.VMID, first, last int) dialect.Rule {
	part := dialect.Rule{
		Action: firewall.Allow, VM: vm, Protocol: r.Protocol,
		First: uint16(first), Last: uint16(last), From: []netip.Prefix{r.Source()}, //nolint:gosec // ports
	}
	part.Name = part.Content()
	return d.SealedRest(part)
}

// lacking returns how many rules would have to be added to keep what the locks
// must not shut.
func (d *draft) lacking(gone []original, stays []dialect.Rule) int {
	out, in := d.split(gone, stays)
	parts := map[string]dialect.Rule{}
	for _, r := range out {
		for _, part := range d.complement(r) {
			parts[part.Name] = part
		}
	}
	known := slices.Collect(maps.Values(parts))
	for _, r := range d.have {
		if o, _ := d.ReadOwned(r); o.Kind == provider.OwnedRest && len(d.reaches(r)) > 0 && !slices.ContainsFunc(known, r.Is) {
			for _, part := range d.complement(r) {
				if !slices.ContainsFunc(known, part.Within) {
					parts[part.Name] = part
				}
			}
		}
	}
	n := 0
	for name, r := range parts {
		if _, have := d.have[name]; !have && !slices.ContainsFunc(in, r.Within) {
			n++
		}
	}
	return n
}

// keep aims at what else a rule lets in that door needs out. One rule serves all
// that need it.
func (d *draft) keep(r dialect.Rule, door firewall.Door) {
	for _, part := range d.complement(r) {
		if _, ok := d.targets[part.Name]; !ok {
			d.targets[part.Name] = target{kind: provider.OwnedRest, rule: part, door: door, why: "the rest of " + r.Name}
		}
	}
}

// settleRests drops what was kept of rules that are back, and what foreign rules
// say already. A rest is never dropped while nothing else lets its sources in:
// half a list of displaced rules must not cut anybody off.
func (d *draft) settleRests(in, back []dialect.Rule) {
	for _, name := range sorted(d.targets) {
		t := d.targets[name]
		if _, have := d.have[name]; t.kind == provider.OwnedRest && !have && slices.ContainsFunc(in, t.rule.Within) {
			delete(d.targets, name)
		}
	}
	said := slices.Concat(in, back)
	for _, t := range d.targets {
		if t.kind == provider.OwnedRest {
			said = append(said, t.rule)
		}
	}
	stray := map[string]dialect.Rule{} // what is kept of rules that nobody knows any more
	for _, name := range sorted(d.have) {
		r := d.have[name]
		_, aimed := d.targets[name]
		if o, _ := d.ReadOwned(r); aimed || o.Kind != provider.OwnedRest {
			continue
		}
		doors := d.reaches(r)
		if len(doors) == 0 {
			stray[name] = r
			continue
		}
		for _, part := range d.complement(r) {
			stray[part.Name] = part
		}
		delete(d.have, name)
		for _, door := range doors {
			d.shaken[door] = true
		}
		var nobody firewall.Opening
		d.change(stepDisplace, plan.Close, doors[0], nobody, "what was kept reaches a locked door", dialect.Edit{Delete: name})
	}
	for name, r := range stray {
		covers := func(other dialect.Rule) bool { return other.Name != name && r.Within(other) }
		if !slices.ContainsFunc(said, covers) && !slices.ContainsFunc(slices.Collect(maps.Values(stray)), covers) {
			d.targets[name] = target{kind: provider.OwnedRest, rule: r, door: r.Door(), why: "nothing else lets these sources in"}
		}
	}
}
