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
		counts[0][byte(c>>32)]++
		counts[1][byte(c>>40)]++
		counts[2][byte(c>>48)]++
		counts[3][byte(c>>56)]++
	}
	s.spare = slices.Grow(s.spare[:0], len(s.cuts))[:len(s.cuts)]
	for digit := range counts {
		count, shift := &counts[digit], 32+8*digit
		if int(count[byte(s.cuts[0]>>shift)]) == len(s.cuts) {
			continue // all alike
		}
		from := uint32(0)
		for v, n := range count {
			count[v] = from
			from += n
		}
		for _, c := range s.cuts {
			v := byte(c >> shift)
			s.spare[count[v]] = c
			count[v]++
		}
		s.cuts, s.spare = s.spare, s.cuts
	}
}

func insert(cuts []uint64) {
	for i := 1; i < len(cuts); i++ {
		c, j := cuts[i], i
		for ; j > 0 && cuts[j-1] > c; j-- {
			cuts[j] = cuts[j-1]
		}
		cuts[j] = c
	}
}
