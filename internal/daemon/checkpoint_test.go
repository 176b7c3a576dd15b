package daemon

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/store"
)

// book opens a database of its own.
func book(t *testing.T) *store.Store {
	t.Helper()
	st, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "book.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return st
}

func jot(t *testing.T, st *store.Store, texts ...string) {
	t.Helper()
	for _, text := range texts {
		rec := audit.Record{Kind: audit.Started, Time: time.UnixMilli(1), Actor: access.System(), Text: text}
		if err := st.Save(t.Context(), store.Change{Records: []audit.Record{rec}}); err != nil {
			t.Fatal(err)
		}
	}
}

// notaryOf returns a notary of st that keeps its files in dir, and what it told.
func notaryOf(t *testing.T, st *store.Store, dir string) (*notary, *[]string) {
	t.Helper()
	key, err := ensureLogKey(dir, "0123456789ab")
	if err != nil {
		t.Fatal(err)
	}
	told := &[]string{}
	return &notary{
		log: st, key: key, file: filepath.Join(dir, checkpointFile), logger: slog.New(slog.DiscardHandler),
		tell: func(_ context.Context, what string) error { *told = append(*told, what); return nil },
	}, told
}

func checkpoints(t *testing.T, st *store.Store) int {
	t.Helper()
	signed, err := st.Checkpoints(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return len(signed)
}

func TestNotarySignsNewsOnce(t *testing.T) {
	dir, st := t.TempDir(), book(t)
	n, told := notaryOf(t, st, dir)
	for i, want := range []int{0, 1, 1, 2} {
		if i == 1 || i == 3 {
			jot(t, st, "news", "more news")
		}
		if !n.trySign(t.Context()) {
			t.Fatal("signing failed")
		}
		if e, err := n.evidence(t.Context(), true); err != nil || i > 0 && e.Proof() != "" {
			t.Errorf("step %d: %+v proves a loss, %v", i, e, err)
		}
		if got := checkpoints(t, st); got != want {
			t.Errorf("step %d: %d checkpoints, want %d", i, got, want)
		}
	}
	last, err := n.last()
	if err != nil || last.Size != 4 {
		t.Errorf("the last checkpoint is of %d records, %v", last.Size, err)
	}
	if n.Break() != nil || len(*told) > 0 {
		t.Errorf("a sound log is called broken: %v, %v", n.Break(), *told)
	}
}

func TestNotaryNoticesWhatWasPutBack(t *testing.T) {
	for name, records := range map[string][]string{
		"shorter":   {"one"},
		"as long":   {"one", "2"},
		"longer":    {"one", "2", "three", "four"},
		"empty":     nil,
		"all other": {"1", "2", "3"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, st := t.TempDir(), book(t)
			n, _ := notaryOf(t, st, dir)
			jot(t, st, "one", "two")
			if !n.trySign(t.Context()) {
				t.Fatal("signing failed")
			}

			restored := book(t)
			jot(t, restored, records...)
			n, told := notaryOf(t, restored, dir)
			if e, err := n.evidence(t.Context(), false); err != nil || e.Proof() == "" {
				t.Errorf("%+v proves no loss, %v", e, err)
			}
			for range 2 {
				if !n.trySign(t.Context()) {
					t.Fatal("the log could not be compared")
				}
			}
			if n.Break() == nil || !strings.Contains(n.Break().Error(), "put back or rewritten") || len(*told) != 1 {
				t.Fatalf("it is called %v, and told %d times", n.Break(), len(*told))
			}
			jot(t, restored, "after", "and more", "and more")
			n.trySign(t.Context())
			if n.Break() == nil || checkpoints(t, restored) != 0 {
				t.Errorf("it is signed again after %v", n.Break())
			}
			// Somebody who knows why says so.
			if err := os.Remove(n.file); err != nil {
				t.Fatal(err)
			}
			if !n.trySign(t.Context()) || n.Break() != nil || checkpoints(t, restored) != 1 {
				t.Errorf("it is not signed although nothing is in the way: %v", n.Break())
			}
		})
	}
}

func TestNotarySignsNothingWithoutItsMemory(t *testing.T) {
	dir, st := t.TempDir(), book(t)
	n, _ := notaryOf(t, st, dir)
	jot(t, st, "one")
	if err := os.WriteFile(n.file, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if n.trySign(t.Context()) || checkpoints(t, st) != 0 {
		t.Error("it signs although its last checkpoint cannot be read")
	}
}

func TestNotarySignsSoonAfterNewsAndAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "book.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		n, _ := notaryOf(t, st, t.TempDir())
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); n.run(ctx) }()
		size := func() int64 {
			last, err := n.last()
			if err != nil {
				t.Fatal(err)
			}
			return last.Size
		}
		for i := range int64(3) {
			time.Sleep(time.Hour)
			jot(t, st, "news")
			time.Sleep(signEvery)
			if got := size(); got != i+1 {
				t.Errorf("%v after record %d the log is signed up to %d", signEvery, i, got)
			}
		}
		jot(t, st, "the last")
		cancel()
		<-done
		if got := size(); got != 4 {
			t.Errorf("at the end the log is signed up to %d", got)
		}
	})
}
