// Package spool holds what is not in the book yet: outcomes that are saved behind
// the backs of those who wait, so that neither an opening nor a close waits for
// the disk, and ends of grants that the book could not take when somebody closed
// them.
//
// Everything here lies in memory. An outcome that is lost is found again by the
// next full pass, because the book still says that it has not happened. An ending
// that is lost with the process is lost: its grant then lives to its deadline.
package spool

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/store"
)

// A Book is what the spool needs from the store.
type Book interface {
	// Save stores outcomes and their records in one transaction.
	Save(ctx context.Context, c store.Change) error
	// Epochs returns the epoch of every given grant that is not closed.
	Epochs(ctx context.Context, ids []string) (map[string]int64, error)
}

// Endings are the grants that somebody closed while the book could not be
// written. They close at once; the book is told as soon as it listens.
type Endings struct {
	mu sync.Mutex
	of map[string]ending
}

// ending is an early end and the change that saves it, which has one update.
type ending struct {
	access.Ending
	unsaved store.Change
}

// NewEndings returns endings without any.
func NewEndings() *Endings { return &Endings{mu: sync.Mutex{}, of: map[string]ending{}} }

// Add ends a grant here until unsaved is saved.
func (e *Endings) Add(grant string, by access.Ending, unsaved store.Change) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.of[grant] = ending{Ending: by, unsaved: unsaved}
}

// Save tries to save what is not saved yet and forgets what is.
func (e *Endings) Save(ctx context.Context, book Book) {
	of := e.all()
	for _, grant := range slices.Sorted(maps.Keys(of)) {
		if err := save(ctx, book, of[grant].unsaved); err != nil {
			continue // the next tick tries again
		}
		e.mu.Lock()
		delete(e.of, grant)
		e.mu.Unlock()
	}
}

// save saves c, which ends a grant. One that was extended at the last moment
// ends all the same; one that has ended or is closed needs no other end.
func save(ctx context.Context, book Book, c store.Change) error {
	u := c.GrantUpdates[0]
	for {
		c.GrantUpdates = []store.GrantUpdate{u}
		err := book.Save(ctx, c)
		if !errors.Is(err, store.ErrEpoch) {
			return err
		}
		epochs, err := book.Epochs(ctx, []string{u.ID})
		if err != nil {
			return fmt.Errorf("read the epoch of %s: %w", u.ID, err)
		}
		epoch, pending := epochs[u.ID]
		if !pending || epoch == u.Epoch {
			return nil
		}
		u.Epoch = epoch
	}
}

// Has reports whether the end of a grant is not saved yet.
func (e *Endings) Has(grant string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, ok := e.of[grant]
	return ok
}

func (e *Endings) all() map[string]ending {
	e.mu.Lock()
	defer e.mu.Unlock()
	return maps.Clone(e.of)
}

// Apply returns grants with the endings written into them.
func (e *Endings) Apply(grants []access.Grant) []access.Grant {
	of := e.all()
	if len(of) == 0 {
		return grants
	}
	out := slices.Clone(grants)
	for i := range out {
		if by, ok := of[out[i].ID]; ok && out[i].Ended.At.IsZero() {
			out[i].Ended = by.Ending
		}
	}
	return out
}
