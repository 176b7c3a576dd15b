package nsg

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/dialect"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/resource"
	"github.com/sesame-access/sesame/internal/reach"
)

// diff adds the changes that lead from what there is to the targets.
func (d *draft) diff() {
	for name, t := range d.targets {
		if t.lock {
			d.shaken[t.door] = d.shaken[t.door] || !d.shows(d.have[name], t)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.targets)) {
		t := d.targets[name]
		have, ok := d.have[name]
		switch {
		case ok && d.shows(have, t):
		case t.lock:
			d.lock(t, have, ok)
		default:
			d.open(t, have, ok)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.have)) {
		if _, ok := d.targets[name]; !ok {
			d.remove(d.have[name], d.owned[name])
		}
	}
}

// shows reports whether have is t already.
func (d *draft) shows(have resource.Rule, t target) bool {
	return have.Is(t.rule.Name) && have.Says() == t.rule.Says() && have.Description == t.rule.Description &&
		d.owned[strings.ToLower(have.Name)].Wrong == ""
}

// lock adds the changes that put a lock in place. What stands there under its
// name and lets somebody in goes first of all.
func (d *draft) lock(t target, have resource.Rule, exists bool) {
	step := stepLock
	if exists {
		step = stepRelock
	}
	if exists && have.Action != firewall.Deny {
		d.change(stepClose, plan.Close, t, "the lock was made to let somebody in", resource.Delete(have.Name))
	}
	d.change(step, plan.Lock, t, t.why, resource.Put(t.rule.Rule))
}

// open adds the changes that put an opening in place. What lets in less than have
// does, or for less long, or ranks lower, is a close, and waits for nothing; where
// it has to move up as well, that is a change of its own.
func (d *draft) open(t target, have resource.Rule, exists bool) {
	step, put := stepOpen, resource.Put(t.rule.Rule)
	if d.shaken[t.door] {
		step = stepRenew
	}
	alike, o := t.rule.At(have.Priority), d.owned[t.rule.Name]
	lets, up := have.Action == firewall.Allow, t.rule.Priority < have.Priority
	switch {
	case !exists:
	case have.Opaque != "" || have.Priority < minPriority || lets && !within(alike.Rule, have):
		d.change(stepClose, plan.Close, t, "somebody made something else of it", resource.Delete(have.Name))
	case lets && alike.Says() != have.Says(), o.Wrong == "" && outlasts(o.Opening, t.opening):
		if !up {
			d.change(stepClose, plan.Close, t, t.why, put)
			return
		}
		narrow := d.Sealed(alike, t.door, t.spot, t.opening)
		d.change(stepClose, plan.Close, t, t.why, resource.Put(narrow.Rule))
	case o.Wrong != "" && lets && t.rule.Priority > have.Priority, o.Wrong == "" && !up && !outlasts(t.opening, o.Opening):
		// Nothing gets longer, wider or higher: it was too high, or other grants
		// need it.
		d.change(stepClose, plan.Close, t, t.why, put)
		return
	}
	d.change(step, plan.Open, t, t.why, put)
}

// outlasts reports whether a lets its source in for longer than b.
func outlasts(a, b firewall.Opening) bool {
	if a.Exempt() || b.Exempt() {
		return a.Exempt() && !b.Exempt()
	}
	return a.Until.After(b.Until)
}

// within reports whether all that inner lets in, outer does, too.
func within(inner, outer resource.Rule) bool {
	sides := func(in, out resource.Side) bool {
		for _, p := range in.Prefixes {
			if !out.Any && !coversAny(out.Prefixes, p) {
				return false
			}
		}
		for _, p := range in.Ports {
			if !slices.ContainsFunc(out.Ports, func(o resource.Ports) bool { return o.First <= p.First && p.Last <= o.Last }) {
				return false
			}
		}
		return true
	}
	return inner.Direction == outer.Direction && (outer.Protocol == "*" || outer.Protocol == inner.Protocol) &&
		sides(inner.Source, outer.Source) && sides(inner.Destination, outer.Destination)
}

// remove adds the change that takes a rule of ours away, if it may go.
func (d *draft) remove(have resource.Rule, o provider.Owned) {
	t := target{lock: false, door: o.Door, opening: o.Opening, rule: dialect.Rule{Rule: have}}
	gone := resource.Delete(have.Name)
	switch {
	case o.Kind == provider.OwnedLock:
		if why := d.ended(have, o.Door); why != "" {
			d.change(stepUnlock, plan.Drop, t, why, gone)
		}
	case o.Mark != firewall.MarkGood:
		d.change(stepClose, plan.Close, t, cmp.Or(o.Wrong, "its mark does not verify"), gone)
	case d.locked(o.Door):
		d.change(stepClose, plan.Close, t, "nothing needs it any more", gone)
	default:
		d.change(stepClean, plan.Drop, t, "its lock has ended", gone)
	}
}

// ended says why a lock that no IP configuration's identity explains may go, or
// one that stands in the wrong group; empty when it must stay. It goes last.
func (d *draft) ended(have resource.Rule, door firewall.Door) string {
	here := slices.ContainsFunc(d.spots, func(s dialect.Spot) bool { return s.VM == door.VM })
	taken := slices.ContainsFunc(d.spots, func(s dialect.Spot) bool {
		return slices.ContainsFunc(s.To, func(p netip.Prefix) bool { return slices.Contains(have.Destination.Prefixes, p) })
	})
	switch {
	case !d.locked(door):
		return "its lock has ended"
	case !d.Settled || d.held[door]:
	case here && !d.shaken[door]:
		return "the address is not the VM's any more, and its new locks were read back"
	case !here && taken:
		return "the address belongs to another VM now"
	}
	return ""
}

