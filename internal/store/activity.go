package store

import (
	"context"
	"database/sql"

	"github.com/sesame-access/sesame/internal/store/activity"
	"github.com/sesame-access/sesame/internal/store/list"
	"github.com/sesame-access/sesame/internal/store/table"
)

// An ActivityFilter chooses audit records. Zero fields choose all.
type ActivityFilter = activity.Filter

// An Entry is one record of the activity.
type Entry = activity.Entry

// Activity returns the records that f chooses, newest first, and the cursor of
// the next page, empty at the end.
func (s *Store) Activity(ctx context.Context, f ActivityFilter) (entries []Entry, next string, err error) {
	w := f.Where()
	if f.Cursor != "" {
		c, err := list.ParseCursor("activity", f.Cursor)
		if err != nil {
			return nil, "", err
		}
		w.And("idx < ?", c.At)
	}
	entries, more, err := s.entries(ctx, f, w, activity.Newest)
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
	w := f.Where()
	w.And("idx > ?", after)
	entries, _, err := s.entries(ctx, f, w, activity.Oldest)
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

// entries returns a page of records, and whether there are more.
func (s *Store) entries(ctx context.Context, f ActivityFilter, w *list.Where, order string) (out []Entry, more bool, err error) {
	err = s.view(ctx, "read activity", func(_ *table.Queries, tx *sql.Tx) (err error) {
		out, more, err = activity.Read(ctx, tx, f, w, order)
		return err
	})
	if err != nil {
		return nil, false, err
	}
	return out, more, nil
}
