// Package book is what is wanted, as far as the reconciler asks: the locks, the
// grants and the displaced rules that the store keeps, and how they are read so
// that nothing falls between two readings. Whoever only reads gets a Reader and
// cannot write.
package book

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/store"
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
	// Pending returns the grants that are not read back closed yet, of VMs if any are
	// named.
	Pending(ctx context.Context, of ...firewall.VMID) ([]access.Grant, error)
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

// Read reads the book, for all grants or for those that need one of the keys.
// Where VMs are named, it is about them: what a pass over one firewall costs does
// not grow with all the others. Locks come first: a grant that is saved in between
// is seen, and the fence notices a lock that is.
func Read(ctx context.Context, book Reader, keys []firewall.Key, of []firewall.VMID) (Entries, error) {
	rules, err := book.Rules(ctx)
	if err != nil {
		return Entries{}, fmt.Errorf("read the rules: %w", err)
	}
	e := Entries{Version: rules.Version, Locks: rules.Locks, Grants: nil, Unlocked: rules.Unlocked}
	if len(of) > 0 {
		about := make(map[firewall.VMID]bool, len(of))
		for _, id := range of {
			about[id] = true
		}
		e.Locks = slices.DeleteFunc(slices.Clone(e.Locks), func(l access.Lock) bool { return !about[l.Door.VM] })
	}
	if keys == nil {
		e.Grants, err = book.Pending(ctx, of...)
	} else {
		e.Grants, err = book.GrantsAt(ctx, keys)
	}
	if err != nil {
		return Entries{}, fmt.Errorf("read the grants: %w", err)
	}
	return e, nil
}

// Expect adds grants that are being saved, and may be saved already. Nothing may
// be opened for them before the book itself says so.
func (e *Entries) Expect(grants []access.Grant) {
	for _, g := range grants {
		if !slices.ContainsFunc(e.Grants, func(x access.Grant) bool { return x.ID == g.ID }) {
			e.Grants = append(e.Grants, g)
		}
	}
	slices.SortFunc(e.Grants, func(a, b access.Grant) int { return cmp.Compare(a.ID, b.ID) })
}

// Known is what the book said last. It still closes and locks, and opens nothing.
type Known struct {
	Locks  []access.Lock
	Grants map[string]access.Grant
}

// Learn takes in what the book says now: all of it, or about some keys.
func (k *Known) Learn(e Entries, all bool) {
	if k.Locks = e.Locks; all || k.Grants == nil {
		k.Grants = make(map[string]access.Grant, len(e.Grants))
	}
	for _, g := range e.Grants {
		k.Grants[g.ID] = g
	}
}
