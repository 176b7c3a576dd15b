package store

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

// An ActivityFilter chooses audit records. Zero fields choose all.
type ActivityFilter struct {
	// VMs are as in a GrantFilter. With it, records about no VM are not shown.
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
	Page
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

// Activity returns the records that f chooses, newest first, and the cursor of
// the next page, empty at the end.
func (s *Store) Activity(ctx context.Context, f ActivityFilter) (entries []Entry, next string, err error) {
	w := f.where()
	if f.Cursor != "" {
		c, err := list.ParseCursor("activity", f.Cursor)
		if err != nil {
			return nil, "", err
		}
		w.And("idx < ?", c.At)
	}
	entries, more, err := s.entries(ctx, f, w, "DESC")
	if more {
		next = list.Place{List: "activity", At: entries[len(entries)-1].Index, ID: ""}.Cursor()
	}
	return entries, next, err
}

// Tail returns the records after the given index (−1 for all) that f chooses,
// oldest first and at most a page; f's cursor is not used. A follower calls it
// with the last index it has seen whenever Changed says so, until it returns
// less than a page.
func (s *Store) Tail(ctx context.Context, f ActivityFilter, after int64) ([]Entry, error) {
	w := f.where()
	w.And("idx > ?", after)
	entries, _, err := s.entries(ctx, f, w, "ASC")
	return entries, err
}

// Next is Tail, and says how far it has looked: a follower that goes on behind
// there looks at no record twice, however few of them f chooses.
func (s *Store) Next(ctx context.Context, f ActivityFilter, after int64) ([]Entry, int64, error) {
	// The size is taken before reading: all records below it can be read then.
	row, err := s.reads.Instance(ctx)
	if err != nil {
		return nil, after, failed(err, "read activity")
	}
	entries, err := s.Tail(ctx, f, after)
	if n := len(entries); n > 0 {
		after = entries[n-1].Index
	} else if err == nil {
		after = max(after, row.Size-1)
	}
	return entries, after, err
}

// where is what of f the database can judge; Mentions the rest. What must not be
// empty says so, because the indexes leave out what is.
func (f ActivityFilter) where() *list.Where {
	var w list.Where
	list.In(&w, "vm <> '' AND vm IN (?)", f.VMs)
	principal(&w, "idx IN (SELECT idx FROM record_subjects WHERE issuer = ? AND subject = ?)", f.Principal)
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

// entries returns a page of records, and whether there are more.
func (s *Store) entries(ctx context.Context, f ActivityFilter, w *list.Where, order string) (out []Entry, more bool, err error) {
	limit, err := f.Most()
	if err != nil {
		return nil, false, err
	}
	query := "SELECT idx, leaf, salt, personal FROM records" + w.String() + " ORDER BY idx " + order //nolint:gosec // w keeps values apart
	if f.Text == "" {
		query += " LIMIT " + strconv.Itoa(limit+1)
	}
	err = s.view(ctx, "read activity", func(_ *table.Queries, tx *sql.Tx) (err error) {
		rows, err := tx.QueryContext(ctx, query, w.Args()...)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		for rows.Next() {
			var row table.Record
			if err := rows.Scan(&row.Idx, &row.Leaf, &row.Salt, &row.Personal); err != nil {
				return err
			}
			e := entryOf(row.Sealed())
			if !e.Mentions(f.Text) {
				continue
			}
			if len(out) == limit {
				more = true
				return nil
			}
			out = append(out, e)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, false, err
	}
	return out, more, nil
}

func entryOf(s audit.Sealed) Entry {
	r, err := s.Open()
	e := Entry{Index: s.Index, Record: r, Erased: s.Erased(), Damaged: ""}
	if err != nil {
		e.Damaged = err.Error()
	}
	return e
}
