package reach

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/sesame-access/sesame/internal/firewall"
)

// Outcomes is a set of what may happen to a packet in one layer.
type Outcomes uint8

// The outcomes, from the least to the most that a layer can do for a packet.
const (
	Denies Outcomes = 1 << iota
	Passes
	Delivers
)

func outcomesOf(a firewall.Action) Outcomes {
	switch a {
	case firewall.Deny:
		return Denies
	case firewall.Allow:
		return Passes
	case firewall.Deliver:
		return Delivers
	case firewall.Unknown:
	}
	return Denies | Passes
}

// A Compiled is a firewall.Layer made ready for questions. It is immutable, may be
// shared by any number of queries, and does not refer to what it was made of.
//
// What a question looks at stands together: the lines, a few bytes each, to see
// which rules speak about a door; and for each family the addresses where a
// rule's sources begin or end, sorted once and for all.
type Compiled struct {
	id       firewall.ID
	lines    []line
	names    []string // of the rules; the last one is the default
	fallback Outcomes
	vms      map[firewall.VMID]uint32 // the VMs that rules name, from 1
	dests    []dest                   // of the rules that have destinations
	axes     [2]axis                  // by family
	ports    bool                     // some rule looks at the source port
}

// A line is what decides whether a rule speaks about a door.
type line struct {
	first, last, sourceFirst, sourceLast uint16
	vm                                   uint32 // 0 is any
	dest                                 uint32 // index into dests; 0 is any
	protocol                             firewall.Protocol
	action                               firewall.Action
	kind                                 kind
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

// A dest is the destinations of a rule, by family.
type dest [2][]block

// An axis is the source addresses of one family: the cuts, where the sources of
// some rule begin or have ended, and at each the rules that they are of. The
// blocks of one rule never touch, so that every event turns a rule on or off.
type axis struct {
	narrow []uint32 // the cuts, of IPv4
	wide   []key    // the cuts, of IPv6
	upTo   []uint32 // where the events of a cut end
	events []uint32 // indices of rules
}

func (a *axis) at(i int) key {
	if a.wide == nil {
		return key{hi: 0, lo: uint64(a.narrow[i])}
	}
	return a.wide[i]
}

// An event says that at a key the sources of a rule begin, or have ended.
type event struct {
	at   key
	rule uint32
}

// Compile makes l ready.
func Compile(l firewall.Layer) *Compiled {
	rules := l.Rules
	if l.Kind == firewall.Union {
		rules = unionRules(rules)
	}
	out := &Compiled{
		id: l.Firewall, lines: make([]line, len(rules)), names: make([]string, len(rules)+1),
		fallback: outcomesOf(l.Default), vms: nil, dests: []dest{{}}, axes: [2]axis{}, ports: false,
	}
	out.names[len(rules)] = "default"
	var events [2][]event
	var blocks [2][]block
	for i, r := range rules {
		out.names[i] = r.Name
		blocks = out.addLine(i, r, blocks)
		for f := range blocks {
			for _, b := range blocks[f] {
				events[f] = append(events[f], event{at: b.from, rule: index(i)})
				if b.to != family(f).last() {
					events[f] = append(events[f], event{at: b.to.next(), rule: index(i)})
				}
			}
		}
	}
	for f := range events {
		out.axes[f] = newAxis(events[f], family(f))
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
func (l *Compiled) addLine(i int, r firewall.LayerRule, sources [2][]block) [2][]block {
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
		first: r.First, last: r.Last, sourceFirst: r.SourceFirst, sourceLast: r.SourceLast,
		vm: 0, dest: 0, protocol: r.Protocol, kind: certain, action: r.Action,
	}
	if r.Maybe {
		x.kind = maybe + kind(r.Action)
	}
	if x.sourceFirst == 0 && x.sourceLast == 0 {
		x.sourceLast = 65535
	}
	l.ports = l.ports || x.sourceFirst > 0 || x.sourceLast < 65535
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
		to := dest(blocksOf(r.To, [2][]block{}))
		l.dests = append(l.dests, to)
		for f := range to {
			if len(to[f]) == 0 { // no packet of this family has such a destination
				sources[f] = sources[f][:0]
			}
		}
	}
	l.lines[i] = x
	return sources
}

// blocksOf returns the addresses of list, by family; of an empty one, all. It
// reuses buf.
func blocksOf(list []netip.Prefix, buf [2][]block) [2][]block {
	for f := range buf {
		buf[f] = buf[f][:0]
		if len(list) == 0 {
			buf[f] = append(buf[f], block{from: key{}, to: family(f).last()})
		}
	}
	for _, p := range list {
		f, b := blockOf(p)
		buf[f] = append(buf[f], b)
	}
	for f := range buf {
		buf[f] = join(buf[f], family(f))
	}
	return buf
}

// index returns n as it is kept: no layer has 2^32 rules, and an IPv4 address has
// 32 bits.
func index[T int | uint64](n T) uint32 { return uint32(n) }

// rules returns how many rules there are, which is also the index of the default.
func (l *Compiled) rules() uint32 { return index(len(l.lines)) }

func newAxis(events []event, f family) axis {
	slices.SortFunc(events, func(a, b event) int { return a.at.compare(b.at) })
	a := axis{narrow: nil, wide: nil, upTo: nil, events: make([]uint32, len(events))}
	at := key{} // every axis begins with a cut, so that every source lies behind one
	cut := func(end int) {
		a.upTo = append(a.upTo, index(end))
		if f == v4 {
			a.narrow = append(a.narrow, index(at.lo))
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
	}
	cut(len(events))
	return a
}

// sources appends to cuts where the rules that may speak about p begin or end to
// do so with the client's port.
func (l *Compiled) sources(cuts []uint16, p *packet) []uint16 {
	for i := range l.lines {
		x := &l.lines[i]
		if p.door.Port < x.first || x.last < p.door.Port || x.protocol != 0 && x.protocol != p.door.Protocol {
			continue
		}
		if x.sourceFirst > 0 {
			cuts = append(cuts, x.sourceFirst)
		}
		if x.sourceLast < 65535 {
			cuts = append(cuts, x.sourceLast+1)
		}
	}
	return cuts
}
