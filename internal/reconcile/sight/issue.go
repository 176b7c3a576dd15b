package sight

import (
	"maps"
	"slices"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/plan"
)

// Issued is how long after their time calls were sent, of one kind: our own part of
// opening and closing, before a cloud takes its time. For an opening it counts from the
// start of its grant, or from the decision if that is later; for a closing from the
// end. What is sent again is counted again.
type Issued struct {
	Count uint64
	Sum   time.Duration
	// Within counts those sent within each of [Bounds], the longer ones included in none.
	Within map[time.Duration]uint64
}

// Bounds are up to where times are told apart. The promise, with nothing else in flight,
// is 200 ms.
func Bounds() []time.Duration {
	const ms = time.Millisecond
	return []time.Duration{ms, 5 * ms, 10 * ms, 25 * ms, 50 * ms, 100 * ms, 200 * ms, 500 * ms, time.Second, 5 * time.Second, 30 * time.Second, 5 * time.Minute}
}

func (i *Issued) add(took time.Duration) {
	i.Count++
	i.Sum += took
	if i.Within == nil {
		i.Within = map[time.Duration]uint64{}
	}
	for _, bound := range Bounds() {
		if took <= bound {
			i.Within[bound]++
		}
	}
}

// Sends notes that p is sent now, and for which of grants. A closing that is sent ahead
// of its time, because the firewall is slow, is not late.
func (s *Sight) Sends(p plan.Plan, grants []access.Grant, now time.Time) {
	of := func(c plan.Change) (access.Grant, bool) {
		ids := c.Opening.Grants.IDs()
		i := slices.IndexFunc(grants, func(g access.Grant) bool { return slices.Contains(ids, g.ID) })
		if i < 0 {
			return access.Grant{}, false
		}
		return grants[i], true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range p.Changes {
		g, known := of(c)
		switch {
		case c.Op == plan.Open && known && g.Opened.IsZero():
			since := g.Start
			if since.Before(g.Created) {
				since = g.Created
			}
			s.opens.add(max(now.Sub(since), 0))
		case c.Op == plan.Close && known:
			s.closes.add(max(now.Sub(g.End()), 0))
		case c.Op == plan.Close && !c.Opening.Until.IsZero():
			s.closes.add(max(now.Sub(c.Opening.Until), 0))
		}
	}
}

// Issued returns the figures of openings and of closings so far.
func (s *Sight) Issued() (opens, closes Issued) {
	s.mu.Lock()
	defer s.mu.Unlock()
	opens, closes = s.opens, s.closes
	opens.Within, closes.Within = maps.Clone(opens.Within), maps.Clone(closes.Within)
	return opens, closes
}
