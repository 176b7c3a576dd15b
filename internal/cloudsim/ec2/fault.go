package ec2

import (
	"slices"
	"time"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2/gate"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
)

// A FaultKind is a way in which the cloud goes wrong.
type FaultKind string

// The kinds of faults. Ambiguous is the one that hurts, Lying the one that only
// reading back finds. Mind that the SDKs try again by themselves after a lost
// connection, a status of 5xx or throttling.
const (
	Lost      FaultKind = "lost"      // nothing is done, and the connection breaks
	Broken    FaultKind = "broken"    // nothing is done, and the answer is InternalError
	Throttled FaultKind = "throttled" // nothing is done, and the answer is RequestLimitExceeded
	Partial   FaultKind = "partial"   // half of an Authorize or Revoke is done, and the answer is InternalError
	Ambiguous FaultKind = "ambiguous" // a write is done, and the connection breaks
	Failed    FaultKind = "failed"    // a write is done, and the answer is InternalError
	Late      FaultKind = "late"      // a write is done after Delay; the answer is InternalError at once
	Lying     FaultKind = "lying"     // a write is not done, and the answer says it was
	Stale     FaultKind = "stale"     // a read shows what was there when the fault began
	Slow      FaultKind = "slow"      // a call takes Delay longer, and goes on
	Hand      FaultKind = "hand"      // Do edits the world right before the call, which goes on
	HandAfter FaultKind = "handafter" // Do edits it between the call and its answer
)

// A Fault makes calls go wrong.
type Fault struct {
	Kind FaultKind
	// Action is which calls suffer, with * for anything; "" means all. Region and
	// Account say the same, without *.
	Action, Region, Account string
	// Skip is how many calls are let off first, Times how many suffer after that;
	// 0 means all until Until, if it is set, or Mend.
	Skip, Times int
	Until       time.Time
	// Chance is how likely a call is to suffer; 0 means certainly.
	Chance float64
	// Delay is how late a Late write is made, and how long a Slow call waits.
	Delay time.Duration
	// Quiet makes a Late write succeed at once.
	Quiet bool
	// Do is what a Hand does.
	Do func(w *world.World, now time.Time)
}

// standing is a fault that waits for its victims.
type standing struct {
	Fault
	since time.Time // what a Stale read shows
}

// Fail makes calls suffer x from now on. A call meets the first fault that is for
// it, and besides every Slow and every Hand.
func (s *Simulator) Fail(x Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.faults = append(s.faults, &standing{Fault: x, since: now})
	if x.Kind == Stale {
		s.pin()
	}
}

// Mend ends all faults. Late writes that are underway still come.
func (s *Simulator) Mend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
	s.pin()
}

// pin keeps the past that a Stale read shows.
func (s *Simulator) pin() {
	var since time.Time
	for _, f := range s.faults {
		if f.Kind == Stale && (since.IsZero() || f.since.Before(since)) {
			since = f.since
		}
	}
	for _, w := range s.regions {
		w.Past.Pin(since)
	}
}

// meet returns the faults that a call suffers: those that pass by, and the one
// that decides.
func (s *Simulator) meet(c *call, writes bool) (passing []Fault, decides standing) {
	keep := s.faults[:0:0]
	for _, f := range s.faults {
		hit := f.suffers(c, writes) && (decides.Kind == "" || f.passes())
		switch {
		case !f.Until.IsZero() && c.Now.After(f.Until):
			continue
		case hit && f.Skip > 0:
			f.Skip--
			hit = false
		case hit && f.Chance > 0:
			hit = s.chance.Float64() < f.Chance
		}
		if hit && f.passes() {
			passing = append(passing, f.Fault)
		} else if hit {
			decides = *f
		}
		if hit && f.Times > 0 {
			if f.Times--; f.Times == 0 {
				continue
			}
		}
		keep = append(keep, f)
	}
	if len(keep) < len(s.faults) {
		s.faults = keep
		s.pin()
	}
	return passing, decides
}

func (f *standing) passes() bool { return slices.Contains([]FaultKind{Slow, Hand, HandAfter}, f.Kind) }

func (f *standing) suffers(c *call, writes bool) bool {
	switch f.Kind {
	case Partial:
		if c.Name != "AuthorizeSecurityGroupIngress" && c.Name != "RevokeSecurityGroupIngress" {
			return false
		}
	case Ambiguous, Failed, Late, Lying:
		if !writes {
			return false
		}
	case Stale:
		if writes {
			return false
		}
	case Lost, Broken, Throttled, Slow, Hand, HandAfter:
	}
	return (f.Action == "" || gate.Matches(f.Action, c.Name)) &&
		(f.Region == "" || f.Region == c.scope.Region) &&
		(f.Account == "" || f.Account == c.Who.Account)
}
