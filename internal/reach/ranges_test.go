package reach_test

import (
	"math/big"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/sesame-access/sesame/internal/reach"
	"github.com/sesame-access/sesame/internal/reach/reachtest"
)

// drawPrefix draws a prefix of either family, mostly from corners of the address
// space where prefixes meet, nest and touch the ends.
func drawPrefix(t *rapid.T) netip.Prefix {
	n := rapid.SampledFrom([]int{4, 16}).Draw(t, "family")
	b := make([]byte, n)
	switch rapid.IntRange(0, 3).Draw(t, "corner") {
	case 0: // the start
		b[n-1] = rapid.Byte().Draw(t, "low")
	case 1: // the end
		for i := range b {
			b[i] = 0xff
		}
		b[n-1] = rapid.Byte().Draw(t, "high")
	case 2: // somewhere crowded
		b[0], b[n-1] = 10, rapid.Byte().Draw(t, "middle")
	case 3:
		copy(b, rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "anywhere"))
	}
	a, _ := netip.AddrFromSlice(b)
	bits := a.BitLen() - rapid.IntRange(0, 9).Draw(t, "short")
	if rapid.IntRange(0, 9).Draw(t, "wide") == 0 {
		bits = rapid.IntRange(0, a.BitLen()).Draw(t, "bits")
	}
	return netip.PrefixFrom(a, bits).Masked()
}

func drawPrefixes(t *rapid.T, most int) []netip.Prefix {
	return rapid.SliceOfN(rapid.Custom(drawPrefix), 0, most).Draw(t, "prefixes")
}

// corners returns the addresses where a set made of ps can change, and the ends of
// both families.
func corners(ps ...netip.Prefix) []netip.Addr {
	return reachtest.Corners(append(slices.Clone(ps), netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0"))...)
}

func in(ps []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(ps, func(p netip.Prefix) bool { return p.Contains(a) })
}

// checkForm fails unless r is sorted, disjoint and never adjacent.
func checkForm(t *rapid.T, r reach.Ranges) {
	for i, x := range r {
		if x.To.Less(x.From) || x.From.BitLen() != x.To.BitLen() {
			t.Fatalf("%v is no range", x)
		}
		if i > 0 && (!r[i-1].To.Less(x.From) || r[i-1].To.Next() == x.From) {
			t.Fatalf("%v and %v are out of order or touch", r[i-1], x)
		}
	}
}

// TestRangesAgainstMembership compares every operation with what it means for
// single addresses, at all addresses where anything can change.
func TestRangesAgainstMembership(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, q := drawPrefixes(t, 8), drawPrefixes(t, 8)
		a, b := reach.Of(p...), reach.Of(q...)
		union, both, minus := a.Union(b), a.Intersect(b), a.Minus(b)
		for _, r := range []reach.Ranges{a, b, union, both, minus} {
			checkForm(t, r)
		}
		for _, x := range corners(append(slices.Clone(p), q...)...) {
			inA, inB := in(p, x), in(q, x)
			for _, c := range []struct {
				name string
				set  reach.Ranges
				want bool
			}{{"a", a, inA}, {"a or b", union, inA || inB}, {"a and b", both, inA && inB}, {"a without b", minus, inA && !inB}} {
				if c.set.Contains(x) != c.want {
					t.Fatalf("a = %v, b = %v: %v in %s is %v", a, b, x, c.name, !c.want)
				}
			}
		}
		for _, x := range p {
			if !a.Covers(x) {
				t.Fatalf("%v does not cover %v, which it was made of", a, x)
			}
			if minus.Covers(x) && !both.Intersect(reach.Of(x)).Empty() {
				t.Fatalf("%v covers %v, part of which was taken away", minus, x)
			}
		}
	})
}

