// Package commit lets concurrent writes share transactions.
//
// One goroutine owns the connection that writes. It takes whatever jobs are
// waiting, puts each into a savepoint of its own, commits once, and answers them
// all. Alone, a job costs one flush of the disk; under load, many cost one. A
// job that fails is undone alone; when the transaction fails, none of its jobs
// was saved, and each is told so, whatever it had found out before.
//
// A job that nobody waits for can be asked to join: it is run in the next
// transaction, before what that was begun for, and begins one itself when its
// patience is at an end.
//
// What belongs to the transaction rather than to a job, such as a counter that
// is read at the start and written at the end, is a value of type T. Jobs change
// it one after the other, and it is put back when a job fails.
package commit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"
)

// mostShared is how many jobs share one transaction at most, so that nobody
// waits long for those that came later.
const mostShared = 256

// ErrClosed says that the writer takes no more jobs.
var ErrClosed = errors.New("the writer is closed")

// A Job writes something. It may be run only once, has a savepoint of its own,
// and must not end the transaction.
type Job[T any] func(ctx context.Context, state *T) error

// A Frame is what surrounds the jobs of each transaction.
type Frame[T any] struct {
	// Begin reads the state, inside the transaction.
	Begin func(ctx context.Context) (T, error)
	// End writes the state back, inside the transaction.
	End func(ctx context.Context, before, after T) error
	// Done hears of the state after a commit.
	Done func(before, after T)
}

// A Writer runs jobs. It is safe for concurrent use.
type Writer[T any] struct {
	frame Frame[T]
	// The statements that hold a transaction together.
	begin, commit, rollback, mark, back, release *sql.Stmt

	waiting chan waiting[T]
	stop    chan struct{} // closed when no more jobs are taken
	once    sync.Once
	stopped chan struct{} // closed when the goroutine has ended
}

// waiting is a job and where its answer goes.
type waiting[T any] struct {
	job      Job[T]
	patience time.Duration // how long it waits for others
	answer   chan error    // has room for the one answer
}

// New returns a writer on conn, which is the writer's until Close, and starts
// its goroutine. It does not end with ctx.
func New[T any](ctx context.Context, conn *sql.Conn, frame Frame[T]) (*Writer[T], error) {
	w := &Writer[T]{
		frame: frame,
		begin: nil, commit: nil, rollback: nil, mark: nil, back: nil, release: nil,
		waiting: make(chan waiting[T]), stop: make(chan struct{}), once: sync.Once{}, stopped: make(chan struct{}),
	}
	for _, s := range []struct {
		to   **sql.Stmt
		text string
	}{
		{&w.begin, "BEGIN IMMEDIATE"},
		{&w.commit, "COMMIT"},
		{&w.rollback, "ROLLBACK"},
		{&w.mark, "SAVEPOINT job"},
		{&w.back, "ROLLBACK TO job"},
		{&w.release, "RELEASE job"},
	} {
		var err error
		if *s.to, err = conn.PrepareContext(ctx, s.text); err != nil { //nolint:sqlclosecheck // closed by Close
			return nil, fmt.Errorf("prepare %s: %w", s.text, err)
		}
	}
	go w.run(context.WithoutCancel(ctx))
	return w, nil
}

// Write runs a job and waits until it is saved. If ctx ends before the job is
// taken, it is withdrawn; after that it is waited for, because its outcome must
// be known.
func (w *Writer[T]) Write(ctx context.Context, job Job[T]) error {
	return w.Join(ctx, job, 0)
}

// Join is Write for a job that waits for others to share their transaction, for
// as long as its patience lasts.
func (w *Writer[T]) Join(ctx context.Context, job Job[T], patience time.Duration) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("wait to write: %w", err)
	}
	mine := waiting[T]{job: job, patience: patience, answer: make(chan error, 1)}
	select {
	case w.waiting <- mine:
		return <-mine.answer
	case <-ctx.Done():
		return fmt.Errorf("wait to write: %w", ctx.Err())
	case <-w.stop:
		return ErrClosed
	}
}

