package reach

import (
	"slices"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/reach/sieve"
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
func (s state) past(can firewall.Outcomes, always bool) state {
	if s == going { // mostly, and with one outcome
		switch can {
		case firewall.Denies:
			return stopped
		case firewall.Passes:
			return going
		case firewall.Delivers:
		}
	}
	next := s & stopped
	if s&going != 0 {
		if can&firewall.Passes != 0 {
			next |= going
		}
		if can&firewall.Delivers != 0 {
			next |= delivered
		}
		if can&firewall.Denies != 0 {
			next |= stopped
		}
	}
	if s&delivered != 0 {
		if can&firewall.Denies != 0 && always {
			next |= stopped
		}
		if can != firewall.Denies || !always {
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

// walk goes along the columns for every source of family f at once and writes
// what becomes of it to q.walked. Between two neighbouring cuts of the columns
// that a packet comes to, nothing changes for it.
func (q *Query) walk(f sieve.Family) {
	walked := q.walked[:0]
	for c := range q.columns {
		if x := &q.columns[c]; len(x.pieces[f]) > 0 {
			x.enter(0, f)
		}
	}
	columns := q.columns
	if c := &columns[0]; c.route && !c.more && c.now.Can == firewall.Passes { // anybody of f comes
		columns = columns[1:]
	}
	for at, more := (sieve.Key{}), true; more; {
		from := len(q.links)
		s, next, ahead := q.chain(columns, at, f)
		if n := len(walked); n > 0 && q.goesOn(&walked[n-1], s.verdict(), from) {
			q.links = q.links[:from]
		} else {
			walked = append(walked, stretch{at: at, verdict: s.verdict(), family: f, from: small(from), steps: steps(len(q.links) - from)})
		}
		at, more = next, ahead
	}
	q.walked = walked
}

// enter goes to piece n of family f.
func (c *column) enter(n int, f sieve.Family) {
	pieces := c.pieces[f]
	c.at, c.now, c.more = n, link{place: small(c.place), Decision: pieces[n].Decision}, n+1 < len(pieces)
	if c.more {
		c.next = pieces[n+1].At
	}
}

// chain follows a packet from at through the columns, and returns where it may be at
// the end, and where the next cut is of those that it comes to. It adds the links of
// every place that the packet may come to; of one that surely stops, only that which
// stops it.
func (q *Query) chain(columns []column, at sieve.Key, f sieve.Family) (s state, next sieve.Key, more bool) {
	s = going
	links, from := q.links, len(q.links)
	for i := range columns {
		c := &columns[i]
		if s == stopped {
			break
		}
		for c.more && !at.Less(c.next) {
			c.enter(c.at+1, f)
		}
		if c.more && (!more || c.next.Less(next)) {
			next, more = c.next, true
		}
		can, looks := c.now.Can, s&going != 0 || c.always
		if s = s.past(can, c.always); looks && !(c.route && can == firewall.Passes) {
			links = append(links, c.now)
		}
	}
	if s == stopped {
		links[from] = links[len(links)-1]
		links = links[:from+1]
	}
	q.links = links
	return s, next, more
}

// goesOn reports whether the links that were added last, behind so many, and their
// verdict are those of x.
func (q *Query) goesOn(x *stretch, v Verdict, from int) bool {
	return x.verdict == v && same(q.links[x.from:x.to()], q.links[from:])
}

// alike reports whether x and y are decided in one way.
func (q *Query) alike(x, y *stretch) bool {
	return x.verdict == y.verdict && same(q.links[x.from:x.to()], q.links[y.from:y.to()])
}

func same(x, y []link) bool {
	if len(x) != len(y) {
		return false
	}
	for i := range x {
		if a, b := &x[i], &y[i]; a.Rule != b.Rule || a.Can != b.Can || a.Maybe != b.Maybe || a.place != b.place {
			return false
		}
	}
	return true
}

// fold merges q.walked into what is known: of two ways a source takes the better
// one, of two closed ones that which tells more, the first where they are alike.
func (q *Query) fold(f sieve.Family) {
	a, b := q.best[f], q.walked
	if len(a) == 0 {
		q.best[f], q.walked = b, a
		return
	}
	out := q.folded[:0]
	for i, j := 0, 0; ; {
		x := a[i]
		if y := b[j]; y.verdict > x.verdict || y.verdict == Closed && x.verdict == Closed && q.tells(y) > q.tells(x) {
			x = y
		}
		if x.at = a[i].at; x.at.Less(b[j].at) {
			x.at = b[j].at
		}
		if n := len(out); n == 0 || !q.alike(&out[n-1], &x) {
			out = append(out, x)
		}
		moreA, moreB := i+1 < len(a), j+1 < len(b)
		switch {
		case !moreA && !moreB:
			q.best[f], q.folded = out, a
			return
		case !moreB || moreA && a[i+1].at.Less(b[j+1].at):
			i++
		case !moreA || b[j+1].at.Less(a[i+1].at):
			j++
		default:
			i++
			j++
		}
	}
}

// tells says how much can be learned from what closes x: most from a rule, less
// from what a layer does where no rule decides, least from there being no way.
func (q *Query) tells(x stretch) int {
	l := q.links[x.from]
	switch layer := q.places[l.place].layer; {
	case layer == nil:
		return 0
	case layer.Name(l.Rule) == sieve.Default:
		return 1
	}
	return 2
}

// answer copies out what is known. Mostly there is one path, all of its links are
// in use, and they are in order.
func (q *Query) answer() Set {
	links := 0
	for _, best := range q.best {
		for _, x := range best {
			links += int(x.steps)
		}
	}
	if !slices.Equal(q.places, q.given) {
		q.given = slices.Clone(q.places)
	}
	s := Set{stretches: q.stretches.take(len(q.best[sieve.IPv4]) + len(q.best[sieve.IPv6])), links: nil, places: q.given}
	copy(s.stretches[copy(s.stretches, q.best[sieve.IPv4]):], q.best[sieve.IPv6])
	if links >= len(q.links) {
		s.links = q.linked.take(len(q.links))
		copy(s.links, q.links)
		return s
	}
	s.links = q.linked.take(links)[:0]
	for i := range s.stretches {
		x := &s.stretches[i]
		from := small(len(s.links))
		s.links = append(s.links, q.links[x.from:x.to()]...)
		x.from = from
	}
	return s
}
