package compile

import (
	"cmp"
	"fmt"
	"iter"
	"net/netip"
	"slices"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/aws/securitygroup"
	"github.com/sesame-access/sesame/internal/reach"
)

// The steps of a plan. After each single write everybody who is let in before
// and after the plan is still let in, and nobody is who is let in neither before
// nor after. The exception is what no rule can name, such as ESP in a rule for every
// protocol: of two such rules, one that goes and one that comes back, the first goes
// first, because no lock waits for something that opens.
const (
	stepClose    = iota // openings that end
	stepMake            // owned groups
	stepStrip           // of the way out that a new group has
	stepAttach          // to the interfaces
	stepKeep            // what stays reachable of the rules to be displaced
	stepOpen            // openings; somebody may be about to lose another way in
	stepLock            // the tags
	stepSwap            // groups for their copies, which lose nothing by the next step
	stepRest            // what stays, in groups that a locked machine has just left
	stepDisplace        // foreign rules that reach a locked door
	stepRestore         // displaced rules whose locks have ended
	stepUnlock          // the tags of locks that have ended
	stepClean           // what only served these
	stepDetach          // owned groups without a lock
	stepDelete
)

// A spot is where a rule is: in the foreign group of that id or the owned one of
// that name, by content.
type spot struct{ group, content string }

// A target is a rule of ours that is to be shown.
type target struct {
	kind    provider.OwnedKind
	rule    securitygroup.Rule
	door    firewall.Door
	opening firewall.Opening
	why     string
}

// A draft is a plan in the making.
type draft struct {
	securitygroup.Reading

	want firewall.Wants // the locked doors, sorted
	// index finds groups, wearing the VMs that wear them, interfaces those of VMs.
	index      map[string]int
	wearing    map[string][]firewall.VMID
	interfaces map[firewall.VMID][]securitygroup.Interface
	have       map[spot]securitygroup.Rule // ours
	targets    map[spot]target
	// shown are the doors whose lock is there; locks those that are locked, or
	// will be.
	shown map[firewall.Door]bool
	locks []firewall.Door
	// stuck are the doors that are not wanted locked any more, and stay so.
	stuck map[firewall.Door]bool
	held  map[firewall.Door]bool // nothing new is opened there
	// splitting are the VMs that get copies; unsplit says why a copy cannot be had;
	// joining are the copies that end.
	splitting map[firewall.VMID]bool
	unsplit   map[split]string
	joining   map[split]bool
	stays     map[spot]obstacle // foreign rules that reach a locked door and cannot go
	changes   []plan.Change
	refused   []plan.Refusal
}

// Plan returns the plan that makes r show want. It is a pure function. Displaced
// are the displace changes that were not undone yet.
func Plan(r securitygroup.Reading, want firewall.Wants, displaced []plan.Change) (plan.Plan, error) {
	without := map[firewall.VMID]bool{}
	for {
		p, vain, err := attempt(r, want, displaced, without)
		if err != nil || len(vain) == 0 {
			return p, err
		}
		// Copies for a lock that cannot be are for nothing.
		for _, vm := range vain {
			without[vm] = true
		}
	}
}

// attempt makes a plan, and returns the VMs that would get copies in vain.
func attempt(r securitygroup.Reading, want firewall.Wants, displaced []plan.Change, without map[firewall.VMID]bool) (p plan.Plan, vain []firewall.VMID, err error) {
	d := &draft{
		Reading: r, index: map[string]int{}, wearing: r.Wearers(), interfaces: r.Machines(), have: map[spot]securitygroup.Rule{}, targets: map[spot]target{},
		shown: map[firewall.Door]bool{}, stuck: map[firewall.Door]bool{}, held: map[firewall.Door]bool{},
	}
	if d.want, err = want.Locked(); err != nil {
		return plan.Plan{}, nil, err
	}
	d.read()
	gone, err := d.gone(displaced)
	if err != nil {
		return plan.Plan{}, nil, err
	}
	d.splits(gone, without)
	for _, w := range d.want {
		d.aim(w)
	}
	d.settleLocks(gone)
	for _, w := range d.want {
		if vm := w.Door.VM; d.splitting[vm] && !without[vm] && !slices.Contains(d.locks, w.Door) {
			vain = append(vain, vm)
		}
	}
	if len(vain) > 0 {
		return plan.Plan{}, vain, nil
	}
	d.displace(gone)
	d.keepHeld()
	d.diff()
	d.dress()
	d.testify(gone)
	d.advance()
	d.fit()
	slices.SortFunc(d.changes, plan.Compare)
	slices.SortFunc(d.refused, plan.CompareRefusals)
	return plan.Plan{Firewall: r.ID, Changes: d.changes, After: d.after().Layer(), Refused: d.refused}, nil, nil
}

