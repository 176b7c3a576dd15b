package nsg

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/dialect"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/resource"
)

// The steps of a plan. After each single write everybody who is let in before
// and after the plan is still let in, and nobody is who is let in neither before
// nor after.
const (
	stepClose  = iota // openings that end, and what is too wide
	stepRenew         // openings that a lock would cut
	stepLock          // locks
	stepRelock        // locks that move, or that somebody changed
	stepOpen          // openings
	stepUnlock        // locks that have ended
	stepClean         // openings that only these needed
)

// A target is a rule of ours that the group must show.
type target struct {
	lock    bool
	rule    dialect.Rule
	door    firewall.Door
	spot    dialect.Spot
	opening firewall.Opening
	why     string
}

// An opened is what the rule of an opening is about.
type opened struct {
	door firewall.Door
	to   netip.Prefix
	id   string // of the IP configuration
	from netip.Prefix
}

// A draft is a plan in the making.
type draft struct {
	ground

	seen    firewall.Layer // what the snapshot shows
	spots   []dialect.Spot
	ofVM    map[firewall.VMID][]dialect.Spot
	ofAddr  map[netip.Prefix][]dialect.Spot
	rules   map[opened]dialect.Rule
	edits   map[string]resource.Edit  // by the native text of a change
	owned   map[string]provider.Owned // what of have is read, by name
	others  map[firewall.ID]ground
	want    firewall.Wants // the locked doors, sorted
	targets map[string]target
	held    map[firewall.Door]bool // their lock cannot be shown: nothing is added
	shaken  map[firewall.Door]bool // a lock of theirs is not shown yet
	changes []plan.Change
	refused []plan.Refusal
}

// Compile returns the plan that makes the group of s, which [Reading.Snapshot]
// made, show want. It is a pure function. Nothing is ever displaced.
func Compile(s provider.Snapshot, want firewall.Wants) (plan.Plan, error) {
	r, ok := s.Raw.(Reading)
	if !ok || r.Group == nil {
		return plan.Plan{}, errkind.New(errkind.Invalid, "the snapshot of %s is none of a network security group", s.Firewall)
	}
	d := &draft{
		ground: groundOf(r.filled()), seen: s.Layer, spots: r.Spots(), ofVM: map[firewall.VMID][]dialect.Spot{}, ofAddr: map[netip.Prefix][]dialect.Spot{},
		rules: map[opened]dialect.Rule{}, edits: map[string]resource.Edit{}, owned: map[string]provider.Owned{},
		others: map[firewall.ID]ground{}, targets: map[string]target{}, held: map[firewall.Door]bool{}, shaken: map[firewall.Door]bool{},
	}
	d.index(s.Owned)
	var err error
	if d.want, err = want.Locked(); err != nil {
		return plan.Plan{}, err
	}
	d.release()
	for _, w := range d.want {
		d.aim(w)
	}
	d.keepHeld()
	d.diff()
	d.advance()
	d.refresh()
	d.fit()
	return d.plan(), nil
}

// index prepares what is looked up often. What of the group is ours was read for
// the snapshot.
func (d *draft) index(owned []provider.Owned) {
	for _, s := range d.spots {
		d.ofVM[s.VM] = append(d.ofVM[s.VM], s)
		for _, p := range s.To {
			d.ofAddr[p] = append(d.ofAddr[p], s)
		}
	}
	read := map[string]provider.Owned{}
	for _, o := range owned {
		read[o.Native] = o
	}
	for name, x := range d.have {
		o, known := read[x.Text]
		if !known {
			o, _ = d.Read(x, d.spots)
		}
		d.owned[name] = o
	}
}

// opening returns the rule that lets from through door at s.
func (d *draft) opening(door firewall.Door, s dialect.Spot, from netip.Prefix) dialect.Rule {
	k := opened{door: door, to: s.To[0], id: s.ID, from: from}
	if _, made := d.rules[k]; !made {
		d.rules[k] = d.OpenRule(door, s, from)
	}
	return d.rules[k]
}

