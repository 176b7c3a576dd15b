package compile

import (
	"net/netip"
	"slices"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/memory/dialect"
	"github.com/sesame-access/sesame/internal/reach"
)

// number gives every target its place among the foreign rules, none of which
// moves. A lock takes the highest free number above every foreign rule that
// would let somebody in; exempt sources come right above their lock, grants at
// the lowest numbers. What stands well stays where it is.
func (d *draft) number() {
	used := d.numbers()
	for _, w := range d.want {
		lock := d.targets[d.LockRule(w.Door, w.Cut).Name]
		bound, by := d.bound(w.Door)
		n, ok := d.keepsNumber(lock.rule.Name, bound)
		if !ok {
			n, ok = used.free(d.Config.First, min(bound-1, d.Config.Last), true, d.has(lock))
		}
		if !ok {
			d.hold(w.Door, "no free number above the foreign rule %s (%d), which lets somebody in", by, bound)
			continue
		}
		used[n] = taken
		d.targets[lock.rule.Name] = d.at(lock, n)
		for _, exempt := range []bool{true, false} {
			for _, o := range w.Open {
				if o.Exempt() == exempt {
					d.numberOpening(used, w.Door, o, n)
				}
			}
		}
	}
	d.keepHeld()
}

// numberOpening places o above the lock at the given number and above the
// foreign Denies that may be outranked. Any other Deny on its way is a proven
// block.
func (d *draft) numberOpening(used numbers, door firewall.Door, o firewall.Opening, lock int) {
	t := d.targets[d.OpenRule(door, o).Name]
	if name := d.blocker(door, o.From); name != "" {
		delete(d.targets, t.rule.Name)
		d.refuse(door, o.From, "the foreign rule %s denies %s, and may not be outranked", name, firewall.FormatSource(o.From))
		return
	}
	ceiling, by := lock, "the lock"
	for _, r := range d.foreign {
		if r.Action == firewall.Deny && r.Line(false).Matches(door) && overlaps(r.From, o.From) && r.Priority < ceiling && d.mayOutrank(r) {
			ceiling, by = r.Priority, "the foreign rule "+r.Name
		}
	}
	n, ok := d.keepsNumber(t.rule.Name, ceiling)
	if !ok {
		n, ok = used.free(d.Config.First, ceiling-1, o.Exempt(), d.has(t))
	}
	if !ok {
		delete(d.targets, t.rule.Name)
		d.refuse(door, o.From, "no free number above %s (%d)", by, ceiling)
		return
	}
	used[n] = taken
	d.targets[t.rule.Name] = d.at(t, n)
}

// keepsNumber returns the number that the rule of ours has, if it is within the
// window and below the bound.
func (d *draft) keepsNumber(name string, bound int) (int, bool) {
	have, ok := d.have[name]
	return have.Priority, ok && d.Config.First <= have.Priority && have.Priority < bound && have.Priority <= d.Config.Last
}

// has reports whether the rule of t is there, in whatever form.
func (d *draft) has(t target) bool {
	_, ok := d.have[t.rule.Name]
	return ok
}

func (d *draft) mayOutrank(r dialect.Rule) bool {
	return slices.Contains(d.Config.MayOutrank, r.Name) && !r.Opaque
}

// decided returns what the given rules alone decide about door, and by which.
func (d *draft) decided(rules []dialect.Rule, door firewall.Door) reach.Set {
	s := d.Holding(rules)
	s.Config.VirtualNetwork = nil
	return reach.Layer(s.Layer(), door)
}

// ruleOf returns the name of the rule that decided x, which is about one layer.
func ruleOf(x reach.Span) string { return x.Steps()[0].Rule }

// bound returns the lowest number of a foreign rule that lets somebody in to
// door, or may; one more than the highest number when there is none.
func (d *draft) bound(door firewall.Door) (number int, name string) {
	rules := d.foreign
	number = dialect.MaxPriority + 1
	for x := range d.decided(rules, door).All() {
		if x.Verdict == reach.Closed {
			continue
		}
		by := ruleOf(x)
		if i := slices.IndexFunc(rules, func(r dialect.Rule) bool { return r.Name == by }); i >= 0 && rules[i].Priority < number {
			number, name = rules[i].Priority, by
		}
	}
	return number, name
}

// blocker returns the name of a foreign Deny that keeps a part of from out and
// may not be outranked; empty when there is none.
func (d *draft) blocker(door firewall.Door, from netip.Prefix) string {
	rules := slices.DeleteFunc(slices.Clone(d.foreign), func(r dialect.Rule) bool { return r.Action == firewall.Deny && d.mayOutrank(r) })
	for x := range d.decided(rules, door).All() {
		hit := !(reach.Ranges{x.Range}).Intersect(reach.Of(from)).Empty()
		by := ruleOf(x)
		if hit && x.Verdict == reach.Closed && slices.ContainsFunc(rules, func(r dialect.Rule) bool { return r.Name == by }) {
			return by
		}
	}
	return ""
}

func overlaps(list []netip.Prefix, p netip.Prefix) bool {
	return len(list) == 0 || slices.ContainsFunc(list, p.Overlaps)
}

// numbers says of the priorities that are not free whether they will be: that of
// a rule that this plan closes is, for a new rule, since closings come first.
type numbers map[int]use

type use uint8

const (
	unused use = iota
	closing
	taken
)

// numbers returns the use of every number.
func (d *draft) numbers() numbers {
	out := numbers{}
	for _, r := range d.Rules {
		out[r.Priority] = taken
		if _, stays := d.targets[r.Name]; d.Ours(r) && !stays && r.Action == firewall.Allow && d.locked(r.Door()) {
			out[r.Priority] = closing
		}
	}
	return out
}

// free returns the lowest number from first to last that is free, or the highest.
func (n numbers) free(first, last int, highest, renewed bool) (int, bool) {
	for _, wanted := range []use{unused, closing} {
		for i := range last - first + 1 {
			at := first + i
			if highest {
				at = last - i
			}
			if n[at] == wanted && !(renewed && wanted == closing) {
				return at, true
			}
		}
	}
	return 0, false
}
