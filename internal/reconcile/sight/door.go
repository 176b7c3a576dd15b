package sight

import (
	"slices"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider"
)

// DoorState is what was last read back about a door on one firewall.
type DoorState struct {
	Door firewall.Door
	// Locked says that the lock was read back.
	Locked bool
	// Exposed says who gets in without a grant and by which rule; empty when
	// nobody does.
	Exposed string
	// Unproven names the layer on the way that is not known, so that it is not proven
	// that nobody gets in without a grant, and says who that is about; empty when it is
	// proven, or refuted.
	Unproven string
	// Obstacles are foreign things that defeat the lock or a grant.
	Obstacles []string
	// Openings are the rules that let somebody in: for a grant, or as exempt.
	Openings []provider.Owned
	// Read is when it was read; zero when never.
	Read time.Time
	// Failing says why the last pass failed; empty when it did not.
	Failing string
}

// A Standing is how a door stands in one word. Of several that hold, the last of
// the list counts.
type Standing string

// The standings, from what is as it should be to what is not known.
const (
	Locked     Standing = "locked"     // nobody gets in without asking
	Open       Standing = "open"       // and somebody asked
	Unlocked   Standing = "unlocked"   // the lock is not there, or not yet
	Orphan     Standing = "orphan"     // it is locked, and the book knows no such lock
	Obstructed Standing = "obstructed" // something foreign is in the way
	Unproven   Standing = "unproven"   // it is locked, and somebody may get in past it all the same
	Exposed    Standing = "exposed"    // something foreign lets somebody in
	Failing    Standing = "failing"    // the last pass failed: what was read may be old
)

// Standings returns all standings, in their order.
func Standings() []Standing {
	return []Standing{Locked, Open, Unlocked, Orphan, Obstructed, Unproven, Exposed, Failing}
}

// standing returns how the door stands on its firewall; known says that the book
// knows its lock.
func (d DoorState) standing(known bool) Standing {
	open := slices.ContainsFunc(d.Openings, func(o provider.Owned) bool { return !o.Opening.Exempt() })
	switch {
	case d.Failing != "":
		return Failing
	case d.Exposed != "":
		return Exposed
	case d.Locked && d.Unproven != "":
		return Unproven
	case len(d.Obstacles) > 0:
		return Obstructed
	case d.Locked && !known:
		return Orphan
	case !d.Locked:
		return Unlocked
	case open:
		return Open
	}
	return Locked
}

// Count returns how many doors stand how, each door once: as it stands on that of
// its firewalls where it stands worst. Known are the doors whose lock is in the
// book. It takes time in proportion to the doors.
func (s *Sight) Count(known []firewall.Door) map[Standing]int {
	ours := make(map[firewall.Door]bool, len(known))
	for _, d := range known {
		ours[d] = true
	}
	rank := map[Standing]int{}
	for i, one := range Standings() {
		rank[one] = i
	}
	worst := map[firewall.Door]Standing{}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.seen {
		for _, d := range v.doors {
			now := d.standing(ours[d.Door])
			if was, told := worst[d.Door]; !told || rank[now] > rank[was] {
				worst[d.Door] = now
			}
		}
	}
	out := map[Standing]int{}
	for _, one := range worst {
		out[one]++
	}
	return out
}
