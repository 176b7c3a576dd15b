//go:build linux

package foreign

import (
	"golang.org/x/sys/unix"

	"github.com/sesame-access/sesame/internal/provider/nftables/nfnetlink/ruleset"
)

// An effect is what a rule does to the packets that meet it.
type effect uint8

const (
	decides effect = iota // its verdict
	bends                 // it sends the packet somewhere else
	mystery               // it may drop it, accept it, or neither
)

// A branch is one thing that a rule does, and to whose packets.
type branch struct {
	answer

	effect  effect
	verdict ruleset.Verdict
}

// registers are what a rule has loaded so far.
type registers map[ruleset.Reg]value

// load puts v into the registers from dst on.
func (g registers) load(dst ruleset.Reg, v value) {
	words := func(n int) ruleset.Reg { return ruleset.Reg(ruleset.Align(n) / 4) } //nolint:gosec // There are sixteen.
	for at, old := range g {
		if at < dst+words(v.size()) && dst < at+words(old.size()) {
			delete(g, at)
		}
	}
	g[dst] = v
}

// at returns what the registers from src on hold: fields side by side, each padded
// with zeros.
func (g registers) at(src ruleset.Reg, size int) (out value) {
	for n := 0; n < size; {
		v, loaded := g[src]
		if !loaded {
			return append(out, unknown(size-n)...)
		}
		out = append(out, v...)
		pad := ruleset.Align(v.size()) - v.size()
		if n += v.size() + pad; pad > 0 && n <= size {
			out = append(out, part{size: pad, known: make([]byte, pad)})
		}
		src += ruleset.Reg(ruleset.Align(v.size()) / 4) //nolint:gosec // There are sixteen.
	}
	return out
}

// run returns what the rule does to the packets of p. Whom no branch is about
// goes on to the next rule.
func (p packet) run(r *Ruleset, rule ruleset.Rule) []branch {
	meets, regs := answer{yes: p.all}, registers{}
	for _, x := range rule.Exprs {
		switch x := x.(type) {
		case ruleset.Payload:
			regs.load(x.Dst, p.payload(x))
		case ruleset.Meta:
			regs.load(x.Dst, p.meta(x.Key))
		case ruleset.Fib:
			regs.load(x.Dst, p.fib(x))
		case ruleset.Bitwise:
			regs.load(x.Dst, regs.at(x.Src, len(x.Mask)).masked(x))
		case ruleset.Cmp:
			meets = meets.both(p.compare(regs.at(x.Src, len(x.Data)), x.Op, x.Data))
		case ruleset.Lookup:
			id := rule.Table.Set(x.Set)
			a := p.lookup(r, id, regs.at(x.Src, r.keySize(id)))
			if x.Invert {
				a = a.not(p.all)
			}
			meets = meets.both(a)
		case ruleset.Verdict:
			return []branch{{answer: meets, effect: decides, verdict: x}}
		case ruleset.Raw:
			if m, ok := mapLookup(x); ok && m.verdict {
				return p.branches(r, rule.Table.Set(m.Set), regs, m, meets)
			}
			if e, ends := effectOf(x); ends {
				return []branch{{answer: meets, effect: e, verdict: ruleset.Verdict{Code: ruleset.VerdictDrop}}}
			}
			meets = meets.both(p.raw(x, regs))
		}
		if len(meets.yes)+len(meets.may) == 0 {
			return nil
		}
	}
	return nil
}

// keySize returns how long the keys of a set are; of one without elements it does
// not matter.
func (r *Ruleset) keySize(id ruleset.SetID) int {
	for _, e := range r.Elements[id] {
		if len(e.Key) > 0 {
			return len(e.Key)
		}
	}
	return 0
}

// branches returns what the verdicts of a map do.
func (p packet) branches(r *Ruleset, id ruleset.SetID, regs registers, m mapped, meets answer) (out []branch) {
	list, read := p.hold(r, id, regs.at(m.Src, r.keySize(id)))
	if !read {
		return []branch{{answer: meets, effect: mystery}}
	}
	for _, x := range list {
		b := branch{answer: meets.both(x.answer), effect: mystery}
		if x.verdict != nil {
			b.effect, b.verdict = decides, *x.verdict
		}
		out = append(out, b)
	}
	return out
}

