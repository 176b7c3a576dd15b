package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/store/table"
	"github.com/sesame-access/sesame/internal/store/vote"
)

// Waiting returns every request about which somebody may have something to decide,
// or to note that nobody has, sorted by id.
func (s *Store) Waiting(ctx context.Context) (waiting []Request, err error) {
	err = s.view(ctx, "read waiting requests", func(q *table.Queries, _ *sql.Tx) error {
		ids, err := q.Waits(ctx)
		if err != nil {
			return err
		}
		for _, id := range ids {
			row, err := q.Request(ctx, id)
			if err != nil {
				return err
			}
			r, err := requestOf(ctx, q, row)
			if err != nil {
				return err
			}
			waiting = append(waiting, r)
		}
		return nil
	})
	return waiting, err
}

// A Tally is what one principal has, and has asked for.
type Tally = vote.Tally

// Tally counts what p has, and has asked for since the given time.
func (s *Store) Tally(ctx context.Context, p access.Principal, since time.Time) (t Tally, err error) {
	err = s.view(ctx, "count requests", func(q *table.Queries, _ *sql.Tx) (err error) {
		t, err = vote.Count(ctx, q, p, since)
		return err
	})
	return t, err
}

// Person returns the id of the person behind p, empty where nobody has said that
// there is one. What a token has said of its principal stays true when it ends.
func (s *Store) Person(ctx context.Context, p access.Principal) (string, error) {
	r, err := s.current(ctx)
	if err != nil {
		return "", err
	}
	return r.persons[[2]string{p.Issuer, p.Subject}], nil
}
