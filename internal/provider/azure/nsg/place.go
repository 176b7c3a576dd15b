package nsg

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/dialect"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/resource"
	"github.com/sesame-access/sesame/internal/reach"
)

// Windows are the numbers that rules of ours get, highest first.
type Windows struct {
	Grants, Exempt, Locks Window
	// Anywhere says that other numbers may be used where a window has none that
	// is free and stands right.
	Anywhere bool
}

// A Window is the priorities from First to Last.
type Window struct{ First, Last int }

// DefaultWindows leave 100 to 199 to people who must outrank a grant by hand, and
// hold more grants than a group can have rules. Where a foreign Allow has a low
// number, locks and what stands above them must leave their windows.
func DefaultWindows() Windows {
	return Windows{
		Grants: Window{First: 200, Last: 2999}, Exempt: Window{First: 3000, Last: 3499},
		Locks: Window{First: 3500, Last: maxPriority}, Anywhere: true,
	}
}

func (w Window) has(n int) bool { return w.First <= n && n <= w.Last }

// window returns where a rule of a sort belongs.
func (w Windows) window(exempt bool) Window {
	if exempt {
		return w.Exempt
	}
	return w.Grants
}

// use says of a number that is not free whether it will be: that of a rule that
// this plan closes is, for a new rule, since closings come first.
type use uint8

const (
	unused use = iota
	closing
	taken
)

// numbers are the inbound priorities of a group.
type numbers struct {
	windows Windows
	used    *[maxPriority + 1]use
}

// take notes what becomes of a number. Those of which nothing is known, and
// Azure's own, are none that we use.
func (n numbers) take(at int, u use) {
	if 0 < at && at <= maxPriority {
		n.used[at] = u
	}
}

// keeps reports whether a rule of ours may stay at n: within what is allowed, and
// between the bounds.
func (n numbers) keeps(at int, w Window, above, below int) bool {
	anywhere := Window{First: minPriority, Last: maxPriority}
	return above < at && at < below && (w.has(at) || n.windows.Anywhere && anywhere.has(at))
}

// free returns the highest number between the bounds that is free, in the window
// if there is one. A renewed rule does not take the place of one that closes: its
// own change may come first.
func (n numbers) free(w Window, above, below int, renewed bool) (int, bool) {
	windows := []Window{w}
	if n.windows.Anywhere {
		windows = append(windows, Window{First: minPriority, Last: maxPriority})
	}
	for _, w := range windows {
		for _, wanted := range []use{unused, closing} {
			for at := min(below-1, w.Last, maxPriority); at > above && at >= max(w.First, minPriority); at-- {
				if n.used[at] == wanted && !(renewed && wanted == closing) {
					return at, true
				}
			}
		}
	}
	return 0, false
}

// A ground is one group, prepared for placing rules of ours on it.
type ground struct {
	Reading

	lines   []dialect.Line // the foreign ones
	numbers numbers
	have    map[string]resource.Rule // ours, by name
}

func groundOf(r Reading) ground {
	g := ground{Reading: r, lines: r.Lines(), numbers: numbers{windows: r.Windows, used: new([maxPriority + 1]use)}, have: map[string]resource.Rule{}}
	for _, x := range r.Group.Rules {
		if x.Direction == resource.Inbound || x.Opaque != "" {
			g.numbers.take(x.Priority, taken)
		}
		if r.Ours(x) {
			g.have[strings.ToLower(x.Name)] = x
		}
	}
	return g
}

// A terrain is the foreign lines that speak about one door at one spot, in order.
type terrain struct {
	lines []dialect.Line
	spot  dialect.Spot
}

func (g ground) terrain(d firewall.Door, s dialect.Spot) terrain {
	t := terrain{lines: nil, spot: s}
	for _, l := range g.lines {
		if l.Matches(d) && (len(l.To) == 0 || slices.ContainsFunc(s.To, func(p netip.Prefix) bool { return coversAny(l.To, p) })) {
			t.lines = append(t.lines, l)
		}
	}
	return t
}

