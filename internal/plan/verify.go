package plan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/reach"
)

// A Case is everything that the verdict on one plan depends on.
type Case struct {
	Plan Plan
	// Want is what the firewall was asked to show: what the plan was compiled
	// from.
	Want firewall.Wants
	// Desired is what must be true of the doors as a client outside sees it; nil
	// means Want, which is the same wherever no address is translated.
	Desired firewall.Wants
	// VMs are the machines behind the firewall.
	VMs []inventory.VM
	// Observed is what every firewall on their paths shows now.
	Observed map[firewall.ID]firewall.Layer
	// Joint is what they will show once all pending plans are applied; nil means
	// as observed, with this plan applied.
	Joint map[firewall.ID]firewall.Layer
	// Unlocking are the doors whose lock somebody ends explicitly, having been
	// shown what that gives back.
	Unlocking []firewall.Door
}

// Verify judges a plan by what it really changes, end to end over all layers:
//
//   - what it newly admits to a door lies within that door's openings, or the
//     door is being unlocked, or it is not locked and gets back what it had lost to
//     one that is;
//   - what it newly shuts are just-in-time doors, or somebody agreed to the loss
//     for one of the locks that it is for;
//   - no opening is for another source, or for longer, than the want says;
//   - every source it opens for gets in; where something on the way is not known
//     it may, unless the policy demands proof;
//   - it opens nothing on a VM about which something is missing.
//
// A verdict that was unknown counts as closed for the first and as open for the
// second: what is not known may become neither open nor closed by our hand.
//
// It returns what must not be written, door by door or source by source, with
// the deciding rule, sorted; nil when the plan may be applied as it is. Each
// refusal names a door of the plan, so that holding it changes the plan. It
// never objects to a change that only closes.
func Verify(c Case) []Refusal {
	j := newJudge(c)
	known := make(map[firewall.VMID]bool, len(c.VMs))
	var out []Refusal
	for _, v := range c.VMs {
		known[v.ID] = true
		for _, k := range j.classesOf(v) {
			out = append(out, j.class(v, k)...)
			out = append(out, j.openings(v, k.Door)...)
		}
	}
	for _, x := range c.Plan.Changes {
		out = append(out, j.excess(x)...)
		if !known[x.Door.VM] && (x.Op == Open || x.Op == Restore) {
			out = append(out, Refusal{Door: x.Door, From: netip.Prefix{}, Why: "nothing is known about " + string(x.Door.VM) + " any more, so nothing is opened there"})
		}
	}
	slices.SortFunc(out, CompareRefusals)
	return slices.Compact(out)
}

// CompareRefusals orders refusals by door, source and reason.
func CompareRefusals(a, b Refusal) int {
	return cmp.Or(firewall.CompareDoors(a.Door, b.Door), a.From.Compare(b.From), cmp.Compare(a.Why, b.Why))
}

// A judge is a case, prepared for asking about many doors.
type judge struct {
	Case

	ask     reach.Query
	effect  *reach.Effect // of the plan
	joint   reach.Model   // empty where that is all there is
	changes map[firewall.Door][]Change
}

func newJudge(c Case) *judge {
	j := &judge{Case: c, changes: map[firewall.Door][]Change{}}
	j.effect = reach.NewEffect(j.onTheWay(c.Observed), c.Plan.After)
	if c.Joint != nil {
		j.joint = reach.NewModel(j.onTheWay(c.Joint))
	}
	if j.Desired == nil {
		j.Desired = c.Want
	}
	for _, x := range c.Plan.Changes {
		j.changes[x.Door] = append(j.changes[x.Door], x)
	}
	return j
}

// end returns who gets to d of v when all is done.
func (j *judge) end(v inventory.VM, d firewall.Door) reach.Set {
	if j.Joint == nil {
		return j.effect.After(v, d)
	}
	return j.ask.VM(v, j.joint, d)
}

// onTheWay returns the layers of the firewalls in front of the machines that the
// case is about.
func (j *judge) onTheWay(layers map[firewall.ID]firewall.Layer) map[firewall.ID]firewall.Layer {
	out := map[firewall.ID]firewall.Layer{}
	for _, v := range j.VMs {
		for _, id := range v.Firewalls() {
			if l, ok := layers[id]; ok {
				out[id] = l
			}
		}
	}
	return out
}

// class judges what the plan does to the reach of some doors.
func (j *judge) class(v inventory.VM, k class) []Refusal {
	if slices.Contains(j.Unlocking, k.Door) || !j.touches(v, k.Door) {
		return nil
	}
	change := j.effect.Of(v, k.Door)
	desired, _ := j.Desired.Of(k.Door)
	extra := slices.DeleteFunc(change.Admits().Outside(sourcesOf(desired)), func(x reach.Shift) bool { return j.givesBack(k.Door, x) })
	if len(extra) > 0 {
		return j.blame(k.Door, fmt.Sprintf("the change would let %s reach %s (by %s); nothing allows that", extra.Sources(), k.Door, extra[0].After.By()))
	}
	l, lost := j.lossIn(v, k, change)
	if !lost || l.Accepted {
		return nil
	}
	var out []Refusal
	for _, d := range l.Locks {
		out = append(out, Refusal{Door: d, From: netip.Prefix{}, Why: fmt.Sprintf(
			"the change would keep %s from reaching %s (by %s); that is not a just-in-time port", reach.Of(l.From...), k.Door, l.By), Spare: true})
	}
	return out
}

