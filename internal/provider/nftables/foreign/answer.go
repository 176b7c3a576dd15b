//go:build linux

package foreign

import (
	"net/netip"
	"slices"

	"github.com/sesame-access/sesame/internal/provider/nftables/nfnetlink/ruleset"
	"github.com/sesame-access/sesame/internal/reach"
)

// An answer is whose packets meet a condition: surely, and perhaps. Of no client
// both are true; who is in neither surely does not meet it.
type answer struct{ yes, may reach.Ranges }

// everybody returns the clients of a family.
func everybody(f ruleset.Family) reach.Ranges {
	all := netip.IPv4Unspecified()
	if f == ruleset.IPv6 {
		all = netip.IPv6Unspecified()
	}
	return reach.Of(netip.PrefixFrom(all, 0))
}

// both returns who meets a and b.
func (a answer) both(b answer) answer {
	yes := a.yes.Intersect(b.yes)
	return answer{yes: yes, may: a.any().Intersect(b.any()).Minus(yes)}
}

// not returns who of all does not meet a.
func (a answer) not(all reach.Ranges) answer {
	return answer{yes: all.Minus(a.any()), may: a.may}
}

// unsure returns a with nothing certain but who does not meet it.
func (a answer) unsure() answer { return answer{yes: nil, may: a.any()} }

// any returns who may meet a.
func (a answer) any() reach.Ranges {
	switch {
	case len(a.may) == 0:
		return a.yes
	case len(a.yes) == 0:
		return a.may
	}
	return a.yes.Union(a.may)
}

// prefixes returns the fewest prefixes that make up r.
func prefixes(r reach.Ranges) (out []netip.Prefix) {
	for _, x := range r {
		for at := x.From; at.IsValid() && !x.To.Less(at); {
			bits := at.BitLen()
			for bits > 0 {
				p := netip.PrefixFrom(at, bits-1)
				if p.Masked().Addr() != at || x.To.Less(last(at, bits-1)) {
					break
				}
				bits--
			}
			out = append(out, netip.PrefixFrom(at, bits))
			at = last(at, bits).Next()
		}
	}
	return out
}

// last returns the highest address that has the first bits of a.
func last(a netip.Addr, bits int) netip.Addr {
	b := slices.Clone(a.AsSlice())
	fill(b, bits)
	out, _ := netip.AddrFromSlice(b)
	return out
}

// fill sets every bit of b behind the first bits.
func fill(b []byte, bits int) {
	for i := range b {
		switch keep := bits - 8*i; {
		case keep <= 0:
			b[i] = 0xff
		case keep < 8:
			b[i] |= 0xff >> keep
		}
	}
}
