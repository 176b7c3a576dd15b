//go:build linux

package foreign_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/nftables/nfnetlink/ruleset"
)

// The naive evaluator is a small kernel: it takes the bytes of one packet through
// one base chain, rule by rule, with registers that are bytes. What it cannot know
// it tries both ways.

// A set is what a rule looks up: ranges of keys, whatever the kernel makes of them.
type set struct {
	ruleset.Set

	ranges []keyRange
	unread bool
}

type keyRange struct {
	lo, hi  []byte
	fields  []int // of a concatenation: where each field ends
	verdict *ruleset.Verdict
}

func (k keyRange) holds(key []byte) bool {
	from := 0
	for _, to := range k.fields {
		if bytes.Compare(key[from:to], k.lo[from:to]) < 0 || bytes.Compare(key[from:to], k.hi[from:to]) > 0 {
			return false
		}
		from = to
	}
	return true
}

// ends is what may become of a packet.
type ends struct{ passes, drops bool }

func (e ends) or(f ends) ends { return ends{e.passes || f.passes, e.drops || f.drops} }

// A naive is one packet in front of a ruleset.
type naive struct {
	rules      []ruleset.Rule
	sets       map[ruleset.SetID]set
	family     ruleset.Family
	network    []byte
	transport  []byte
	state, iif uint32
}

func newNaive(rules []ruleset.Rule, sets map[ruleset.SetID]set, p firewall.Protocol, from, to netip.AddrPort, answer bool) naive {
	n := naive{rules: rules, sets: sets, family: ruleset.IPv4, network: make([]byte, 20), transport: make([]byte, 20), state: 8, iif: 2}
	flags := byte(2)
	if answer {
		from, to, n.state, flags, n.iif = to, from, 2, 0x12, 0
	}
	if from.Addr().Is6() {
		n.family, n.network = ruleset.IPv6, make([]byte, 40)
		n.network[6] = byte(p)
		copy(n.network[8:], from.Addr().AsSlice())
		copy(n.network[24:], to.Addr().AsSlice())
	} else {
		n.network[9] = byte(p)
		copy(n.network[12:], from.Addr().AsSlice())
		copy(n.network[16:], to.Addr().AsSlice())
	}
	binary.BigEndian.PutUint16(n.transport, from.Port())
	binary.BigEndian.PutUint16(n.transport[2:], to.Port())
	if p == firewall.TCP {
		n.transport[13] = flags
	}
	return n
}

// base returns what becomes of the packet in a base chain.
func (n naive) base(c ruleset.Chain) ends {
	return n.chain(c.ChainID, 0, func() ends {
		return ends{passes: c.Hook.Policy != ruleset.VerdictDrop, drops: c.Hook.Policy == ruleset.VerdictDrop}
	})
}

// chain goes on at rule i of a chain; at its end it does what is then.
func (n naive) chain(id ruleset.ChainID, i int, then func() ends) ends {
	var list []ruleset.Rule
	for _, r := range n.rules {
		if r.ChainID == id {
			list = append(list, r)
		}
	}
	if i == len(list) {
		return then()
	}
	next := func() ends { return n.chain(id, i+1, then) }
	v, unsure := n.rule(list[i])
	out := ends{}
	if unsure {
		out = next()
	}
	switch v.Code {
	case ruleset.VerdictAccept:
		return out.or(ends{passes: true})
	case ruleset.VerdictDrop:
		return out.or(ends{drops: true})
	case ruleset.VerdictReturn:
		return out.or(then())
	case ruleset.VerdictJump:
		return out.or(n.chain(id.Table.Chain(v.Chain), 0, next))
	case ruleset.VerdictGoto:
		return out.or(n.chain(id.Table.Chain(v.Chain), 0, then))
	case ruleset.VerdictContinue, ruleset.VerdictBreak:
	}
	return next()
}

// rule returns the verdict of a rule, and whether it is sure to be reached.
func (n naive) rule(r ruleset.Rule) (v ruleset.Verdict, unsure bool) {
	var regs [64 + 16]byte
	none := ruleset.Verdict{Code: ruleset.VerdictContinue}
	for _, x := range r.Exprs {
		met := true
		switch x := x.(type) {
		case ruleset.Payload:
			header := n.network
			if x.Base == ruleset.TransportHeader {
				header = n.transport
			}
			clear(regs[x.Dst*4 : int(x.Dst)*4+ruleset.Align(int(x.Len))])
			copy(regs[x.Dst*4:], header[x.Offset:x.Offset+x.Len])
		case ruleset.Meta:
			b := make([]byte, 4)
			switch x.Key {
			case ruleset.MetaL4Proto:
				b[0] = max(n.network[6], n.network[9])
				if n.family == ruleset.IPv6 {
					b[0] = n.network[6]
				}
			case ruleset.MetaNFProto:
				b[0] = byte(n.family)
			case ruleset.MetaInputIndex:
				binary.NativeEndian.PutUint32(b, n.iif)
			case ruleset.MetaOutputIndex, ruleset.MetaInputName, ruleset.MetaOutputName:
				panic("it is not drawn")
			}
			copy(regs[x.Dst*4:], b)
		case ruleset.Bitwise:
			for i, m := range x.Mask {
				regs[int(x.Dst)*4+i] = regs[int(x.Src)*4+i] & m
			}
		case ruleset.Cmp:
			c := bytes.Compare(regs[x.Src*4:int(x.Src)*4+len(x.Data)], x.Data)
			met = map[ruleset.CmpOp]bool{
				ruleset.Equal: c == 0, ruleset.NotEqual: c != 0, unix.NFT_CMP_LT: c < 0,
				unix.NFT_CMP_LTE: c <= 0, unix.NFT_CMP_GT: c > 0, unix.NFT_CMP_GTE: c >= 0,
			}[x.Op]
		case ruleset.Lookup:
			s := n.sets[r.Table.Set(x.Set)]
			if s.unread {
				unsure = true
				continue
			}
			_, in := s.find(regs[x.Src*4:])
			met = in != x.Invert
		case ruleset.Verdict:
			return x, unsure
		case ruleset.Raw:
			switch x.Name {
			case "ct":
				binary.NativeEndian.PutUint32(regs[:], n.state)
			case "limit":
				unsure = true
			case "reject":
				return ruleset.Verdict{Code: ruleset.VerdictDrop}, unsure
			case "lookup":
				s := n.sets[r.Table.Set("verdicts")]
				if k, in := s.find(regs[:]); in {
					return *k.verdict, unsure
				}
				return none, false
			}
		}
		if !met {
			return none, false
		}
	}
	return none, false
}

func (s set) find(regs []byte) (keyRange, bool) {
	for _, k := range s.ranges {
		if k.holds(regs[:len(k.lo)]) {
			return k, true
		}
	}
	return keyRange{}, false
}
