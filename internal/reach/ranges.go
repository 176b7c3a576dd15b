package reach

import (
	"math/big"
	"net/netip"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/firewall"
)

// A Range is the addresses From to To, inclusive, of one family.
type Range struct{ From, To netip.Addr }

// Ranges is a set of addresses: sorted, disjoint, never adjacent, IPv4 before
// IPv6. The zero value is the empty set.
type Ranges []Range

// Of returns the addresses of the given prefixes; an invalid one has none.
func Of(prefixes ...netip.Prefix) Ranges {
	out := make(Ranges, 0, len(prefixes))
	for _, p := range prefixes {
		if p.IsValid() {
			out = append(out, Range{From: p.Masked().Addr(), To: last(p)})
		}
	}
	return out.normal()
}

// All returns every address there is.
func All() Ranges {
	return Of(netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0))
}

// last returns the highest address of p.
func last(p netip.Prefix) netip.Addr {
	b := p.Addr().As16()
	skip := 128 - p.Addr().BitLen() // IPv4 is at the end of the sixteen bytes
	for i := range b {
		switch keep := skip + p.Bits() - 8*i; {
		case keep <= 0:
			b[i] = 0xff
		case keep < 8:
			b[i] |= 0xff >> keep
		}
	}
	if p.Addr().Is4() {
		return netip.AddrFrom16(b).Unmap()
	}
	return netip.AddrFrom16(b)
}

// normal sorts r and joins what overlaps or touches.
func (r Ranges) normal() Ranges {
	slices.SortFunc(r, func(a, b Range) int { return a.From.Compare(b.From) })
	out := r[:0]
	for _, x := range r {
		if n := len(out); n > 0 && touches(out[n-1].To, x.From) {
			if out[n-1].To.Less(x.To) {
				out[n-1].To = x.To
			}
			continue
		}
		out = append(out, x)
	}
	return out
}

// touches reports whether next lies in the range that ends at to, or right
// behind it in the same family.
func touches(to, next netip.Addr) bool {
	return to.BitLen() == next.BitLen() && (!to.Less(next) || to.Next() == next)
}

// Union returns the addresses in r or in other.
func (r Ranges) Union(other Ranges) Ranges {
	return slices.Concat(r, other).normal()
}

// Intersect returns the addresses in both r and other.
func (r Ranges) Intersect(other Ranges) Ranges {
	var out Ranges
	for i, j := 0, 0; i < len(r) && j < len(other); {
		from, to := r[i].From, r[i].To
		if from.Less(other[j].From) {
			from = other[j].From
		}
		if other[j].To.Less(to) {
			to = other[j].To
		}
		if from.BitLen() == to.BitLen() && !to.Less(from) {
			out = append(out, Range{From: from, To: to})
		}
		if r[i].To.Less(other[j].To) {
			i++
		} else {
			j++
		}
	}
	return out
}

// Minus returns the addresses in r that are not in other.
func (r Ranges) Minus(other Ranges) Ranges { return r.Intersect(other.complement()) }

// complement returns every address that is not in r.
func (r Ranges) complement() Ranges {
	var out Ranges
	for _, family := range All() {
		from := family.From
		for _, x := range r {
			if x.From.BitLen() != from.BitLen() {
				continue
			}
			if from.Less(x.From) {
				out = append(out, Range{From: from, To: x.From.Prev()})
			}
			if from = x.To.Next(); !from.IsValid() {
				break
			}
		}
		if from.IsValid() {
			out = append(out, Range{From: from, To: family.To})
		}
	}
	return out
}

// Empty reports whether no address is in r.
func (r Ranges) Empty() bool { return len(r) == 0 }

// Contains reports whether a is in r.
func (r Ranges) Contains(a netip.Addr) bool {
	i, _ := slices.BinarySearchFunc(r, a, func(x Range, a netip.Addr) int { return x.To.Compare(a) })
	return i < len(r) && !a.Less(r[i].From)
}

// Covers reports whether every address of p is in r.
func (r Ranges) Covers(p netip.Prefix) bool { return Of(p).Minus(r).Empty() }

// Witness returns one address of r, the lowest; the zero Addr if r is empty.
func (r Ranges) Witness() netip.Addr {
	if r.Empty() {
		return netip.Addr{}
	}
	return r[0].From
}

// Count returns how many addresses are in r.
func (r Ranges) Count() *big.Int {
	n := new(big.Int)
	for _, x := range r {
		size := new(big.Int).Sub(number(x.To), number(x.From))
		n.Add(n, size.Add(size, big.NewInt(1)))
	}
	return n
}

func number(a netip.Addr) *big.Int { return new(big.Int).SetBytes(a.AsSlice()) }

// String writes r for people: "nobody", "anybody", or up to four ranges.
func (r Ranges) String() string {
	const most = 4
	if r.Empty() {
		return "nobody"
	}
	if slices.Equal(r, All()) {
		return "anybody"
	}
	var parts []string
	for i, x := range r {
		if i == most {
			parts = append(parts, "… "+r.Count().String()+" addresses in all")
			break
		}
		parts = append(parts, x.String())
	}
	return strings.Join(parts, ", ")
}

// String writes x as an address, a prefix, or "from-to".
func (x Range) String() string {
	for bits := x.From.BitLen(); bits >= 0; bits-- {
		if p := netip.PrefixFrom(x.From, bits); p.Masked().Addr() == x.From && last(p) == x.To {
			return firewall.FormatSource(p)
		}
	}
	return x.From.String() + "-" + x.To.String()
}