// locked reports whether door is to be locked.
func (d *draft) locked(door firewall.Door) bool {
	_, ok := d.want.Of(door)
	return ok
}

// release says which numbers will be free: those of openings that end.
func (d *draft) release() {
	wanted := map[string]bool{}
	for _, w := range d.want {
		for _, s := range d.at(w.Door.VM) {
			for _, o := range w.Open {
				wanted[d.opening(w.Door, s, o.From).Name] = true
			}
		}
	}
	for name, x := range d.have {
		if o := d.owned[name]; o.Kind == provider.OwnedOpening && !wanted[name] && d.locked(o.Door) {
			d.numbers.take(x.Priority, closing)
		}
	}
}

// at returns the spots of a VM.
func (d *draft) at(vm firewall.VMID) []dialect.Spot { return d.ofVM[vm] }

// aim adds the rules that show w, each at its number: the locks first, then who is
// exempt, then the grants.
func (d *draft) aim(w firewall.Want) {
	spots := d.at(w.Door.VM)
	if len(spots) == 0 && !d.remembers(w.Door) {
		d.hold(w.Door, "no IP configuration of %s is behind %s", w.Door.VM, groupName(d.Group))
	}
	locks := make([]int, len(spots)) // what an opening must stand above
	for i, s := range spots {
		lock := d.LockRule(w.Door, s)
		t := target{lock: true, rule: lock, door: w.Door, spot: s, why: fmt.Sprintf("only its openings may reach port %d", w.Door.Port)}
		if other, ok := d.shared(s); ok {
			d.hold(w.Door, "%s is the address of %s, too: a rule for one would be about both; give one of them a network security group of its own", s.To[0].Addr(), other.ID)
		}
		n, here := d.lockHere(w.Door, s)
		if locks[i] = maxPriority + 1; here {
			locks[i] = n
			t.rule = lock.At(n)
			d.targets[lock.Name] = t
			d.numbers.take(n, taken)
		}
	}
	for _, exempt := range []bool{true, false} {
		for _, o := range w.Open {
			if o.Exempt() != exempt {
				continue
			}
			n := 0
			for i, s := range spots {
				if s.V4() == o.From.Addr().Is4() {
					d.aimOpening(w.Door, s, o, locks[i])
					n++
				}
			}
			if n == 0 && len(spots) > 0 {
				d.refuse(w.Door, o.From, "%s has no address of that family behind %s", w.Door.VM, groupName(d.Group))
			}
		}
	}
}

// remembers reports whether something of ours is about a door of a VM that has
// left.
func (d *draft) remembers(door firewall.Door) bool {
	for _, o := range d.owned {
		if o.Door == door {
			return true
		}
	}
	return false
}

// shared returns another IP configuration with an address of s.
func (d *draft) shared(s dialect.Spot) (dialect.Spot, bool) {
	for _, p := range s.To {
		for _, x := range d.ofAddr[p] {
			if !strings.EqualFold(x.ID, s.ID) {
				return x, true
			}
		}
	}
	return dialect.Spot{}, false
}

// lockHere returns the number of the lock of door at s, if it stands in this
// group: because it belongs here, or because it does already.
func (d *draft) lockHere(door firewall.Door, s dialect.Spot) (n int, here bool) {
	have, ok := d.have[d.LockRule(door, s).Name]
	seat, why := d.seat(door, s.Attachment, d.on)
	mine := func(g *resource.Group) bool { return g != nil && g.ID == d.Group.ID }
	switch {
	case seat == AtInterface && mine(s.Interface), seat == AtSubnet && mine(s.Subnet):
		n, _, why = d.lockNumber(door, s)
	case seat == Nowhere:
	default:
		return have.Priority, ok && have.Priority >= minPriority
	}
	if why != "" {
		d.hold(door, "%s", why)
		return have.Priority, ok
	}
	return n, true
}

