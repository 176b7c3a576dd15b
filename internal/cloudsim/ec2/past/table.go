// Package past holds tables whose rows remember what they were, so that a reader
// who lags behind can be shown an earlier moment, and so that what was done can
// be taken back. It knows nothing of clouds.
//
// A [Book] keeps the past of several tables. Nothing here locks.
package past

import (
	"iter"
	"slices"
	"time"
)

// A Book is the memory of some tables.
type Book struct {
	memory    time.Duration
	pinned    time.Time
	writes    uint64
	undo      []func()
	recording bool
}

// NewBook returns a book that remembers for the given time.
func NewBook(memory time.Duration) *Book { return &Book{memory: memory} }

// Pin keeps the past since the given time; the zero time lets go.
func (b *Book) Pin(since time.Time) { b.pinned = since }

// Writes counts what was ever written or taken back.
func (b *Book) Writes() uint64 { return b.writes }

// Begin starts to record what is done, so that Undo can take it back.
func (b *Book) Begin() { b.undo, b.recording = nil, true }

// Commit ends the recording and keeps what was done.
func (b *Book) Commit() { b.undo, b.recording = nil, false }

// Undo takes back what was done since Begin, and ends the recording.
func (b *Book) Undo() {
	for _, step := range slices.Backward(b.undo) {
		step()
	}
	b.Commit()
}

// oldest is the earliest time that somebody may still ask about.
func (b *Book) oldest(now time.Time) time.Time {
	at := now.Add(-b.memory)
	if !b.pinned.IsZero() && b.pinned.Before(at) {
		return b.pinned
	}
	return at
}

// A Table holds rows by key. Rows are values: what a table was given or has
// returned is not to be changed in place. What was always there is put at the
// zero time.
type Table[T interface{ Key() string }] struct {
	book *Book
	rows map[string][]version[T]
	keys []string // of rows that exist, or did lately; sorted
	lent bool     // somebody may be going through the keys
}

// A version is a row from one moment on.
type version[T any] struct {
	since time.Time
	value T
	gone  bool
}

// In returns an empty table with its past in b.
func In[T interface{ Key() string }](b *Book) Table[T] {
	return Table[T]{book: b, rows: map[string][]version[T]{}, keys: nil}
}

// Put makes v the row with its key from now on.
func (t *Table[T]) Put(now time.Time, v T) {
	t.add(v.Key(), version[T]{since: now, value: v, gone: false})
}

// Drop takes the row with the given key out from now on.
func (t *Table[T]) Drop(now time.Time, key string) {
	if v, found := t.Get(now, key); found {
		t.add(key, version[T]{since: now, value: v, gone: true})
	}
}

// Get returns the row with the given key as it was at a moment.
func (t *Table[T]) Get(at time.Time, key string) (v T, found bool) {
	for _, x := range slices.Backward(t.rows[key]) {
		if !x.since.After(at) {
			if x.gone {
				return v, false
			}
			return x.value, true
		}
	}
	return v, false
}

// All returns the rows of a moment, by key. What is put meanwhile may be among
// them or not, if its key is new.
func (t *Table[T]) All(at time.Time) iter.Seq[T] {
	return func(yield func(T) bool) {
		t.lent = true
		for _, key := range t.keys {
			if v, found := t.Get(at, key); found && !yield(v) {
				return
			}
		}
	}
}

// add appends a version and forgets those that nobody can ask for any more.
func (t *Table[T]) add(key string, v version[T]) {
	before, known := t.rows[key]
	t.book.writes++
	if t.book.recording {
		t.book.undo = append(t.book.undo, func() { t.restore(key, before) })
	}
	kept := before
	for oldest := t.book.oldest(v.since); len(kept) > 1 && !kept[1].since.After(oldest); {
		kept = kept[1:]
	}
	t.rows[key] = append(slices.Clone(kept), v)
	if i, there := slices.BinarySearch(t.keys, key); !known && !there {
		t.keys = slices.Insert(t.ownKeys(), i, key)
	}
}

// ownKeys returns the keys, which nobody is going through.
func (t *Table[T]) ownKeys() []string {
	if t.lent {
		t.keys, t.lent = slices.Clone(t.keys), false
	}
	return t.keys
}

// restore takes back what add did.
func (t *Table[T]) restore(key string, versions []version[T]) {
	t.book.writes++
	t.rows[key] = versions
	if len(versions) == 0 {
		delete(t.rows, key)
		if i, there := slices.BinarySearch(t.keys, key); there {
			t.keys = slices.Delete(t.ownKeys(), i, i+1)
		}
	}
}
