package reach

import (
	"slices"

	"github.com/sesame-access/sesame/internal/inventory"
)

// A state is where a packet may be on its way along a path.
type state uint8

const (
	going state = 1 << iota
	delivered
	stopped
)

// past returns where a packet in s may be behind a hop. One that was delivered
// is only looked at by a firewall that nothing skips, which can stop it.
func (s state) past(can Outcomes, always bool) state {
	next := s & stopped
	if s&going != 0 {
		if can&Passes != 0 {
			next |= going
		}
		if can&Delivers != 0 {
			next |= delivered
		}
		if can&Denies != 0 {
			next |= stopped
		}
	}
	if s&delivered != 0 {
		if can&Denies != 0 && always {
			next |= stopped
		}
		if can != Denies || !always {
			next |= delivered
		}
	}
	return next
}

// verdict is what s means at the end of the path. What layers do is taken to be
// independent of each other, so that every combination is possible.
func (s state) verdict() Verdict {
	switch {
	case s == stopped:
		return Closed
	case s&stopped == 0:
		return Open
	}
	return Unknown
}

// walk goes along the columns for every source at once and writes what becomes
// of it to q.walked: between two neighbouring cuts of any column nothing changes.
func (q *Query) walk(path int) {
	q.walked = q.walked[:0]
	for at := (key{}); ; {
		x := q.chain(at)
		x.path = path
		before := len(q.walked)
		if q.walked = q.extend(q.walked, x); len(q.walked) == before {
			q.chains = q.chains[:x.from]
		}
		more := false
		var next key
		for c := range q.columns {
			if x := &q.columns[c]; x.at+1 < len(x.pieces) && (!more || x.pieces[x.at+1].at.less(next)) {
				next, more = x.pieces[x.at+1].at, true
			}
		}
		if !more {
			return
		}
		for c := range q.columns {
			if x := &q.columns[c]; x.at+1 < len(x.pieces) && x.pieces[x.at+1].at == next {
				x.at++
			}
		}
		at = next
	}
}

// chain follows a packet through the pieces that the columns are at. The links
// are those of every place that it may come to; of a packet that surely stops,
// only the one that stops it.
func (q *Query) chain(at key) stretch {
	s, from := going, len(q.chains)
	for c := 0; c < len(q.columns) && s&^stopped != 0; c++ {
		x := &q.columns[c]
		l := link{place: x.place, decision: x.pieces[x.at].decision}
		for c+1 < len(q.columns) && q.columns[c+1].or {
			c++
			y := &q.columns[c]
			l = atLeast(l, link{place: y.place, decision: y.pieces[y.at].decision})
		}
		met := s&going != 0 || x.always
		if s = s.past(l.can, x.always); met && !(x.route && l.can == Passes) {
			q.chains = append(q.chains, l)
		}
	}
	if s == stopped {
		q.chains[from] = q.chains[len(q.chains)-1]
		q.chains = q.chains[:from+1]
	}
	return stretch{at: at, verdict: s.verdict(), path: 0, from: from, to: len(q.chains)}
}

// atLeast joins what two firewalls at one place do: a packet gets the better of
// the two. The one that does more decides, or else the one that is less certain.
func atLeast(a, b link) link {
	low := max(a.can&-a.can, b.can&-b.can)
	can := (a.can | b.can) &^ (low - 1)
	if b.can&-b.can > a.can&-a.can || b.can&-b.can == a.can&-a.can && b.can > a.can {
		a = b
	}
	a.can = can
	return a
}

// extend appends x to list, unless it goes on what is there.
func (q *Query) extend(list []stretch, x stretch) []stretch {
	if n := len(list); n > 0 {
		y := &list[n-1]
		if x.verdict == y.verdict && x.path == y.path && slices.Equal(q.chains[x.from:x.to], q.chains[y.from:y.to]) {
			return list
		}
	}
	return append(list, x)
}

// fold merges q.walked into q.best: of two ways a source takes the better one,
// the first where they are alike.
func (q *Query) fold() {
	if len(q.best) == 0 {
		q.best, q.walked = q.walked, q.best
		return
	}
	q.folded = q.folded[:0]
	a, b := q.best, q.walked
	for i, j := 0, 0; ; {
		x := a[i]
		if b[j].verdict > x.verdict {
			x = b[j]
		}
		x.at = a[i].at
		if x.at.less(b[j].at) {
			x.at = b[j].at
		}
		q.folded = q.extend(q.folded, x)
		switch {
		case i+1 < len(a) && (j+1 == len(b) || a[i+1].at.less(b[j+1].at)):
			i++
		case j+1 == len(b):
			q.best, q.folded = q.folded, q.best
			return
		case i+1 < len(a) && a[i+1].at == b[j+1].at:
			i++
			j++
		default:
			j++
		}
	}
}

// answer writes q.found out: two allocations, for the spans and for their steps.
// What reads the same is the same: one line of a document may be several rules.
func (q *Query) answer(paths []inventory.Path, sixth int) Set {
	steps := 0
	for _, x := range q.found {
		steps += x.to - x.from
	}
	out, all := make(Set, 0, len(q.found)), make([]Step, 0, steps)
	for i, x := range q.found {
		f := v4
		if i >= sixth {
			f = v6
		}
		to := f.last()
		if i+1 < len(q.found) && i+1 != sixth {
			to = q.found[i+1].at.prev()
		}
		from := len(all)
		for _, l := range q.chains[x.from:x.to] {
			all = append(all, q.places[l.place].step(l.decision))
		}
		span := Span{Range: Range{From: x.at.addr(f), To: to.addr(f)}, Verdict: x.verdict, Path: "", Steps: all[from:len(all):len(all)]}
		if x.path >= 0 {
			span.Path = paths[x.path].Name
		}
		if n := len(out); i != 0 && i != sixth && out[n-1].alike(span) {
			out[n-1].To, all = span.To, all[:from]
			continue
		}
		out = append(out, span)
	}
	return out
}

// step writes d out.
func (p *place) step(d decision) Step {
	s := Step{Firewall: p.firewall, Rule: "", Maybe: "", Can: d.can}
	switch {
	case p.firewall == "":
		s.Rule = p.text + p.about
	case p.layer == nil:
		s.Rule = "not read"
	default:
		s.Rule = p.layer.names[d.rule]
		if d.maybe != nobody {
			s.Maybe = p.layer.names[d.maybe]
		}
	}
	return s
}
