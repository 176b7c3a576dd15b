//go:build linux

package foreign

import (
	"bytes"
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/nftables/nfnetlink/ruleset"
	"github.com/sesame-access/sesame/internal/reach"
)

// A packet is what is certain about the first packet of a connection, or about
// the answer to it, from any client of one family.
type packet struct {
	protocol firewall.Protocol
	family   ruleset.Family
	leg      leg
	port     uint16 // the door's
	client   uint16 // the client's port
	tracked  bool   // the state of its connection is known
	all      reach.Ranges
}

// A part is some bytes of a value.
type part struct {
	size  int
	known []byte // nil when they are not known
	never []byte // what not even bytes that are not known begin with
	bits  int    // how many bits of the client's address they are, then zeros; 0 when they are none
	port  bool   // they are ports: only comparing them with others is exact
}

// A value is what a register holds, and those behind it.
type value []part

func (v value) size() (n int) {
	for _, p := range v {
		n += p.size
	}
	return n
}

func known(b ...byte) value { return value{{size: len(b), known: b}} }
func unknown(n int) value   { return value{{size: n}} }

// payload returns what of the packet's headers is known.
func (p packet) payload(x ruleset.Payload) (out value) {
	fields := p.header(x.Base)
	for at, left := int(x.Offset), int(x.Len); left > 0; {
		next := part{size: 1}
		for offset, f := range fields {
			into := at - offset
			if into < 0 || into >= f.size {
				continue
			}
			next = part{size: min(f.size-into, left), port: f.port}
			switch {
			case f.known != nil:
				next.known = f.known[into : into+next.size]
			case f.bits > 0 && into == 0:
				next.bits = 8 * next.size
			}
		}
		if n := len(out); n > 0 && out[n-1].known != nil && next.known != nil {
			out[n-1].known = bytes.Join([][]byte{out[n-1].known, next.known}, nil)
			out[n-1].size += next.size
			out[n-1].port = out[n-1].port || next.port
		} else {
			out = append(out, next)
		}
		at, left = at+next.size, left-next.size
	}
	return out
}

// header returns the known fields of a header by their offset.
func (p packet) header(h ruleset.Header) map[int]part {
	const syn, ack = 0x02, 0x10
	address := map[ruleset.Family]part{ruleset.IPv4: {size: 4, bits: 32}, ruleset.IPv6: {size: 16, bits: 128}}[p.family]
	from, to, flags := p.client, p.port, byte(syn)
	if p.leg == answered {
		from, to, flags = to, from, syn|ack
	}
	switch {
	case h == ruleset.TransportHeader:
		out := map[int]part{0: {size: 2, known: ruleset.PortKey(from), port: true}, 2: {size: 2, known: ruleset.PortKey(to), port: true}}
		if p.protocol == firewall.TCP {
			out[13] = part{size: 1, known: []byte{flags}}
		}
		return out
	case h != ruleset.NetworkHeader:
		return nil
	case p.family == ruleset.IPv4 && p.leg == coming:
		return map[int]part{9: {size: 1, known: []byte{byte(p.protocol)}}, 12: address}
	case p.family == ruleset.IPv4:
		return map[int]part{9: {size: 1, known: []byte{byte(p.protocol)}}, 16: address}
	case p.leg == coming:
		return map[int]part{6: {size: 1, known: []byte{byte(p.protocol)}}, 8: address}
	}
	return map[int]part{6: {size: 1, known: []byte{byte(p.protocol)}}, 24: address}
}

// meta returns what is known beside the headers.
func (p packet) meta(k ruleset.MetaKey) value {
	switch k {
	case ruleset.MetaL4Proto:
		return known(byte(p.protocol))
	case ruleset.MetaNFProto:
		return known(byte(p.family))
	case unix.NFT_META_PROTOCOL:
		if p.family == ruleset.IPv6 {
			return known(binary.BigEndian.AppendUint16(nil, unix.ETH_P_IPV6)...)
		}
		return known(binary.BigEndian.AppendUint16(nil, unix.ETH_P_IP)...)
	case ruleset.MetaInputIndex, ruleset.MetaOutputIndex:
		return value{{size: 4, never: binary.NativeEndian.AppendUint32(nil, 1)}}
	case ruleset.MetaInputName, ruleset.MetaOutputName:
		return value{{size: unix.IFNAMSIZ, never: []byte("lo\x00")}}
	}
	return unknown(4)
}

