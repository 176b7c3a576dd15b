package commit_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	_ "modernc.org/sqlite"

	"github.com/sesame-access/sesame/internal/store/commit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a table with a counter beside it that must always agree with it.
type bench struct {
	db      *sql.DB
	conn    *sql.Conn
	w       *commit.Writer[int64]
	commits atomic.Int64
	failEnd atomic.Bool
}

func open(t *testing.T) *bench {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "x.db")+"?_pragma=journal_mode(WAL)")
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{db: db}
	if b.conn, err = db.Conn(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.exec(t, "CREATE TABLE counter (n INTEGER); INSERT INTO counter VALUES (0); CREATE TABLE rows (n INTEGER PRIMARY KEY)")
	b.w, err = commit.New(t.Context(), b.conn, commit.Frame[int64]{
		Begin: func(ctx context.Context) (n int64, err error) {
			return n, b.conn.QueryRowContext(ctx, "SELECT n FROM counter").Scan(&n)
		},
		End: func(ctx context.Context, _, after int64) error {
			if b.failEnd.Load() {
				return errors.New("the disk is gone")
			}
			_, err := b.conn.ExecContext(ctx, "UPDATE counter SET n = $1", after)
			return err
		},
		Done: func(before, after int64) {
			if after != before {
				b.commits.Add(1)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(b.w.Close(), b.w.Close(), b.conn.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	})
	return b
}

func (b *bench) exec(t *testing.T, text string) {
	t.Helper()
	if _, err := b.conn.ExecContext(t.Context(), text); err != nil {
		t.Fatal(err)
	}
}

// add adds a row, and fails behind it if told to.
func (b *bench) add(fail error) commit.Job[int64] {
	return func(ctx context.Context, n *int64) error {
		*n++
		if _, err := b.conn.ExecContext(ctx, "INSERT INTO rows VALUES ($1)", *n); err != nil {
			return err
		}
		return fail
	}
}

func (b *bench) check(t *testing.T, want int64) {
	t.Helper()
	err := b.w.Write(t.Context(), func(ctx context.Context, n *int64) error {
		var rows, last, counter int64
		err := b.conn.QueryRowContext(ctx, "SELECT count(*), coalesce(max(rows.n), 0), (SELECT n FROM counter) FROM rows").Scan(&rows, &last, &counter)
		if rows != want || last != want || counter != want || *n != want {
			t.Errorf("%d rows up to %d, counter %d, state %d; want %d", rows, last, counter, *n, want)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// block keeps the goroutine busy until the returned function is called.
func (b *bench) block(t *testing.T) (release func()) {
	t.Helper()
	started, end := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = b.w.Write(t.Context(), func(context.Context, *int64) error {
			close(started)
			<-end
			return nil
		})
	})
	<-started
	return func() {
		close(end)
		wg.Wait()
	}
}

// crowd runs n jobs that wait together.
func (b *bench) crowd(t *testing.T, n int, job func(i int) commit.Job[int64]) []error {
	t.Helper()
	errs := make([]error, n)
	var wg sync.WaitGroup
	release := b.block(t)
	var waiting sync.WaitGroup
	for i := range n {
		waiting.Add(1)
		wg.Go(func() {
			waiting.Done()
			errs[i] = b.w.Write(t.Context(), job(i))
		})
	}
	waiting.Wait()
	release()
	wg.Wait()
	return errs
}

func TestCrowdsShareTransactions(t *testing.T) {
	b := open(t)
	const n = 1000
	for _, err := range b.crowd(t, n, func(int) commit.Job[int64] { return b.add(nil) }) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if c := b.commits.Load(); c > n/10 {
		t.Errorf("%d jobs took %d transactions", n, c)
	}
	b.check(t, n)
}

func TestFailuresAreUndoneAlone(t *testing.T) {
	b := open(t)
	bad := errors.New("no")
	var want int64
	for i, err := range b.crowd(t, 300, func(i int) commit.Job[int64] {
		if i%3 == 0 {
			return b.add(bad)
		}
		return b.add(nil)
	}) {
		if (i%3 == 0) != errors.Is(err, bad) || i%3 != 0 && err != nil {
			t.Errorf("job %d: %v", i, err)
		}
		if err == nil {
			want++
		}
	}
	b.check(t, want)
	// Alone as well.
	if err := b.w.Write(t.Context(), b.add(bad)); !errors.Is(err, bad) {
		t.Error(err)
	}
	b.check(t, want)
}

// When the transaction is lost, nobody is told that anything was saved, or why
// it was not: what a job found out may have been another job's doing.
func TestLostTransactionsAreEverybodysLoss(t *testing.T) {
	b := open(t)
	bad := errors.New("no")
	b.failEnd.Store(true)
	for i, err := range b.crowd(t, 30, func(i int) commit.Job[int64] { return b.add(map[bool]error{true: bad}[i%2 == 0]) }) {
		if err == nil {
			t.Errorf("job %d was acknowledged", i)
		}
	}
	b.failEnd.Store(false)
	b.check(t, 0)

	// A job that ends the transaction takes its neighbours with it, not those
	// that come later.
	errs := b.crowd(t, 10, func(i int) commit.Job[int64] {
		if i == 5 {
			return func(ctx context.Context, _ *int64) error {
				_, err := b.conn.ExecContext(ctx, "ROLLBACK")
				return errors.Join(fmt.Errorf("rolled back: %w", bad), err)
			}
		}
		return b.add(nil)
	})
	var saved int64
	for _, err := range errs {
		if err == nil {
			saved++
		}
	}
	b.check(t, saved)
}

func TestWithdrawnJobsDoNotRun(t *testing.T) {
	b := open(t)
	release := b.block(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- b.w.Write(ctx, b.add(nil)) }()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	release()
	b.check(t, 0)

	// Once it is taken, it is not withdrawn.
	ctx, cancel = context.WithCancel(t.Context())
	err := b.w.Write(ctx, func(own context.Context, n *int64) error {
		cancel()
		return b.add(own.Err())(own, n)
	})
	if err != nil {
		t.Errorf("a job that was taken was withdrawn: %v", err)
	}
	b.check(t, 1)
}

// A job that has patience is saved with whoever comes, in the order of their
// coming, and alone when nobody does or the writer closes.
func TestPatientJobsShareTheNextTransaction(t *testing.T) {
	b := open(t)
	join := func(patience time.Duration) <-chan error {
		done := make(chan error, 1)
		taken := make(chan struct{})
		go func() {
			close(taken)
			done <- b.w.Join(t.Context(), b.add(nil), patience)
		}()
		<-taken
		time.Sleep(20 * time.Millisecond) // for the writer to take it
		return done
	}
	first := join(time.Hour)
	before := b.commits.Load()
	err := b.w.Write(t.Context(), func(ctx context.Context, n *int64) error {
		if *n != 1 {
			t.Errorf("the job that came later runs at %d, not 1", *n)
		}
		return b.add(nil)(ctx, n)
	})
	if err := errors.Join(err, <-first); err != nil {
		t.Fatal(err)
	}
	if c := b.commits.Load() - before; c != 1 {
		t.Errorf("two jobs took %d transactions", c)
	}
	b.check(t, 2)
	if err := <-join(time.Millisecond); err != nil {
		t.Fatal(err)
	}
	b.check(t, 3)

	last := join(time.Hour)
	before = b.commits.Load()
	if err := errors.Join(b.w.Close(), <-last); err != nil {
		t.Fatal(err)
	}
	if c := b.commits.Load() - before; c != 1 {
		t.Errorf("a patient job was lost when the writer closed: %d transactions", c)
	}
}

func TestClosedWritersRefuse(t *testing.T) {
	b := open(t)
	if err := b.w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := b.w.Write(t.Context(), b.add(nil)); !errors.Is(err, commit.ErrClosed) {
		t.Errorf("%v is not ErrClosed", err)
	}
}

func TestNews(t *testing.T) {
	var n commit.News
	n.Tell() // nobody listens
	a, b := n.Next(), n.Next()
	select {
	case <-a:
		t.Error("old news")
	default:
	}
	n.Tell()
	<-a
	<-b
	c := n.Next()
	n.End()
	<-c
	<-n.Next()
	n.Tell()
	n.End()
	<-n.Next()
}
