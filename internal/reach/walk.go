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
	q.walked = q.walked[:0]
	for c := range q.columns {
		q.columns[c].left = q.columns[c].pieces[f]
	}
	for at := (sieve.Key{}); ; {
		x, met := q.chain()
		x.at, x.family = at, f
		q.walked = q.extend(q.walked, x)
		more := false
		for c := range q.columns[:met] {
			if left := q.columns[c].left; len(left) > 1 && (!more || left[1].At.Less(at)) {
				at, more = left[1].At, true
			}
		}
		if !more {
			return
		}
		for c := range q.columns {
			x := &q.columns[c]
			for len(x.left) > 1 && !at.Less(x.left[1].At) {
				x.left = x.left[1:]
			}
		}
	}
}

// chain follows a packet through the pieces that the columns are at, and returns
// how many it comes to. The links are those of every place that it may come to;
// of a packet that surely stops, only the one that stops it.
func (q *Query) chain() (x stretch, met int) {
	s, from := going, len(q.links)
	for met < len(q.columns) && s != stopped {
		c := &q.columns[met]
		l := c.link()
		for met++; met < len(q.columns) && q.columns[met].or; met++ {
			l = atLeast(l, q.columns[met].link())
		}
		looks := s&going != 0 || c.always
		if s = s.past(l.Can, c.always); looks && !(c.route && l.Can == firewall.Passes) {
			q.links = append(q.links, l)
		}
	}
	if s == stopped {
		q.links[from] = q.links[len(q.links)-1]
		q.links = q.links[:from+1]
	}
	return stretch{at: sieve.Key{}, verdict: s.verdict(), family: 0, from: small(from), to: small(len(q.links))}, met
}

func (c *column) link() link { return link{place: small(c.place), Decision: c.left[0].Decision} }

// atLeast joins what two firewalls at one place do: a packet gets the better of
// the two. The one that does more decides, or else the one that is less certain.
func atLeast(a, b link) link {
	low := max(a.Can.Least(), b.Can.Least())
	can := (a.Can | b.Can) &^ (low - 1)
	if b.Can.Least() > a.Can.Least() || b.Can.Least() == a.Can.Least() && b.Can > a.Can {
		a = b
	}
	a.Can = can
	return a
}

// extend appends x, whose links are the last, to list, unless it goes on what is
// there.
func (q *Query) extend(list []stretch, x stretch) []stretch {
	if n := len(list); n > 0 && q.alike(list[n-1], x) {
		q.links = q.links[:x.from]
		return list
	}
	return append(list, x)
}

func (q *Query) alike(x, y stretch) bool {
	return x.verdict == y.verdict && (x.from == y.from || slices.Equal(q.links[x.from:x.to], q.links[y.from:y.to]))
}

// fold merges q.walked into what is known: of two ways a source takes the better
// one, the first where they are alike.
func (q *Query) fold(f sieve.Family) {
	a, b := q.best[f], q.walked
	if len(a) == 0 {
		q.best[f], q.walked = b, a
		return
	}
	out := q.folded[:0]
	for i, j := 0, 0; ; {
		x := a[i]
		if b[j].verdict > x.verdict {
			x = b[j]
		}
		if x.at = a[i].at; x.at.Less(b[j].at) {
			x.at = b[j].at
		}
		if n := len(out); n == 0 || !q.alike(out[n-1], x) {
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

// answer copies out what is known. Mostly there is one path, all of its links are
// in use, and they are in order.
func (q *Query) answer() Set {
	links := 0
	for _, best := range q.best {
		for _, x := range best {
			links += int(x.to - x.from)
		}
	}
	if !slices.Equal(q.places, q.given) {
		q.given = slices.Clone(q.places)
	}
	s := Set{stretches: slices.Concat(q.best[sieve.IPv4], q.best[sieve.IPv6]), links: nil, places: q.given}
	if links >= len(q.links) {
		s.links = slices.Clone(q.links)
		return s
	}
	s.links = make([]link, 0, links)
	for i := range s.stretches {
		x := &s.stretches[i]
		from := small(len(s.links))
		s.links = append(s.links, q.links[x.from:x.to]...)
		x.from, x.to = from, small(len(s.links))
	}
	return s
}
