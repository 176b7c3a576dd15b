package prefix

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func list(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, t := range texts {
		out = append(out, netip.MustParsePrefix(t))
	}
	return out
}

func texts(list []netip.Prefix) []string {
	var out []string
	for _, p := range list {
		out = append(out, p.String())
	}
	return out
}

func TestExamples(t *testing.T) {
	for _, tt := range []struct {
		name string
		got  []netip.Prefix
		want []string
	}{
		{"union", Union(list("10.0.0.0/8", "10.1.0.0/16"), list("::1/128", "9.0.0.1/8")), []string{"9.0.0.0/8", "10.0.0.0/8", "::1/128"}},
		{"a hole", Minus(list("10.0.0.0/30"), list("10.0.0.2/32")), []string{"10.0.0.0/31", "10.0.0.3/32"}},
		{"nothing left", Minus(list("10.0.0.0/30", "fd00::/8"), Everything()), nil},
		{"the other family", Minus(list("10.0.0.0/30"), list("::/0")), []string{"10.0.0.0/30"}},
		{"both", Intersect(list("10.0.0.0/8", "fd00::/8"), list("0.0.0.0/0", "fd01::/16")), []string{"10.0.0.0/8", "fd01::/16"}},
		{"a range", Between(netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.6")), []string{"10.0.0.1/32", "10.0.0.2/31", "10.0.0.4/31", "10.0.0.6/32"}},
		{"a whole family", Between(netip.MustParseAddr("::"), netip.MustParseAddr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")), []string{"::/0"}},
		{"backwards", Between(netip.MustParseAddr("10.0.0.6"), netip.MustParseAddr("10.0.0.1")), nil},
		{"of two families", Between(netip.MustParseAddr("10.0.0.6"), netip.MustParseAddr("::1")), nil},
		{"addresses", Of(netip.MustParseAddr("::1"), netip.MustParseAddr("1.1.1.1")), []string{"1.1.1.1/32", "::1/128"}},
		{"an invalid prefix", Union([]netip.Prefix{{}}), nil},
	} {
		if diff := cmp.Diff(tt.want, texts(tt.got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
	if !All(list("0.0.0.0/1", "128.0.0.0/1", "::/0")) || All(list("0.0.0.0/0")) {
		t.Error("All misjudges")
	}
}

// The sets are what their definitions say, address by address.
func TestSets(t *testing.T) {
	drawn := rapid.Custom(func(t *rapid.T) netip.Prefix {
		bits := rapid.IntRange(24, 32).Draw(t, "bits")
		if rapid.Bool().Draw(t, "six") {
			return netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfd, 15: rapid.Byte().Draw(t, "host")}), bits+96).Masked()
		}
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, rapid.Byte().Draw(t, "host")}), bits).Masked()
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.SliceOfN(drawn, 0, 5).Draw(t, "a"), rapid.SliceOfN(drawn, 0, 5).Draw(t, "b")
		union, minus, both := Union(a, b), Minus(a, b), Intersect(a, b)
		for _, l := range [][]netip.Prefix{union, minus, both} {
			if !slices.Equal(l, Union(l)) {
				t.Fatalf("%v is not canonical", l)
			}
		}
		for host := range 256 {
			for _, x := range []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, byte(host)}), netip.AddrFrom16([16]byte{0xfd, 15: byte(host)})} {
				inA, inB := Contains(a, x), Contains(b, x)
				if Contains(union, x) != (inA || inB) || Contains(minus, x) != (inA && !inB) || Contains(both, x) != (inA && inB) {
					t.Fatalf("%s: %v %v %v", x, union, minus, both)
				}
			}
		}
		first, last := rapid.Byte().Draw(t, "first"), rapid.Byte().Draw(t, "last")
		between := Between(netip.AddrFrom4([4]byte{10, 0, 0, first}), netip.AddrFrom4([4]byte{10, 0, 0, last}))
		for host := range 256 {
			if Contains(between, netip.AddrFrom4([4]byte{10, 0, 0, byte(host)})) != (int(first) <= host && host <= int(last)) {
				t.Fatalf("%d is wrong in %d to %d: %v", host, first, last, between)
			}
		}
	})
}
