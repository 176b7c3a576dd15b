package sqlite

import (
	"context"
	"database/sql"
	"sync"
	"sync/atomic"
)

// tidyAfter is how many records are written before the log of the database is
// copied into its file.
const tidyAfter = 300

// A Tidier moves what was committed from the write-ahead log into the database's
// file while others go on writing, so that no commit has to wait for that. What
// it does is never needed: when it fails or falls behind, a commit does it.
type Tidier struct {
	pool    *sql.DB
	written atomic.Int64
	due     chan struct{}
	once    sync.Once
	ended   chan struct{}
}

// NewTidier starts a tidier that uses a connection of the pool. It does not end
// with ctx; see Close.
func NewTidier(ctx context.Context, pool *sql.DB) *Tidier {
	t := &Tidier{pool: pool, written: atomic.Int64{}, due: make(chan struct{}, 1), once: sync.Once{}, ended: make(chan struct{})}
	go t.run(context.WithoutCancel(ctx))
	return t
}

// Wrote tells the tidier that n more records were committed, by one goroutine.
func (t *Tidier) Wrote(n int64) {
	if t.written.Add(n) < tidyAfter {
		return
	}
	t.written.Store(0)
	select {
	case t.due <- struct{}{}:
	default: // it is at it
	}
}

func (t *Tidier) run(ctx context.Context) {
	defer close(t.ended)
	for range t.due {
		_, _ = t.pool.ExecContext(ctx, "PRAGMA wal_checkpoint(PASSIVE)")
	}
}

// Close ends the tidier, after what it is at. Nothing may be written any more.
func (t *Tidier) Close() {
	t.once.Do(func() { close(t.due) })
	<-t.ended
}
