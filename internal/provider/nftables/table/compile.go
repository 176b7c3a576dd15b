//go:build linux

package table

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
)

// A draft is a plan in the making.
type draft struct {
	State
	want    firewall.Wants // the doors to lock, sorted
	have    map[itemID]item
	gone    map[itemID]bool // items that the plan takes away
	sets    []string        // of openings, as the plan leaves them, sorted
	writes  []write
	refused []plan.Refusal
}

// A write is a change with its edit.
type write struct {
	plan.Change
	Edit
	put *item // what Put will be read back as
}

// Compile returns the plan that makes s show want. The whole plan is one step:
// one transaction.
func (s State) Compile(want firewall.Wants) (plan.Plan, error) {
	d := &draft{State: s, have: make(map[itemID]item, len(s.items)), gone: map[itemID]bool{}, sets: s.Frame.openingSets()}
	if err := d.take(want); err != nil {
		return plan.Plan{}, err
	}
	for _, x := range s.items {
		d.have[x.itemID] = x
	}
	if who := s.Frame.Stranger(s.Keys.Instance); who != "" {
		for _, w := range d.want {
			d.refuse(w.Door, netip.Prefix{}, clash(who, ""))
		}
		return d.plan(), nil
	}
	targets := d.targets()
	if s.Only == nil {
		d.locks()
		d.locksGone()
	}
	d.openingsGone(targets)
	d.openings(targets)
	return d.plan(), nil
}

// take checks the wants and keeps those that lock, sorted.
func (d *draft) take(want firewall.Wants) (err error) {
	for _, w := range want {
		if w.Door.VM != d.VM {
			return errkind.New(errkind.Invalid, "%s is not behind %s", w.Door, d.Firewall)
		}
		if w.Door.Port == 0 || w.Door.Protocol != firewall.TCP && w.Door.Protocol != firewall.UDP {
			return errkind.New(errkind.Invalid, "%s cannot be locked: only the ports 1 to 65535 of TCP and UDP can", w.Door)
		}
	}
	d.want, err = want.Locked()
	return err
}

// A target is an opening that the table must show.
type target struct {
	itemID
	door    firewall.Door
	opening firewall.Opening
}

// targets returns what must be open, exempt sources first; of a partial reading
// only what was looked up.
func (d *draft) targets() []target {
	var out []target
	for _, w := range d.want {
		for _, o := range w.Open {
			if !d.covers(w.Door, o.From) {
				continue
			}
			id := itemID{set: slotOf(o).name(), key: string(keyOf(w.Door, o.From).bytes())}
			out = append(out, target{itemID: id, door: w.Door, opening: o})
		}
	}
	slices.SortStableFunc(out, func(a, b target) int {
		if a.opening.Exempt() == b.opening.Exempt() {
			return 0
		}
		if a.opening.Exempt() {
			return -1
		}
		return 1
	})
	return out
}

// covers reports whether the reading speaks about a source at a door.
func (d *draft) covers(door firewall.Door, from netip.Prefix) bool {
	if d.Only == nil {
		return true
	}
	_, found := slices.BinarySearchFunc(d.Only, firewall.Key{Door: door, From: from}, firewall.CompareKeys)
	return found
}

// locks adds what is missing of the locks.
func (d *draft) locks() {
	for _, w := range d.want {
		why := "only its openings may reach it"
		switch locked := d.Frame.locks(w.Door); {
		case locked && d.Frame.wrong != "":
			why = "the gate is written again: " + d.Frame.wrong
		case locked && w.Cut != d.Frame.cuts(w.Door) && w.Door.Protocol == firewall.TCP:
			why = "connections end with their opening"
			if !w.Cut {
				why = "connections may outlive their opening"
			}
		case locked:
			continue
		}
		d.add(plan.Lock, w.Door, noOpening(), why, write{Edit: Edit{Lock: portOf(w.Door, w.Cut)}})
	}
}

