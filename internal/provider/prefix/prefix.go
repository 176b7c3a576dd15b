// Package prefix computes with sets of addresses that are written as lists of
// prefixes, which is how layers and paths write them.
//
// Every list that it returns is canonical: masked, sorted, and no prefix lies in
// another. A list without prefixes is nobody; where a list without prefixes
// means anybody, as in the rule of a layer, the caller says so.
package prefix

import (
	"net/netip"
	"slices"
)

// Everything returns all addresses of both families.
func Everything() []netip.Prefix {
	return []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)}
}

// Of returns the prefixes of single addresses.
func Of(addresses ...netip.Addr) []netip.Prefix {
	var out []netip.Prefix
	for _, a := range addresses {
		out = append(out, netip.PrefixFrom(a, a.BitLen()))
	}
	return Union(out)
}

// Union returns the addresses in any of the lists.
func Union(lists ...[]netip.Prefix) []netip.Prefix {
	var all []netip.Prefix
	for _, p := range slices.Concat(lists...) {
		if p.IsValid() {
			all = append(all, p.Masked())
		}
	}
	// A prefix comes after those that it lies in.
	slices.SortFunc(all, netip.Prefix.Compare)
	var out []netip.Prefix
	for _, p := range all {
		if n := len(out); n == 0 || !out[n-1].Overlaps(p) {
			out = append(out, p)
		}
	}
	return out
}

// Minus returns the addresses in list that are not in without.
func Minus(list, without []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range list {
		out = append(out, cut(p.Masked(), without)...)
	}
	return Union(out)
}

// cut returns p without the given addresses: p itself if none of them is in it,
// or what is left of its halves.
func cut(p netip.Prefix, without []netip.Prefix) []netip.Prefix {
	var inside []netip.Prefix
	for _, w := range without {
		if !w.Overlaps(p) {
			continue
		}
		if w.Bits() <= p.Bits() {
			return nil
		}
		inside = append(inside, w)
	}
	if inside == nil {
		return []netip.Prefix{p}
	}
	low, high := halves(p)
	return append(cut(low, inside), cut(high, inside)...)
}

// halves returns the two prefixes that are one bit longer than p.
func halves(p netip.Prefix) (low, high netip.Prefix) {
	bit := p.Bits()
	b := p.Addr().AsSlice()
	low = netip.PrefixFrom(p.Addr(), bit+1)
	b[bit/8] |= 0x80 >> (bit % 8)
	a, _ := netip.AddrFromSlice(b) // as long as it was
	return low, netip.PrefixFrom(a, bit+1)
}

// Intersect returns the addresses in both lists.
func Intersect(a, b []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range a {
		for _, q := range b {
			switch {
			case !p.Overlaps(q):
			case p.Bits() < q.Bits():
				out = append(out, q)
			default:
				out = append(out, p)
			}
		}
	}
	return Union(out)
}

// Between returns the addresses from first to last, which are of one family.
func Between(first, last netip.Addr) []netip.Prefix {
	if first.BitLen() != last.BitLen() || last.Less(first) {
		return nil
	}
	var out []netip.Prefix
	for a := first; ; {
		p := netip.PrefixFrom(a, a.BitLen())
		for p.Bits() > 0 {
			wider := netip.PrefixFrom(a, p.Bits()-1)
			if wider.Masked().Addr() != a || last.Less(Last(wider)) {
				break
			}
			p = wider
		}
		out = append(out, p)
		if a = Last(p).Next(); !a.IsValid() || last.Less(a) {
			return out
		}
	}
}

// Last returns the highest address of p.
func Last(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for bit := p.Bits(); bit < len(b)*8; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	a, _ := netip.AddrFromSlice(b) // as long as it was
	return a
}

// Contains reports whether a is in list.
func Contains(list []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) })
}

// All reports whether list is every address of both families.
func All(list []netip.Prefix) bool {
	// One prefix is of one family: most lists are no trouble.
	return len(list) > 1 && len(Minus(Everything(), list)) == 0
}

// Private returns the addresses that no packet on the Internet comes from:
// private, shared, loopback, link-local, multicast and reserved space.
func Private() []netip.Prefix {
	var out []netip.Prefix
	for _, text := range []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8",
		"169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "224.0.0.0/3",
		"::/8", "fc00::/7", "fe80::/10", "ff00::/8",
	} {
		out = append(out, netip.MustParsePrefix(text))
	}
	return out
}
