package spool_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/spool"
	"github.com/sesame-access/sesame/internal/store"
)

// book keeps the epochs of grants, as the store does.
type book struct {
	mu     sync.Mutex
	down   bool
	epochs map[string]int64 // of grants that are not closed
	ended  map[string]bool
	saved  []store.Change
}

func newBook() *book { return &book{epochs: map[string]int64{"g": 1}, ended: map[string]bool{}} }

func (b *book) Save(_ context.Context, c store.Change) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down {
		return errkind.New(errkind.Unavailable, "down")
	}
	for _, u := range c.GrantUpdates {
		if b.epochs[u.ID] != u.Epoch || b.ended[u.ID] {
			return errkind.Wrap(errkind.Conflict, store.ErrEpoch, "changed")
		}
		b.epochs[u.ID]++
		b.ended[u.ID] = true
	}
	b.saved = append(b.saved, c)
	return nil
}

func (b *book) Epochs(_ context.Context, ids []string) (map[string]int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down {
		return nil, errors.New("down")
	}
	out := map[string]int64{}
	for _, id := range ids {
		if epoch, ok := b.epochs[id]; ok {
			out[id] = epoch
		}
	}
	return out, nil
}

func (b *book) set(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}

// unsaved ends the grant g as it was read at epoch 1.
func unsaved() (access.Ending, store.Change) {
	by := access.Ending{At: time.Unix(1, 0).UTC(), By: access.System(), Why: access.ClosedByUser}
	return by, store.Change{GrantUpdates: []store.GrantUpdate{{ID: "g", Epoch: 1, Ended: by}}}
}

func TestEndingsAreAppliedUntilTheyAreSaved(t *testing.T) {
	b, e := newBook(), spool.NewEndings()
	by, c := unsaved()
	e.Add("g", by, c)
	grants := []access.Grant{{ID: "f"}, {ID: "g"}}
	want := []access.Grant{{ID: "f"}, {ID: "g", Ended: by}}
	b.set(func() { b.down = true })
	for range 3 {
		e.Save(t.Context(), b)
		if diff := cmp.Diff(want, e.Apply(grants)); diff != "" || !e.Has("g") {
			t.Fatalf("has it: %v; applied (-want +got):\n%s", e.Has("g"), diff)
		}
	}
	if !grants[1].Ended.At.IsZero() {
		t.Error("the caller's grants were changed")
	}
	b.set(func() { b.down = false })
	e.Save(t.Context(), b)
	if e.Has("g") || !b.ended["g"] {
		t.Errorf("still has it: %v; ended in the book: %v", e.Has("g"), b.ended["g"])
	}
	if diff := cmp.Diff(grants, e.Apply(grants)); diff != "" {
		t.Errorf("applied after it was saved (-want +got):\n%s", diff)
	}
}

func TestEndingsSurviveAnExtension(t *testing.T) {
	b, e := newBook(), spool.NewEndings()
	b.epochs["g"] = 7
	by, c := unsaved()
	e.Add("g", by, c)
	e.Save(t.Context(), b)
	if e.Has("g") || !b.ended["g"] || b.epochs["g"] != 8 {
		t.Errorf("still has it: %v; ended in the book: %v, epoch %d", e.Has("g"), b.ended["g"], b.epochs["g"])
	}
	if c.GrantUpdates[0].Epoch != 1 {
		t.Error("the caller's change was changed")
	}
}

func TestEndingsOfWhatHasEndedAreForgotten(t *testing.T) {
	for name, change := range map[string]func(b *book){
		"ended":                  func(b *book) { b.ended["g"] = true },
		"extended, then ended":   func(b *book) { b.ended["g"] = true; b.epochs["g"] = 5 },
		"closed":                 func(b *book) { delete(b.epochs, "g") },
		"not in a restored book": func(b *book) { clear(b.epochs) },
	} {
		t.Run(name, func(t *testing.T) {
			b, e := newBook(), spool.NewEndings()
			change(b)
			by, c := unsaved()
			e.Add("g", by, c)
			e.Save(t.Context(), b)
			if e.Has("g") || len(b.saved) > 0 {
				t.Errorf("still has it: %v; saved %d", e.Has("g"), len(b.saved))
			}
		})
	}
}

func TestRecorderSavesEverythingBeforeItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook()
		r := spool.NewRecorder(b, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			r.Run(ctx)
		}()
		const many = 200
		for range many {
			r.Put(store.Change{})
		}
		synctest.Wait()
		if len(b.saved) != many {
			t.Errorf("saved %d of %d", len(b.saved), many)
		}
		cancel()
		r.Put(store.Change{})
		<-ended
		if len(b.saved) != many+1 {
			t.Errorf("saved %d of %d: the last one was lost", len(b.saved), many+1)
		}
	})
}

