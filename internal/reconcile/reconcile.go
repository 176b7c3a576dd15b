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
package reconcile

import (
	"log/slog"
	"time"

	"github.com/sesame-access/sesame/internal/access"
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
	Log    *slog.Logger
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
