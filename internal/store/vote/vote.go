// Package vote keeps what a request waits for and what people said about it.
//
// Votes are only ever added, each with its number: one that was decided on without
// having seen the last one is refused, so that however many are cast at once, there
// is one order of them, and everybody has judged what stood before theirs.
package vote

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/access/approval"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/policy"
	"github.com/sesame-access/sesame/internal/store/table"
)

// ErrVoted says that somebody voted on the request since it was read: read it again.
var ErrVoted = errors.New("somebody else voted at the same moment")

// A Ballot is a vote that is about to be cast.
type Ballot struct {
	Request string
	// After is how many votes had been cast when this one was decided on.
	After int
	approval.Vote
	// Last says that nobody has anything to decide about the request any more.
	Last bool
}

// AddTerms saves what a new request waits for; nothing if it does not.
func AddTerms(ctx context.Context, q *table.Queries, request string, t approval.Terms) error {
	if !t.Waits() {
		return nil
	}
	err := q.AddWait(ctx, table.AddWaitParams{
		Request: request, Digest: t.Digest[:], Stages: text(t.Stages), Policies: text(t.Policies),
		Lapses: table.Millis(t.Lapses.Wall), LapsesBoot: t.Lapses.Boot.Milliseconds(), BootID: t.Lapses.BootID,
		LapsesThird: table.Millis(t.Lapses.Third),
	})
	if err != nil {
		return fmt.Errorf("write what request %s waits for: %w", request, err)
	}
	return nil
}

// Cast saves a vote, if nobody was faster.
func Cast(ctx context.Context, q *table.Queries, b Ballot) error {
	n, err := q.AddVote(ctx, table.AddVoteParams{
		Request: b.Request, Seq: int64(b.After), Choice: string(b.Choice), Stage: b.Stage, Person: b.Person,
		Issuer: b.By.Issuer, Subject: b.By.Subject, Display: b.By.Display, Comment: b.Comment,
		Digest: b.Digest[:], At: table.Millis(b.At),
	})
	switch {
	case err != nil:
		return fmt.Errorf("write vote: %w", err)
	case n == 0:
		return errkind.Wrap(errkind.Conflict, ErrVoted, "somebody voted on request %s at the same moment; look at it again", b.Request)
	case b.Choice == approval.Review:
		if err := q.Reviewed(ctx, b.Request); err != nil {
			return fmt.Errorf("note that request %s was reviewed: %w", b.Request, err)
		}
	}
	if !b.Last {
		return nil
	}
	if err := q.LookAway(ctx, b.Request); err != nil {
		return fmt.Errorf("note that request %s waits no more: %w", b.Request, err)
	}
	return nil
}

// Read returns what a request waits for and what was said about it. What cannot be
// read waits for nobody and has lapsed: it is never granted.
func Read(ctx context.Context, q *table.Queries, request string) (approval.Terms, []approval.Vote, error) {
	rows, err := q.Votes(ctx, request)
	if err != nil {
		return approval.Terms{}, nil, fmt.Errorf("read votes: %w", err)
	}
	var votes []approval.Vote
	for _, r := range rows {
		v := approval.Vote{
			Choice: approval.Choice(r.Choice), Stage: r.Stage, Person: r.Person,
			By:      access.Principal{Issuer: r.Issuer, Subject: r.Subject, Display: r.Display},
			Comment: r.Comment, At: table.Instant(r.At),
		}
		copy(v.Digest[:], r.Digest)
		votes = append(votes, v)
	}
	w, err := q.Wait(ctx, request)
	if errors.Is(err, sql.ErrNoRows) {
		return approval.Terms{}, votes, nil
	}
	if err != nil {
		return approval.Terms{}, nil, fmt.Errorf("read what request %s waits for: %w", request, err)
	}
	return terms(w), votes, nil
}

func terms(w table.Wait) approval.Terms {
	var t approval.Terms
	whole := json.Unmarshal([]byte(w.Stages), &t.Stages) == nil && json.Unmarshal([]byte(w.Policies), &t.Policies) == nil
	if !whole || len(t.Stages) == 0 || len(w.Digest) != sha256.Size || w.LapsesBoot < 0 {
		const nobody = 1 << 30 // approvals, which nobody can give
		return approval.Terms{Stages: []policy.Approval{{Stage: "damaged", Count: nobody}}}
	}
	copy(t.Digest[:], w.Digest)
	t.Lapses = access.Deadline{
		Wall: table.Instant(w.Lapses), Boot: time.Duration(w.LapsesBoot) * time.Millisecond, BootID: w.BootID,
		Third: table.Instant(w.LapsesThird),
	}
	return t
}

// text writes what JSON can say.
func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic("vote: " + err.Error())
	}
	return string(b)
}
