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
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/spool"
	"github.com/sesame-access/sesame/internal/store"
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

// A Book is what the reconciler needs from the store.
type Book interface {
	Reader
	// Save stores outcomes and their records in one transaction.
	Save(ctx context.Context, c store.Change) error
}

// A Reader reads what is wanted.
type Reader interface {
	// Rules returns the locks, and the version that they were read at.
	Rules(ctx context.Context) (store.Rules, error)
	// Pending returns the grants that are not read back closed yet.
	Pending(ctx context.Context) ([]access.Grant, error)
	// GrantsAt returns those of them that need one of the keys.
	GrantsAt(ctx context.Context, keys []firewall.Key) ([]access.Grant, error)
	// Epochs returns the epoch of every given grant that is not closed.
	Epochs(ctx context.Context, ids []string) (map[string]int64, error)
	// Displaced returns the foreign rules of fw that were taken out and not given
	// back yet.
	Displaced(ctx context.Context, fw firewall.ID) ([]plan.Change, error)
}

// Entries are what the book says: the locks, and the grants that concern a pass.
type Entries struct {
	Version int64
	Locks   []access.Lock
	Grants  []access.Grant
	// Unlocked are the doors that somebody gave back.
	Unlocked []firewall.Door
}

// known is what the book said last. It still closes and locks, and opens nothing.
type known struct {
	locks  []access.Lock
	grants map[string]access.Grant
}

// learn takes in what the book says now: all of it, or about some keys.
func (k *known) learn(e Entries, all bool) {
	if k.locks = e.Locks; all || k.grants == nil {
		k.grants = make(map[string]access.Grant, len(e.Grants))
	}
	for _, g := range e.Grants {
		k.grants[g.ID] = g
	}
}

// Read reads the book, for all grants or for those that need one of the keys.
// Locks come first: a grant that is saved in between is seen, and the fence
// notices a lock that is.
func Read(ctx context.Context, book Reader, keys []firewall.Key) (Entries, error) {
	rules, err := book.Rules(ctx)
	if err != nil {
		return Entries{}, fmt.Errorf("read the rules: %w", err)
	}
	e := Entries{Version: rules.Version, Locks: rules.Locks, Grants: nil, Unlocked: rules.Unlocked}
	if keys == nil {
		e.Grants, err = book.Pending(ctx)
	} else {
		e.Grants, err = book.GrantsAt(ctx, keys)
	}
	if err != nil {
		return Entries{}, fmt.Errorf("read the grants: %w", err)
	}
	return e, nil
}

// Config is what the loops of a fleet share.
type Config struct {
	Book Book
	// Clocks reads every clock there is.
	Clocks func() access.Reading
	// Resync is the longest time between two full passes of a loop.
	Resync time.Duration
	Log    *slog.Logger
	// Lookup finds a firewall with the machines behind it.
	Lookup   func(firewall.ID) (Firewall, bool)
	Sight    *Sight
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

// DoorState is what was last read back about a door.
type DoorState struct {
	Door firewall.Door
	// Locked says that the lock was read back.
	Locked bool
	// Exposed says who gets in without a grant and by which rule; empty when
	// nobody does.
	Exposed string
	// Obstacles are foreign things that defeat the lock or a grant.
	Obstacles []string
	// Uses counts connections that live openings let in, by source.
	Openings []provider.Owned
	// Read is when it was read; zero when never.
	Read time.Time
	// Failing says why the last pass failed; empty when it did not.
	Failing string
}

// A Firewall is a firewall with everything that its loop needs to know.
type Firewall struct {
	ID       firewall.ID
	Provider provider.Provider
	VMs      []inventory.VM // the machines behind it
}

// Keys returns what g needs on this firewall.
func (fw Firewall) Keys(g access.Grant) []firewall.Key { return plan.Keys(fw.ID, fw.VMs, g) }
