// Package plan decides what every firewall must show and judges what a provider
// means to do about it.
//
// Desired turns locks and live grants into wants, Route splits them over the
// firewalls on the way, a provider compiles them against what it observed, and
// Verify computes with the reach engine what the change would really admit and
// shut. Everything here is a pure function of its arguments, and the same
// arguments give the same plan, byte for byte.
package plan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/firewall"
)

// Op is what a change does. The order of the values is the order inside a step:
// closing never waits for opening.
type Op uint8

// The operations.
const (
	// Close takes an opening of ours away, or narrows or shortens it.
	Close Op = iota
	// Keep writes down what must stay reachable of a foreign rule that is about
	// to be displaced.
	Keep
	// Displace takes a foreign rule out, where a firewall has no Deny.
	Displace
	// Lock closes a door to everybody but its openings, or repairs that.
	Lock
	// Open lets a source in, or extends an opening.
	Open
	// Restore gives a displaced foreign rule back.
	Restore
	// Drop removes what only served a lock that has ended.
	Drop
)

// String returns the operation's name.
func (o Op) String() string {
	names := [...]string{"close", "keep", "displace", "lock", "open", "restore", "drop"}
	if int(o) < len(names) {
		return names[o]
	}
	return "op?"
}

// ParseOp reads the name of an operation.
func ParseOp(s string) (Op, bool) {
	for o := Close; o <= Drop; o++ {
		if o.String() == s {
			return o, true
		}
	}
	return 0, false
}

// A Change is one write to a firewall. It is data: it can be printed, stored in
// the audit log, verified before and replayed after.
type Change struct {
	// Step orders the writes of a plan: those of step n+1 are sent after all of
	// step n are acknowledged, and every state in between is safe.
	Step int
	Op   Op
	Door firewall.Door
	// Opening is what a Close or an Open is about; zero for the others.
	Opening firewall.Opening
	// Why is a sentence for people.
	Why string
	// Native is the exact write in the provider's own encoding.
	Native string
	// Undo is a foreign rule as it was read; it is stored before Native is sent.
	Undo string
	// Rule names the foreign rule that a Displace or a Restore is about as the
	// layer does. A rule that is displaced again in another version has its name.
	Rule string
	// Since is when a displaced rule was taken out, once it was; zero if that is
	// not known.
	Since time.Time
}

// String renders c the way plans, logs and golden files show it.
func (c Change) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-8s %s", c.Op, c.Door)
	if c.Opening.From.IsValid() {
		fmt.Fprintf(&b, " from %s", firewall.FormatSource(c.Opening.From))
		if !c.Opening.Exempt() {
			fmt.Fprintf(&b, " until %s", c.Opening.Until.Format("2006-01-02T15:04:05.000Z07:00"))
		}
	}
	fmt.Fprintf(&b, "  # %s", c.Why)
	return b.String()
}

// Compare orders changes by step, operation, door, opening and native text.
func Compare(a, b Change) int {
	return cmp.Or(
		cmp.Compare(a.Step, b.Step),
		cmp.Compare(a.Op, b.Op),
		firewall.CompareDoors(a.Door, b.Door),
		firewall.CompareOpenings(a.Opening, b.Opening),
		cmp.Compare(a.Native, b.Native),
	)
}

// A Plan is the ordered difference between what one firewall shows and what it
// must show.
type Plan struct {
	Firewall firewall.ID
	Changes  []Change
	// After is what the firewall will show once every change is made.
	After firewall.Layer
	// Refused lists what the provider cannot express on this firewall, such as
	// an opening for which there is no room. The rest of the plan stands.
	Refused []Refusal
}

// A Refusal is a part of a want that cannot be had, and why.
type Refusal struct {
	Door firewall.Door
	// From is the source that cannot be let in; invalid when it is the lock that
	// cannot be shown.
	From netip.Prefix
	Why  string
	// Spare says that what cannot be had is only that foreign rules go for the
	// lock; it can be shown without, and be opened.
	Spare bool
}

// Empty reports whether nothing is to be done.
func (p Plan) Empty() bool { return len(p.Changes) == 0 }

// Has reports whether p holds a change with one of the given operations.
func (p Plan) Has(ops ...Op) bool {
	return slices.ContainsFunc(p.Changes, func(c Change) bool { return slices.Contains(ops, c.Op) })
}

// About returns the changes that concern g, each as a line.
func (p Plan) About(g access.Grant) []string {
	var out []string
	for _, c := range p.Changes {
		if c.Door == g.Door && slices.Contains(g.Sources, c.Opening.From) {
			out = append(out, c.String())
		}
	}
	return out
}

// Only returns the part of p that consists of the given operations. Its layer
// stays the one that all of p would have led to.
func (p Plan) Only(ops ...Op) Plan {
	p.Changes = slices.DeleteFunc(slices.Clone(p.Changes), func(c Change) bool { return !slices.Contains(ops, c.Op) })
	return p
}

// String renders the plan, one change a line.
func (p Plan) String() string {
	var b strings.Builder
	for _, c := range p.Changes {
		fmt.Fprintln(&b, c)
	}
	for _, r := range p.Refused {
		fmt.Fprintf(&b, "refused  %s", r.Door)
		if r.From.IsValid() {
			fmt.Fprintf(&b, " from %s", firewall.FormatSource(r.From))
		}
		fmt.Fprintf(&b, "  # %s\n", r.Why)
	}
	return b.String()
}
