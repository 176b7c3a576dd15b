package sieve

import (
	"math/bits"
	"net/netip"

	"github.com/sesame-access/sesame/internal/firewall"
)

// A Sieve keeps the working memory between sweeps. The zero value is ready; it is
// not for use by two goroutines at once.
type Sieve struct {
	kinds    []kind         // of each rule of the layer: how it speaks about the packet
	active   [kinds]tracker // the rules whose sources the sweep is in, by kind
	doubtful bool           // some of them may match or not
	cuts     tracker        // where the sweep has yet to go
	room     int            // how many cuts that can hold
}

// A Packet is what is fixed about the packets that a layer sees.
type Packet struct {
	Door   firewall.Door
	Source uint16 // the client's port
	// To is the destination of either family, where it is known, which Aimed says.
	To    [2]Key
	Aimed [2]bool
}

// NewPacket returns a packet to d at one of the addresses to; none means that it is
// not known.
func NewPacket(d firewall.Door, to []netip.Addr) Packet {
	p := Packet{Door: d, Source: 0, To: [2]Key{}, Aimed: [2]bool{}}
	for _, a := range to {
		if f := FamilyOf(a); a.IsValid() && !p.Aimed[f] {
			p.To[f], p.Aimed[f] = KeyOf(a), true
		}
	}
	return p
}

// A Decision is what one layer does to a packet: what may happen, which rule
// decides, and which one makes it uncertain. It compares with ==.
type Decision struct {
	Rule  uint32
	Maybe uint32 // Nobody when nothing is uncertain, or the rule itself is
	Can   firewall.Outcomes
}

// Nobody is the index of no rule.
const Nobody = ^uint32(0)

// A Piece is what one layer does to the sources from a key up to the next piece.
type Piece struct {
	At Key
	Decision
}

// Sweep cuts the sources of one family into pieces, which it appends to out: what
// l does to p from there.
//
// It is exact because between two neighbouring cuts no rule's sources begin or
// end: every source there matches the same rules, so one decision is right for
// all of them. It goes to every cut of every rule that speaks about p, in order.
// The events there turn on the rules whose sources begin and turn off those that
// have ended, so that the trackers hold exactly the rules that match: the first
// certain one ends the search, and each before it that may match adds what it
// would do.
func (s *Sieve) Sweep(l *Layer, p *Packet, f Family, out []Piece) []Piece {
	a, start := &l.axes[f], len(out)
	if len(a.events) == 0 {
		return append(out, Piece{At: Key{}, Decision: l.fallback})
	}
	s.match(l, p, f)
	for cut := s.cuts.take(); cut != Nobody; cut = s.cuts.take() {
		from := uint32(0)
		if cut > 0 {
			from = a.upTo[cut-1]
		}
		for _, rule := range a.events[from:a.upTo[cut]] {
			if k := s.kinds[rule]; k != none {
				s.active[k].flip(rule)
			}
		}
		d := s.decide(l)
		if n := len(out); n == start || out[n-1].Decision != d {
			out = append(out, Piece{At: a.at(cut), Decision: d})
		}
	}
	for k := range s.active {
		s.active[k].reset()
	}
	return out
}

// match says of each rule of l whether it speaks about p, whatever the source,
// and how, and marks the cuts of those that do: and the first one, where every
// source begins.
func (s *Sieve) match(l *Layer, p *Packet, f Family) {
	a, vm := &l.axes[f], l.vms[p.Door.VM]
	s.size(len(l.lines), len(a.upTo))
	s.cuts.add(0)
	s.doubtful = false
	from := uint32(0)
	for i := range l.lines {
		x, k := &l.lines[i], none
		if x.names(p.Door) && (l.sources == nil || l.sources[i].holds(p.Source)) && (x.vm == 0 || x.vm == vm) {
			if k = x.kind; x.dest != 0 {
				k = l.aim(x, p, f)
			}
		}
		upTo := a.ends[i]
		if s.kinds[i] = k; k != none {
			s.doubtful = s.doubtful || k != certain
			for _, cut := range a.cuts[from:upTo] {
				s.cuts.add(cut)
			}
		}
		from = upTo
	}
}

// aim returns how x, which has destinations, speaks about p.
func (l *Layer) aim(x *line, p *Packet, f Family) kind {
	if !p.Aimed[f] {
		return x.maybe
	}
	for _, b := range l.destinations(x, f) {
		if b.Contains(p.To[f]) {
			return x.kind
		}
	}
	return none
}

// decide reads the trackers.
func (s *Sieve) decide(l *Layer) Decision {
	d, last := l.fallback, index(len(l.lines))
	if first := s.active[certain].first(); first < last {
		last = first
		d.Rule, d.Can = l.called[first], l.lines[first].can
	}
	if !s.doubtful {
		return d
	}
	sure, earliest := d.Can, last
	for k := maybe; k < kinds; k++ {
		first := s.active[k].first()
		if first >= last {
			continue
		}
		can := l.lines[first].can
		d.Can |= can
		if can&^sure != 0 && first < earliest {
			earliest, d.Maybe = first, l.called[first]
		}
	}
	return d
}

// size makes room for a layer.
func (s *Sieve) size(rules, cuts int) {
	if rules > len(s.kinds) {
		s.kinds = make([]kind, rules)
		for k := range s.active {
			s.active[k] = newTracker(rules)
		}
	}
	if cuts > s.room {
		s.cuts, s.room = newTracker(cuts), cuts
	}
}

// A tracker is a set of numbers that finds its first one at once: a bit for each,
// and a bit for each word of those that is not zero.
type tracker struct{ leaves, summary []uint64 }

func newTracker(n int) tracker {
	words := n/64 + 1
	return tracker{leaves: make([]uint64, words), summary: make([]uint64, words/64+1)}
}

func (t *tracker) add(n uint32) {
	t.leaves[n/64] |= 1 << (n % 64)
	t.summary[n/64/64] |= 1 << (n / 64 % 64)
}

// flip adds n, or removes it.
func (t *tracker) flip(n uint32) {
	word := n / 64
	t.leaves[word] ^= 1 << (n % 64)
	bit := uint64(1) << (word % 64)
	if t.leaves[word] == 0 {
		t.summary[word/64] &^= bit
	} else {
		t.summary[word/64] |= bit
	}
}

// first returns the lowest number; Nobody when there is none.
func (t *tracker) first() uint32 {
	for i, s := range t.summary {
		if s != 0 {
			word := i*64 + bits.TrailingZeros64(s)
			return index(word*64 + bits.TrailingZeros64(t.leaves[word]))
		}
	}
	return Nobody
}

// take removes the lowest number and returns it.
func (t *tracker) take() uint32 {
	n := t.first()
	if n != Nobody {
		t.flip(n)
	}
	return n
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
