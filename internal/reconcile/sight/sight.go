// Package sight is what the loops of a fleet last saw: each firewall's snapshot,
// for the verdicts of the other loops, and how its doors stand, for people who
// look. Each loop tells what it read from its own firewall. It lies in memory and
// is whole again after the first full pass of every loop.
package sight

import (
	"sync"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
)

// A Sight is what the loops last saw. It is safe for concurrent use.
type Sight struct {
	mu         sync.Mutex
	seen       map[firewall.ID]view
	ok, failed uint64 // passes
	opens      Issued
	closes     Issued
	clock      time.Time
	clockAt    access.Reading // when clock was read
}

type view struct {
	snapshot provider.Snapshot // the last full one
	shown    map[firewall.Key]firewall.Opening
	at       access.Reading // when it was read
	doors    []DoorState
	failing  string
}

// A Pass is what a pass says of itself when it is over.
type Pass struct {
	// Failing says why it failed; empty when it did not.
	Failing string
	// Late says that somebody was faster and that it is repeated at once: it neither
	// failed nor succeeded.
	Late bool
	// Doors is how every door of the firewall stands, after a full pass that could
	// read it; nil after any other.
	Doors []DoorState
}

// New returns a sight that has seen nothing.
func New() *Sight { return &Sight{mu: sync.Mutex{}, seen: map[firewall.ID]view{}} }

// Read keeps what a full pass read back, before anything is concluded from it:
// of two loops that read at once, the later one must see what the other saw.
func (s *Sight) Read(id firewall.ID, back provider.Snapshot, at access.Reading) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.seen[id]
	v.snapshot, v.shown, v.at = back, plan.Index(back.Shown()), at
	s.seen[id] = v
	if !back.Clock.IsZero() {
		s.clock, s.clockAt = back.Clock, at
	}
}

// Note keeps how a pass over id went.
func (s *Sight) Note(id firewall.ID, p Pass) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.seen[id]
	v.failing = p.Failing
	switch {
	case p.Late:
	case p.Failing == "":
		s.ok++
	default:
		s.failed++
	}
	if p.Doors != nil {
		v.doors = p.Doors
	}
	for i := range v.doors {
		v.doors[i].Failing = v.failing
	}
	s.seen[id] = v
}

// Last returns the last full snapshot of id.
func (s *Sight) Last(id firewall.ID) (provider.Snapshot, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.seen[id]
	return v.snapshot, ok && v.snapshot.Firewall != ""
}

// Awaited reports whether nothing is known of id yet, neither what it shows nor that
// it cannot be read.
func (s *Sight) Awaited(id firewall.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.seen[id]
	return v.snapshot.Firewall == "" && v.failing == ""
}

// Shown returns what id showed when it was read last, and what the clocks showed
// then; false if it was never read. The map is shared and is never written to
// again.
func (s *Sight) Shown(id firewall.ID) (map[firewall.Key]firewall.Opening, access.Reading, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.seen[id]
	return v.shown, v.at, ok && v.snapshot.Firewall != ""
}

// Clock returns a firewall's clock as it was read last, of any that has one, and
// what this machine's clocks showed then; zero while none was read.
func (s *Sight) Clock() (clock time.Time, at access.Reading) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.clock, s.clockAt
}

// Doors returns the state of every door of id.
func (s *Sight) Doors(id firewall.ID) []DoorState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]DoorState(nil), s.seen[id].doors...)
}

// Failing returns why the last pass over each firewall failed, of those whose did.
func (s *Sight) Failing() map[firewall.ID]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[firewall.ID]string{}
	for id, v := range s.seen {
		if v.failing != "" {
			out[id] = v.failing
		}
	}
	return out
}

// Passes returns how many passes succeeded and failed; those that came too late
// and were repeated at once are neither.
func (s *Sight) Passes() (ok, failed uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ok, s.failed
}
