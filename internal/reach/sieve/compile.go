// Package sieve says what one layer does to the packets for one door, source by
// source. It is the inner part of package reach, which joins layers and paths.
package sieve

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/sesame-access/sesame/internal/firewall"
)

// Default is the name of what decides where no rule does.
const Default = "default"

// A Layer is a firewall.Layer made ready for questions. It is immutable, may be
// shared by any number of queries, and does not refer to what it was made of.
//
// What a question looks at stands together: the lines, a few bytes each, to see
// which rules speak about a door; and for each family the addresses where a
// rule's sources begin or end, sorted once and for all.
type Layer struct {
	lines    []line
	sources  []span                   // the client's ports, by rule; nil when no rule looks at them
	names    []string                 // of the rules, and of the default
	called   []uint32                 // by rule, the first of its name: one line of a document may be several
	fallback Decision                 // where no certain rule decides
	vms      map[firewall.VMID]uint32 // the VMs that rules name, from 1
	dests    []dest                   // of the rules that have destinations
	blocks   []Block                  // of the dests
	axes     [2]axis                  // by family
}

// A line is what decides whether a rule speaks about a door.
type line struct {
	ports    span
	vm       uint32 // 0 is any
	dest     uint32 // index into dests; 0 is any
	protocol firewall.Protocol
	can      firewall.Outcomes
	kind     kind // as it is
	maybe    kind // when it is not known whether its destinations are meant
}

// names reports whether the rule is about d, if it is about the VM.
func (x *line) names(d firewall.Door) bool {
	return x.ports.holds(d.Port) && (x.protocol == 0 || x.protocol == d.Protocol)
}

// A span is ports: the first, and how many more.
type span struct{ first, more uint16 }

// holds needs one comparison: what is below the first wraps around to above.
func (s span) holds(port uint16) bool { return port-s.first <= s.more }

// destinations returns those of the rule.
func (l *Layer) destinations(x *line, f Family) []Block {
	to := &l.dests[x.dest]
	return l.blocks[to.from[f]:to.upTo[f]]
}

// A kind is what a rule that matches contributes to a packet's fate, from 1: a
// certain rule ends the search, those that maybe match add an outcome to it.
type kind uint8

const (
	none kind = iota
	certain
	maybe // and the action
	kinds = maybe + kind(firewall.Deliver) + 1
)

// A dest is where in the blocks the destinations of a rule are, by family.
type dest struct{ from, upTo [2]uint32 }

// An axis is the source addresses of one family: the cuts, where the sources of
// some rule begin or have ended, and at each the rules that they are of. The
// blocks of one rule never touch, so that every event turns a rule on or off.
type axis struct {
	narrow []uint32 // the cuts, of IPv4
	wide   []Key    // the cuts, of IPv6
	events []uint32 // the rules, by cut; from here to upTo are those of one
	upTo   []uint32
	cuts   []uint32 // the cuts, by rule; from here to ends are those of one
	ends   []uint32
}

func (a *axis) at(i uint32) Key {
	if a.wide == nil {
		return Key{Hi: 0, Lo: uint64(a.narrow[i])}
	}
	return a.wide[i]
}

// An event says that at a key the sources of a rule begin, or have ended.
type event struct {
	at   Key
	rule uint32
}

// Compile makes l ready.
func Compile(l firewall.Layer) *Layer {
	rules := l.Rules
	if l.Kind == firewall.Union {
		rules = unionRules(rules)
	}
	out := &Layer{
		lines: make([]line, len(rules)), sources: nil, names: make([]string, len(rules)+1), called: make([]uint32, len(rules)),
		fallback: Decision{Rule: index(len(rules)), Maybe: Nobody, Can: l.Default.Outcomes()}, vms: nil, dests: []dest{{}}, blocks: nil, axes: [2]axis{},
	}
	out.names[len(rules)] = Default
	events := [2][]event{make([]event, 0, 2*len(rules)), nil}
	var blocks [2][]Block
	called := make(map[string]uint32, len(rules))
	for i, r := range rules {
		out.names[i] = r.Name
		if _, again := called[r.Name]; !again {
			called[r.Name] = index(i)
		}
		out.called[i] = called[r.Name]
		blocks = out.addLine(i, r, blocks)
		for f := range blocks {
			for _, b := range blocks[f] {
				events[f] = append(events[f], event{at: b.From, rule: index(i)})
				if b.To != Family(f).Last() {
					events[f] = append(events[f], event{at: b.To.Next(), rule: index(i)})
				}
			}
		}
	}
	if rule, taken := called[Default]; taken {
		out.fallback.Rule = rule
	}
	for f := range events {
		out.axes[f] = newAxis(events[f], Family(f), len(rules))
	}
	return out
}

// unionRules returns the rules of a Union in an order in which the first match
// decides: the most that any certain rule does, and before it what more may be.
func unionRules(rules []firewall.LayerRule) []firewall.LayerRule {
	rules = slices.DeleteFunc(slices.Clone(rules), func(r firewall.LayerRule) bool { return r.Action == firewall.Deny })
	for i, r := range rules {
		if r.Action == firewall.Unknown { // it admits, or does nothing
			rules[i].Action, rules[i].Maybe = firewall.Allow, true
		}
	}
	rank := func(r firewall.LayerRule) int {
		n := 0
		if r.Action != firewall.Deliver {
			n = 2
		}
		if r.Maybe {
			n++
		}
		return n
	}
	slices.SortStableFunc(rules, func(a, b firewall.LayerRule) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Name, b.Name))
	})
	return rules
}