// read finds what is ours.
func (d *draft) read() {
	d.Groups = slices.Clone(d.Groups)
	for i, g := range d.Groups {
		g.Ingress = slices.SortedFunc(slices.Values(g.Ingress), func(a, b securitygroup.Rule) int { return cmp.Compare(a.Content(), b.Content()) })
		d.Groups[i] = g
		vm, ours := d.Owner(g)
		_, _, copied := d.CopyOf(g)
		if d.index[g.ID] = i; ours || copied {
			d.index[g.Name] = i
		}
		for _, t := range g.Tags {
			if door, locked := d.Locked(vm, t); ours && locked {
				d.shown[door] = true
			}
		}
		for _, rule := range g.Ingress {
			switch {
			case ours:
				d.have[spot{g.Name, rule.Content()}] = rule
			case d.IsRest(g.ID, rule):
				d.have[spot{g.ID, rule.Content()}] = rule
			}
		}
	}
}

// group returns the group with that id, or the owned one with that name.
func (d *draft) group(ref string) (securitygroup.Group, bool) {
	i, there := d.index[ref]
	if !there {
		return securitygroup.Group{}, false
	}
	return d.Groups[i], true
}

// foreign returns the groups that are not ours.
func (d *draft) foreign() iter.Seq[securitygroup.Group] {
	return func(yield func(securitygroup.Group) bool) {
		for _, g := range d.Groups {
			if _, ours := d.Owner(g); !ours && !yield(g) {
				return
			}
		}
	}
}

// aim adds the rules that show w.
func (d *draft) aim(w firewall.Want) {
	for _, o := range w.Open {
		rule := d.Opening(w.Door, o)
		why := "exempt from the lock"
		if !o.Exempt() {
			why = "needed by " + string(o.Grants)
		}
		d.targets[spot{d.OwnName(w.Door.VM), rule.Content()}] = target{
			kind: provider.OwnedOpening, rule: rule, door: w.Door, opening: o, why: why,
		}
	}
}

// keepHeld leaves the held doors as they are: what is there and wanted stays,
// nothing is added.
func (d *draft) keepHeld() {
	for at, t := range d.targets {
		if _, have := d.have[at]; d.held[t.door] && t.kind == provider.OwnedOpening && !have {
			delete(d.targets, at)
		}
	}
}

// diff adds the changes that lead from the rules of ours to the targets.
func (d *draft) diff() {
	for at, t := range d.targets {
		have, there := d.have[at]
		if there && d.shows(have, t) {
			continue
		}
		op, step, do := plan.Open, stepOpen, securitygroup.Authorize
		if there {
			do = securitygroup.Describe
		}
		switch {
		case t.kind == provider.OwnedRest && d.left(at.group):
			op, step = plan.Keep, stepRest
		case t.kind == provider.OwnedRest:
			op, step = plan.Keep, stepKeep
		case there && d.shortens(have, t):
			op, step = plan.Close, stepClose
		}
		rule := t.rule
		d.change(step, op, t.door, t.opening, t.why, securitygroup.Write{Do: do, Group: at.group, Rule: &rule})
	}
	for at, have := range d.have {
		if _, stays := d.targets[at]; !stays {
			d.remove(at, have)
		}
	}
}

// left reports whether a machine takes a copy instead of group. What is kept there
// may reach a door that only the copy shuts.
func (d *draft) left(group string) bool {
	return slices.ContainsFunc(d.changes, func(c plan.Change) bool {
		w := writeOf(c)
		return c.Step == stepSwap && w.Do == securitygroup.Swap && w.Instead == group
	})
}

// shows reports whether have is t already. Which key made its mark does not
// matter as long as it verifies.
func (d *draft) shows(have securitygroup.Rule, t target) bool {
	if t.kind == provider.OwnedRest {
		return true // found by its mark
	}
	m, state := d.OpeningMark(t.door.VM, have)
	want := securitygroup.MarkOf(t.opening)
	want.Instance = m.Instance
	return state == firewall.MarkGood && m == want
}

// shortens reports whether t lets its source in for less long than have does.
func (d *draft) shortens(have securitygroup.Rule, t target) bool {
	m, state := d.OpeningMark(t.door.VM, have)
	return state == firewall.MarkGood && !t.opening.Exempt() && (m.Until.IsZero() || !t.opening.Until.After(m.Until))
}

