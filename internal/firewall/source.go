package firewall

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/errkind"
)

const wantSource = "an IPv4 or IPv6 address or prefix, such as 203.0.113.7, 198.51.100.0/24 or 2001:db8::7"

// ParseSource reads an address or a prefix, strictly: no 4-in-6 form, no zone,
// no leading zeros, no blanks, no host bits below the prefix length. An address
// becomes its own /32 or /128. It does not judge width or special ranges; see
// Special.
func ParseSource(s string) (netip.Prefix, error) {
	bad := func(want string) (netip.Prefix, error) {
		return netip.Prefix{}, errkind.Bad("source", s, want)
	}
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return bad(wantSource)
		}
		if why := unusual(a); why != "" {
			return bad(why)
		}
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return bad(wantSource)
	}
	if why := unusual(p.Addr()); why != "" {
		return bad(why)
	}
	if m := p.Masked(); m != p {
		return bad("a prefix without host bits; write " + m.String() + " for the network or " + p.Addr().String() + " for the one address")
	}
	return p, nil
}

// unusual says what would be right when a is written in a form that two parsers
// could read differently.
func unusual(a netip.Addr) string {
	switch {
	case a.Is4In6():
		return "in its own family; write the IPv4 address " + a.Unmap().String()
	case a.Zone() != "":
		return "an address without a zone; a firewall knows no interface names of the caller"
	}
	return ""
}

// FormatSource returns p as people write it: a single address without its length.
func FormatSource(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// A SpecialRange is a part of the address space that no requester's packets
// should come from, unless a policy lists it.
type SpecialRange struct {
	Prefix netip.Prefix
	Name   string
	// Nobody says that no packet comes from there to another machine, unless
	// somebody forged it.
	Nobody bool
}

// SpecialRanges returns the ranges, in a fixed order. The list is IANA's special
// purpose registries as far as they can appear as a source by mistake or
// malice, plus the addresses that clouds use for their own platform services.
func SpecialRanges() []SpecialRange {
	list := []struct {
		prefix, name string
		nobody       bool
	}{
		{"0.0.0.0/8", "\"this network\"", true},
		{"100.64.0.0/10", "carrier-grade NAT, shared by many customers", false},
		{"127.0.0.0/8", "loopback", true},
		{"168.63.129.16/32", "Azure platform services", false},
		{"169.254.0.0/16", "link-local and cloud metadata", false},
		{"192.0.0.0/24", "IETF protocol assignments", false},
		{"192.88.99.0/24", "6to4 relays", false},
		{"224.0.0.0/4", "multicast", true},
		{"240.0.0.0/4", "reserved and broadcast", true},
		{"::/128", "unspecified", true},
		{"::1/128", "loopback", true},
		{"::ffff:0:0/96", "4-in-6", true},
		{"64:ff9b::/96", "NAT64", false},
		{"64:ff9b:1::/48", "local-use NAT64", false},
		{"100::/64", "discard-only", true},
		{"2001::/32", "Teredo", false},
		{"2002::/16", "6to4", false},
		{"fd00:ec2::/32", "EC2 platform services", false},
		{"fe80::/10", "link-local", false},
		{"ff00::/8", "multicast", true},
	}
	out := make([]SpecialRange, len(list))
	for i, r := range list {
		out[i] = SpecialRange{Prefix: netip.MustParsePrefix(r.prefix), Name: r.name, Nobody: r.nobody}
	}
	return out
}

// Special returns the first special range that p touches, unless p lies wholly
// within a listed prefix that lies in that range itself: whoever lists half of
// the Internet has not listed the loopback in it.
func Special(p netip.Prefix, listed []netip.Prefix) (SpecialRange, bool) {
	for _, r := range SpecialRanges() {
		if !r.Prefix.Overlaps(p) {
			continue
		}
		meant := func(l netip.Prefix) bool { return Covers(r.Prefix, l) && Covers(l, p) }
		if !slices.ContainsFunc(listed, meant) {
			return r, true
		}
	}
	return SpecialRange{}, false
}

// Nobody returns the first special range that p touches and from which no packet
// comes.
func Nobody(p netip.Prefix) (SpecialRange, bool) {
	for _, r := range SpecialRanges() {
		if r.Nobody && r.Prefix.Overlaps(p) {
			return r, true
		}
	}
	return SpecialRange{}, false
}

// Covers reports whether every address of inner is one of outer.
func Covers(outer, inner netip.Prefix) bool {
	return outer.Bits() <= inner.Bits() && outer.Contains(inner.Addr())
}
