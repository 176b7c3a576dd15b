// Package skew notices when the clocks disagree, because then nobody can say when a
// grant would end.
package skew

import (
	"sync"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/errkind"
)

// A Watch notices when the clocks disagree: two of them by more than
// access.MaxSkew, or the wall clock with its own course. Nothing is opened then;
// closing goes on, by whichever clock is furthest along.
type Watch struct {
	mu sync.Mutex
	// course is a reading on the course that the wall clock is believed to have,
	// fresh the first one on another course, if there is one.
	course, fresh access.Reading
}

// New returns a watch that believes its first reading.
func New(first access.Reading) *Watch {
	return &Watch{mu: sync.Mutex{}, course: first, fresh: access.Reading{}}
}

// settle is how long the wall clock must run true after it was set. Then it is
// believed: refusing for ever would help nobody.
const settle = time.Minute

// Check returns an error when now cannot be trusted to open anything.
func (w *Watch) Check(now access.Reading) error {
	if s := now.Skew(); s > access.MaxSkew {
		return errkind.New(errkind.Unavailable,
			"this machine's clock and the firewall's differ by %s, at most %s is tolerated; nothing is opened until they agree (check NTP)",
			s.Round(time.Second), access.MaxSkew)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	step := now.Stepped(w.course)
	if step.Abs() <= access.MaxSkew {
		w.fresh = access.Reading{}
		return nil
	}
	switch {
	case w.fresh.Wall.IsZero() || now.Stepped(w.fresh).Abs() > access.MaxSkew:
		w.fresh = now
	case now.Boot-w.fresh.Boot >= settle:
		w.course, w.fresh = w.fresh, access.Reading{}
		return nil
	}
	return errkind.New(errkind.Unavailable,
		"this machine's clock was set by %s; nothing is opened until it has run true for a minute (check NTP)", step.Round(time.Second))
}
