package store

import (
	"context"
	"database/sql"
	"strconv"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/store/list"
	"github.com/sesame-access/sesame/internal/store/table"
)

// A Page says which part of a list to return. Lists are newest first.
type Page = list.Page

// The limits of a page.
const (
	DefaultLimit = list.DefaultLimit
	MaxLimit     = list.MaxLimit
)

// A Which chooses grants by how far they are.
type Which uint8

// The choices.
const (
	All     Which = iota
	Pending       // not read back closed yet
	Done          // read back closed
)

// A GrantFilter chooses grants. Zero fields choose all.
type GrantFilter struct {
	// VMs are the machines to show; nil for all. A list that is empty but not
	// nil shows none.
	VMs       []firewall.VMID
	Principal access.Principal
	Request   string // id
	Which     Which
	Page
}

// A RequestFilter chooses requests. Zero fields choose all.
type RequestFilter struct {
	// VMs are as in a GrantFilter; a request is shown when it asks for any of them.
	VMs       []firewall.VMID
	Principal access.Principal
	Page
}

// Grants returns the grants that f chooses, newest first, and the cursor of the
// next page, empty at the end.
func (s *Store) Grants(ctx context.Context, f GrantFilter) (grants []access.Grant, next string, err error) {
	var w list.Where
	list.In(&w, "vm IN (?)", f.VMs)
	list.Principal(&w, "issuer = ? AND subject = ?", f.Principal)
	if f.Request != "" {
		w.And("request = ?", f.Request)
	}
	switch f.Which {
	case All:
	case Pending:
		w.And("closed <= 0")
	case Done:
		w.And("closed > 0")
	}
	err = s.page(ctx, "grants", "created", &w, f.Page, func(q *table.Queries, id string) (time.Time, error) {
		row, err := q.Grant(ctx, id)
		if err == nil {
			grants = append(grants, row.Value())
		}
		return time.UnixMilli(row.Created), err
	}, &next)
	return grants, next, err
}

// Requests returns the requests that f chooses, newest first, and the cursor of
// the next page, empty at the end.
func (s *Store) Requests(ctx context.Context, f RequestFilter) (requests []Request, next string, err error) {
	var w list.Where
	list.In(&w, "id IN (SELECT request FROM request_vms WHERE vm IN (?))", f.VMs)
	list.Principal(&w, "issuer = ? AND subject = ?", f.Principal)
	err = s.page(ctx, "requests", "asked", &w, f.Page, func(q *table.Queries, id string) (time.Time, error) {
		row, err := q.Request(ctx, id)
		if err != nil {
			return time.Time{}, err
		}
		r, err := requestOf(ctx, q, row)
		requests = append(requests, r)
		return time.UnixMilli(row.Asked), err
	}, &next)
	return requests, next, err
}

// page finds a page of ids in a table that is ordered by a time and the id, and
// calls add with each; it sets next when there are more.
func (s *Store) page(ctx context.Context, from, by string, w *list.Where, p Page,
	add func(q *table.Queries, id string) (time.Time, error), next *string,
) error {
	limit, err := p.Most()
	if err != nil {
		return err
	}
	if p.Cursor != "" {
		c, err := list.ParseCursor(from, p.Cursor)
		if err != nil {
			return err
		}
		w.And("("+by+", id) < (?, ?)", c.At, c.ID)
	}
	return s.view(ctx, "list "+from, func(q *table.Queries, tx *sql.Tx) error {
		ids, err := table.Column(ctx, tx, "SELECT id FROM "+from+w.String()+" ORDER BY "+by+" DESC, id DESC LIMIT "+strconv.Itoa(limit+1), w.Args())
		if err != nil {
			return err
		}
		for i, id := range ids[:min(len(ids), limit)] {
			at, err := add(q, id)
			if err != nil {
				return err
			}
			if i == limit-1 && len(ids) > limit {
				*next = list.Place{List: from, At: at.UnixMilli(), ID: id}.Cursor()
			}
		}
		return nil
	})
}