// raw takes an expression that neither decides nor is one of the modelled ones.
func (p packet) raw(x ruleset.Raw, regs registers) answer {
	unsure, sure := answer{may: p.all}, answer{yes: p.all}
	switch x.Name {
	case "ct":
		if dst, ok := conntrackState(x); ok {
			regs.load(dst, p.conntrack())
			return sure
		}
	case "range":
		if src, op, lo, hi, ok := rangeOf(x); ok && len(lo) == len(hi) && len(lo) > 0 {
			a := unsure
			if v := regs.at(src, len(lo)); len(v) == 1 && v[0].size == len(lo) {
				a = p.between(v[0], lo, hi)
			}
			if op == ruleset.NotEqual {
				a = a.not(p.all)
			}
			return a
		}
	case "log", "notrack", "last", "counter", "objref", "target", "dup":
		return sure
	case "immediate", "meta", "numgen", "hash", "bitwise", "byteorder": // it may have loaded any of them
		clear(regs)
		return sure
	}
	clear(regs)
	return unsure
}

// effectOf returns what x does that ends the rule, if it does.
func effectOf(x ruleset.Raw) (effect, bool) {
	switch x.Name {
	case "reject":
		return decides, true
	case "nat", "redir", "tproxy", "fwd":
		return bends, true
	case "queue", "synproxy":
		return mystery, true
	case "payload": // it writes to the packet
		return bends, true
	case "target":
		switch x.Target() {
		case "REJECT":
			return decides, true
		case "DNAT", "REDIRECT", "NETMAP", "TPROXY":
			return bends, true
		case "LOG", "NFLOG", "MARK", "CONNMARK", "CT", "NOTRACK", "TCPMSS", "CHECKSUM", "CLASSIFY", "TRACE", "AUDIT", "SECMARK", "CONNSECMARK":
		default:
			return mystery, true
		}
	}
	return decides, false
}

// A mapped is the look-up of a map.
type mapped struct {
	Set     string
	Src     ruleset.Reg
	verdict bool // the map has verdicts, not values
}

// mapLookup reads the look-up of a map.
func mapLookup(x ruleset.Raw) (m mapped, ok bool) {
	if x.Name != "lookup" {
		return mapped{}, false
	}
	var d ruleset.Decoder
	for t, a := range d.Attrs(x.Data) {
		switch t {
		case unix.NFTA_LOOKUP_SET:
			m.Set = d.Str(a)
		case unix.NFTA_LOOKUP_SREG:
			m.Src = register(d.U32(a))
		case unix.NFTA_LOOKUP_DREG:
			ok, m.verdict = true, d.U32(a) == unix.NFT_REG_VERDICT
		}
	}
	return m, ok && d.Err == nil
}

func register(r uint32) ruleset.Reg {
	switch {
	case r >= unix.NFT_REG32_00:
		return ruleset.Reg(r - unix.NFT_REG32_00) //nolint:gosec // There are sixteen.
	case r >= unix.NFT_REG_1:
		return ruleset.Reg(r-unix.NFT_REG_1) * 4
	}
	return 0
}

// conntrackState reads "ct state" and returns where it loads that.
func conntrackState(x ruleset.Raw) (dst ruleset.Reg, ok bool) {
	var d ruleset.Decoder
	loads, state := false, false
	for t, a := range d.Attrs(x.Data) {
		switch t {
		case unix.NFTA_CT_DREG:
			loads, dst = true, register(d.U32(a))
		case unix.NFTA_CT_KEY:
			state = d.U32(a) == unix.NFT_CT_STATE
		}
	}
	return dst, loads && state && d.Err == nil
}

// rangeOf reads a comparison with a range.
func rangeOf(x ruleset.Raw) (src ruleset.Reg, op ruleset.CmpOp, lo, hi []byte, ok bool) {
	var d ruleset.Decoder
	data := func(b []byte) (out []byte) {
		for t, a := range d.Attrs(b) {
			if t == unix.NFTA_DATA_VALUE {
				out = a
			}
		}
		return out
	}
	for t, a := range d.Attrs(x.Data) {
		switch t {
		case unix.NFTA_RANGE_SREG:
			src = register(d.U32(a))
		case unix.NFTA_RANGE_OP:
			op = ruleset.CmpOp(d.U32(a)) // equal and not equal have the numbers of a comparison
		case unix.NFTA_RANGE_FROM_DATA:
			lo = data(a)
		case unix.NFTA_RANGE_TO_DATA:
			hi = data(a)
		}
	}
	return src, op, lo, hi, d.Err == nil
}
