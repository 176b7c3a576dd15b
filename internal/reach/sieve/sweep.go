package sieve

import (
	"net/netip"
	"slices"

	"github.com/sesame-access/sesame/internal/firewall"
)

// A Sieve keeps the working memory between sweeps. The zero value is ready; it is
// not for use by two goroutines at once.
type Sieve struct {
	layer  *Layer    // that was matched last, against the packet
	to     [2]uint32 // its destination, as a cut, where that is known
	aimed  [2]bool
	spoken []uint32 // the lines that speak about it, if its addresses are right

	// Of one family, those that do, by their rank among them:
	rules    []uint32       // their lines
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
	s.layer, s.aimed = l, p.Aimed
	if s.to[IPv4] = index(p.To[IPv4].Lo); p.Aimed[IPv6] && l.aimed {
		n, exact := slices.BinarySearchFunc(l.keys, p.To[IPv6], Key.Compare)
		if s.to[IPv6] = index(n); !exact {
			s.to[IPv6]--
		}
	}
	vm := l.vms[p.Door.VM]
	speakers := l.speakers(s.spoken[:0], p.Door)
	s.spoken = speakers[:0]
	for _, n := range speakers {
		x := &l.lines[n]
		if l.sources != nil && !l.sources[x.rule].holds(p.Source) {
			continue
		}
		if only := l.whom[x.at]; only == 0 || only == vm {
			s.spoken = append(s.spoken, n)
		}
	}
}

// SourcePorts appends to cuts where the rules of l that may speak about packets to d
// begin or end to do so with the client's port. What was matched is forgotten.
func (s *Sieve) SourcePorts(l *Layer, cuts []uint16, d firewall.Door) []uint16 {
	s.spoken = l.speakers(s.spoken[:0], d)
	for _, n := range s.spoken {
		x := l.sources[l.lines[n].rule]
		if x.first > 0 {
			cuts = append(cuts, x.first)
		}
		if last := x.first + x.more; last < 65535 {
			cuts = append(cuts, last+1)
		}
	}
	return cuts
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
	s.collect(f)
	s.cuts, s.spare = sortUpper(s.cuts, s.spare)
	start, decided, cuts := len(out), Nobody-1, s.cuts
	for i, at := 0, uint32(0); ; {
		for i < len(cuts) && at == index(cuts[i]>>32) {
			rank := index(cuts[i])
			s.active[s.kinds[rank]].flip(rank)
			i++
		}
		if first := s.active[certain].first(); first != decided || s.doubtful {
			decided = first
			d := s.decide(first)
			if n := len(out); n == start || out[n-1].Decision != d {
				out = append(out, Piece{At: s.layer.key(at, f), Decision: d})
			}
		}
		if i == len(cuts) {
			return out
		}
		at = index(cuts[i] >> 32)
	}
}

// collect finds the rules that speak about packets of one family, and their cuts.
// Behind a certain one that means every source no rule decides anything.
func (s *Sieve) collect(f Family) {
	s.rules, s.kinds, s.cuts, s.doubtful = s.rules[:0], s.kinds[:0], s.cuts[:0], false
	for _, n := range s.spoken {
		x := &s.layer.lines[n]
		to, from := s.layer.cuts(x, f)
		k := s.aim(x, to, f)
		if k == none || len(from) == 0 {
			continue
		}
		rank := uint64(len(s.rules))
		for _, cut := range from {
			s.cuts = append(s.cuts, uint64(cut)<<32|rank)
		}
		s.rules, s.kinds, s.doubtful = append(s.rules, n), append(s.kinds, k), s.doubtful || k != certain
		if k == certain && len(from) == 1 && from[0] == 0 {
			break
		}
	}
	for k := range s.active {
		s.active[k] = slices.Grow(s.active[k][:0], len(s.rules)/64+1)[:len(s.rules)/64+1]
		clear(s.active[k])
	}
}

// aim returns how a rule with such destinations speaks about the packet.
func (s *Sieve) aim(x *line, to []uint32, f Family) kind {
	switch {
	case len(to) == 0:
		return x.kind
	case !s.aimed[f]:
		return x.maybe
	}
	before := 0
	for before < len(to) && to[before] <= s.to[f] {
		before++
	}
	if before%2 == 0 {
		return none
	}
	return x.kind
}

// rule returns the rule that a rank stands for, by its name.
func (s *Sieve) rule(rank uint32) uint32 {
	rule := s.layer.lines[s.rules[rank]].rule
	if s.layer.first == nil {
		return rule
	}
	return s.layer.first[rule]
}

// decide says what a packet meets whose first certain rule is the given one: it
// reads the other trackers.
func (s *Sieve) decide(first uint32) Decision {
	d, last := s.layer.fallback, index(len(s.rules))
	if first < last {
		last = first
		d.Rule, d.Can = s.rule(first), s.layer.lines[s.rules[first]].can
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
		can := s.layer.lines[s.rules[first]].can
		d.Can |= can
		if can&^sure != 0 && first < earliest {
			earliest, d.Maybe = first, s.rule(first)
		}
	}
	return d
}
