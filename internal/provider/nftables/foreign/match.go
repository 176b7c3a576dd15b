//go:build linux

package foreign

import (
	"bytes"
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/nftables/nfnetlink/ruleset"
)

// A packet is what is certain about the first packet of a connection, or about
// the answer to it.
type packet struct {
	protocol firewall.Protocol
	port     uint16
	family   ruleset.Family
	leg      leg
}

// A truth is whether something holds.
type truth uint8

const (
	maybe truth = iota
	yes
	no
)

// A matching is whether a packet matches a rule, and whether the rule names the
// packet's port.
type matching struct {
	result truth
	named  bool
}

// A loaded value is what a register holds: known bytes, or nothing that is known
// but what it is not.
type loaded struct {
	known []byte
	port  bool   // it is the port
	never []byte // what it surely is not
}

// match runs the rule's conditions on the packet.
func (p packet) match(rs *Ruleset, r ruleset.Rule) matching {
	m := matching{result: yes, named: false}
	regs := map[ruleset.Reg]loaded{}
	for _, x := range r.Exprs {
		var t truth
		switch x := x.(type) {
		case ruleset.Payload:
			regs[x.Dst] = p.payload(x)
			continue
		case ruleset.Meta:
			regs[x.Dst] = p.meta(x.Key)
			continue
		case ruleset.Fib:
			regs[x.Dst] = loaded{}
			continue
		case ruleset.Bitwise:
			regs[x.Dst] = regs[x.Src].masked(x)
			continue
		case ruleset.Verdict, ruleset.Counter:
			continue
		case ruleset.Cmp:
			t = regs[x.Src].compare(x)
			m.named = m.named || regs[x.Src].port && t == yes && x.Op == ruleset.Equal
		case ruleset.Lookup:
			t = rs.holds(r.Table.Set(x.Set), regs[x.Src])
			m.named = m.named || regs[x.Src].port && t == yes && !x.Invert
			if x.Invert {
				t = not(t)
			}
		case ruleset.Raw:
			if dst, ok := conntrackState(x); ok {
				regs[dst] = p.conntrack()
				continue
			}
			if harmless(x) {
				continue
			}
			clear(regs) // it may have loaded any of them
			t = maybe
		}
		switch t {
		case no:
			return matching{result: no, named: m.named}
		case maybe:
			m.result = maybe
		case yes:
		}
	}
	return m
}

func not(t truth) truth {
	switch t {
	case yes:
		return no
	case no:
		return yes
	case maybe:
	}
	return maybe
}

// payload returns what of the packet's headers is known.
func (p packet) payload(x ruleset.Payload) loaded {
	const syn, ack = 0x02, 0x10
	protocolAt := map[ruleset.Family]uint32{ruleset.IPv4: 9, ruleset.IPv6: 6}[p.family]
	portAt, flags := uint32(2), byte(syn)
	if p.leg == answered {
		portAt, flags = 0, syn|ack
	}
	switch {
	case x.Base == ruleset.TransportHeader && x.Offset == portAt && x.Len == 2:
		return loaded{known: binary.BigEndian.AppendUint16(nil, p.port), port: true}
	case x.Base == ruleset.TransportHeader && x.Offset == 13 && x.Len == 1 && p.protocol == firewall.TCP:
		return loaded{known: []byte{flags}}
	case x.Base == ruleset.NetworkHeader && x.Offset == protocolAt && x.Len == 1:
		return loaded{known: []byte{byte(p.protocol)}}
	}
	return loaded{}
}

// meta returns what is known beside the headers.
func (p packet) meta(k ruleset.MetaKey) loaded {
	switch k {
	case ruleset.MetaL4Proto:
		return loaded{known: []byte{byte(p.protocol)}}
	case ruleset.MetaNFProto:
		return loaded{known: []byte{byte(p.family)}}
	case ruleset.MetaInputIndex, ruleset.MetaOutputIndex:
		return loaded{never: binary.NativeEndian.AppendUint32(nil, 1)}
	case ruleset.MetaInputName, ruleset.MetaOutputName:
		return loaded{never: []byte("lo\x00")}
	}
	return loaded{}
}

