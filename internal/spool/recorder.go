package spool

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/store"
)

// Recorder saves outcomes behind the passes' backs, so that neither an opening
// nor a close waits for the disk. What it cannot save the next full pass finds
// again, because the book still says that it has not happened.
type Recorder struct {
	book Book
	log  *slog.Logger
	wake chan struct{}

	mu     sync.Mutex
	queue  []store.Change
	saving []store.Change // what was taken from the queue last, saved or not yet
}

// saveTime bounds one last attempt to save what is left.
const saveTime = 30 * time.Second

// NewRecorder returns a recorder; Run makes it work.
func NewRecorder(book Book, log *slog.Logger) *Recorder {
	return &Recorder{book: book, log: log, wake: make(chan struct{}, 1), mu: sync.Mutex{}, queue: nil, saving: nil}
}

// Put queues c. It never blocks.
func (r *Recorder) Put(c store.Change) {
	r.mu.Lock()
	r.queue = append(r.queue, c)
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Apply returns g, as it was read from the book, with the outcomes that the book
// may not have had yet.
func (r *Recorder) Apply(g access.Grant) access.Grant {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range slices.Concat(r.saving, r.queue) {
		for _, o := range c.Outcomes {
			if o.Grant != g.ID || !g.Closed.IsZero() {
				continue
			}
			if !o.Opened.IsZero() && g.Opened.IsZero() {
				g.Opened = o.Opened
			}
			if o.Epoch == 0 || o.Epoch == g.Epoch {
				g.Impeded, g.Closed = o.Impeded, o.Closed
			}
		}
	}
	return g
}

// Run saves until ctx is done, and then what is left.
func (r *Recorder) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTime)
			r.flush(last)
			cancel()
			return
		case <-r.wake:
			r.flush(ctx)
		}
	}
}

// flush saves what is queued: side by side, so that one commit can take much, and
// in order what is about the same grant.
func (r *Recorder) flush(ctx context.Context) {
	r.mu.Lock()
	batch := r.queue
	r.queue, r.saving = nil, batch
	r.mu.Unlock()
	for len(batch) > 0 {
		n := sideBySide(batch)
		var wg sync.WaitGroup
		for _, c := range batch[:n] {
			wg.Go(func() { r.save(ctx, c) })
		}
		wg.Wait()
		batch = batch[n:]
	}
}

// sideBySide returns how many of the changes can be saved in whatever order: those
// before a grant comes up again. What closed before it is known to have been open
// was never opened, for all that the book says.
func sideBySide(batch []store.Change) int {
	const atOnce = 64
	seen := map[string]bool{}
	for n, c := range batch[:min(len(batch), atOnce)] {
		for _, o := range c.Outcomes {
			if seen[o.Grant] {
				return n
			}
		}
		for _, o := range c.Outcomes {
			seen[o.Grant] = true
		}
	}
	return min(len(batch), atOnce)
}

func (r *Recorder) save(ctx context.Context, c store.Change) {
	err := r.book.Save(ctx, c)
	if err != nil && errkind.Of(err) != errkind.Conflict {
		// A conflict means that another pass recorded the same thing first.
		r.log.LogAttrs(ctx, slog.LevelError, "save outcome", slog.Any("error", err))
	}
}
