package access

import (
	"math"
	"time"
)

// MaxSkew is how far two clocks may disagree when something is to be opened.
const MaxSkew = 30 * time.Second

// A Reading is one look at every clock there is. Go's own monotonic clock is
// not among them: it stops while the machine sleeps.
type Reading struct {
	// Wall is the machine's UTC. A monotonic reading that it still carries is
	// ignored.
	Wall time.Time
	// Boot counts since the machine booted, sleep included; BootID names that
	// boot. BootID is empty where the system has no such clock.
	Boot   time.Duration
	BootID string
	// Third is somebody else's UTC, of a cloud or of a database, as it was when
	// the wall clock showed Wall; zero when there is none.
	Third time.Time
}

// Skew returns how far the wall clock and the third clock disagree, never
// negative; 0 when there is no third clock.
func (r Reading) Skew() time.Duration {
	if r.Third.IsZero() {
		return 0
	}
	return wall(r.Wall).Sub(r.Third).Abs()
}

// wall returns t without Go's monotonic reading, which Sub and Before would
// otherwise prefer: it hides that the wall clock was set, and stands still
// while the machine sleeps.
func wall(t time.Time) time.Time { return t.Round(0) }

// Add returns the reading that clocks in good order will show after d.
func (r Reading) Add(d time.Duration) Reading {
	r.Wall = r.Wall.Add(d)
	r.Boot += d
	if !r.Third.IsZero() {
		r.Third = r.Third.Add(d)
	}
	return r
}

// Stepped returns by how much the wall clock was set between two readings of
// one boot: positive when it jumped forward. It is 0 across a reboot, where the
// two scales cannot be compared.
func (r Reading) Stepped(earlier Reading) time.Duration {
	if r.BootID == "" || r.BootID != earlier.BootID {
		return 0
	}
	return wall(r.Wall).Sub(wall(earlier.Wall)) - (r.Boot - earlier.Boot)
}

// A Deadline is one instant on each clock's own scale, fixed when it is set. It
// has passed when any of the clocks says so: no step of one clock can keep a
// door open.
type Deadline struct {
	Wall   time.Time
	Boot   time.Duration
	BootID string
	Third  time.Time
}

// DeadlineAt returns the deadline that lies at end by the wall clock of now.
func DeadlineAt(end time.Time, now Reading) Deadline {
	now.Wall = wall(now.Wall)
	in := now.Add(wall(end).Sub(now.Wall))
	return Deadline(in)
}

// Left returns how much time remains by the clock that is furthest along, and
// that clock's name: "wall", "boot" or "third". A deadline without a wall time,
// or on a scale that never was, as in a damaged row, has passed.
func (d Deadline) Left(now Reading) (time.Duration, string) {
	const longAgo = time.Duration(math.MinInt64)
	if d.Wall.IsZero() {
		return longAgo, "wall"
	}
	left, by := wall(d.Wall).Sub(wall(now.Wall)), "wall"
	if d.BootID != "" && d.BootID == now.BootID {
		l := longAgo // for a negative time since boot, which a subtraction could wrap around
		if d.Boot >= 0 {
			l = d.Boot - now.Boot
		}
		if l < left {
			left, by = l, "boot"
		}
	}
	if !d.Third.IsZero() && !now.Third.IsZero() {
		if l := d.Third.Sub(now.Third); l < left {
			left, by = l, "third"
		}
	}
	return left, by
}

// Passed reports whether any clock has reached d. The deadline itself is
// outside: a grant lives during [start, deadline).
func (d Deadline) Passed(now Reading) bool {
	left, _ := d.Left(now)
	return left <= 0
}
