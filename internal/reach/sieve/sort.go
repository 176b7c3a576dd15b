package sieve

import "slices"

// few is how many cuts are sorted by comparing them.
const few = 40

// sortCuts sorts the cuts by address: their upper halves, byte by byte from the
// lowest. Those of one address need no order.
func (s *Sieve) sortCuts() {
	if len(s.cuts) < few {
		insert(s.cuts)
		return
	}
	const digits = 4
	var counts [digits][256]uint32
	for _, c := range s.cuts {
		counts[0][digit(c, 0)]++
		counts[1][digit(c, 1)]++
		counts[2][digit(c, 2)]++
		counts[3][digit(c, 3)]++
	}
	s.spare = slices.Grow(s.spare[:0], len(s.cuts))[:len(s.cuts)]
	for n := range counts {
		count := &counts[n]
		if int(count[digit(s.cuts[0], n)]) == len(s.cuts) {
			continue // all alike
		}
		from := uint32(0)
		for v, of := range count {
			count[v] = from
			from += of
		}
		for _, c := range s.cuts {
			v := digit(c, n)
			s.spare[count[v]] = c
			count[v]++
		}
		s.cuts, s.spare = s.spare, s.cuts
	}
}

// digit returns the nth byte of an address, from the lowest.
func digit(c uint64, n int) uint64 { return c >> (32 + 8*n) & 0xff }

func insert(cuts []uint64) {
	for i := 1; i < len(cuts); i++ {
		c, j := cuts[i], i
		for ; j > 0 && cuts[j-1] > c; j-- {
			cuts[j] = cuts[j-1]
		}
		cuts[j] = c
	}
}
