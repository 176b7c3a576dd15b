package nsg

import (
	"fmt"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/dialect"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/resource"
)

// Azure's limits, as documented in 2022.
const (
	minPriority  = 100
	maxPriority  = 4096
	mostRules    = 1000 // in a group, default rules not counted
	mostPrefixes = 4000 // of the sources of all rules together, and of the destinations
)

// A Reading is everything that a plan is compiled from: a group, and what its
// owner allows.
type Reading struct {
	dialect.Reading

	// Settled says that two complete inventories in a row agree about addresses.
	Settled bool
	// Windows are the numbers that may be used; the zero value stands for
	// [DefaultWindows].
	Windows Windows
	// MayOutrank names foreign Denies for everybody that openings may be put
	// above.
	MayOutrank []string
	// Rooms is how many rules the group holds; 0 means as many as Azure's do.
	Rooms int
}

// with returns what is known about another group in front of the same machines.
func (r Reading) with(g *resource.Group) Reading {
	r.Reading = r.On(g)
	return r
}

// filled returns r with the defaults in place.
func (r Reading) filled() Reading {
	if r.Windows == (Windows{}) {
		r.Windows = DefaultWindows()
	}
	if r.Rooms == 0 {
		r.Rooms = mostRules
	}
	return r
}

// Snapshot returns the reading in the contract's terms. Clock is Azure's own time
// when it was read; zero if it did not say.
//
// While the group is not in force as it is shown, its layer is not known: what is
// gone from the document may let somebody in, and what is in it may not.
func (r Reading) Snapshot(clock time.Time) provider.Snapshot {
	s := provider.Snapshot{
		Firewall: r.Group.ID, Version: r.Group.ETag, Only: nil, Clock: firewall.Instant(clock),
		Layer: firewall.Layer{}, Owned: r.Owned(), Others: r.Others(), Obstacles: nil, Raw: r,
	}
	if r.Group.InForce() {
		s.Layer = r.Layer()
	} else {
		s.Layer = firewall.Unread(r.Group.ID, fmt.Sprintf("the state of %s is %s: which of its rules are in force is not known", groupName(r.Group), r.Group.State), false)
	}
	return s
}
