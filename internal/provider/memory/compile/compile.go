// Package compile is what a provider of the simulated firewalls knows: which
// writes make one show what is wanted. It is a pure function, [Plan], of a
// reading; the simulated world makes the writes.
//
// For every dialect the rules of ours follow from the wants alone, are compared
// with what is there, and only the difference is written, in steps whose order
// is safe: closings first, then what must not be cut, then locks, then
// openings, then what gives back. The dialects differ in where a rule may stand
// (numbered.go) and in how a lock is made (union.go); fit.go holds back what
// there is no room for.
package compile

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/memory/dialect"
	"github.com/sesame-access/sesame/internal/reach"
)

// The steps of a plan. After each single write everybody who is let in before
// and after the plan is still let in, and nobody is who is let in neither before
// nor after.
const (
	stepClose    = iota // openings that end, and what is too wide
	stepKeep            // what stays reachable of the rules to be displaced
	stepRenew           // openings whose source would be cut by a lock
	stepLock            // locks, and tags
	stepRelock          // locks that somebody changed: they may shut more than their door
	stepDisplace        // foreign rules that reach a locked door
	stepOpen            // openings
	stepRestore         // displaced rules whose locks have ended
	stepUnlock          // locks that have ended
	stepClean           // what only served these
)

// A Reading is everything that a plan is compiled from.
type Reading struct {
	dialect.State
	VMs  []firewall.VMID // behind the firewall, sorted
	Only []firewall.Key  // what a partial reading covers; nil for a full one
}

// A target is a rule of ours that the firewall must show.
type target struct {
	kind    provider.OwnedKind
	rule    dialect.Rule
	door    firewall.Door
	opening firewall.Opening
	why     string
}

// A draft is a plan in the making.
type draft struct {
	Reading
	want    firewall.Wants          // the locked doors, sorted
	have    map[string]dialect.Rule // ours
	foreign []dialect.Rule          // everybody else's, in order
	targets map[string]target
	// locks are the doors of a union that are locked, and that will be.
	locks []firewall.Door
	// held are the doors whose lock cannot be shown: nothing new is opened there.
	held map[firewall.Door]bool
	// cramped are displaced rules that have no room to come back yet.
	cramped map[string]bool
	// shaken are the doors where a change of this plan shuts somebody out.
	shaken  map[firewall.Door]bool
	changes []plan.Change
	refused []plan.Refusal
}

// Plan returns the plan that makes r show want. It is a pure function.
func Plan(r Reading, want firewall.Wants, displaced []plan.Change) (plan.Plan, error) {
	cramped := map[string]bool{}
	for {
		d := &draft{
			Reading: r, have: map[string]dialect.Rule{}, targets: map[string]target{}, cramped: cramped,
			held: map[firewall.Door]bool{}, shaken: map[firewall.Door]bool{},
		}
		if err := d.write(want, displaced); err != nil {
			return plan.Plan{}, err
		}
		stuck := d.fit()
		if stuck == "" {
			return d.plan(), nil
		}
		cramped[stuck] = true // it comes back when the others have made room
	}
}

// write makes the draft, as if there were room for everything.
func (d *draft) write(want firewall.Wants, displaced []plan.Change) error {
	var err error
	if d.want, err = want.Locked(); err != nil {
		return err
	}
	for _, rule := range d.Rules {
		if d.Ours(rule) {
			d.have[rule.Name] = rule
		} else {
			d.foreign = append(d.foreign, rule)
		}
	}
	for _, w := range d.want {
		d.aim(w)
	}
	switch {
	case d.Only != nil:
		d.narrowToKeys()
	case d.Config.Dialect == dialect.Numbered:
		d.number()
	case d.Config.Dialect == dialect.Union:
		if err := d.displace(displaced); err != nil {
			return err
		}
	}
	d.diff()
	d.advance()
	slices.SortFunc(d.changes, plan.Compare)
	return nil
}

// aim adds the rules that show w.
func (d *draft) aim(w firewall.Want) {
	lock := d.LockRule(w.Door, w.Cut)
	d.targets[lock.Name] = target{
		kind: provider.OwnedLock, rule: lock, door: w.Door,
		why: fmt.Sprintf("only its openings may reach port %d", w.Door.Port),
	}
	for _, o := range w.Open {
		rule := d.OpenRule(w.Door, o)
		why := "exempt from the lock"
		if !o.Exempt() {
			why = "needed by " + string(o.Grants)
		}
		d.targets[rule.Name] = target{
			kind: provider.OwnedOpening, rule: d.Sealed(rule, o), door: w.Door, opening: o, why: why,
		}
	}
}

// narrowToKeys leaves only what a partial reading can speak about.
func (d *draft) narrowToKeys() {
	covered := func(door firewall.Door, from netip.Prefix) bool {
		_, found := slices.BinarySearchFunc(d.Only, firewall.Key{Door: door, From: from}, firewall.CompareKeys)
		return found
	}
	for name, t := range d.targets {
		if !covered(t.door, t.opening.From) {
			delete(d.targets, name)
		}
	}
	for name, r := range d.have {
		if !covered(r.Door(), r.Source()) {
			delete(d.have, name)
		}
	}
}