// addLine makes the line of rule i and returns its sources, in buffers it may
// reuse. A rule with a prefix that is none is damaged: anybody may be meant.
func (l *Layer) addLine(i int, r firewall.LayerRule, sources [2][]Block) [2][]Block {
	damaged := func(list []netip.Prefix) bool {
		return slices.ContainsFunc(list, func(p netip.Prefix) bool { return !p.IsValid() })
	}
	if damaged(r.From) {
		r.From, r.Maybe = nil, true
	}
	if damaged(r.To) {
		r.To, r.Maybe = nil, true
	}
	x := line{
		ports: span{first: r.First, more: r.Last - r.First},
		vm:    0, dest: 0, protocol: r.Protocol, kind: certain, maybe: maybe + kind(r.Action), can: r.Action.Outcomes(),
	}
	if r.Maybe {
		x.kind = x.maybe
	}
	if r.First > r.Last { // no port at all
		x.kind, x.maybe = none, none
	}
	if r.SourceFirst > 0 || r.SourceLast > 0 {
		if l.sources == nil {
			l.sources = slices.Repeat([]span{{first: 0, more: 65535}}, len(l.lines))
		}
		l.sources[i] = span{first: r.SourceFirst, more: r.SourceLast - r.SourceFirst}
		if r.SourceFirst > r.SourceLast {
			x.kind, x.maybe = none, none
		}
	}
	if r.VM != "" {
		if l.vms == nil {
			l.vms = map[firewall.VMID]uint32{}
		}
		if _, ok := l.vms[r.VM]; !ok {
			l.vms[r.VM] = index(len(l.vms) + 1)
		}
		x.vm = l.vms[r.VM]
	}
	sources = blocksOf(r.From, sources)
	if len(r.To) > 0 {
		x.dest = index(len(l.dests))
		var to dest
		for f, blocks := range blocksOf(r.To, [2][]Block{}) {
			if len(blocks) == 0 { // no packet of this family has such a destination
				sources[f] = sources[f][:0]
			}
			to.from[f] = index(len(l.blocks))
			l.blocks = append(l.blocks, blocks...)
			to.upTo[f] = index(len(l.blocks))
		}
		l.dests = append(l.dests, to)
	}
	l.lines[i] = x
	return sources
}

// blocksOf returns the addresses of list, by family; of an empty one, all. It
// reuses buf.
func blocksOf(list []netip.Prefix, buf [2][]Block) [2][]Block {
	for f := range buf {
		buf[f] = buf[f][:0]
		if len(list) == 0 {
			buf[f] = append(buf[f], Block{From: Key{}, To: Family(f).Last()})
		}
	}
	for _, p := range list {
		f, b := BlockOf(p)
		buf[f] = append(buf[f], b)
	}
	for f := range buf {
		buf[f] = Join(buf[f], Family(f))
	}
	return buf
}

// index returns n as it is kept: no layer has 2^32 rules, and an IPv4 address has
// 32 bits.
func index[T int | uint64](n T) uint32 { return uint32(n) }

// Name returns the name of a rule that a decision names.
func (l *Layer) Name(rule uint32) string { return l.names[rule] }

// newAxis sorts events. Every axis begins with a cut, so that every source lies
// behind one.
func newAxis(events []event, f Family, rules int) axis {
	a := axis{events: make([]uint32, len(events)), cuts: make([]uint32, len(events)), ends: make([]uint32, rules)}
	for _, e := range events {
		a.ends[e.rule]++
	}
	end := uint32(0)
	for rule, n := range a.ends { // where the cuts of a rule are written to
		a.ends[rule] = end
		end += n
	}
	sortEvents(events, f)
	at := Key{}
	cut := func(end int) {
		a.upTo = append(a.upTo, index(end))
		if f == IPv4 {
			a.narrow = append(a.narrow, index(at.Lo))
		} else {
			a.wide = append(a.wide, at)
		}
	}
	for i, e := range events {
		if e.at != at {
			cut(i)
			at = e.at
		}
		a.events[i] = e.rule
		a.cuts[a.ends[e.rule]] = index(len(a.upTo))
		a.ends[e.rule]++
	}
	cut(len(events))
	return a
}

// sortEvents sorts by key. An IPv4 address and the index of a rule fit into one
// word, which sorts several times faster than two.
func sortEvents(events []event, f Family) {
	if f == IPv6 {
		slices.SortFunc(events, func(a, b event) int { return a.at.Compare(b.at) })
		return
	}
	words := make([]uint64, len(events))
	for i, e := range events {
		words[i] = e.at.Lo<<32 | uint64(e.rule)
	}
	slices.Sort(words)
	for i, w := range words {
		events[i] = event{at: Key{Hi: 0, Lo: w >> 32}, rule: index(w & (1<<32 - 1))}
	}
}

// LooksAtSourcePorts reports whether some rule of l is about some source ports
// only.
func (l *Layer) LooksAtSourcePorts() bool { return l.sources != nil }

// SourcePorts appends to cuts where the rules that may speak about packets to d
// begin or end to do so with the client's port.
func (l *Layer) SourcePorts(cuts []uint16, d firewall.Door) []uint16 {
	for i := range l.lines {
		x := &l.lines[i]
		if !x.names(d) {
			continue
		}
		s := l.sources[i]
		if s.first > 0 {
			cuts = append(cuts, s.first)
		}
		if last := s.first + s.more; last < 65535 {
			cuts = append(cuts, last+1)
		}
	}
	return cuts
}