// conntrack returns the state of the packet's connection, which it begins or
// answers.
func (p packet) conntrack() loaded {
	const established, isNew = 2, 8 // what nft calls so
	state := uint32(isNew)
	if p.leg == answered {
		state = established
	}
	return loaded{known: binary.NativeEndian.AppendUint32(nil, state)}
}

func (v loaded) masked(x ruleset.Bitwise) loaded {
	if len(v.known) != len(x.Mask) {
		return loaded{}
	}
	out := make([]byte, len(v.known))
	for i := range out {
		out[i] = v.known[i] & x.Mask[i]
		if i < len(x.Xor) {
			out[i] ^= x.Xor[i]
		}
	}
	return loaded{known: out}
}

// compare answers a comparison with a register.
func (v loaded) compare(x ruleset.Cmp) truth {
	of := func(b bool) truth {
		if b {
			return yes
		}
		return no
	}
	if v.never != nil && bytes.HasPrefix(x.Data, v.never) {
		return of(x.Op == ruleset.NotEqual)
	}
	if len(v.known) == 0 || len(v.known) != len(x.Data) {
		return maybe
	}
	c := bytes.Compare(v.known, x.Data)
	switch x.Op {
	case ruleset.Equal:
		return of(c == 0)
	case ruleset.NotEqual:
		return of(c != 0)
	case unix.NFT_CMP_LT:
		return of(c < 0)
	case unix.NFT_CMP_LTE:
		return of(c <= 0)
	case unix.NFT_CMP_GT:
		return of(c > 0)
	case unix.NFT_CMP_GTE:
		return of(c >= 0)
	}
	return maybe
}

// holds reports whether the set has the value. Of an interval the kernel keeps
// the first key and, as an element with a flag, the first key behind it.
func (r *Ruleset) holds(set ruleset.SetID, v loaded) truth {
	elements, read := r.Ports[set]
	if !read || len(v.known) == 0 {
		return maybe
	}
	in := false
	var last []byte
	for _, e := range elements { // sorted by key, the beginning of an interval before an end
		if bytes.Compare(e.Key, v.known) > 0 {
			break
		}
		starts := e.Flags&ruleset.IntervalEnd == 0
		in = starts || in && bytes.Equal(e.Key, last)
		last = e.Key
	}
	if !r.intervals(set) {
		in = in && bytes.Equal(last, v.known)
	}
	if in {
		return yes
	}
	return no
}

func (r *Ruleset) intervals(set ruleset.SetID) bool {
	for _, s := range r.Sets {
		if s.SetID == set {
			return s.Flags&ruleset.SetInterval != 0
		}
	}
	return false
}

// conntrackState reads "ct state" and returns where it loads that.
func conntrackState(x ruleset.Raw) (dst ruleset.Reg, ok bool) {
	if x.Name != "ct" {
		return 0, false
	}
	var d ruleset.Decoder
	state := false
	for t, a := range d.Attrs(x.Data) {
		switch t {
		case unix.NFTA_CT_DREG:
			switch r := d.U32(a); {
			case r >= unix.NFT_REG32_00:
				dst = ruleset.Reg(r - unix.NFT_REG32_00) //nolint:gosec // There are sixteen.
			case r >= unix.NFT_REG_1:
				dst = ruleset.Reg(r-unix.NFT_REG_1) * 4
			}
		case unix.NFTA_CT_KEY:
			state = d.U32(a) == unix.NFT_CT_STATE
		}
	}
	return dst, state && d.Err == nil
}

// harmless reports whether the expression lets every packet go on.
func harmless(x ruleset.Raw) bool {
	switch x.Name {
	case "log", "notrack", "last", "counter", "objref", "reject", "target":
		return true
	}
	return false
}
