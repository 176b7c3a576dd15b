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
// Making one reads the rules once and sorts nothing: most layers are asked about a
// few ports, and of most rules, which are about others, no question looks at more
// than the line, a few bytes that stand together.
type Layer struct {
	lines    []line
	limits   []limit                  // by rule; nil when none has any
	sources  []span                   // the client's ports, by rule; nil when no rule looks at them
	names    []string                 // of the rules, and of the default
	called   []uint32                 // by rule, the first of its name: one line of a document may be several
	fallback Decision                 // where no certain rule decides
	vms      map[firewall.VMID]uint32 // the VMs that rules name, from 1
	dests    []dest                   // of the rules that have destinations
	blocks   []Block                  // of the dests
	axes     [2]axis                  // by family
}

// A line is what decides whether a rule speaks about a port.
type line struct {
	ports    span
	protocol firewall.Protocol
	can      firewall.Outcomes
	kind     kind // as it is
	maybe    kind // when it is not known whether its destinations are meant
}

// names reports whether the rule is about d, if it is about the VM.
func (x *line) names(d *firewall.Door) bool {
	return x.ports.holds(d.Port) && (x.protocol == 0 || x.protocol == d.Protocol)
}

// A span is ports: the first, and how many more.
type span struct{ first, more uint16 }

// holds needs one comparison: what is below the first wraps around to above.
func (s span) holds(port uint16) bool { return port-s.first <= s.more }

// A limit is what a rule is about when it is not about every VM.
type limit struct {
	vm   uint32 // 0 is any
	dest uint32 // index into dests; 0 is any
}

// limit returns that of a rule.
func (l *Layer) limit(rule int) limit {
	if l.limits == nil {
		return limit{vm: 0, dest: 0}
	}
	return l.limits[rule]
}

// destinations returns those of x.
func (l *Layer) destinations(x limit, f Family) []Block {
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

// An axis is the source addresses of one family: of every rule the cuts, where
// its sources begin or have ended, in order. The blocks of one rule never touch,
// so that each turns the rule on or off.
type axis struct {
	cuts []uint32 // an IPv4 address, or the index of one of the keys
	ends []uint32 // by rule, where its cuts end and those of the next one begin
	keys []Key    // of IPv6, sorted; the first is the first of all
}

func (a *axis) key(cut uint32) Key {
	if a.keys == nil {
		return Key{Hi: 0, Lo: uint64(cut)}
	}
	return a.keys[cut]
}

// of returns the cuts of a rule.
func (a *axis) of(rule uint32) []uint32 {
	from := uint32(0)
	if rule > 0 {
		from = a.ends[rule-1]
	}
	return a.cuts[from:a.ends[rule]]
}

// Compile makes l ready.
func Compile(l firewall.Layer) *Layer {
	rules := l.Rules
	if l.Kind == firewall.Union {
		rules = unionRules(rules)
	}
	n, blocks := len(rules), 0
	for i := range rules {
		blocks += max(1, len(rules[i].From))
	}
	out := &Layer{
		lines: make([]line, n), limits: nil, sources: nil, names: make([]string, n+1), called: make([]uint32, n),
		fallback: Decision{Rule: index(n), Maybe: Nobody, Can: l.Default.Outcomes()}, vms: nil, dests: []dest{{}}, blocks: nil, axes: [2]axis{},
	}
	ends := make([]uint32, 2*n)
	four, six := &out.axes[IPv4], &out.axes[IPv6]
	four.cuts, four.ends, six.ends = make([]uint32, 0, 2*blocks), ends[:n], ends[n:]
	called := make(map[string]uint32, n)
	var b [2][]Block
	var wide []Key
	for i := range rules {
		r := &rules[i]
		first, again := called[r.Name]
		if !again {
			first = index(i)
			called[r.Name] = first
		}
		out.names[i], out.called[i] = r.Name, first
		b = out.addLine(i, *r, b)
		for _, x := range b[IPv4] {
			if four.cuts = append(four.cuts, index(x.From.Lo)); x.To != IPv4.Last() {
				four.cuts = append(four.cuts, index(x.To.Lo+1))
			}
		}
		for _, x := range b[IPv6] {
			if wide = append(wide, x.From); x.To != IPv6.Last() {
				wide = append(wide, x.To.Next())
			}
		}
		four.ends[i], six.ends[i] = index(len(four.cuts)), index(len(wide))
	}
	out.names[n] = Default
	if rule, taken := called[Default]; taken {
		out.fallback.Rule = rule
	}
	six.number(wide)
	return out
}

// number makes the cuts of a, of IPv6, from their keys.
func (a *axis) number(keys []Key) {
	a.keys = append(slices.Clone(keys), Key{})
	slices.SortFunc(a.keys, Key.Compare)
	a.keys = slices.Compact(a.keys)
	a.cuts = make([]uint32, len(keys))
	for i, k := range keys {
		n, _ := slices.BinarySearchFunc(a.keys, k, Key.Compare)
		a.cuts[i] = index(n)
	}
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
		ports:    span{first: r.First, more: r.Last - r.First},
		protocol: r.Protocol, kind: certain, maybe: maybe + kind(r.Action), can: r.Action.Outcomes(),
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
	if l.limits == nil && (r.VM != "" || len(r.To) > 0) {
		l.limits, l.vms = make([]limit, len(l.lines)), map[firewall.VMID]uint32{}
	}
	if r.VM != "" {
		if _, ok := l.vms[r.VM]; !ok {
			l.vms[r.VM] = index(len(l.vms) + 1)
		}
		l.limits[i].vm = l.vms[r.VM]
	}
	sources = blocksOf(r.From, sources)
	if len(r.To) > 0 {
		l.limits[i].dest = index(len(l.dests))
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

// LooksAtSourcePorts reports whether some rule of l is about some source ports
// only.
func (l *Layer) LooksAtSourcePorts() bool { return l.sources != nil }

// SourcePorts appends to cuts where the rules that may speak about packets to d
// begin or end to do so with the client's port.
func (l *Layer) SourcePorts(cuts []uint16, d firewall.Door) []uint16 {
	for i := range l.lines {
		if !l.lines[i].names(&d) {
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