func coversAny(list []netip.Prefix, p netip.Prefix) bool {
	return slices.ContainsFunc(list, func(o netip.Prefix) bool { return firewall.Covers(o, p) })
}

// certain reports whether l decides about every packet from its sources: the
// client chooses its source port.
func (t terrain) certain(l dialect.Line) bool {
	anyPort := l.SourceFirst == 0 && (l.SourceLast == 0 || l.SourceLast == 65535)
	for _, p := range t.spot.To {
		anyPort = anyPort && (len(l.To) == 0 || coversAny(l.To, p))
	}
	return anyPort && !l.Maybe && l.Action != firewall.Unknown
}

// from returns the sources of l.
func from(l dialect.Line) reach.Ranges {
	if len(l.From) == 0 {
		return reach.All()
	}
	return reach.Of(l.From...)
}

// bound returns the first foreign rule that lets somebody in, or may.
func (t terrain) bound() (resource.Rule, bool) {
	left := reach.Of(netip.PrefixFrom(t.spot.To[0].Addr(), 0).Masked())
	for _, l := range t.lines {
		switch hit := left.Intersect(from(l)); {
		case hit.Empty():
		case l.Action != firewall.Deny:
			return l.Rule, true
		case t.certain(l):
			left = left.Minus(hit)
		}
	}
	return resource.Rule{}, false
}

// A verdict says where an opening may stand.
type verdict struct {
	// blocked says that by denies a part of the source, and may not be outranked.
	blocked bool
	by      resource.Rule
	// below is the lowest number of a Denies that the opening must outrank, and
	// above the highest of those that it must not, which may be about the source.
	below, above         int
	belowRule, aboveRule resource.Rule
}

// judge looks at what foreign rules do to packets from a source.
func (t terrain) judge(source netip.Prefix, mayOutrank func(resource.Rule) bool) verdict {
	v := verdict{below: maxPriority + 1}
	left, all := reach.Of(source), reach.Of(source)
	for _, l := range t.lines {
		switch {
		case all.Intersect(from(l)).Empty():
		case l.Action == firewall.Deny && mayOutrank(l.Rule):
			if l.Rule.Priority < v.below {
				v.below, v.belowRule = l.Rule.Priority, l.Rule
			}
		case left.Intersect(from(l)).Empty():
		case l.Action == firewall.Deny && t.certain(l):
			v.blocked, v.by = true, l.Rule
			return v
		case l.Action == firewall.Allow && t.certain(l):
			left = left.Minus(from(l))
		case l.Action != firewall.Allow && l.Rule.Priority > v.above:
			v.above, v.aboveRule = l.Rule.Priority, l.Rule
		}
	}
	return v
}

// outranks reports whether openings may be put above x: a Deny for everybody that
// the owner listed.
func (r Reading) outranks(x resource.Rule) bool {
	everybody := x.Source.Any || slices.Contains(x.Source.Tags, "internet") ||
		slices.ContainsFunc(x.Source.Prefixes, func(p netip.Prefix) bool { return p.Bits() == 0 })
	return x.Opaque == "" && x.Action == firewall.Deny && everybody && slices.ContainsFunc(r.MayOutrank, x.Is)
}

// lockNumber returns the number of the lock of d at s: the one that it has if it
// stands well, else a free one, above the first foreign rule that lets somebody
// in, or may. Where there is none, why names that rule.
func (g ground) lockNumber(d firewall.Door, s dialect.Spot) (n int, stands bool, why string) {
	below, by := maxPriority+1, ""
	if x, ok := g.terrain(d, s).bound(); ok {
		below, by = x.Priority, fmt.Sprintf(" above the foreign rule %s (%d), which lets somebody in or may", x.Name, x.Priority)
	}
	have, ok := g.have[g.LockRule(d, s).Name]
	if w := g.numbers.windows.Locks; ok && g.numbers.keeps(have.Priority, w, 0, below) {
		return have.Priority, true, ""
	} else if n, free := g.numbers.free(w, 0, below, ok); free {
		return n, false, ""
	}
	return 0, false, fmt.Sprintf("no free number in %s%s", groupName(g.Group), by)
}

