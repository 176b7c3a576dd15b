// Package erase takes out what is personal. The records, their order and every proof
// stay, and so does how everything stands.
package erase

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/store/identity"
	"github.com/sesame-access/sesame/internal/store/table"
)

// An Erasure says whose personal data, or that of which record, is to go. The
// records, their order and every proof stay.
type Erasure struct {
	// Principal erases the personal part of every record that the principal did
	// or that is about a request or a grant of theirs, and what their finished
	// requests, grants and votes say about them. What is pending must still be
	// closed and is kept; roles and tokens are removed by their own fields.
	Principal access.Principal
	// Indexes erases the personal parts of single records.
	Indexes []int64
}

// Apply erases what e says.
func Apply(ctx context.Context, q *table.Queries, e Erasure) error {
	indexes := e.Indexes
	if e.Principal.Subject != "" {
		issuer, subject := e.Principal.Issuer, e.Principal.Subject
		about, err := q.RecordsAbout(ctx, table.RecordsAboutParams{Issuer: issuer, Subject: subject})
		err = errors.Join(err,
			q.EraseGrants(ctx, table.EraseGrantsParams{Issuer: issuer, Subject: subject}),
			q.EraseEndings(ctx, table.EraseEndingsParams{Issuer: issuer, Subject: subject}),
			q.EraseRequests(ctx, table.EraseRequestsParams{Issuer: issuer, Subject: subject}),
			q.EraseVotes(ctx, table.EraseVotesParams{Issuer: issuer, Subject: subject}),
			q.EraseSubject(ctx, table.EraseSubjectParams{Issuer: issuer, Subject: subject}),
			q.EraseIdempotency(ctx, table.EraseIdempotencyParams{Issuer: issuer, Subject: subject}),
			identity.Erase(ctx, q, e.Principal))
		if err != nil {
			return fmt.Errorf("erase %s: %w", e.Principal, err)
		}
		indexes = append(slices.Clip(indexes), about...)
	}
	var err error
	for _, i := range e.Indexes {
		err = errors.Join(err, q.EraseRecordSubjects(ctx, i))
	}
	for _, i := range indexes {
		err = errors.Join(err, q.EraseRecord(ctx, table.EraseRecordParams{Salt: []byte{}, Idx: i}))
	}
	return err
}
