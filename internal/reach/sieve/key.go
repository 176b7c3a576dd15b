package sieve

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"
)

// A Family is IPv4 or IPv6. The two never mix: each has sources, destinations
// and a sweep of its own.
type Family uint8

// The families.
const (
	IPv4 Family = iota
	IPv6
)

// FamilyOf returns the family of a.
func FamilyOf(a netip.Addr) Family {
	if a.Is4() {
		return IPv4
	}
	return IPv6
}

// Last returns the highest key of f.
func (f Family) Last() Key {
	if f == IPv4 {
		return Key{Hi: 0, Lo: 1<<32 - 1}
	}
	return Key{Hi: ^uint64(0), Lo: ^uint64(0)}
}

// A Key is an address of a known family as a number; of an IPv4 address Hi is 0.
type Key struct{ Hi, Lo uint64 }

// KeyOf returns a, whose zone does not matter, as a key.
func KeyOf(a netip.Addr) Key {
	if a.Is4() {
		b := a.As4()
		return Key{Hi: 0, Lo: uint64(binary.BigEndian.Uint32(b[:]))}
	}
	b := a.As16()
	return Key{Hi: binary.BigEndian.Uint64(b[:8]), Lo: binary.BigEndian.Uint64(b[8:])}
}

// Addr returns k as an address of f.
func (k Key) Addr(f Family) netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], k.Hi)
	binary.BigEndian.PutUint64(b[8:], k.Lo)
	if f == IPv4 {
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return netip.AddrFrom16(b)
}

// Less reports whether k is before o.
func (k Key) Less(o Key) bool { return k.Hi < o.Hi || k.Hi == o.Hi && k.Lo < o.Lo }

// Compare orders keys.
func (k Key) Compare(o Key) int {
	switch {
	case k.Less(o):
		return -1
	case o.Less(k):
		return 1
	}
	return 0
}

// Next returns the key behind k, which is not the last.
func (k Key) Next() Key {
	lo, carry := bits.Add64(k.Lo, 1, 0)
	return Key{Hi: k.Hi + carry, Lo: lo}
}

// Prev returns the key before k, which is not the first.
func (k Key) Prev() Key {
	lo, borrow := bits.Sub64(k.Lo, 1, 0)
	return Key{Hi: k.Hi - borrow, Lo: lo}
}

// A Block is the keys from one to another, inclusive.
type Block struct{ From, To Key }

// BlockOf returns the addresses of p.
func BlockOf(p netip.Prefix) (Family, Block) {
	f := FamilyOf(p.Addr())
	k := KeyOf(p.Addr())
	free := p.Addr().BitLen() - p.Bits()
	host := Key{Hi: 0, Lo: 1<<free - 1}
	if free > 64 {
		host = Key{Hi: 1<<(free-64) - 1, Lo: ^uint64(0)}
	}
	return f, Block{From: Key{Hi: k.Hi &^ host.Hi, Lo: k.Lo &^ host.Lo}, To: Key{Hi: k.Hi | host.Hi, Lo: k.Lo | host.Lo}}
}

// Join sorts blocks of one family in place and joins what overlaps or touches.
func Join(blocks []Block, f Family) []Block {
	if len(blocks) < 2 {
		return blocks
	}
	slices.SortFunc(blocks, func(a, b Block) int { return a.From.Compare(b.From) })
	out := blocks[:1]
	for _, b := range blocks[1:] {
		end := &out[len(out)-1]
		switch {
		case end.To != f.Last() && end.To.Next().Less(b.From):
			out = append(out, b)
		case end.To.Less(b.To):
			end.To = b.To
		}
	}
	return out
}