// What was read back is told before it is saved, and for as long as somebody may
// have read the book before.
func TestOutcomesAreAppliedBeforeTheyAreSaved(t *testing.T) {
	at, later := time.Unix(5, 0).UTC(), time.Unix(9, 0).UTC()
	g := access.Grant{ID: "g", Epoch: 2}
	outcome := func(o store.Outcome) store.Change { return store.Change{Outcomes: []store.Outcome{o}} }
	synctest.Test(t, func(t *testing.T) {
		r := spool.NewRecorder(newBook(), slog.New(slog.DiscardHandler))
		if got := r.Apply(g); !cmp.Equal(got, g) {
			t.Errorf("nothing was read back: %+v", got)
		}
		r.Put(outcome(store.Outcome{Grant: "other", Closed: at}))
		r.Put(outcome(store.Outcome{Grant: "g", Epoch: 1, Closed: at})) // of before it was extended
		r.Put(outcome(store.Outcome{Grant: "h", Epoch: 1, Opened: at}))
		if got := r.Apply(access.Grant{ID: "h", Epoch: 2}); !got.Opened.Equal(at) {
			t.Errorf("opened before it was extended: %+v", got)
		}
		r.Put(outcome(store.Outcome{Grant: "g", Epoch: 2, Impeded: "a wall"}))
		if got := r.Apply(g); got.Impeded != "a wall" || !got.Opened.IsZero() || !got.Closed.IsZero() {
			t.Errorf("impeded: %+v", got)
		}
		r.Put(outcome(store.Outcome{Grant: "g", Epoch: 2, Opened: at}))
		r.Put(outcome(store.Outcome{Grant: "g", Epoch: 2, Opened: later}))
		opened := access.Grant{ID: "g", Epoch: 2, Opened: at}
		if got := r.Apply(g); !cmp.Equal(got, opened) {
			t.Errorf("opened: %+v", got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go r.Run(ctx)
		synctest.Wait()
		if got := r.Apply(g); !cmp.Equal(got, opened) {
			t.Errorf("just saved: %+v", got)
		}
		r.Put(outcome(store.Outcome{Grant: "g", Epoch: 2, Closed: later}))
		synctest.Wait()
		closed := opened
		closed.Closed = later
		if got := r.Apply(opened); !cmp.Equal(got, closed) {
			t.Errorf("closed: %+v", got)
		}
		if got := r.Apply(closed); !cmp.Equal(got, closed) {
			t.Errorf("closed already: %+v", got)
		}
		cancel()
		synctest.Wait()
	})
}

// What is about one grant is saved in order, whatever the book is busy with.
func TestAnOpeningIsSavedBeforeItsClosing(t *testing.T) {
	at := time.Unix(5, 0).UTC()
	change := func(o store.Outcome) store.Change { return store.Change{Outcomes: []store.Outcome{o}} }
	synctest.Test(t, func(t *testing.T) {
		b := newBook()
		r := spool.NewRecorder(slowest{b}, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		go r.Run(ctx)
		r.Put(change(store.Outcome{Grant: "other", Opened: at}))
		synctest.Wait() // it is at that one
		r.Put(change(store.Outcome{Grant: "g", Opened: at}))
		r.Put(change(store.Outcome{Grant: "h", Opened: at}))
		r.Put(change(store.Outcome{Grant: "g", Closed: at}))
		time.Sleep(time.Minute)
		cancel()
		synctest.Wait()
		var got []string
		for _, c := range b.saved {
			if o := c.Outcomes[0]; o.Grant == "g" {
				got = append(got, map[bool]string{true: "closed", false: "opened"}[o.Opened.IsZero()])
			}
		}
		if diff := cmp.Diff([]string{"opened", "closed"}, got); diff != "" {
			t.Errorf("saved of the grant (-want +got):\n%s", diff)
		}
		if len(b.saved) != 4 {
			t.Errorf("%d changes are saved, want 4", len(b.saved))
		}
	})
}

// slowest is a book that takes longer for an opening than for a closing.
type slowest struct{ *book }

func (b slowest) Save(ctx context.Context, c store.Change) error {
	if !c.Outcomes[0].Opened.IsZero() {
		time.Sleep(time.Second)
	}
	return b.book.Save(ctx, c)
}