func TestRangesAlgebra(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := reach.Of(drawPrefixes(t, 6)...), reach.Of(drawPrefixes(t, 6)...), reach.Of(drawPrefixes(t, 6)...)
		same := func(name string, x, y reach.Ranges) {
			if !slices.Equal(x, y) {
				t.Fatalf("%s: %v is not %v", name, x, y)
			}
		}
		same("union commutes", a.Union(b), b.Union(a))
		same("intersection commutes", a.Intersect(b), b.Intersect(a))
		same("union associates", a.Union(b).Union(c), a.Union(b.Union(c)))
		same("intersection distributes", a.Intersect(b.Union(c)), a.Intersect(b).Union(a.Intersect(c)))
		same("de Morgan", reach.All().Minus(a.Union(b)), reach.All().Minus(a).Intersect(reach.All().Minus(b)))
		same("twice without", a, reach.All().Minus(reach.All().Minus(a)))
		same("parts make the whole", a, a.Minus(b).Union(a.Intersect(b)))
		same("nothing is left", nil, a.Minus(a))
		if sum := new(big.Int).Add(a.Minus(b).Count(), a.Intersect(b).Count()); sum.Cmp(a.Count()) != 0 {
			t.Fatalf("%v has %v addresses, its parts %v", a, a.Count(), sum)
		}
		if w := a.Minus(b).Witness(); w.IsValid() && (!a.Contains(w) || b.Contains(w)) {
			t.Fatalf("%v witnesses %v without %v", w, a, b)
		}
	})
}

func TestOperationsLeaveTheirArgumentsAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := reach.Of(drawPrefixes(t, 6)...), reach.Of(drawPrefixes(t, 6)...)
		x, y := slices.Clone(a), slices.Clone(b)
		a.Union(b)
		a.Minus(b)
		a.Intersect(b)
		if !slices.Equal(a, x) || !slices.Equal(b, y) {
			t.Fatal("an operation changed its argument")
		}
	})
}

func TestRangesEdges(t *testing.T) {
	all := reach.All()
	if len(all) != 2 || !slices.Equal(all.Union(all), all) || !all.Minus(all).Empty() {
		t.Errorf("everybody is %v", all)
	}
	want, _ := new(big.Int).SetString("340282366920938463463374607436063178752", 10) // 2^128 + 2^32
	if all.Count().Cmp(want) != 0 {
		t.Errorf("everybody counts %v, want %v", all.Count(), want)
	}
	var none reach.Ranges
	if !none.Empty() || none.Witness().IsValid() || none.Contains(netip.MustParseAddr("::")) || none.Count().Sign() != 0 {
		t.Errorf("nobody is %v", none)
	}
	if !slices.Equal(all.Minus(none), all) || len(none.Minus(all)) != 0 {
		t.Error("taking nobody away changes something")
	}
	if got := reach.Of(netip.Prefix{}); !got.Empty() {
		t.Errorf("no prefix has the addresses %v", got)
	}
	// The families never touch.
	last4, first6 := netip.MustParsePrefix("255.255.255.255/32"), netip.MustParsePrefix("::/128")
	if got := reach.Of(last4, first6); len(got) != 2 {
		t.Errorf("the ends of the families are joined to %v", got)
	}
	halves := reach.Of(netip.MustParsePrefix("0.0.0.0/1"), netip.MustParsePrefix("128.0.0.0/1"))
	if !halves.Covers(netip.MustParsePrefix("0.0.0.0/0")) || len(halves) != 1 {
		t.Errorf("two halves are %v", halves)
	}
}

func TestRangesString(t *testing.T) {
	of := func(list ...string) reach.Ranges {
		var ps []netip.Prefix
		for _, s := range list {
			ps = append(ps, netip.MustParsePrefix(s))
		}
		return reach.Of(ps...)
	}
	for want, r := range map[string]reach.Ranges{
		"nobody":                        nil,
		"anybody":                       reach.All(),
		"0.0.0.0/0":                     of("0.0.0.0/0"),
		"203.0.113.7":                   of("203.0.113.7/32"),
		"203.0.113.0/24, 2001:db8::/64": of("2001:db8::/64", "203.0.113.0/24"),
		"10.0.0.1-10.0.0.2":             of("10.0.0.1/32", "10.0.0.2/32"),
		"10.0.0.2/31":                   of("10.0.0.2/32", "10.0.0.3/32"),
		"0.0.0.0-9.255.255.255, 11.0.0.0-15.255.255.255":             of("0.0.0.0/4").Minus(of("10.0.0.0/8")),
		"1.0.0.0, 3.0.0.0, 5.0.0.0, 7.0.0.0":                         of("1.0.0.0/32", "3.0.0.0/32", "5.0.0.0/32", "7.0.0.0/32"),
		"1.0.0.0, 3.0.0.0, 5.0.0.0, 7.0.0.0, … 260 addresses in all": of("1.0.0.0/32", "3.0.0.0/32", "5.0.0.0/32", "7.0.0.0/32", "9.0.0.0/24"),
	} {
		if got := r.String(); got != want {
			t.Errorf("%#v is written %q, want %q", r, got, want)
		}
	}
}
