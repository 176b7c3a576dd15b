package compile

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/aws/securitygroup"
)

func compareSpots(a, b spot) int {
	return cmp.Or(cmp.Compare(a.group, b.group), cmp.Compare(a.content, b.content))
}

// settleLocks finds out which doors can be locked. One that is locked already
// stays so, and is held where something reaches it that cannot go; a new one is
// locked only if nothing does. What can go depends on which other doors are
// locked, so that doors are struck out until nothing changes.
func (d *draft) settleLocks(gone []original) {
	var fresh []firewall.Door
	for _, w := range d.want {
		switch why := d.unlockable(w.Door); {
		case d.shown[w.Door]:
			d.locks = append(d.locks, w.Door)
		case why != "":
			d.hold(w.Door, "%s", why)
		default:
			fresh = append(fresh, w.Door)
		}
	}
	d.holdShared(gone)
	old := d.locks
	for {
		d.locks = slices.SortedFunc(slices.Values(slices.Concat(old, fresh)), firewall.CompareDoors)
		d.stays = d.immovable(gone)
		left := slices.DeleteFunc(slices.Clone(fresh), func(door firewall.Door) bool { return d.obstructed(door) })
		if len(left) == len(fresh) {
			break
		}
		fresh = left
	}
	d.holdShared(gone)
	d.stays = d.immovable(gone)
	for _, door := range d.locks {
		if !d.obstructed(door) {
			d.sparing(door)
		}
	}
}

// obstructed holds door if something reaches it that cannot go.
func (d *draft) obstructed(door firewall.Door) bool {
	why := d.inTheWay(door)
	if why != "" {
		d.hold(door, "%s", why)
	}
	return why != ""
}

// unlockable says why there can be no lock at door; empty when there can.
func (d *draft) unlockable(door firewall.Door) string {
	interfaces := d.interfaces[door.VM]
	if len(interfaces) == 0 {
		return fmt.Sprintf("%s has no interface in %s", door.VM, d.ID)
	}
	own, there := d.group(d.OwnName(door.VM))
	for _, n := range interfaces {
		if dressed := there && slices.Contains(n.Groups, own.ID); !dressed && len(n.Groups) >= d.Quotas.Groups {
			return fmt.Sprintf("%s wears %d groups and has no room for ours", n.ID, len(n.Groups))
		}
	}
	locks := 0
	for _, w := range d.want {
		if w.Door.VM == door.VM {
			locks++
		}
	}
	if locks > securitygroup.MostLocks {
		return fmt.Sprintf("%d locks at one instance are more than a group has tags for", locks)
	}
	return ""
}

// inTheWay says which rule reaches door and cannot go; empty when none does. What
// is only spared is in the way of a new lock, not of one that is there.
func (d *draft) inTheWay(door firewall.Door) string {
	return d.staying(door, func(x obstacle) bool { return !x.spared || !d.shown[door] })
}

// sparing says, without holding door, which rule there is in spite of its lock that
// could go.
func (d *draft) sparing(door firewall.Door) {
	if why := d.staying(door, func(x obstacle) bool { return x.contested }); why != "" {
		d.refused = append(d.refused, plan.Refusal{Door: door, From: netip.Prefix{}, Why: why, Spare: true})
	}
}

// staying names a rule that stays, reaches door and is one of which.
func (d *draft) staying(door firewall.Door, which func(obstacle) bool) string {
	for _, at := range slices.SortedFunc(maps.Keys(d.stays), compareSpots) {
		if x := d.stays[at]; which(x) && len(d.reached([]firewall.Door{door}, at.group, x.rule)) > 0 {
			return fmt.Sprintf("%s in %s lets somebody in, and cannot be taken out: %s", at.content, at.group, x.why)
		}
	}
	return ""
}

// An obstacle is a foreign rule, or a rest, that reaches a locked door and is not
// taken out.
type obstacle struct {
	rule securitygroup.Rule
	why  string
	// spared says that it could be: the locks that are there go on without.
	spared bool
	// contested says that it was, and that somebody puts it back each time.
	contested bool
}