// refresh writes a group whose last write has failed once more, which is what Azure
// advises: what the document shows may not be in force, a closing too. Any write
// will do that nothing holds: a closing; else a lock is put where it stands, or a
// rule about nobody comes and goes.
func (d *draft) refresh() {
	closes := func(c plan.Change) bool { return c.Op == plan.Close }
	if d.Group.InForce() || d.Group.Busy() || len(d.spots) == 0 || slices.ContainsFunc(d.changes, closes) {
		return
	}
	why := fmt.Sprintf("the state of the group is %s, and closings may not be in force", d.Group.State)
	t := target{door: firewall.Door{VM: d.spots[0].VM, Protocol: firewall.TCP, Port: 0}}
	for _, name := range slices.Sorted(maps.Keys(d.have)) {
		if o := d.owned[name]; o.Kind == provider.OwnedLock && o.Wrong == "" {
			t.door = o.Door
			d.change(stepClose, plan.Close, t, why, resource.Put(d.have[name]))
			return
		}
	}
	n, free := d.numbers.free(d.numbers.windows.Locks, 0, maxPriority+1, true)
	if !free || len(d.Group.Rules) >= d.rooms() {
		return
	}
	nobody := d.Nobody(n)
	d.change(stepClose, plan.Close, t, why, resource.Put(nobody.Rule))
	d.change(stepClean, plan.Close, t, why, resource.Delete(nobody.Name))
}

// change adds one write to the draft.
func (d *draft) change(step int, op plan.Op, t target, why string, e resource.Edit) {
	native := e.Encode()
	d.edits[native] = e
	d.changes = append(d.changes, plan.Change{Step: step, Op: op, Door: t.door, Opening: t.opening, Why: why, Native: native, Undo: ""})
}

// advance makes a close of every opening of an ended lock whose source will not
// get in any more: closing waits for nothing.
func (d *draft) advance() {
	ends := func(c plan.Change) bool { return c.Op == plan.Drop && c.Opening.From.IsValid() }
	if !slices.ContainsFunc(d.changes, ends) {
		return
	}
	layer := d.after(d.changes).Layer()
	for i, c := range d.changes {
		if ends(c) && !d.lets(layer, c.Door, c.Opening.From) {
			d.changes[i].Step, d.changes[i].Op = stepClose, plan.Close
		}
	}
}

// lets reports whether l lets everybody from source in to door, at every spot.
func (d *draft) lets(l firewall.Layer, door firewall.Door, source netip.Prefix) bool {
	for _, s := range d.at(door.VM) {
		if s.V4() != source.Addr().Is4() {
			continue
		}
		v := inventory.VM{ID: door.VM, Paths: []inventory.Path{{To: []netip.Addr{s.To[0].Addr()}, Hops: []inventory.Hop{{Firewall: l.Firewall}}}}}
		if !reach.VM(v, map[firewall.ID]firewall.Layer{l.Firewall: l}, door).Sources(reach.Open).Covers(source) {
			return false
		}
	}
	return true
}

// fit takes out what there is no room for, write by write: locks go before
// openings, exempt sources before grants. Closings need no room.
func (d *draft) fit() {
	there := map[string]bool{}
	for _, x := range d.Group.Rules {
		there[strings.ToLower(x.Name)] = true
	}
	used, locks, rooms := len(d.Group.Rules), 0, d.rooms()
	grows := func(c plan.Change) bool {
		e := d.edits[c.Native]
		return !e.Deletes() && !there[strings.ToLower(e.Name)]
	}
	for _, c := range d.changes {
		if c.Op == plan.Lock && grows(c) {
			locks++
		}
	}
	order := slices.SortedStableFunc(slices.Values(d.changes), func(a, b plan.Change) int {
		return cmp.Or(cmp.Compare(a.Step, b.Step), cmp.Compare(late(a), late(b)), plan.Compare(a, b))
	})
	d.changes = nil
	for _, c := range order {
		e := d.edits[c.Native]
		switch more := grows(c); {
		case more && c.Op == plan.Open && used+locks >= rooms:
			d.refuse(c.Door, c.Opening.From, "no room for another rule: %d of %d used", used+locks, rooms)
			continue
		case more && used >= rooms:
			locks--
			d.hold(c.Door, "no room for another rule: %d of %d used", used, rooms)
			continue
		case more:
			used++
			if c.Op == plan.Lock {
				locks--
			}
		case e.Deletes() && there[strings.ToLower(e.Name)]:
			used--
		}
		there[strings.ToLower(e.Name)] = !e.Deletes()
		d.changes = append(d.changes, c)
	}
}

// rooms is how many rules the group can hold, given the prefixes that there are: a
// rule of ours adds one on either side, or none.
func (d *draft) rooms() int {
	sources, destinations := 0, 0
	for _, x := range d.Group.Rules {
		sources += len(x.Source.Prefixes)
		destinations += len(x.Destination.Prefixes)
	}
	return min(d.Rooms, len(d.Group.Rules)+mostPrefixes-max(sources, destinations))
}

// late orders the openings of a step: exempt sources first.
func late(c plan.Change) int {
	if c.Op == plan.Open && !c.Opening.Exempt() {
		return 1
	}
	return 0
}