// Close lets the jobs that were taken finish and ends the goroutine. Closing
// twice does nothing. The connection stays open.
func (w *Writer[T]) Close() (err error) {
	w.once.Do(func() {
		close(w.stop)
		<-w.stopped
		for _, s := range []*sql.Stmt{w.begin, w.commit, w.rollback, w.mark, w.back, w.release} {
			err = errors.Join(err, s.Close())
		}
	})
	return err
}

func (w *Writer[T]) run(ctx context.Context) {
	defer close(w.stopped)
	var jobs []waiting[T]
	var due <-chan time.Time // nil while no job waits for others
	crowd := false
	for {
		select {
		case next := <-w.waiting:
			if jobs = append(jobs, next); next.patience > 0 && len(jobs) < mostShared {
				if due == nil {
					due = time.After(next.patience)
				}
				continue
			}
		case <-due:
		case <-w.stop:
			if len(jobs) > 0 {
				w.together(ctx, jobs)
			}
			return
		}
		jobs = w.gather(jobs, crowd)
		crowd = several(jobs)
		w.together(ctx, jobs)
		jobs, due = nil, nil
	}
}

// gather returns the jobs and every other that is waiting by now. In a crowd it lets
// others run a little before it believes that there are no more: that costs next to
// nothing beside the flush that each job left behind would cost. Whoever is alone
// would wait for work that can be done as well while the disk is at it.
func (w *Writer[T]) gather(jobs []waiting[T], crowd bool) []waiting[T] {
	patience := 0
	if crowd {
		patience = 2
	}
	for tries := 0; len(jobs) < mostShared; {
		select {
		case next := <-w.waiting:
			jobs = append(jobs, next)
		default:
			if tries == patience {
				return jobs
			}
			tries++
			runtime.Gosched()
		}
	}
	return jobs
}

// several reports whether more than one of jobs has somebody who waits for it: one
// that has patience is in nobody's crowd.
func several[T any](jobs []waiting[T]) bool {
	n := 0
	for _, j := range jobs {
		if j.patience == 0 {
			n++
		}
	}
	return n > 1
}

// together runs the jobs in one transaction and answers them all.
func (w *Writer[T]) together(ctx context.Context, jobs []waiting[T]) {
	answers, err := w.transact(ctx, jobs)
	for i, j := range jobs {
		if err != nil {
			j.answer <- err
			continue
		}
		j.answer <- answers[i]
	}
}

// transact returns the answer to each job, or an error if nothing was saved.
func (w *Writer[T]) transact(ctx context.Context, jobs []waiting[T]) (answers []error, err error) {
	if err := exec(ctx, w.begin); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			// Some errors of the disk have ended the transaction already; then
			// there is nothing to roll back, and that is no news.
			_, _ = w.rollback.ExecContext(ctx)
		}
	}()
	before, err := w.frame.Begin(ctx)
	if err != nil {
		return nil, err
	}
	after := before
	answers = make([]error, len(jobs))
	if len(jobs) == 1 {
		// Alone it needs no savepoint: the transaction is its own.
		if answers[0] = jobs[0].job(ctx, &after); answers[0] != nil {
			_, _ = w.rollback.ExecContext(ctx)
			return answers, nil
		}
		jobs = nil
	}
	for i, j := range jobs {
		if answers[i], err = w.attempt(ctx, &after, j.job); err != nil {
			return nil, err
		}
	}
	if err := w.frame.End(ctx, before, after); err != nil {
		return nil, err
	}
	if err := exec(ctx, w.commit); err != nil {
		return nil, err
	}
	w.frame.Done(before, after)
	return answers, nil
}

// attempt runs one job. A job that fails leaves no trace; err is set when the
// whole transaction is lost with it.
func (w *Writer[T]) attempt(ctx context.Context, state *T, job Job[T]) (answer, err error) {
	if err := exec(ctx, w.mark); err != nil {
		return nil, err
	}
	before := *state
	if answer = job(ctx, state); answer != nil {
		*state = before
		if err := exec(ctx, w.back); err != nil {
			// The job's own error does not count any more, only what it says.
			return nil, fmt.Errorf("%w, after: %s", err, answer.Error())
		}
	}
	return answer, exec(ctx, w.release)
}

func exec(ctx context.Context, s *sql.Stmt) error {
	if _, err := s.ExecContext(ctx); err != nil {
		return fmt.Errorf("hold the transaction together: %w", err)
	}
	return nil
}
