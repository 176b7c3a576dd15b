package reach

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"
)

// A family is IPv4 or IPv6. The two never mix: each has sources, destinations
// and a sweep of its own.
type family uint8

const (
	v4 family = iota
	v6
)

func familyOf(a netip.Addr) family {
	if a.Is4() {
		return v4
	}
	return v6
}

// last returns the highest key of f.
func (f family) last() key {
	if f == v4 {
		return key{hi: 0, lo: 1<<32 - 1}
	}
	return key{hi: ^uint64(0), lo: ^uint64(0)}
}

// A key is an address of a known family as a number; of an IPv4 address hi is 0.
type key struct{ hi, lo uint64 }

func keyOf(a netip.Addr) key {
	b := a.As16()
	k := key{hi: binary.BigEndian.Uint64(b[:8]), lo: binary.BigEndian.Uint64(b[8:])}
	if a.Is4() {
		return key{hi: 0, lo: k.lo & (1<<32 - 1)}
	}
	return k
}

func (k key) addr(f family) netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], k.hi)
	binary.BigEndian.PutUint64(b[8:], k.lo)
	if f == v4 {
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return netip.AddrFrom16(b)
}

func (k key) less(o key) bool { return k.hi < o.hi || k.hi == o.hi && k.lo < o.lo }

func (k key) compare(o key) int {
	switch {
	case k.less(o):
		return -1
	case o.less(k):
		return 1
	}
	return 0
}

// next returns the key behind k, which is not the last.
func (k key) next() key {
	lo, carry := bits.Add64(k.lo, 1, 0)
	return key{hi: k.hi + carry, lo: lo}
}

// prev returns the key before k, which is not the first.
func (k key) prev() key {
	lo, borrow := bits.Sub64(k.lo, 1, 0)
	return key{hi: k.hi - borrow, lo: lo}
}

// A block is the keys from one to another, inclusive.
type block struct{ from, to key }

// blockOf returns the addresses of p.
func blockOf(p netip.Prefix) (family, block) {
	f := familyOf(p.Addr())
	from := keyOf(p.Masked().Addr())
	free := p.Addr().BitLen() - p.Bits()
	host := key{hi: 0, lo: 1<<free - 1}
	if free > 64 {
		host = key{hi: 1<<(free-64) - 1, lo: ^uint64(0)}
	}
	return f, block{from: from, to: key{hi: from.hi | host.hi, lo: from.lo | host.lo}}
}

func (b block) contains(k key) bool { return !k.less(b.from) && !b.to.less(k) }

// join sorts blocks of one family in place and joins what overlaps or touches.
func join(blocks []block, f family) []block {
	if len(blocks) < 2 {
		return blocks
	}
	slices.SortFunc(blocks, func(a, b block) int { return a.from.compare(b.from) })
	out := blocks[:1]
	for _, b := range blocks[1:] {
		end := &out[len(out)-1]
		switch {
		case end.to != f.last() && end.to.next().less(b.from):
			out = append(out, b)
		case end.to.less(b.to):
			end.to = b.to
		}
	}
	return out
}
