package store

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/store/commit"
	"github.com/sesame-access/sesame/internal/store/sqlite"
	"github.com/sesame-access/sesame/internal/store/table"
)

// Open opens the database in the file called path, and makes it if it does not
// exist; its owner alone may read it. Nothing that it starts ends with ctx; see
// Close. An error of kind Unavailable says that the file is damaged or was
// written by a newer version, one of kind Conflict that another process has it,
// and what to do.
func Open(ctx context.Context, path string) (*Store, error) { return OpenAs(ctx, path, "") }

// OpenAs is Open; a database that it makes is that of the installation with the
// given name.
func OpenAs(ctx context.Context, path, instance string) (*Store, error) {
	db, err := sqlite.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	s, err := start(ctx, db, instance)
	if err != nil {
		return nil, errors.Join(sqlite.Damaged(path, err), db.Close())
	}
	return s, nil
}

// start puts the store together and starts its goroutine.
func start(ctx context.Context, db *sqlite.DB, instance string) (*Store, error) {
	first, displaced, err := table.New(db.Write).Establish(ctx, time.Now(), instance)
	if err != nil {
		return nil, err
	}
	s := &Store{
		Patience: 0, name: first.Name, created: table.Instant(first.Created),
		version: atomic.Int64{}, displaced: atomic.Bool{}, rules: atomic.Pointer[rules]{}, news: commit.News{}, closing: sync.Once{}, tidier: nil,
		db: db, reads: nil, conn: nil, writes: nil, writer: nil, edge: audit.Edge{}, sure: false,
	}
	s.version.Store(first.Rules)
	if s.reads, err = table.Prepare(ctx, db.Read); err != nil {
		return nil, err
	}
	s.displaced.Store(displaced)
	if s.conn, err = db.Write.Conn(ctx); err != nil {
		return nil, err
	}
	if s.writes, err = table.Prepare(ctx, s.conn); err != nil {
		return nil, err
	}
	s.writer, err = commit.New(ctx, s.conn, commit.Frame[tx]{Begin: s.begin, End: s.end, Done: s.done})
	if err != nil {
		return nil, err
	}
	s.tidier = sqlite.NewTidier(ctx, db.Read)
	return s, nil
}
