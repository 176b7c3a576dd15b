package sieve

import "slices"

// few is how many numbers are sorted by comparing them.
const few = 40

// sortUpper sorts list, whose lower halves are in order, by the upper halves: byte
// by byte from the lowest. It returns it and another list that may be overwritten,
// as spare may.
func sortUpper(list, spare []uint64) (sorted, free []uint64) {
	if len(list) < few {
		insert(list)
		return list, spare
	}
	const digits = 4
	var counts [digits][256]uint32
	for _, c := range list {
		counts[0][digit(c, 0)]++
		counts[1][digit(c, 1)]++
		counts[2][digit(c, 2)]++
		counts[3][digit(c, 3)]++
	}
	spare = slices.Grow(spare[:0], len(list))[:len(list)]
	for n := range counts {
		count := &counts[n]
		if int(count[digit(list[0], n)]) == len(list) {
			continue // all alike
		}
		from := uint32(0)
		for v, of := range count {
			count[v] = from
			from += of
		}
		for _, c := range list {
			v := digit(c, n)
			spare[count[v]] = c
			count[v]++
		}
		list, spare = spare, list
	}
	return list, spare
}

// digit returns the nth byte of an upper half, from the lowest.
func digit(c uint64, n int) uint64 { return c >> (32 + 8*n) & 0xff }

func insert(list []uint64) {
	for i := 1; i < len(list); i++ {
		c, j := list[i], i
		for ; j > 0 && list[j-1] > c; j-- {
			list[j] = list[j-1]
		}
		list[j] = c
	}
}
