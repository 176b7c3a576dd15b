// Package sieve says what one layer does to the packets for one door, source by
// source. It is the inner part of package reach, which joins layers and paths.
package sieve

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/firewall"
)

// Default is the name of what decides where no rule does.
const Default = "default"

// A Layer is a firewall.Layer made ready for questions. It is immutable, may be
// shared by any number of queries, and does not refer to what it was made of.
//
// Most layers are asked about a few ports, and most rules are about a single one.
// A fleet's layers do not fit into a cache, so what one port needs stands together,
// and a question does not come near the rules of other ports. Their addresses are
// not sorted: most are never asked about.
type Layer struct {
	lines    []line                   // those about several ports, then port by port; of each, in the order of the rules
	ports    []run                    // the ports that lines are about alone, in order
	whom     []uint32                 // the addresses of the lines; see head
	keys     []Key                    // of IPv6, sorted: what its cuts stand for; the first is that of ::
	sources  []span                   // by rule, the client's ports; nil when no rule looks at them
	names    string                   // of the rules, and of the default, one behind the other
	ends     []uint32                 // where they do
	first    []uint32                 // by rule, the first of its name; nil when no two have one
	fallback Decision                 // where no certain rule decides
	vms      map[firewall.VMID]uint32 // the VMs that rules name, from 1
	aimed    bool                     // some rule is not about every destination
}

// A run is the lines about one port alone: from that line on, up to the next run.
// The last run is that of no port.
type run struct{ port, from uint32 }

func (r run) compare(port uint32) int { return cmp.Compare(r.port, port) }

// A line is what decides whether a rule is about a port, and what it does then.
type line struct {
	rule     uint32
	ports    span
	at       uint32 // of its head in whom
	protocol firewall.Protocol
	can      firewall.Outcomes
	kind     kind // as it is
	maybe    kind // when it is not known whether its destinations are meant
}

// The head of a line's addresses. The VM is 0 for any. Then come of each family
// the cuts of its destinations and those of its sources, as many as the head says:
// where they begin or have ended, in order. An address is among them if the cuts
// up to it are odd in number. No cuts of destinations are any destination, and no
// cuts of sources are no source. A cut is an address of IPv4, or the index of a
// key.
const (
	headVM = iota
	headTo4
	headFrom4
	headTo6
	headFrom6
	headSize
)

// speakers appends to out the numbers of the lines that are about the port of d, of
// some VM, in the order of the rules.
func (l *Layer) speakers(out []uint32, d firewall.Door) []uint32 {
	several, alone, end := uint32(0), uint32(0), uint32(0)
	if n, ok := slices.BinarySearchFunc(l.ports, uint32(d.Port), run.compare); ok {
		alone, end = l.ports[n].from, l.ports[n+1].from
	}
	for last := l.ports[0].from; several < last || alone < end; {
		next := several
		if several == last || alone < end && l.lines[alone].rule < l.lines[several].rule {
			next = alone
			alone++
		} else {
			several++
		}
		if x := &l.lines[next]; x.ports.holds(d.Port) && (x.protocol == d.Protocol || x.protocol == 0) {
			out = append(out, next)
		}
	}
	return out
}

// cuts returns the cuts of the destinations and of the sources of a line.
func (l *Layer) cuts(x *line, f Family) (to, from []uint32) {
	whom := l.whom[x.at:]
	begin, to4, from4 := uint32(headSize), whom[headTo4], whom[headFrom4]
	if f == IPv6 {
		begin, to4, from4 = begin+to4+from4, whom[headTo6], whom[headFrom6]
	}
	return whom[begin:][:to4], whom[begin+to4:][:from4]
}

func (l *Layer) key(cut uint32, f Family) Key {
	if f == IPv4 {
		return Key{Hi: 0, Lo: uint64(cut)}
	}
	return l.keys[cut]
}

// A span is ports: the first, and how many more.
type span struct{ first, more uint16 }

// holds needs one comparison: what is below the first wraps around to above.
func (s span) holds(port uint16) bool { return port-s.first <= s.more }

// A kind is what a rule that matches contributes to a packet's fate, from 1: a
// certain rule ends the search, those that maybe match add an outcome to it.
type kind uint8

const (
	none kind = iota
	certain
	maybe // and the action
	kinds = maybe + kind(firewall.Deliver) + 1
)

// Compile makes l ready.
func Compile(l firewall.Layer) *Layer {
	rules := l.Rules
	if l.Kind == firewall.Union {
		rules = unionRules(rules)
	}
	n, words := len(rules), 0
	for i := range rules {
		words += headSize + 2*max(1, len(rules[i].From)) + 2*len(rules[i].To)
	}
	out := &Layer{
		lines: make([]line, 0, n), ports: nil, whom: make([]uint32, 0, words), keys: nil, sources: nil,
		names: "", ends: make([]uint32, 0, n+1), first: nil, fallback: Decision{Rule: index(n), Maybe: Nobody, Can: l.Default.Outcomes()},
		vms: nil, aimed: false,
	}
	var m maker
	for _, key := range byPort(rules) {
		if port := index(key >> 32); port > 0 && (len(out.ports) == 0 || out.ports[len(out.ports)-1].port != port-1) {
			out.ports = append(out.ports, run{port: port - 1, from: index(len(out.lines))})
		}
		i := index(key)
		out.addLine(i, rules[i], &m)
	}
	out.ports = append(out.ports, run{port: 1 << 16, from: index(n)})
	out.call(rules)
	out.number(m.wide)
	return out
}

