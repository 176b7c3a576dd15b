package reconcile

import (
	"maps"
	"sync"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
)

// Sight is what the loops last saw, for each other's verdicts and for people who
// look. Each entry was read from the firewall by its own loop.
type Sight struct {
	mu         sync.Mutex
	seen       map[firewall.ID]view
	ok, failed uint64 // passes
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

// NewSight returns a sight that has seen nothing.
func NewSight() *Sight { return &Sight{mu: sync.Mutex{}, seen: map[firewall.ID]view{}} }

// read keeps what a full pass read back, before anything is concluded from it:
// of two loops that read at once, the later one must see what the other saw.
func (s *Sight) read(id firewall.ID, back provider.Snapshot, at access.Reading) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.seen[id]
	v.snapshot, v.shown, v.at = back, plan.Index(back.Shown()), at
	s.seen[id] = v
	if !back.Clock.IsZero() {
		s.clock, s.clockAt = back.Clock, at
	}
}

// note keeps what a full pass says about the doors, and whether any pass failed.
func (s *Sight) note(id firewall.ID, p *pass, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.seen[id]
	v.failing = ""
	switch {
	case err == nil:
		s.ok++
	case !again(err):
		v.failing = err.Error()
		s.failed++
	}
	if p.keys == nil && p.back.Firewall != "" {
		v.doors = p.doors(v.failing)
	}
	for i := range v.doors {
		v.doors[i].Failing = v.failing
	}
	s.seen[id] = v
}

// last returns the last full snapshot of id.
func (s *Sight) last(id firewall.ID) (provider.Snapshot, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.seen[id]
	return v.snapshot, ok && v.snapshot.Firewall != ""
}

// shown returns what id showed when it was read last, and what the clocks showed
// then; false if it was never read. The map is shared and is never written to
// again.
func (s *Sight) shown(id firewall.ID) (map[firewall.Key]firewall.Opening, access.Reading, bool) {
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
	for id, v := range maps.All(s.seen) {
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
