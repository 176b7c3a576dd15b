package vote

import (
	"context"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/store/table"
)

// A Tally is what one principal has, and has asked for.
type Tally struct {
	Live  int // grants that are not read back closed
	Asked int // requests that needed approval, since some time
	// Unreviewed are the emergencies that nobody has looked at yet, by id, the oldest
	// first.
	Unreviewed []string
}

// Count counts what p has, and has asked for since the given time.
func Count(ctx context.Context, q *table.Queries, p access.Principal, since time.Time) (Tally, error) {
	live, err := q.LiveOf(ctx, table.LiveOfParams{Issuer: p.Issuer, Subject: p.Subject})
	if err != nil {
		return Tally{}, err
	}
	asked, err := q.AskedSince(ctx, table.AskedSinceParams{Issuer: p.Issuer, Subject: p.Subject, Since: table.Millis(since)})
	if err != nil {
		return Tally{}, err
	}
	unreviewed, err := q.Unreviewed(ctx, table.UnreviewedParams{Issuer: p.Issuer, Subject: p.Subject})
	return Tally{Live: int(live), Asked: int(asked), Unreviewed: unreviewed}, err
}