// locksGone gives back the doors that are not to be locked; with the last of
// them the table goes.
func (d *draft) locksGone() {
	for _, door := range d.Frame.Locked(d.VM) {
		if _, stays := d.want.Of(door); !stays {
			d.add(plan.Drop, door, noOpening(), "its lock has ended", write{Edit: Edit{Unlock: portOf(door, d.Frame.cuts(door))}})
		}
	}
	if d.empties() && len(d.writes) == 0 {
		d.add(plan.Drop, firewall.Door{VM: d.VM, Protocol: 0, Port: 0}, noOpening(), "no door is locked here", write{})
	}
}

// empties reports whether nothing stays in the table, so that it goes as a whole.
func (d *draft) empties() bool {
	return d.Only == nil && d.Frame.Exists() && len(d.want) == 0 && !d.invaded()
}

// invaded reports whether another installation wrote into our table.
func (d *draft) invaded() bool {
	return slices.ContainsFunc(d.items, func(x item) bool { return x.owned.Mark == firewall.MarkForeign })
}

// openingsGone takes away what is not wanted, and never another installation's.
func (d *draft) openingsGone(targets []target) {
	wanted := make(map[itemID]bool, len(targets))
	for _, t := range targets {
		wanted[t.itemID] = true
	}
	for _, x := range d.items {
		o := x.owned
		if wanted[x.itemID] || o.Mark == firewall.MarkForeign {
			continue
		}
		op, why := plan.Close, cmp.Or(o.Wrong, "nothing needs it any more")
		// What is left at a door without a lock is no part of giving a lock back:
		// who may only close must be able to take it away.
		if _, stays := d.want.Of(o.Door); !stays && d.Only == nil && d.Frame.locks(o.Door) {
			op, why = plan.Drop, "its lock has ended"
		}
		d.gone[x.itemID] = true
		in, _ := parseSlot(x.set)
		d.add(op, o.Door, o.Opening, why, write{Edit: Edit{Delete: &Element{Set: x.set, Key: in.keyText([]byte(x.key))}}})
	}
}

// openings adds what must be open and is not, or otherwise.
func (d *draft) openings(targets []target) {
	count, invaded := len(d.items)-len(d.gone), d.invaded()
	for _, t := range targets {
		have, there := d.have[t.itemID]
		if there && have.shows(t.opening) {
			continue
		}
		op := plan.Open
		if d.narrows(t) {
			op = plan.Close
		}
		switch {
		case invaded && (op == plan.Open || have.owned.Mark == firewall.MarkForeign):
			i := slices.IndexFunc(d.items, func(x item) bool { return x.owned.Mark == firewall.MarkForeign })
			d.refuse(t.door, t.opening.From, clash(d.items[i].mark.Instance, d.items[i].text()))
			continue
		case !there && count >= MostOpenings:
			d.refuse(t.door, t.opening.From, fmt.Sprintf("no room for another opening: %d of %d used", count, MostOpenings))
			continue
		case !there:
			count++
		}
		d.put(op, t, there)
	}
}

// put adds the write of an opening.
func (d *draft) put(op plan.Op, t target, there bool) {
	why := "exempt from the lock"
	if !t.opening.Exempt() {
		why = "needed by " + string(t.opening.Grants)
	}
	if i, found := slices.BinarySearch(d.sets, t.set); !found {
		d.sets = slices.Insert(d.sets, i, t.set)
	}
	in := slotOf(t.opening)
	mark := d.Keys.Seal(markOf(t.opening), d.place(t.door, t.opening.From, t.set))
	d.add(op, t.door, t.opening, why, write{
		Edit: Edit{Put: &Element{
			Set: t.set, Key: in.keyText([]byte(t.key)), Until: t.opening.Until, Mark: mark, Replaces: there,
		}},
		put: &item{itemID: t.itemID, owned: provider.Owned{
			Kind: provider.OwnedOpening, Door: t.door, Opening: t.opening,
			Mark: firewall.MarkGood, Closes: t.opening.Until, Native: t.text(),
		}},
	})
}

