package reachtest

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// Packets returns how many packets a differential test sends, and the seed of its
// first world. Without more to do that is few from seed 1; with a number in
// SESAME_REACH_PACKETS, as `make fuzz` sets it, so many from anywhere.
func Packets(t *testing.T, few int) (want int, seed uint64) {
	t.Helper()
	s := os.Getenv("SESAME_REACH_PACKETS")
	if s == "" {
		return few, 1
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n, rand.Uint64() //nolint:gosec // which worlds are tried is no secret
}

// Agree sends at least few packets, or as many as Packets says, through worlds
// that agree draws; it returns how many it sent, and fails t at a difference.
func Agree(t *testing.T, few int, agree func(t testing.TB, seed uint64) int) {
	t.Helper()
	want, seed := Packets(t, few)
	packets, worlds := 0, uint64(0)
	for ; packets < want; worlds++ {
		packets += agree(t, seed+worlds)
	}
	t.Logf("%d packets through %d worlds, no difference", packets, worlds)
}
