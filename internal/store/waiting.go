package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/store/identity"
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

// Identity returns what is known of p: the person behind it, as an administrator or
// the one who made its token has said, and the groups and the kind that it was last
// seen with. Known says that p was seen, or has its tokens from here; of others
// nobody can tell which groups they are in. What a token has said of its principal
// stays true when it ends.
func (s *Store) Identity(ctx context.Context, p access.Principal) (who access.Identity, known bool, err error) {
	r, err := s.current(ctx)
	if err != nil {
		return access.Identity{}, false, err
	}
	who = access.Identity{Principal: p, Kind: access.Program, Person: "", Groups: nil, Scope: nil, At: time.Time{}}
	row, err := s.reads.Identity(ctx, table.IdentityParams{Issuer: p.Issuer, Subject: p.Subject})
	switch {
	case errors.Is(err, sql.ErrNoRows):
		known = r.persons[[2]string{p.Issuer, p.Subject}] != "" || p.Issuer == "local"
	case err != nil:
		return access.Identity{}, false, failed(err, "read what is known of %s", p)
	default:
		seen := identity.SightingsOf([]table.Identity{row})[0]
		who.Kind, who.Groups, known = seen.Kind, seen.Groups, true
	}
	who.Person = cmp.Or(r.Links.Person(p), r.persons[[2]string{p.Issuer, p.Subject}])
	if who.Person != "" {
		who.Kind = access.Person
	}
	return who, known, nil
}