// on returns the ground of this group, as it is by now, or of another.
func (d *draft) on(g *resource.Group) ground {
	if g.ID == d.Group.ID {
		return d.ground
	}
	if _, ok := d.others[g.ID]; !ok {
		d.others[g.ID] = groundOf(d.with(g))
	}
	return d.others[g.ID]
}

func (d *draft) aimOpening(door firewall.Door, s dialect.Spot, o firewall.Opening, lock int) {
	x := d.opening(door, s, o.From)
	n := d.have[x.Name].Priority
	if !d.held[door] {
		var no string
		if n, no = d.openNumber(x, door, s, o, lock); no != "" {
			d.refuse(door, o.From, "%s", no)
			return
		}
	}
	why := "exempt from the lock"
	if !o.Exempt() {
		why = "needed by " + string(o.Grants)
	}
	t := target{lock: false, rule: d.sealed(x.At(n), door, s, o), door: door, spot: s, opening: o, why: why}
	if len(t.rule.Description) > dialect.MostDescription {
		d.refuse(door, o.From, "its mark has %d characters, more than the %d of a description", len(t.rule.Description), dialect.MostDescription)
		return
	}
	d.numbers.take(n, taken)
	d.targets[x.Name] = t
}

// sealed returns x for o with its mark: the one that it has, with whichever key it
// was made, where that was read as good and says the same. Making marks is most of
// the work where little changes.
func (d *draft) sealed(x dialect.Rule, door firewall.Door, s dialect.Spot, o firewall.Opening) dialect.Rule {
	have, there := d.have[x.Name]
	if r := d.owned[x.Name]; there && r.Wrong == "" && r.Mark == firewall.MarkGood && have.Says() == x.Says() && dialect.Claims(have, o) {
		x.Description = have.Description
		return x
	}
	return d.Sealed(x, door, s, o)
}

// keepHeld leaves the held doors as they are: what is there and wanted stays
// where it is, nothing is added.
func (d *draft) keepHeld() {
	for name, t := range d.targets {
		if !d.held[t.door] {
			continue
		}
		have, ok := d.have[name]
		if !ok || have.Priority < minPriority {
			delete(d.targets, name)
			continue
		}
		if t.rule = t.rule.At(have.Priority); !t.lock {
			t.rule = d.sealed(t.rule, t.door, t.spot, t.opening)
		}
		d.targets[name] = t
	}
}

// hold says that the lock of door cannot be shown.
func (d *draft) hold(door firewall.Door, format string, args ...any) {
	if !d.held[door] {
		d.held[door] = true
		d.refuse(door, netip.Prefix{}, format, args...)
	}
}

// refuse says that a source cannot be let in; once for each.
func (d *draft) refuse(door firewall.Door, from netip.Prefix, format string, args ...any) {
	if !slices.ContainsFunc(d.refused, func(r plan.Refusal) bool { return r.Door == door && r.From == from }) {
		d.refused = append(d.refused, plan.Refusal{Door: door, From: from, Why: fmt.Sprintf(format, args...)})
	}
}

// after is the group once the changes are made.
func (d *draft) after(changes []plan.Change) Reading {
	if len(changes) == 0 {
		return d.Reading
	}
	edits := make([]resource.Edit, 0, len(changes))
	for _, c := range changes {
		edits = append(edits, d.edits[c.Native])
	}
	return d.with(&resource.Group{ID: d.Group.ID, ETag: d.Group.ETag, State: d.Group.State, Rules: d.Group.After(edits...)})
}

// plan finishes the draft.
func (d *draft) plan() plan.Plan {
	slices.SortFunc(d.changes, plan.Compare)
	slices.SortFunc(d.refused, plan.CompareRefusals)
	p := plan.Plan{Firewall: d.Group.ID, Changes: d.changes, After: d.seen, Refused: d.refused}
	if !d.Group.InForce() || !p.Empty() {
		p.After = d.after(d.changes).Layer()
	}
	return p
}