// openNumber returns the number of x, an opening that stands above the given number
// of its lock.
func (g ground) openNumber(x dialect.Rule, d firewall.Door, s dialect.Spot, o firewall.Opening, lock int) (n int, why string) {
	v := g.terrain(d, s).judge(o.From, g.outranks)
	if v.blocked {
		return 0, fmt.Sprintf("the foreign rule %s (%d) in %s denies %s, and may not be outranked", v.by.Name, v.by.Priority, groupName(g.Group), firewall.FormatSource(o.From))
	}
	below, by := lock, "the lock"
	if v.below < below {
		below, by = v.below, "the foreign rule "+v.belowRule.Name
	}
	w := g.numbers.windows.window(o.Exempt())
	have, ok := g.have[x.Name]
	if ok && g.numbers.keeps(have.Priority, w, v.above, below) {
		return have.Priority, ""
	}
	if n, free := g.numbers.free(w, v.above, below, ok); free {
		return n, ""
	}
	if v.above > 0 {
		return 0, fmt.Sprintf("no free number in %s between the foreign rule %s (%d), which may deny %s and may not be outranked, and %s (%d)",
			groupName(g.Group), v.aboveRule.Name, v.above, firewall.FormatSource(o.From), by, below)
	}
	return 0, fmt.Sprintf("no free number in %s above %s (%d)", groupName(g.Group), by, below)
}

// groupName is how people know a group: the last part of its id.
func groupName(g *resource.Group) string {
	return string(g.ID)[strings.LastIndexByte(string(g.ID), '/')+1:]
}

// A Seat is where the lock of an IP configuration stands.
type Seat uint8

// The seats, in the order in which they are preferred.
const (
	AtInterface Seat = iota // in the group of its interface
	AtSubnet                // in the group of its subnet
	Nowhere                 // it cannot be locked
)

// Seat returns where d is to be locked at a. Where a lock stands well it stays. A
// reading of either group gives the same answer if both were read at the same
// time. Of Nowhere, why says what is in the way.
func (r Reading) Seat(d firewall.Door, a dialect.Attachment) (seat Seat, why string) {
	r = r.filled()
	grounds := map[firewall.ID]ground{}
	return r.seat(d, a, func(g *resource.Group) ground {
		if g.ID == r.Group.ID {
			g = r.Group
		}
		if _, ok := grounds[g.ID]; !ok {
			grounds[g.ID] = groundOf(r.with(g))
		}
		return grounds[g.ID]
	})
}

func (r Reading) seat(d firewall.Door, a dialect.Attachment, on func(*resource.Group) ground) (seat Seat, why string) {
	var reasons []string
	best := Nowhere
	r.Attachments = []dialect.Attachment{a}
	for at, group := range []*resource.Group{AtInterface: a.Interface, AtSubnet: a.Subnet} {
		if group == nil || Seat(at) == AtSubnet && a.Interface != nil && a.Interface.ID == group.ID {
			continue
		}
		all, stands := true, true
		for _, s := range r.Spots() {
			_, here, no := on(group).lockNumber(d, s)
			if stands = stands && here; no != "" && all {
				reasons, all = append(reasons, no), false
			}
		}
		if all && stands {
			return Seat(at), ""
		}
		if all && best == Nowhere {
			best = Seat(at)
		}
	}
	switch {
	case best != Nowhere:
		return best, ""
	case a.Interface == nil && a.Subnet == nil:
		reasons = append(reasons, "no network security group stands in front of "+a.ID)
	}
	return Nowhere, strings.Join(reasons, "; ")
}
