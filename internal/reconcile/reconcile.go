// Package reconcile makes every firewall show what policies and grants want, and
// keeps it so.
//
// One loop runs for each firewall, because a firewall has one writer. A pass of
// the loop reads what is wanted and what is there, compiles the difference,
// verifies what it would really change, writes, reads back, and records; see
// pass.go, which fits on a screen. The loop is level-triggered: it passes on a
// change, at the next deadline, on an event of the firewall and at a resync
// bound, always from the actual state and never from memory. Recovery after a
// crash is the next pass.
//
// Closing waits for nothing. When the book cannot be read, when an inventory has
// holes, when a verdict or the firewall refuses, the pass still ends what has
// ended: every opening of ours carries its own deadline in its mark.
//
// An opening that carries our mark and that the book knows no grant of is closed,
// unless the book provably lost what it knew; see package adoption.
//
// # Ahead of a grant
//
// To save a grant takes the disk about as long as it takes a pass to read and to
// decide, and the two can go side by side. Who is about to save grants prepares the
// loops for them (Prepare), saves, and then asks for a pass (Ask). A loop that has
// nothing else to do takes the first half of that pass at once, the half that
// changes nothing, with the grants among what is wanted, and lays it aside. It goes
// on with the second half when it is asked for just these grants and the same keys;
// whatever else it has to do first throws what was laid aside away, and so does a
// second.
//
// Only what is saved is asked for, but nothing depends on that: the fence stands
// between the halves. As before every write it asks the book for every grant that
// the write opens for, and one that the book does not have is not opened. Until
// then the grant is in one pass that nobody else sees: not in what a loop
// remembers, not in its agenda, in no record and no answer. So a grant that cannot
// be saved, like a process that dies, leaves nothing behind but a pass that was not
// gone on with; and where nobody prepares, or a look at single keys does not
// suffice, all that is lost is time.
package reconcile

import (
	"log/slog"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/adoption"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/reconcile/book"
	"github.com/sesame-access/sesame/internal/reconcile/sight"
	"github.com/sesame-access/sesame/internal/spool"
)

// The bounds of waiting.
const (
	// DefaultResync is the longest time between two full passes.
	DefaultResync = 30 * time.Second
	firstRetry    = 250 * time.Millisecond
	lastRetry     = 30 * time.Second
	// callTimeout bounds one call to a firewall or to the book.
	callTimeout = 30 * time.Second
)

// Config is what the loops of a fleet share.
type Config struct {
	Book book.Book
	// Clocks reads every clock there is.
	Clocks func() access.Reading
	// Resync is the longest time between two full passes of a loop.
	Resync time.Duration
	// Loss is what the database provably lost; zero when nothing. Openings that it
	// does not know are adopted then.
	Loss adoption.Loss
	Log  *slog.Logger
	// Lookup finds a firewall with the machines behind it.
	Lookup   func(firewall.ID) (Firewall, bool)
	Sight    *sight.Sight
	Endings  *spool.Endings
	Recorder *spool.Recorder
}

// Seen says how a grant stands on the firewalls after a pass.
type Seen struct {
	// Open says that every source of the grant was read back open on every
	// firewall on the way.
	Open bool
	// At is when that was read back.
	At time.Time
	// Why says what is in the way when it is not open.
	Why string
}

// A Firewall is a firewall with everything that its loop needs to know.
type Firewall struct {
	ID       firewall.ID
	Provider provider.Provider
	VMs      []inventory.VM // the machines behind it
}

// Keys returns what g needs on this firewall.
func (fw Firewall) Keys(g access.Grant) []firewall.Key { return plan.Keys(fw.ID, fw.VMs, g) }