// immovable returns the rules that reach one of the locks and cannot be taken
// out, and why.
func (d *draft) immovable(gone []original) map[spot]obstacle {
	out, owed := map[spot]obstacle{}, map[string][]securitygroup.Rule{}
	for _, x := range gone {
		if doors := d.keptOut(x); len(doors) > 0 {
			rest, _ := x.Rule.Rest(portsOf(doors), d.Keep)
			owed[x.Group] = append(owed[x.Group], rest...)
		}
	}
	doorsOf := d.doorsOf()
	for g := range d.foreign() {
		if len(doorsOf[g.ID]) == 0 {
			continue
		}
		room := newRoom(d.Reading, g)
		room.take(owed[g.ID])
		for _, rule := range g.Ingress {
			doors := d.reached(doorsOf[g.ID], g.ID, rule)
			if len(doors) == 0 {
				continue
			}
			rest, _ := rule.Rest(portsOf(doors), d.Keep)
			_, state := d.RestMark(g.ID, rule)
			x := obstacle{rule: rule, why: d.sibling(g, doors), spared: d.spares(doors), contested: false}
			waits, contested := d.Contested[securitygroup.Write{Do: securitygroup.Revoke, Group: g.ID, Rule: &rule}.Contest()]
			_, _, copied := d.CopyOf(g)
			switch {
			case contested:
				x.why, x.spared, x.contested = waits, true, true
			case copied:
				x.why, x.spared = "it is a copy, which follows its group"+d.uncopied(g, doors), false
			case state == firewall.MarkForeign:
				x.why, x.spared = "it is another installation's", false
			case x.why != "":
				x.spared = false
			case x.spared:
				x.why = "more would be lost with it than was agreed to"
			case !room.take(rest):
				x.why = fmt.Sprintf("no room for the %d rules that keep what else it lets in", len(rest))
			}
			if x.why != "" {
				out[spot{g.ID, rule.Content()}] = x
			}
		}
	}
	return out
}

// spares reports whether all of doors would rather be exposed than have more taken
// out.
func (d *draft) spares(doors []firewall.Door) bool {
	return !slices.ContainsFunc(doors, func(door firewall.Door) bool {
		w, _ := d.want.Of(door)
		return !w.Spares
	})
}

// sibling names a VM that would lose a port for the sake of doors, because it
// wears the group too and is not locked there; empty when there is none.
func (d *draft) sibling(g securitygroup.Group, doors []firewall.Door) string {
	if d.Shared == securitygroup.Include {
		return ""
	}
	for _, vm := range d.wearing[g.ID] {
		for _, p := range portsOf(doors) {
			if !slices.Contains(d.locks, firewall.Door{VM: vm, Protocol: p.Protocol, Port: p.Number}) {
				return fmt.Sprintf("%s wears the group too, and would lose %s%s", vm, p, d.uncopied(g, doors))
			}
		}
	}
	return ""
}

// uncopied says why the VMs of doors have no copy of g; empty when nobody asked for
// any.
func (d *draft) uncopied(g securitygroup.Group, doors []firewall.Door) string {
	group := g.ID
	if _, original, copied := d.CopyOf(g); copied {
		group = original
	}
	for _, door := range doors {
		if why := d.unsplit[split{door.VM, group}]; why != "" {
			return "; there is no copy: " + why
		}
	}
	return ""
}

// holdShared keeps the locks that nobody wants any more as long as another VM's
// lock keeps a rule out that would give the port back. They stand with their
// exempt sources, and may keep others in turn.
func (d *draft) holdShared(gone []original) {
	for d.Shared != securitygroup.Include && slices.ContainsFunc(gone, d.holdFor) {
		continue // with what stands now
	}
}

// holdFor holds a lock for the sake of x, if there is one to hold.
func (d *draft) holdFor(x original) bool {
	doors := d.keptOut(x)
	for _, vm := range d.wearing[x.Group] {
		for _, p := range portsOf(doors) {
			door := firewall.Door{VM: vm, Protocol: p.Protocol, Port: p.Number}
			if d.shown[door] && !slices.Contains(d.locks, door) {
				d.stand(door)
				d.hold(door, "%s in %s would open it, and is kept out by the lock of %s", x.Rule.Content(), x.Group, doors[0])
				return true
			}
		}
	}
	return false
}

// stand makes a lock that nobody wants any more one that is wanted as it stands.
func (d *draft) stand(door firewall.Door) {
	w := firewall.Want{Door: door, Locked: true, Cut: false, Spares: false, Accepts: nil, Open: nil}
	for _, o := range d.Owned() {
		if o.Kind == provider.OwnedOpening && o.Door == door && o.Mark == firewall.MarkGood && o.Opening.Exempt() {
			w.Open = append(w.Open, o.Opening)
		}
	}
	d.want = append(slices.Clone(d.want), w)
	d.want.Sort()
	d.locks = slices.SortedFunc(slices.Values(append(slices.Clone(d.locks), door)), firewall.CompareDoors)
	d.aim(w)
}

// A room is what is left in a foreign group while rules are added to it.
type room struct {
	reading securitygroup.Reading
	used    securitygroup.Cost
	there   map[string]bool
}

func newRoom(r securitygroup.Reading, g securitygroup.Group) *room {
	m := &room{reading: r, used: r.CostOf(g.Ingress...), there: map[string]bool{}}
	for _, rule := range g.Ingress {
		m.there[rule.Content()] = true
	}
	return m
}

// take adds the rules that are not there yet, all or none.
func (m *room) take(rules []securitygroup.Rule) bool {
	fresh := slices.DeleteFunc(slices.Clone(rules), func(r securitygroup.Rule) bool { return m.there[r.Content()] })
	more := m.reading.CostOf(fresh...)
	if !m.used.Fits(more, m.reading.Quotas) {
		return false
	}
	m.used = m.used.Plus(more)
	for _, r := range fresh {
		m.there[r.Content()] = true
	}
	return true
}