// remove adds the change that takes a rule of ours away.
func (d *draft) remove(at spot, have securitygroup.Rule) {
	w := securitygroup.Write{Do: securitygroup.Revoke, Group: at.group, Rule: &have}
	g, _ := d.group(at.group)
	vm, owned := d.Owner(g)
	if !owned {
		var nowhere firewall.Door
		d.serve(stepClean, plan.Drop, nowhere, "kept of a displaced rule that is back", w)
		return
	}
	switch o := d.ReadOpening(g, vm, have); {
	case d.stuck[o.Door] && o.Mark == firewall.MarkGood && o.Opening.Exempt(): // stays with its lock
	case o.Mark != firewall.MarkGood:
		d.change(stepClose, plan.Close, d.doorBefore(at, o.Door, have), o.Opening, o.Wrong, w)
	case slices.ContainsFunc(d.want, func(w firewall.Want) bool { return w.Door == o.Door }):
		d.change(stepClose, plan.Close, o.Door, o.Opening, "nothing needs it any more", w)
	default:
		d.change(stepClean, plan.Drop, o.Door, o.Opening, "its lock has ended", w)
	}
}

// doorBefore returns the door that a rule was made for, before somebody changed
// it: that of the target with its mark.
func (d *draft) doorBefore(at spot, now firewall.Door, have securitygroup.Rule) firewall.Door {
	for other, t := range d.targets {
		if other.group == at.group && t.rule.Description == have.Description {
			return t.door // no two targets have one mark
		}
	}
	return now
}

// advance makes a close of every clean-up that will shut somebody out: closing
// waits for nothing.
func (d *draft) advance() {
	ends := func(c plan.Change) bool { return c.Op == plan.Drop && c.Opening.From.IsValid() }
	if !slices.ContainsFunc(d.changes, ends) {
		return
	}
	after := d.after().Layer()
	for i, c := range d.changes {
		if ends(c) && !reach.Layer(after, c.Door).Sources(reach.Open).Covers(c.Opening.From) {
			d.changes[i].Step, d.changes[i].Op = stepClose, plan.Close
		}
	}
}

// fit takes out the openings for which an owned group has no room. Closings make
// room, and exempt sources go before grants.
func (d *draft) fit() {
	used := map[string]securitygroup.Cost{}
	for _, g := range d.Groups {
		used[g.Name] = d.CostOf(g.Ingress...)
	}
	slices.SortFunc(d.changes, func(a, b plan.Change) int {
		return cmp.Or(cmp.Compare(a.Step, b.Step), cmp.Compare(rank(a), rank(b)), plan.Compare(a, b))
	})
	d.changes = slices.DeleteFunc(d.changes, func(c plan.Change) bool {
		w := writeOf(c)
		if _, owned := d.Owner(securitygroup.Group{Name: w.Group}); !owned || w.Rule == nil {
			return false
		}
		switch sum, more := used[w.Group], d.CostOf(*w.Rule); {
		case w.Do == securitygroup.Revoke:
			used[w.Group] = sum.Minus(more)
		case w.Do == securitygroup.Authorize && !sum.Fits(more, d.Quotas):
			d.refuse(c.Door, c.Opening.From, "no room for another rule: %s holds %d of each family", w.Group, d.Quotas.Rules)
			return true
		case w.Do == securitygroup.Authorize:
			used[w.Group] = sum.Plus(more)
		}
		return false
	})
}

func rank(c plan.Change) int {
	if c.Op == plan.Open && !c.Opening.Exempt() {
		return 1
	}
	return 0
}

// writeOf returns the write of a change that we made ourselves.
func writeOf(c plan.Change) securitygroup.Write {
	w, _ := securitygroup.Decode(c.Native)
	return w
}

// serve adds a write that opens or closes for nobody by itself.
func (d *draft) serve(step int, op plan.Op, door firewall.Door, why string, w securitygroup.Write) {
	var nobody firewall.Opening
	d.change(step, op, door, nobody, why, w)
}

// change adds one write to the plan.
func (d *draft) change(step int, op plan.Op, door firewall.Door, o firewall.Opening, why string, w securitygroup.Write) {
	d.changes = append(d.changes, plan.Change{Step: step, Op: op, Door: door, Opening: o, Why: why, Native: w.Text()})
}

// refuse says that a source cannot be let in.
func (d *draft) refuse(door firewall.Door, from netip.Prefix, format string, args ...any) {
	d.refused = append(d.refused, plan.Refusal{Door: door, From: from, Why: fmt.Sprintf(format, args...)})
}

// hold says that the lock of door cannot be shown, or not be ended.
func (d *draft) hold(door firewall.Door, format string, args ...any) {
	if !d.held[door] {
		d.held[door] = true
		d.refuse(door, netip.Prefix{}, format, args...)
	}
}

// after is r once every change is made.
func (d *draft) after() securitygroup.Reading {
	writes := make([]securitygroup.Write, len(d.changes))
	for i, c := range d.changes {
		writes[i] = writeOf(c)
	}
	return d.On(writes...)
}