// diff adds the changes that lead from what there is to the targets.
func (d *draft) diff() {
	for _, t := range d.targets {
		if have, ok := d.have[t.rule.Name]; t.kind == provider.OwnedLock && (!ok || !d.shows(have, t)) {
			d.shaken[t.door] = true
		}
	}
	before := d.Layer()
	for _, t := range d.targets {
		have, ok := d.have[t.rule.Name]
		if ok && d.shows(have, t) {
			continue
		}
		op, step := plan.Open, stepOpen
		switch {
		case t.kind == provider.OwnedLock:
			if op, step = plan.Lock, stepLock; ok {
				step = stepRelock
			}
		case t.kind == provider.OwnedRest:
			op, step = plan.Keep, stepKeep
		case ok && d.narrows(have, t):
			op, step = plan.Close, stepClose
		case d.shaken[t.door] && !reach.Layer(before, t.door).MaybeOpen().Intersect(reach.Of(t.opening.From)).Empty():
			step = stepRenew
		}
		rule := t.rule
		d.change(step, op, t.door, t.opening, t.why, dialect.Edit{Put: &rule})
	}
	for name, have := range d.have {
		if _, ok := d.targets[name]; !ok {
			d.remove(have)
		}
	}
}

// advance makes a close of every clean-up that will shut somebody out: closing
// waits for nothing.
func (d *draft) advance() {
	after := d.after()
	for i, c := range d.changes {
		if c.Op == plan.Drop && c.Opening.From.IsValid() && !reach.Layer(after, c.Door).Sources(reach.Open).Covers(c.Opening.From) {
			d.changes[i].Step, d.changes[i].Op = stepClose, plan.Close
		}
	}
}

// remove adds the change that takes a rule of ours away.
func (d *draft) remove(r dialect.Rule) {
	var noOpening firewall.Opening
	o, _ := d.ReadOwned(r)
	del := dialect.Edit{Delete: r.Name}
	switch {
	case o.Kind == provider.OwnedLock:
		d.change(stepUnlock, plan.Drop, o.Door, noOpening, "its lock has ended", del)
	case o.Kind == provider.OwnedRest:
		d.change(stepClean, plan.Drop, o.Door, noOpening, "kept of a displaced rule that is back", del)
	case o.Mark != firewall.MarkGood:
		d.change(stepClose, plan.Close, o.Door, o.Opening, cmp.Or(o.Wrong, "its mark does not verify"), del)
	case d.locked(o.Door):
		d.change(stepClose, plan.Close, o.Door, o.Opening, "nothing needs it any more", del)
	default:
		d.change(stepClean, plan.Drop, o.Door, o.Opening, "its lock has ended", del)
	}
}

// locked reports whether door is to be locked.
func (d *draft) locked(door firewall.Door) bool {
	return d.Only != nil || slices.ContainsFunc(d.want, func(w firewall.Want) bool { return w.Door == door })
}

// shows reports whether have is t already. Of a mark that verifies, the key that
// it was made with does not matter.
func (d *draft) shows(have dialect.Rule, t target) bool {
	if !have.SameButPlace(t.rule) || have.Priority != t.rule.Priority {
		return false
	}
	o, _ := d.ReadOwned(have)
	if o.Kind != t.kind || o.Wrong != "" {
		return false
	}
	m, _, _ := d.Mark(have)
	want := dialect.MarkOf(t.opening)
	want.Instance = m.Instance
	return t.kind == provider.OwnedLock || m == want
}

// narrows reports whether t lets in less, or for less long, than have does.
func (d *draft) narrows(have dialect.Rule, t target) bool {
	if have.Action != firewall.Allow {
		return false
	}
	if !have.Within(t.rule) {
		return true
	}
	o, _ := d.ReadOwned(have)
	if o.Mark == firewall.MarkGood && d.Mistimed(have, o.Opening.Until) {
		return !t.opening.Until.IsZero() && (have.Closes.IsZero() || have.Closes.After(t.opening.Until))
	}
	if o.Wrong != "" || t.opening.Exempt() {
		return false
	}
	return o.Opening.Exempt() || !t.opening.Until.After(o.Opening.Until)
}

// change adds one write to the plan.
func (d *draft) change(step int, op plan.Op, door firewall.Door, o firewall.Opening, why string, e dialect.Edit) {
	d.changes = append(d.changes, plan.Change{Step: step, Op: op, Door: door, Opening: o, Why: why, Native: dialect.Encode(e), Undo: ""})
}

// hold says that the lock of door cannot be shown.
func (d *draft) hold(door firewall.Door, format string, args ...any) {
	if !d.held[door] {
		d.held[door] = true
		d.refused = append(d.refused, plan.Refusal{Door: door, From: netip.Prefix{}, Why: fmt.Sprintf(format, args...)})
	}
}

// keepHeld leaves the held doors as they are: what is there and wanted stays,
// nothing is added.
func (d *draft) keepHeld() {
	for name, t := range d.targets {
		if !d.held[t.door] || t.kind == provider.OwnedRest {
			continue
		}
		have, ok := d.have[name]
		if !ok {
			delete(d.targets, name)
			continue
		}
		d.targets[name] = d.at(t, have.Priority)
	}
}

// at returns t with its number, and the mark that belongs there.
func (d *draft) at(t target, priority int) target {
	t.rule.Priority = priority
	if t.kind == provider.OwnedOpening {
		t.rule = d.Sealed(t.rule, t.opening)
	}
	return t
}

// refuse says that a source cannot be let in.
func (d *draft) refuse(door firewall.Door, from netip.Prefix, format string, args ...any) {
	d.refused = append(d.refused, plan.Refusal{Door: door, From: from, Why: fmt.Sprintf(format, args...)})
}

// after is the layer once every change is made.
func (d *draft) after() firewall.Layer {
	rules := d.Rules
	for _, c := range d.changes {
		if e, err := dialect.Decode(c.Native); err == nil { // it is our own
			rules = e.On(rules)
		}
	}
	return d.Holding(rules).Layer()
}

// plan finishes the draft.
func (d *draft) plan() plan.Plan {
	slices.SortFunc(d.refused, plan.CompareRefusals)
	return plan.Plan{Firewall: d.Config.ID, Changes: d.changes, After: d.after(), Refused: d.refused}
}