// shows reports whether x is o already. Of a mark that verifies, the key that it
// was made with does not matter. Where one holder is wanted, the mark may count
// more: whoever asks by what the marks say knows only one.
func (x item) shows(o firewall.Opening) bool {
	want := markOf(o)
	return x.owned.Mark == firewall.MarkGood && x.owned.Wrong == "" &&
		x.mark.Grant == want.Grant && x.mark.Until.Equal(want.Until) &&
		(x.mark.More == want.More || want.More == 0)
}

// narrows reports whether t lets its source in for no longer than what is there
// does, in the set that t goes to or as an exempt source.
func (d *draft) narrows(t target) bool {
	exempt := t.opening
	exempt.Until = time.Time{}
	for _, id := range []itemID{t.itemID, {set: slotOf(exempt).name(), key: t.key}} {
		if x, there := d.have[id]; there && x.narrowedBy(t.opening) {
			return true
		}
	}
	return false
}

// narrowedBy reports whether o lets in for no longer than x does.
func (x item) narrowedBy(o firewall.Opening) bool {
	if o.Exempt() {
		return false
	}
	ends := x.owned.Closes
	if x.owned.Mark == firewall.MarkGood && x.owned.Wrong == "" {
		ends = x.mark.Until
	}
	return ends.IsZero() || !o.Until.After(ends)
}

// noOpening stands in changes that are about a lock.
func noOpening() firewall.Opening {
	return firewall.Opening{From: netip.Prefix{}, Until: time.Time{}, Grants: ""}
}

// add adds a change to the plan.
func (d *draft) add(op plan.Op, door firewall.Door, o firewall.Opening, why string, w write) {
	w.Change = plan.Change{Step: 0, Op: op, Door: door, Opening: o, Why: why, Native: "", Undo: ""}
	d.writes = append(d.writes, w)
}

// refuse says that a source cannot be let in, or with none that a lock cannot be
// shown.
func (d *draft) refuse(door firewall.Door, from netip.Prefix, why string) {
	d.refused = append(d.refused, plan.Refusal{Door: door, From: from, Why: why})
}

// plan finishes the draft.
func (d *draft) plan() plan.Plan {
	p := plan.Plan{Firewall: d.Firewall, Changes: nil, After: d.Layer(), Refused: d.refused}
	slices.SortFunc(p.Refused, plan.CompareRefusals)
	if len(d.writes) == 0 {
		return p
	}
	rewrite := d.Frame.wrong != "" || !slices.Equal(d.sets, d.Frame.good)
	for _, w := range d.writes {
		switch {
		case d.empties() && w.Op == plan.Drop:
			w.Remove = true
		case rewrite && (w.Lock != nil || w.Put != nil):
			w.Frame = d.sets
		}
		w.Change.Native = w.encode()
		p.Changes = append(p.Changes, w.Change)
	}
	slices.SortFunc(p.Changes, plan.Compare)
	p.After = d.after(rewrite).Layer()
	return p
}

// after is the state that the plan leads to.
func (d *draft) after(rewrite bool) State {
	s := d.State
	f := *d.Frame
	s.Frame, s.items = &f, nil
	if d.empties() {
		s.Frame = NewFrame(Parts{})
		return s
	}
	f.ports = map[string]map[uint16]bool{lockedTCP: {}, lockedUDP: {}}
	for _, door := range d.Frame.Locked(d.VM) {
		f.ports[lockedBy(door.Protocol)][door.Port] = true
	}
	put := map[itemID]bool{}
	for _, w := range d.writes {
		switch {
		case w.Lock != nil:
			f.ports[lockedBy(w.Door.Protocol)][w.Door.Port] = true
		case w.Unlock != nil:
			delete(f.ports[lockedBy(w.Door.Protocol)], w.Door.Port)
		case w.put != nil:
			put[w.put.itemID] = true
			s.items = append(s.items, *w.put)
		}
		if rewrite && (w.Lock != nil || w.Put != nil) {
			t := tableOf(d.Keys.Instance)
			f.table, f.chains, f.wrong = &t, chains(), ""
		}
	}
	for _, x := range d.items {
		if !d.gone[x.itemID] && !put[x.itemID] {
			s.items = append(s.items, x)
		}
	}
	slices.SortFunc(s.items, func(a, b item) int { return a.compare(b.itemID) })
	return s
}
