//go:build linux

package ruleset

import (
	"bytes"
	"encoding/binary"
	"slices"

	"golang.org/x/sys/unix"
)

// A phrase is a few expressions that say one thing, as one word of the nft language does. NewRule joins phrases.

// NewRule returns the rule that says the phrases one after the other.
func NewRule(in ChainID, comment string, phrases ...[]Expr) Rule {
	return Rule{ChainID: in, Exprs: slices.Concat(phrases...), Comment: comment}
}

// Field is something about a packet that a rule can judge.
type Field struct {
	load func(Reg) Expr
	size int
	host bool // in the host's byte order, not the network's
	mask []byte
}

func payload(base Header, offset, size int) Field {
	return Field{size: size, load: func(r Reg) Expr {
		return Payload{Base: base, Offset: uint32(offset), Len: uint32(size), Dst: r} //nolint:gosec // Small constants.
	}}
}

func meta(key MetaKey, size int, host bool) Field {
	return Field{size: size, host: host, load: func(r Reg) Expr { return Meta{Key: key, Dst: r} }}
}

// The fields of a packet. The network header's are those of one family, so in an inet table they must come after
// NFProto; In and NotIn see to that by themselves.

// SourceIPv4 is nft's "ip saddr".
func SourceIPv4() Field { return payload(NetworkHeader, 12, 4) }

// SourceIPv6 is nft's "ip6 saddr".
func SourceIPv6() Field { return payload(NetworkHeader, 8, 16) }

// DestPort is nft's "th dport", and "tcp dport" after L4Proto.
func DestPort() Field { return payload(TransportHeader, 2, 2) }

// TCPFlags is nft's "tcp flags", after L4Proto.
func TCPFlags() Field { return payload(TransportHeader, 13, 1) }

// L4Proto is nft's "meta l4proto": unix.IPPROTO_TCP and so on.
func L4Proto() Field { return meta(MetaL4Proto, 1, false) }

// NFProto is nft's "meta nfproto": IPv4 or IPv6.
func NFProto() Field { return meta(MetaNFProto, 1, false) }

// InputIndex is nft's "iif": the number of the interface that the packet came in by; lo is 1.
func InputIndex() Field { return meta(MetaInputIndex, 4, true) }

// DestType is nft's "fib daddr type": unix.RTN_LOCAL and so on.
func DestType() Field {
	return Field{size: 4, host: true, load: func(r Reg) Expr {
		return Fib{Result: unix.NFT_FIB_RESULT_ADDRTYPE, Flags: unix.NFTA_FIB_F_DADDR, Dst: r}
	}}
}

// Mask returns the field with only the bits of mask, whose length is the field's.
func (f Field) Mask(mask ...byte) Field {
	f.mask = mask
	return f
}

// Prefix returns the field with only its first bits.
func (f Field) Prefix(bits int) Field {
	mask := make([]byte, f.size)
	for i := range min(bits, 8*f.size) {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	return f.Mask(mask...)
}

func (f Field) into(r Reg) []Expr {
	x := []Expr{f.load(r)}
	if f.mask != nil {
		x = append(x, Bitwise{Src: r, Dst: r, Mask: f.mask})
	}
	return x
}

// bytes returns v as the field holds it.
func (f Field) bytes(v uint32) []byte {
	if f.host {
		return binary.NativeEndian.AppendUint32(nil, v)
	}
	wide := append(bytes.Repeat([]byte{0}, f.size), binary.BigEndian.AppendUint32(nil, v)...)
	return wide[len(wide)-f.size:]
}

// Is lets a packet on when the field has the value.
func Is(f Field, v uint32) []Expr { return append(f.into(0), Cmp{Op: Equal, Data: f.bytes(v)}) }

// IsNot lets a packet on when the field has another value.
func IsNot(f Field, v uint32) []Expr { return append(f.into(0), Cmp{Op: NotEqual, Data: f.bytes(v)}) }

// In lets a packet on when the set holds the concatenation of the fields.
func In(set string, fields ...Field) []Expr { return lookup(Lookup{Set: set}, fields) }

// NotIn lets a packet on when the set does not hold the concatenation of the fields.
func NotIn(set string, fields ...Field) []Expr { return lookup(Lookup{Set: set, Invert: true}, fields) }

// lookup lays the fields side by side into registers. A network header is only read once its family is sure: in a
// table of family inet an IPv6 packet would otherwise be read as an IPv4 one.
func lookup(l Lookup, fields []Field) []Expr {
	var guard, x []Expr
	next := Reg(0)
	for _, f := range fields {
		if p, ok := f.load(next).(Payload); ok && p.Base == NetworkHeader {
			family := IPv4
			if p.Len == 16 {
				family = IPv6
			}
			guard = Is(NFProto(), uint32(family))
		}
		x = append(x, f.into(next)...)
		next += Reg((f.size + registerBytes - 1) / registerBytes) //nolint:gosec // Sizes are small.
	}
	return slices.Concat(guard, x, []Expr{l})
}

// Accept ends the rule by letting the packet through this hook.
func Accept() []Expr { return []Expr{Verdict{Code: VerdictAccept}} }

// Drop ends the rule by dropping the packet.
func Drop() []Expr { return []Expr{Verdict{Code: VerdictDrop}} }

// Jump goes on in the chain and comes back.
func Jump(chain string) []Expr { return []Expr{Verdict{Code: VerdictJump, Chain: chain}} }

// Goto goes on in the chain and does not come back.
func Goto(chain string) []Expr { return []Expr{Verdict{Code: VerdictGoto, Chain: chain}} }

// Count counts what comes this far.
func Count() []Expr { return []Expr{Counter{}} }

// Equal says whether two rules do the same in the same place: handles and what counters show do not matter.
func (r Rule) Equal(o Rule) bool {
	if r.ChainID != o.ChainID || r.Comment != o.Comment {
		return false
	}
	a, errA := canonical(r.Exprs)
	b, errB := canonical(o.Exprs)
	return errA == nil && errB == nil && bytes.Equal(a, b)
}

func canonical(list []Expr) ([]byte, error) {
	var e Encoder
	for _, x := range list {
		if _, counts := x.(Counter); counts {
			x = Counter{}
		}
		e.expr(unix.NFTA_LIST_ELEM, x)
	}
	return e.Buf, e.Err
}

// Refuses says whether the rule can drop or reject a packet by itself. What a verdict map says is in its elements.
func (r Rule) Refuses() bool {
	return slices.ContainsFunc(r.Exprs, func(x Expr) bool {
		switch x := x.(type) {
		case Verdict:
			return x.Code == VerdictDrop
		case Raw:
			return x.Name == "reject" || (x.Name == "target" && x.Target() == "REJECT")
		default:
			return false
		}
	})
}

// Translates says whether the rule can send a packet somewhere else than it was addressed to.
func (r Rule) Translates() bool {
	return slices.ContainsFunc(r.Exprs, func(x Expr) bool {
		raw, ok := x.(Raw)
		return ok && (raw.Name == "nat" || raw.Name == "redir" || raw.Name == "target" && slices.Contains([]string{"DNAT", "REDIRECT", "NETMAP"}, raw.Target()))
	})
}

// Target returns the name of the xtables target that iptables-nft writes for what nf_tables has no expression for; empty
// when it is none.
func (x Raw) Target() string {
	var d Decoder
	for t, a := range d.Attrs(x.Data) {
		if t == unix.NFTA_TARGET_NAME {
			return d.Str(a)
		}
	}
	return ""
}
