package sieve

import "math/bits"

// A tracker is a set of ranks, a bit for each. Mostly it is a word or two.
type tracker []uint64

// flip adds n, or removes it.
func (t tracker) flip(n uint32) { t[n/64] ^= 1 << (n % 64) }

// first returns the lowest rank; Nobody when there is none.
func (t tracker) first() uint32 {
	for i, word := range t {
		if word != 0 {
			return index(i*64 + bits.TrailingZeros64(word))
		}
	}
	return Nobody
}