// byPort returns the rules in the order of lines: above, the port that a rule is about
// alone, from 1, or 0; below, its number.
func byPort(rules []firewall.LayerRule) []uint64 {
	order := make([]uint64, len(rules))
	for i := range rules {
		if order[i] = uint64(i); rules[i].First == rules[i].Last {
			order[i] |= (uint64(rules[i].First) + 1) << 32
		}
	}
	order, _ = sortUpper(order, nil)
	return order
}

// call keeps the names of the rules, the default among them, and says which rule
// goes by which: one line of a document may be several rules. A fleet has too many
// names for the garbage collector to look at each.
func (l *Layer) call(rules []firewall.LayerRule) {
	called, first := make(map[string]uint32, len(rules)+1), make([]uint32, len(rules)+1)
	var names strings.Builder
	size := len(Default)
	for i := range rules {
		size += len(rules[i].Name)
	}
	names.Grow(size)
	for i := range first {
		name := Default
		if i < len(rules) {
			name = rules[i].Name
		}
		rule, again := called[name]
		if !again {
			rule = index(i)
			called[name] = rule
			names.WriteString(name)
		}
		first[i] = rule
		l.ends = append(l.ends, index(names.Len()))
	}
	l.names = names.String()
	if len(called) < len(first) {
		l.first = first
		l.fallback.Rule = first[len(l.lines)]
	}
}

// number writes the cuts of IPv6, which are only counted yet, for those of keys.
func (l *Layer) number(keys []Key) {
	l.keys = append(slices.Clone(keys), Key{})
	slices.SortFunc(l.keys, Key.Compare)
	l.keys = slices.Compact(l.keys)
	for i := range l.lines {
		to, from := l.cuts(&l.lines[i], IPv6)
		for _, cuts := range [...][]uint32{to, from} {
			for c := range cuts {
				n, _ := slices.BinarySearchFunc(l.keys, keys[cuts[c]], Key.Compare)
				cuts[c] = index(n)
			}
		}
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

// A maker is what is only needed while a layer is made.
type maker struct {
	from, to [2][]Block // of one rule
	wide     []Key      // of IPv6, by the cuts of all
}

// addLine makes the line of rule i. A rule with a prefix that is none is damaged:
// anybody may be meant.
func (l *Layer) addLine(i uint32, r firewall.LayerRule, m *maker) {
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
		rule: i, ports: span{first: r.First, more: r.Last - r.First}, at: index(len(l.whom)), protocol: r.Protocol,
		can: r.Action.Outcomes(), kind: certain, maybe: maybe + kind(r.Action),
	}
	if r.Maybe {
		x.kind = x.maybe
	}
	if r.SourceFirst > 0 || r.SourceLast > 0 {
		if l.sources == nil {
			l.sources = slices.Repeat([]span{{first: 0, more: 65535}}, cap(l.lines))
		}
		l.sources[i] = span{first: r.SourceFirst, more: r.SourceLast - r.SourceFirst}
	}
	if r.First > r.Last || r.SourceFirst > r.SourceLast && l.sources != nil { // no port at all
		x.kind, x.maybe = none, none
	}
	vm := uint32(0)
	if r.VM != "" {
		if l.vms == nil {
			l.vms = map[firewall.VMID]uint32{}
		}
		if _, ok := l.vms[r.VM]; !ok {
			l.vms[r.VM] = index(len(l.vms) + 1)
		}
		vm = l.vms[r.VM]
	}
	l.lines, l.whom = append(l.lines, x), append(l.whom, vm, 0, 0, 0, 0)
	l.addCuts(x.at, r.From, r.To, m)
}

// addCuts adds the addresses of the line whose head is at at.
func (l *Layer) addCuts(at uint32, from, to []netip.Prefix, m *maker) {
	m.from = blocksOf(from, m.from)
	if len(to) > 0 {
		m.to, l.aimed = blocksOf(to, m.to), true
	}
	for f := range Family(2) {
		if len(to) > 0 && len(m.to[f]) == 0 {
			continue // no packet of this family has such a destination
		}
		for side, blocks := range [...][]Block{m.to[f], m.from[f]} {
			if side == 0 && len(to) == 0 {
				continue
			}
			n := len(l.whom)
			for _, b := range blocks {
				if l.addCut(b.From, f, m); b.To != f.Last() {
					l.addCut(b.To.Next(), f, m)
				}
			}
			l.whom[int(at)+headTo4+2*int(f)+side] = index(len(l.whom) - n)
		}
	}
}

func (l *Layer) addCut(k Key, f Family, m *maker) {
	if f == IPv4 {
		l.whom = append(l.whom, index(k.Lo))
		return
	}
	l.whom = append(l.whom, index(len(m.wide)))
	m.wide = append(m.wide, k)
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
func (l *Layer) Name(rule uint32) string {
	if rule == 0 {
		return l.names[:l.ends[0]]
	}
	return l.names[l.ends[rule-1]:l.ends[rule]]
}

// LooksAtSourcePorts reports whether some rule of l is about some source ports
// only.
func (l *Layer) LooksAtSourcePorts() bool { return l.sources != nil }
