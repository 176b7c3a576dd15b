package sieve

import "math/bits"

// A tracker is a set of numbers that finds its first one at once: a bit for each,
// and a bit for each word of those that is not zero.
type tracker struct{ leaves, summary []uint64 }

// size makes room for the numbers below n, in an empty tracker.
func (t *tracker) size(n int) {
	if words := n/64 + 1; words > len(t.leaves) {
		t.leaves, t.summary = make([]uint64, words), make([]uint64, words/64+1)
	}
}

// flip adds n, or removes it.
func (t *tracker) flip(n uint32) {
	word := n / 64
	t.leaves[word] ^= 1 << (n % 64)
	bit := uint64(1) << (word % 64)
	if t.leaves[word] == 0 {
		t.summary[word/64] &^= bit
	} else {
		t.summary[word/64] |= bit
	}
}

// first returns the lowest number; Nobody when there is none.
func (t *tracker) first() uint32 {
	for i, s := range t.summary {
		if s != 0 {
			word := i*64 + bits.TrailingZeros64(s)
			return index(word*64 + bits.TrailingZeros64(t.leaves[word]))
		}
	}
	return Nobody
}

// reset empties t.
func (t *tracker) reset() {
	for i, s := range t.summary {
		for ; s != 0; s &= s - 1 {
			t.leaves[i*64+bits.TrailingZeros64(s)] = 0
		}
		t.summary[i] = 0
	}
}