// givesBack reports whether what x newly admits to d, which is not locked, is let in
// by a displaced rule that comes back with an explicit unlock.
func (j *judge) givesBack(d firewall.Door, x reach.Shift) bool {
	if w, _ := j.Want.Of(d); w.Locked {
		return false
	}
	by := func(s reach.Step) bool {
		return s.Firewall == j.Plan.Firewall && slices.ContainsFunc(j.Plan.Changes, func(c Change) bool {
			return c.Op == Restore && c.Rule != "" && c.Rule == s.Rule && slices.Contains(j.Unlocking, c.Door)
		})
	}
	return slices.ContainsFunc(x.After.Steps(), by)
}

// blame returns refusals of what in the plan has that effect on d: the change to
// d itself; else those to the same port of other VMs, which may share a rule or
// a group with it; else all. Closings are never to blame.
func (j *judge) blame(d firewall.Door, why string) []Refusal {
	if len(j.changes[d]) > 0 && !j.closesOnly(d) {
		return []Refusal{{Door: d, From: netip.Prefix{}, Why: why}}
	}
	var same, all []Refusal
	for door := range j.changes {
		if j.closesOnly(door) {
			continue
		}
		r := Refusal{Door: door, From: netip.Prefix{}, Why: why}
		all = append(all, r)
		if door.Port == d.Port && door.Protocol == d.Protocol {
			same = append(same, r)
		}
	}
	switch {
	case len(same) > 0:
		return same
	case len(all) > 0:
		return all
	}
	return []Refusal{{Door: d, From: netip.Prefix{}, Why: why}}
}

// closesOnly reports whether all that the plan does to d is to close. What a
// close of ours takes away is never held back.
func (j *judge) closesOnly(d firewall.Door) bool {
	other := func(x Change) bool { return x.Op != Close }
	return len(j.changes[d]) > 0 && !slices.ContainsFunc(j.changes[d], other)
}

// openings judges whether everybody the plan opens d for really gets in.
func (j *judge) openings(v inventory.VM, d firewall.Door) []Refusal {
	var end reach.Set
	var out []Refusal
	for _, x := range j.changes[d] {
		from := x.Opening.From
		if x.Op != Open || !from.IsValid() {
			continue
		}
		if len(v.Missing) > 0 && !x.Opening.Exempt() {
			out = append(out, Refusal{Door: d, From: from, Why: "not everything about " + string(v.ID) + " is known: " + v.Missing[0]})
			continue
		}
		if end.Len() == 0 {
			end = j.end(v, d)
		}
		if no, blocked := j.blocked(end, v, x, reach.Closed); blocked {
			out = append(out, Refusal{
				Door: d, From: from,
				Why: fmt.Sprintf("%s would still not get through to %s: %s blocks it", no.Range, d, no.By()),
			})
			continue
		}
		desired, _ := j.Desired.Of(d)
		if no, doubtful := j.blocked(end, v, x, reach.Unknown); doubtful && desired.Proof && !x.Opening.Exempt() {
			out = append(out, Refusal{
				Door: d, From: from,
				Why: fmt.Sprintf("it is not proven that %s would get through to %s, which its policy demands: %s is not known", no.Range, d, no.By()),
			})
		}
	}
	return out
}

// blocked returns a part of the clients for whom x opens whose verdict is v: that
// is proven not to get in, or of which it is not known. Behind an address translation one opening serves many clients: it is
// blocked if none of them gets in whole, for each has its own opening before.
func (j *judge) blocked(end reach.Set, v inventory.VM, x Change, verdict reach.Verdict) (first reach.Span, blocked bool) {
	clients := []netip.Prefix{x.Opening.From}
	if translated(v, j.Plan.Firewall, x.Opening.From) {
		clients = nil
		desired, _ := j.Desired.Of(x.Door)
		for _, o := range desired.Open {
			clients = append(clients, o.From)
		}
	}
	for i, client := range clients {
		no, found := stopped(end, client, verdict)
		if !found {
			return reach.Span{}, false
		}
		if i == 0 {
			first = no
		}
	}
	return first, len(clients) > 0
}

// stopped returns the first part of client whose verdict is v.
func stopped(end reach.Set, client netip.Prefix, v reach.Verdict) (reach.Span, bool) {
	for s := range end.Within(client) {
		if s.Verdict == v {
			return s, true
		}
	}
	return reach.Span{}, false
}

// translated reports whether fw sees from in place of the clients of v.
func translated(v inventory.VM, fw firewall.ID, from netip.Prefix) bool {
	return slices.ContainsFunc(v.Paths, func(p inventory.Path) bool {
		return slices.ContainsFunc(p.Hops, func(h inventory.Hop) bool { return h.Firewall == fw && h.Sees == from })
	})
}

// excess judges whether an opening is for a source, and until a time, that the
// want has.
func (j *judge) excess(x Change) []Refusal {
	if x.Op != Open || !x.Opening.From.IsValid() {
		return nil
	}
	w, _ := j.Want.Of(x.Door)
	within := func(o firewall.Opening) bool {
		return firewall.Covers(o.From, x.Opening.From) && !outlasts(x.Opening, o)
	}
	i, exact := slices.BinarySearchFunc(w.Open, x.Opening.From, func(o firewall.Opening, p netip.Prefix) int { return o.From.Compare(p) })
	if exact && within(w.Open[i]) || slices.ContainsFunc(w.Open, within) {
		return nil
	}
	return []Refusal{{
		Door: x.Door, From: x.Opening.From,
		Why: fmt.Sprintf("no opening of %s is for %s for that long", x.Door, firewall.FormatSource(x.Opening.From)),
	}}
}

// sourcesOf returns everybody that w lets in.
func sourcesOf(w firewall.Want) reach.Ranges {
	prefixes := make([]netip.Prefix, len(w.Open))
	for i, o := range w.Open {
		prefixes[i] = o.From
	}
	return reach.Of(prefixes...)
}