// conntrack returns the state of the packet's connection, which it begins or
// answers.
func (p packet) conntrack() value {
	const established, isNew = 2, 8 // what nft calls so
	switch {
	case !p.tracked:
		return unknown(4)
	case p.leg == answered:
		return known(binary.NativeEndian.AppendUint32(nil, established)...)
	}
	return known(binary.NativeEndian.AppendUint32(nil, isNew)...)
}

// fib returns what the routing table says: the packet is for this host.
func (p packet) fib(x ruleset.Fib) value {
	if p.leg == coming && x.Result == unix.NFT_FIB_RESULT_ADDRTYPE && x.Flags == unix.NFTA_FIB_F_DADDR {
		return known(binary.NativeEndian.AppendUint32(nil, unix.RTN_LOCAL)...)
	}
	return unknown(4)
}

// masked returns v behind a bitwise operation. Of ports and addresses only their
// first bits can be told.
func (v value) masked(x ruleset.Bitwise) value {
	if len(v) != 1 || v[0].size != len(x.Mask) {
		return unknown(len(x.Mask))
	}
	p, ones := v[0], leading(x.Mask)
	xors := len(bytes.Trim(x.Xor, "\x00")) > 0
	switch {
	case len(bytes.Trim(x.Mask, "\x00")) == 0 && !xors:
		return known(make([]byte, p.size)...)
	case p.known != nil && (!p.port || ones == 8*p.size && !xors):
		out := make([]byte, p.size)
		for i := range out {
			if out[i] = p.known[i] & x.Mask[i]; i < len(x.Xor) {
				out[i] ^= x.Xor[i]
			}
		}
		p.known = out
		return value{p}
	case p.bits > 0 && ones > 0 && !xors:
		p.bits = min(p.bits, ones)
		return value{p}
	}
	return unknown(p.size)
}

// leading returns how many ones mask begins with, 0 when others follow.
func leading(mask []byte) (n int) {
	one := func(bit int) bool { return mask[bit/8]&(0x80>>(bit%8)) != 0 }
	for n < 8*len(mask) && one(n) {
		n++
	}
	for bit := n; bit < 8*len(mask); bit++ {
		if one(bit) {
			return 0
		}
	}
	return n
}

// between returns whose packets have bytes from lo to hi there.
func (p packet) between(x part, lo, hi []byte) answer {
	switch {
	case x.known != nil:
		if bytes.Compare(lo, x.known) <= 0 && bytes.Compare(x.known, hi) <= 0 {
			return answer{yes: p.all}
		}
		return answer{}
	case x.never != nil && bytes.Equal(lo, hi) && bytes.HasPrefix(lo, x.never):
		return answer{}
	case x.bits == 0:
		return answer{may: p.all}
	}
	size := p.all[0].From.BitLen() / 8
	from, to := make([]byte, size), make([]byte, size)
	copy(from, lo)
	copy(to, hi)
	exact := bytes.Clone(from)
	for i := range exact { // the bits that the value does not have
		if keep := x.bits - 8*i; keep <= 0 {
			exact[i] = 0
		} else if keep < 8 {
			exact[i] &^= 0xff >> keep
		}
	}
	first, _ := netip.AddrFromSlice(from)
	if !bytes.Equal(exact, from) { // the next value that it can have
		fill(from, x.bits)
		first, _ = netip.AddrFromSlice(from)
		first = first.Next()
	}
	fill(to, x.bits)
	end, _ := netip.AddrFromSlice(to)
	if !first.IsValid() || end.Less(first) {
		return answer{}
	}
	return answer{yes: reach.Ranges{{From: first, To: end}}}
}
