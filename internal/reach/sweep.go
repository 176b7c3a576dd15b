package reach

import "math/bits"

// A decision is what one layer does to a packet: what may happen, which rule
// decides, and which one makes it uncertain. It compares with ==.
type decision struct {
	rule  uint32
	maybe uint32 // nobody when nothing is uncertain, or the rule itself is
	can   Outcomes
}

const nobody = ^uint32(0)

// A piece is what one layer does to the sources from a key up to the next piece.
type piece struct {
	at key
	decision
}

// sweep cuts the sources of one family into pieces: what l does to p from there.
//
// It is exact because between two neighbouring cuts no rule's sources begin or
// end: every source there matches the same rules, so one decision is right for
// all of them, and every cut is visited. At each, the events turn on the rules
// whose sources begin there and turn off those that have ended, so that the
// trackers hold exactly the rules that match: the first certain one ends the
// search, and each before it that may match adds what it would do.
func (q *Query) sweep(l *Compiled, p *packet, f family) []piece {
	q.match(l, p, f)
	a, start, from := &l.axes[f], len(q.pieces), uint32(0)
	for cut, upTo := range a.upTo {
		changed := cut == 0
		for _, rule := range a.events[from:upTo] {
			if k := q.kinds[rule]; k != none {
				q.active[k].flip(rule)
				changed = true
			}
		}
		from = upTo
		if !changed {
			continue
		}
		d := q.decide(l)
		if n := len(q.pieces); n == start || q.pieces[n-1].decision != d {
			q.pieces = append(q.pieces, piece{at: a.at(cut), decision: d})
		}
	}
	for k := range q.active {
		q.active[k].reset()
	}
	return q.pieces[start:len(q.pieces):len(q.pieces)]
}

// match says of each rule of l whether it speaks about p, whatever the source,
// and how: one for certain destinations may match where p's is not known.
func (q *Query) match(l *Compiled, p *packet, f family) {
	if n := len(l.lines); n > len(q.kinds) {
		q.kinds = make([]kind, n)
		for k := range q.active {
			q.active[k] = newTracker(n)
		}
	}
	vm := l.vms[p.door.VM]
	for i := range l.lines {
		x, k := &l.lines[i], none
		if x.first <= p.door.Port && p.door.Port <= x.last && x.sourceFirst <= p.source && p.source <= x.sourceLast &&
			(x.protocol == 0 || x.protocol == p.door.Protocol) && (x.vm == 0 || x.vm == vm) {
			k = x.kind
			if x.dest != 0 {
				k = l.aim(x, p, f)
			}
		}
		q.kinds[i] = k
	}
}

// aim returns how x, which has destinations, speaks about p.
func (l *Compiled) aim(x *line, p *packet, f family) kind {
	if !p.aimed {
		return maybe + kind(x.action)
	}
	for _, b := range l.dests[x.dest][f] {
		if b.contains(p.to) {
			return x.kind
		}
	}
	return none
}

// decide reads the trackers.
func (q *Query) decide(l *Compiled) decision {
	d := decision{rule: l.rules(), maybe: nobody, can: l.fallback}
	if first := q.active[certain].first(); first < d.rule {
		d.rule, d.can = first, outcomesOf(l.lines[first].action)
	}
	sure := d.can
	for k := maybe; k < kinds; k++ {
		first := q.active[k].first()
		if first >= d.rule {
			continue
		}
		can := outcomesOf(l.lines[first].action)
		d.can |= can
		if can&^sure != 0 {
			d.maybe = min(d.maybe, first)
		}
	}
	return d
}

// A tracker is a set of rules that finds its first one at once: a bit for each
// rule, and a bit for each word of those that is not zero.
type tracker struct{ leaves, summary []uint64 }

func newTracker(n int) tracker {
	words := n/64 + 1
	return tracker{leaves: make([]uint64, words), summary: make([]uint64, words/64+1)}
}

// flip adds rule, or removes it.
func (t *tracker) flip(rule uint32) {
	word := rule / 64
	t.leaves[word] ^= 1 << (rule % 64)
	bit := uint64(1) << (word % 64)
	if t.leaves[word] == 0 {
		t.summary[word/64] &^= bit
	} else {
		t.summary[word/64] |= bit
	}
}

// first returns the lowest rule; nobody when there is none.
func (t *tracker) first() uint32 {
	for i, s := range t.summary {
		if s != 0 {
			word := i*64 + bits.TrailingZeros64(s)
			return index(word*64 + bits.TrailingZeros64(t.leaves[word]))
		}
	}
	return nobody
}

// reset empties t.
func (t *tracker) reset() {
	for i, s := range t.summary {
		for ; s != 0; s &= s - 1 {
			t.leaves[i*64+bits.TrailingZeros64(s)] = 0
		}
		t.summary[i] = 0
	}
}
