// Package once holds what may be taken exactly once, and not for long: the state
// of a sign-in that is under way, the code at its end, the link for the first
// administrator.
//
// It lives in memory. Whoever restarts the server signs in again. What it holds
// is bounded: when it is full, the oldest makes room, so that a flood of sign-ins
// that nobody finishes costs those that are under way, and nothing else.
package once

import (
	"crypto/rand"
	"crypto/sha256"
	"sync"
	"time"
)

// A Box holds values of type T, each under a key that cannot be guessed. It is
// safe for concurrent use.
type Box[T any] struct {
	most int
	life time.Duration

	mu    sync.Mutex
	held  map[[sha256.Size]byte]held[T]
	order [][sha256.Size]byte // the oldest first; may name what was taken since
}

type held[T any] struct {
	value T
	until time.Time
}

// New returns an empty box for so many values, which are good for so long.
func New[T any](most int, life time.Duration) *Box[T] {
	return &Box[T]{most: most, life: life, mu: sync.Mutex{}, held: map[[sha256.Size]byte]held[T]{}, order: nil}
}

// Put keeps v and returns its key: 128 random bits or more.
func (b *Box[T]) Put(v T, now time.Time) (key string) {
	key = rand.Text()
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.order) > 0 && (len(b.held) >= b.most || len(b.order) >= 2*b.most || !b.good(b.order[0], now)) {
		delete(b.held, b.order[0])
		b.order = b.order[1:]
	}
	// By its hash, so that how long a look-up takes says nothing about a key.
	hash := sha256.Sum256([]byte(key))
	b.held[hash] = held[T]{value: v, until: now.Add(b.life)}
	b.order = append(b.order, hash)
	return key
}

// good reports whether there is something under hash at now. The caller holds mu.
func (b *Box[T]) good(hash [sha256.Size]byte, now time.Time) bool {
	h, ok := b.held[hash]
	return ok && now.Before(h.until)
}

// Take returns what is kept under key, and keeps it no longer: of all who take
// it, one gets it. False if there is nothing, or its time is up.
func (b *Box[T]) Take(key string, now time.Time) (T, bool) {
	hash := sha256.Sum256([]byte(key))
	b.mu.Lock()
	defer b.mu.Unlock()
	h, ok := b.held[hash]
	delete(b.held, hash)
	if !ok || !now.Before(h.until) {
		return *new(T), false
	}
	return h.value, true
}
