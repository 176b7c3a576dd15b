// Package store keeps the state of Sesame and the record of how it came to be,
// in one SQLite file, so that neither exists without the other.
//
// # Writing
//
// Save is the only way to change state. It takes one Change, checks its
// preconditions, and writes state, audit records and the tree's hashes in one
// transaction: all of it or none of it. A Change without a record is refused.
// When Save returns nil, the change is on the disk (WAL, synchronous=FULL) and
// survives the loss of power. When it returns an error of kind Conflict or
// Invalid, nothing at all was saved: no row, no record, no gap in the index.
// After any other error nothing was saved either, with one exception that no
// database can rule out: when the disk fails between writing and confirming,
// the change may be there after the next start, whole and with its records.
//
// Concurrent Saves share transactions: one goroutine takes whatever is waiting,
// puts each into a savepoint of its own, commits once, and then answers them
// all. Alone, a Save costs one flush of the disk; under load, many cost one.
// Outcomes may have the Patience to wait for another Change: the firewall shows
// them already, and whoever waits for an answer has it. A Save whose context ends before the goroutine has taken it is withdrawn. Once
// taken, it is waited for, because its outcome must be known.
//
// # Reading
//
// Every read sees one state between two transactions, never half a Change, and
// never waits for a writer. What is returned is sorted and belongs to the
// caller, except for Rules, which is shared.
//
// Damaged rows are read on the safe side: a deadline that is zero, negative or
// out of range has passed, and a grant with such a deadline is still listed as
// pending, so that it is closed. See package table.
//
// # The audit log
//
// Records are numbered from 0 without gaps, in the order of commits. The hashes
// of the Merkle tree lie in the same transaction as the records they cover.
// Personal parts lie in columns of their own; Change.Erase overwrites them, and
// every proof still holds.
//
// # Starting and stopping
//
// Open migrates an older file, and refuses a newer or a damaged one. Close waits
// for the Saves that were taken and ends every goroutine. Inside a synctest
// bubble a store works as outside: its idle goroutines are durably blocked, so
// that time moves on, and it must be closed before the bubble ends.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/store/commit"
	"github.com/sesame-access/sesame/internal/store/sqlite"
	"github.com/sesame-access/sesame/internal/store/table"
)

// A Store is one database. It is safe for concurrent use.
type Store struct {
	// Patience is how long a Change of nothing but outcomes waits for another to
	// share its transaction; 0 for not at all. It is set before the first Save.
	Patience time.Duration
	name     string
	created  time.Time
	version  atomic.Int64          // of the rules, as of the last commit
	rules    atomic.Pointer[rules] // as they were last read
	// displaced says that a rule is displaced somewhere, or was since the start.
	displaced atomic.Bool
	news      commit.News
	closing   sync.Once
	tidier    *sqlite.Tidier

	db    *sqlite.DB
	reads *table.Queries // for reading, side by side

	// For writing, one transaction at a time.
	conn   *sql.Conn
	writes *table.Queries
	writer *commit.Writer[tx]
	edge   audit.Edge // of the last commit; belongs to the writer's goroutine
	sure   bool       // that nothing was begun since; belongs to it, too
}

// Instance is the random name of this installation, made once: 12 lower-case
// letters and digits.
func (s *Store) Instance() string { return s.name }

// Created is when the database was made.
func (s *Store) Created() time.Time { return s.created }

// Changed returns a channel that is closed at the next commit, or when the store
// closes. Take it before reading, so that nothing is missed.
func (s *Store) Changed() <-chan struct{} { return s.news.Next() }

// Close lets the Saves that were taken finish, and closes the database. Saves
// and reads after it fail. Closing twice does nothing.
func (s *Store) Close() (err error) {
	s.closing.Do(func() {
		err = s.writer.Close()
		s.version.Store(0) // what is known is not told any more
		s.tidier.Close()
		s.news.End()
		err = errors.Join(err, s.writes.Close(), s.conn.Close(), s.reads.Close(), s.db.Close())
	})
	return err
}

// failed turns an error of the database into one with a kind. What it was is
// for the log.
func failed(err error, format string, args ...any) error {
	what := fmt.Sprintf(format, args...)
	switch {
	case err == nil || errkind.Of(err) != errkind.Internal:
		return err
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w", what, err)
	case errors.Is(err, commit.ErrClosed), errors.Is(err, sql.ErrConnDone), err.Error() == "sql: database is closed":
		return errkind.Wrap(errkind.Unavailable, err, "%s: the server is stopping; try again when it runs", what)
	}
	return errkind.Wrap(errkind.Unavailable, err, "%s: the database failed; try again, and see `sesame doctor` if it goes on", what)
}
