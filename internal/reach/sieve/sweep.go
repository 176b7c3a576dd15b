package sieve

import (
	"net/netip"

	"github.com/sesame-access/sesame/internal/firewall"
)

// A Sieve keeps the working memory between sweeps. The zero value is ready; it is
// not for use by two goroutines at once.
type Sieve struct {
	layer  *Layer // that was matched last, against the packet
	packet Packet
	spoken []uint32 // the rules that speak about it, if its addresses are right

	// Of one family, the rules that do, by their rank among them:
	rules    []uint32
	kinds    []kind         // how they speak
	doubtful bool           // some of them may match or not
	cuts     []uint64       // where their sources begin or have ended, and their rank
	spare    []uint64       // to sort them
	active   [kinds]tracker // those whose sources the sweep is in, by kind
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

// Match finds the rules of l that speak about p, whatever its addresses. Sweep
// goes on from there.
func (s *Sieve) Match(l *Layer, p *Packet) {
	s.layer, s.packet, s.spoken = l, *p, s.spoken[:0]
	vm := l.vms[p.Door.VM]
	for i := range l.lines {
		if !l.lines[i].names(&p.Door) || l.sources != nil && !l.sources[i].holds(p.Source) {
			continue
		}
		if x := l.limit(i); x.vm == 0 || x.vm == vm {
			s.spoken = append(s.spoken, index(i))
		}
	}
}

// Sweep cuts the sources of one family into pieces, which it appends to out: what
// the layer does to the packet from there.
//
// It is exact because between two neighbouring cuts no rule's sources begin or
// end: every source there matches the same rules, so one decision is right for
// all of them. It goes to every cut of every rule that speaks about the packet,
// in order. There it turns on the rules whose sources begin and turns off those
// whose sources have ended, so that the trackers hold exactly the rules that
// match: the first certain one ends the search, and each before it that may match
// adds what it would do.
func (s *Sieve) Sweep(f Family, out []Piece) []Piece {
	a, start := &s.layer.axes[f], len(out)
	s.collect(f)
	s.sortCuts()
	for i, at := 0, uint32(0); ; {
		for i < len(s.cuts) && at == index(s.cuts[i]>>32) {
			rank := index(s.cuts[i])
			s.active[s.kinds[rank]].flip(rank)
			i++
		}
		d := s.decide()
		if n := len(out); n == start || out[n-1].Decision != d {
			out = append(out, Piece{At: a.key(at), Decision: d})
		}
		if i == len(s.cuts) {
			break
		}
		at = index(s.cuts[i] >> 32)
	}
	for k := range s.active {
		s.active[k].reset()
	}
	return out
}

// collect finds the rules that speak about packets of one family, and their cuts.
// Behind a certain one that means every source no rule decides anything.
func (s *Sieve) collect(f Family) {
	l, a := s.layer, &s.layer.axes[f]
	s.rules, s.kinds, s.cuts, s.doubtful = s.rules[:0], s.kinds[:0], s.cuts[:0], false
	for _, rule := range s.spoken {
		k, cuts := l.aim(rule, &s.packet, f), a.of(rule)
		if k == none || len(cuts) == 0 {
			continue
		}
		rank := uint64(len(s.rules))
		for _, cut := range cuts {
			s.cuts = append(s.cuts, uint64(cut)<<32|rank)
		}
		s.rules, s.kinds, s.doubtful = append(s.rules, rule), append(s.kinds, k), s.doubtful || k != certain
		if k == certain && len(cuts) == 1 && cuts[0] == 0 {
			break
		}
	}
	for k := range s.active {
		s.active[k].size(len(s.rules))
	}
}

// aim returns how a rule that names the door speaks about p.
func (l *Layer) aim(rule uint32, p *Packet, f Family) kind {
	x, to := &l.lines[rule], l.limit(int(rule))
	switch {
	case to.dest == 0:
		return x.kind
	case !p.Aimed[f]:
		return x.maybe
	}
	for _, b := range l.destinations(to, f) {
		if b.Contains(p.To[f]) {
			return x.kind
		}
	}
	return none
}

// decide reads the trackers.
func (s *Sieve) decide() Decision {
	l := s.layer
	d, last := l.fallback, index(len(s.rules))
	if first := s.active[certain].first(); first < last {
		last = first
		rule := s.rules[first]
		d.Rule, d.Can = l.called[rule], l.lines[rule].can
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
		rule := s.rules[first]
		can := l.lines[rule].can
		d.Can |= can
		if can&^sure != 0 && first < earliest {
			earliest, d.Maybe = first, l.called[rule]
		}
	}
	return d
}
