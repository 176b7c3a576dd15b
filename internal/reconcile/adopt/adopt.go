// Package adopt takes note of what a database has lost, in the database: that it
// was lost, once, and of each opening that is still there, so that it is a grant
// like any other until it ends. What is adopted, and for how long, is decided by
// package adoption.
package adopt

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/adoption"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/store"
)

// A Book is where adopted grants are noted.
type Book interface {
	Save(ctx context.Context, c store.Change) error
	// Epochs returns the epoch of every given grant that is not closed.
	Epochs(ctx context.Context, ids []string) (map[string]int64, error)
}

// A Log is the audit log as Notice needs it.
type Log interface {
	Save(ctx context.Context, c store.Change) error
	Activity(ctx context.Context, f store.ActivityFilter) ([]store.Entry, string, error)
}

// Notice records a loss that e proves, unless that very one is recorded already,
// and returns the last loss that the log knows of; the zero Loss when it knows of
// none. It is called before anything is reconciled.
func Notice(ctx context.Context, log Log, e adoption.Evidence, now access.Reading) (adoption.Loss, error) {
	last, _, err := log.Activity(ctx, store.ActivityFilter{Page: store.Page{Limit: 1}, Kinds: []audit.Kind{audit.Lost}})
	if err != nil {
		return adoption.Loss{}, fmt.Errorf("look for the last loss: %w", err)
	}
	var known adoption.Loss
	if len(last) > 0 {
		known = adoption.Loss{At: last[0].Time, Why: last[0].Text}
	}
	proof := e.Proof()
	if proof == "" || proof == known.Why {
		return known, nil
	}
	rec := audit.Record{Kind: audit.Lost, Time: firewall.Instant(now.Wall), Actor: access.System(), Clocks: now, Text: proof}
	if err := log.Save(ctx, store.Change{Records: []audit.Record{rec}}); err != nil {
		return adoption.Loss{}, fmt.Errorf("record the loss: %w", err)
	}
	return adoption.Loss{At: rec.Time, Why: proof}, nil
}

// Strangers returns the openings that are shown, by their keys, of which the book
// has none of the grants.
func Strangers(grants []access.Grant, shown firewall.Wants) map[firewall.Key]firewall.Opening {
	known := make(map[string]bool, len(grants))
	for _, g := range grants {
		known[g.ID] = true
	}
	out := map[firewall.Key]firewall.Opening{}
	for key, o := range plan.Index(shown) {
		if !o.Exempt() && !slices.ContainsFunc(o.Grants.IDs(), func(id string) bool { return known[id] }) {
			out[key] = o
		}
	}
	return out
}

// Take adopts what may be of the openings that fw shows and the book has no grant
// of, each in a transaction of its own, and reports whether the book now knows
// more than was read from it. A grant that the book does know, since it was closed,
// is not adopted; nor is what cannot be saved.
func Take(ctx context.Context, book Book, l adoption.Loss, fw firewall.ID, vms []inventory.VM, strangers map[firewall.Key]firewall.Opening, now access.Reading) (more bool, err error) {
	mine := map[firewall.Key]firewall.Opening{}
	for key, o := range strangers {
		if own(fw, inventory.Of(vms, key.Door.VM)) {
			mine[key] = o
		}
	}
	for _, a := range adoption.Of(l, fw, mine, now) {
		e := book.Save(ctx, store.Change{
			Requests: []store.Request{{Request: a.Request, Decision: a.Decision}},
			Grants:   []access.Grant{a.Grant}, Records: []audit.Record{a.Record},
		})
		if errors.Is(e, store.ErrRepeated) {
			// Another firewall in front of the same VM was faster, or it was closed.
			var pending map[string]int64
			pending, e = book.Epochs(ctx, []string{a.Grant.ID})
			_, known := pending[a.Grant.ID]
			more = more || known
		} else {
			more = more || e == nil
		}
		if e != nil {
			err = errors.Join(err, fmt.Errorf("adopt %s: %w", a.Grant.ID, e))
		}
	}
	return more, err
}

// own reports whether fw sees the sources of v's clients as they are. Behind an
// address translation it does not, and what it shows is wanted or not by what the
// firewall in front of it tells of the same grant.
func own(fw firewall.ID, v inventory.VM) bool {
	for _, p := range v.Paths {
		for _, h := range p.Hops {
			if h.Firewall == fw && !h.Sees.IsValid() {
				return true
			}
		}
	}
	return false
}
