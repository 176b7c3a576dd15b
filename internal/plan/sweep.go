package plan

import (
	"slices"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/firewall"
)

// SweepGrace is how long past its deadline an opening is left to a server that
// may be about to close it.
const SweepGrace = time.Minute

// A Sweep is what can be closed on a firewall by somebody who knows nothing but
// what it shows: no locks, no grants, no database.
type Sweep struct {
	// Want is what stays. It mentions every door that is shown, so that nothing
	// is given back.
	Want firewall.Wants
	// Doomed are the openings that go, sorted.
	Doomed []firewall.Key
}

// SweepOf returns the sweep of a firewall. Of what is shown those openings go
// that are past the deadline in their mark by SweepGrace, by the clock that is
// furthest along. Broken are openings of ours whose mark does not verify; they
// go, too. Locks, exempt sources and everything foreign stay.
func SweepOf(shown firewall.Wants, broken []firewall.Key, now access.Reading) Sweep {
	latest := now.Wall
	if now.Third.After(latest) {
		latest = now.Third
	}
	s := Sweep{Want: make(firewall.Wants, 0, len(shown)), Doomed: slices.Clone(broken)}
	for _, w := range shown {
		kept := w
		kept.Open = nil
		for _, o := range w.Open {
			if o.Exempt() || latest.Before(o.Until.Add(SweepGrace)) {
				kept.Open = append(kept.Open, o)
				continue
			}
			s.Doomed = append(s.Doomed, firewall.Key{Door: w.Door, From: o.From})
		}
		s.Want = append(s.Want, kept)
	}
	slices.SortFunc(s.Doomed, firewall.CompareKeys)
	s.Doomed = slices.Compact(s.Doomed)
	return s
}

// Of returns the part of p that a sweep may write: the closes of what is doomed.
// Whatever else a provider would put right on the occasion is somebody else's
// business.
func (s Sweep) Of(p Plan) Plan {
	p.Changes = slices.DeleteFunc(slices.Clone(p.Changes), func(c Change) bool {
		_, doomed := slices.BinarySearchFunc(s.Doomed, firewall.Key{Door: c.Door, From: c.Opening.From}, firewall.CompareKeys)
		return c.Op != Close || !doomed
	})
	return p
}
