// Package activity reads the audit records as people look for them: with a filter,
// and in pages.
package activity

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/store/list"
	"github.com/sesame-access/sesame/internal/store/table"
)

// A Filter chooses audit records. Zero fields choose all.
type Filter struct {
	// VMs are as in the filter of grants. With it, records about no VM are not shown.
	VMs []firewall.VMID
	// Principal did it, or it is about a request or a grant of theirs. What was
	// erased, and what Sesame did by itself, is not found by who did it.
	Principal access.Principal
	Kinds     []audit.Kind
	Request   string    // id
	Grant     string    // id
	Since     time.Time // inclusive
	Until     time.Time // exclusive
	// Text is looked for in everything that the record says in words, whatever
	// its case.
	Text string
	list.Page
}

// An Entry is one record of the activity.
type Entry struct {
	Index int64
	audit.Record
	// Erased says that the personal fields of the record are gone.
	Erased bool
	// Damaged says what is wrong with the record as it is stored; empty if it is
	// as it was written. What cannot be trusted is left out.
	Damaged string
}

// Where is what of f the database can judge; Mentions the rest. What must not be
// empty says so, because the indexes leave out what is.
func (f Filter) Where() *list.Where {
	var w list.Where
	list.In(&w, "vm <> '' AND vm IN (?)", f.VMs)
	list.Principal(&w, "idx IN (SELECT idx FROM record_subjects WHERE issuer = ? AND subject = ?)", f.Principal)
	if len(f.Kinds) > 0 {
		list.In(&w, "kind IN (?)", f.Kinds)
	}
	if f.Request != "" {
		w.And("request <> '' AND request = ?", f.Request)
	}
	if f.Grant != "" {
		w.And("request <> '' AND request = (SELECT request FROM grants WHERE id = ?) AND grant_id = ?", f.Grant, f.Grant)
	}
	if !f.Since.IsZero() {
		w.And("time >= ?", table.Millis(f.Since))
	}
	if !f.Until.IsZero() {
		w.And("time < ?", table.Millis(f.Until))
	}
	if pattern, ok := list.Needle(f.Text); ok && f.Text != "" {
		w.And(`(lower(leaf) LIKE lower(?) ESCAPE '\' OR lower(personal) LIKE lower(?) ESCAPE '\')`, pattern, pattern)
	}
	return &w
}

// The orders of records.
const (
	Newest = "DESC"
	Oldest = "ASC"
)

// Read returns a page of the records that f and w choose, and whether there are
// more.
func Read(ctx context.Context, tx *sql.Tx, f Filter, w *list.Where, order string) (out []Entry, more bool, err error) {
	limit, err := f.Most()
	if err != nil {
		return nil, false, err
	}
	query := "SELECT idx, leaf, salt, personal FROM records" + w.String() + " ORDER BY idx " + order //nolint:gosec // w keeps values apart
	if f.Text == "" {
		query += " LIMIT " + strconv.Itoa(limit+1)
	}
	rows, err := tx.QueryContext(ctx, query, w.Args()...)
	if err != nil {
		return nil, false, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var row table.Record
		if err := rows.Scan(&row.Idx, &row.Leaf, &row.Salt, &row.Personal); err != nil {
			return nil, false, err
		}
		e := entryOf(row.Sealed())
		if !e.Mentions(f.Text) {
			continue
		}
		if len(out) == limit {
			return out, true, nil
		}
		out = append(out, e)
	}
	return out, false, rows.Err()
}

func entryOf(s audit.Sealed) Entry {
	r, err := s.Open()
	e := Entry{Index: s.Index, Record: r, Erased: s.Erased(), Damaged: ""}
	if err != nil {
		e.Damaged = err.Error()
	}
	return e
}
