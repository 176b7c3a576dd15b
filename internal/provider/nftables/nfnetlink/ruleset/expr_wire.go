//go:build linux

package ruleset

import (
	"bytes"

	"golang.org/x/sys/unix"
)

func (Payload) name() string { return "payload" }
func (Meta) name() string    { return "meta" }
func (Fib) name() string     { return "fib" }
func (Bitwise) name() string { return "bitwise" }
func (Cmp) name() string     { return "cmp" }
func (Lookup) name() string  { return "lookup" }
func (Verdict) name() string { return "immediate" }
func (Counter) name() string { return "counter" }
func (x Raw) name() string   { return x.Name }

// reg writes a register under the number the kernel shows it by: a 16-byte register where one begins.
func (e *Encoder) reg(typ uint16, r Reg) {
	switch {
	case r >= unix.NFT_REG32_COUNT:
		e.Fail("encode register %d: there are %d", r, unix.NFT_REG32_COUNT)
	case r%4 == 0:
		e.U32(typ, unix.NFT_REG_1+uint32(r)/4)
	default:
		e.U32(typ, unix.NFT_REG32_00+uint32(r))
	}
}

func (x Payload) encode(e *Encoder) {
	e.reg(unix.NFTA_PAYLOAD_DREG, x.Dst)
	e.U32(unix.NFTA_PAYLOAD_BASE, uint32(x.Base))
	e.U32(unix.NFTA_PAYLOAD_OFFSET, x.Offset)
	e.U32(unix.NFTA_PAYLOAD_LEN, x.Len)
}

func (x Meta) encode(e *Encoder) {
	e.U32(unix.NFTA_META_KEY, uint32(x.Key))
	e.reg(unix.NFTA_META_DREG, x.Dst)
}

func (x Fib) encode(e *Encoder) {
	e.reg(unix.NFTA_FIB_DREG, x.Dst)
	e.U32(unix.NFTA_FIB_RESULT, x.Result)
	e.U32(unix.NFTA_FIB_FLAGS, x.Flags)
}

func (x Bitwise) encode(e *Encoder) {
	xor := x.Xor
	if len(xor) == 0 {
		xor = make([]byte, len(x.Mask))
	}
	if len(xor) != len(x.Mask) {
		e.Fail("encode bitwise: a mask of %d bytes and an xor of %d", len(x.Mask), len(xor))
		return
	}
	e.reg(unix.NFTA_BITWISE_SREG, x.Src)
	e.reg(unix.NFTA_BITWISE_DREG, x.Dst)
	e.U32(unix.NFTA_BITWISE_LEN, uint32(len(x.Mask))) //nolint:gosec // value fails on what is too long.
	e.value(unix.NFTA_BITWISE_MASK, x.Mask)
	e.value(unix.NFTA_BITWISE_XOR, xor)
}

func (x Cmp) encode(e *Encoder) {
	e.reg(unix.NFTA_CMP_SREG, x.Src)
	e.U32(unix.NFTA_CMP_OP, uint32(x.Op))
	e.value(unix.NFTA_CMP_DATA, x.Data)
}

func (x Lookup) encode(e *Encoder) {
	e.Name(unix.NFTA_LOOKUP_SET, x.Set)
	e.reg(unix.NFTA_LOOKUP_SREG, x.Src)
	if x.Invert {
		e.U32(unix.NFTA_LOOKUP_FLAGS, unix.NFT_LOOKUP_F_INV)
	}
}

func (x Verdict) encode(e *Encoder) {
	e.U32(unix.NFTA_IMMEDIATE_DREG, unix.NFT_REG_VERDICT)
	data := e.Nest(unix.NFTA_IMMEDIATE_DATA)
	verdict := e.Nest(unix.NFTA_DATA_VERDICT)
	e.U32(unix.NFTA_VERDICT_CODE, uint32(x.Code)) //nolint:gosec // The kernel's codes are signed.
	if x.Code == VerdictJump || x.Code == VerdictGoto {
		e.Name(unix.NFTA_VERDICT_CHAIN, x.Chain)
	}
	e.EndNest(verdict)
	e.EndNest(data)
}

func (x Counter) encode(e *Encoder) {
	e.U64(unix.NFTA_COUNTER_BYTES, x.Bytes)
	e.U64(unix.NFTA_COUNTER_PACKETS, x.Packets)
}

func (x Raw) encode(e *Encoder) { e.Buf = append(e.Buf, x.Data...); e.pad() }

// expr writes one expression with its name under typ.
func (e *Encoder) expr(typ uint16, x Expr) {
	at := e.Nest(typ)
	e.Name(unix.NFTA_EXPR_NAME, x.name())
	data := e.Nest(unix.NFTA_EXPR_DATA)
	x.encode(e)
	e.EndNest(data)
	e.EndNest(at)
}

func (e *Encoder) exprs(typ uint16, list []Expr) {
	at := e.Nest(typ)
	for _, x := range list {
		e.expr(unix.NFTA_LIST_ELEM, x)
	}
	e.EndNest(at)
}

// expr reads one expression.
func (d *Decoder) expr(b []byte) Expr {
	raw := Raw{}
	for t, a := range d.Attrs(b) {
		switch t {
		case unix.NFTA_EXPR_NAME:
			raw.Name = d.Str(a)
		case unix.NFTA_EXPR_DATA:
			raw.Data = bytes.Clone(a)
		}
	}
	return d.model(raw)
}

func (d *Decoder) exprs(b []byte) []Expr {
	var list []Expr
	for t, a := range d.Attrs(b) {
		if t == unix.NFTA_LIST_ELEM {
			list = append(list, d.expr(a))
		}
	}
	return list
}

// model turns raw into one of our types when that says all that raw says, and gives raw back otherwise.
func (d *Decoder) model(raw Raw) Expr {
	f := fields{d: d}
	for t, a := range d.Attrs(raw.Data) {
		if int(t) >= len(f.attr) {
			return raw
		}
		f.attr[t] = a
	}
	var x Expr
	switch raw.Name {
	case "payload":
		x = Payload{
			Dst: f.reg(unix.NFTA_PAYLOAD_DREG), Base: Header(f.u32(unix.NFTA_PAYLOAD_BASE)),
			Offset: f.u32(unix.NFTA_PAYLOAD_OFFSET), Len: f.u32(unix.NFTA_PAYLOAD_LEN),
		}
	case "meta":
		x = Meta{Key: MetaKey(f.u32(unix.NFTA_META_KEY)), Dst: f.reg(unix.NFTA_META_DREG)}
	case "fib":
		x = Fib{
			Dst: f.reg(unix.NFTA_FIB_DREG), Result: f.u32(unix.NFTA_FIB_RESULT), Flags: f.u32(unix.NFTA_FIB_FLAGS),
		}
	case "bitwise":
		x = f.bitwise()
	case "cmp":
		x = Cmp{
			Src: f.reg(unix.NFTA_CMP_SREG), Op: CmpOp(f.u32(unix.NFTA_CMP_OP)), Data: f.value(unix.NFTA_CMP_DATA),
		}
	case "lookup":
		x = f.lookup()
	case "immediate":
		x = f.immediate()
	case "counter":
		x = Counter{Bytes: f.u64(unix.NFTA_COUNTER_BYTES), Packets: f.u64(unix.NFTA_COUNTER_PACKETS)}
	default:
		return raw
	}
	if !f.exhausted() {
		return raw
	}
	return x
}

// fields are the attributes of one expression. Reading one takes it away; what is left over, or was looked for in vain,
// shows that the expression says something else than the type it was read into.
type fields struct {
	d    *Decoder
	attr [16][]byte
	odd  bool
}

func (f *fields) take(t int) []byte {
	a := f.attr[t]
	f.attr[t] = nil
	return a
}

func (f *fields) u32(t int) uint32 {
	a := f.take(t)
	if len(a) != 4 {
		f.odd = true
		return 0
	}
	return f.d.U32(a)
}

func (f *fields) u64(t int) uint64 {
	a := f.take(t)
	if len(a) != 8 {
		f.odd = true
		return 0
	}
	return f.d.U64(a)
}

func (f *fields) reg(t int) Reg {
	switch r := f.u32(t); {
	case r >= unix.NFT_REG_1 && r <= unix.NFT_REG_4:
		return Reg(r-unix.NFT_REG_1) * 4
	case r >= unix.NFT_REG32_00 && r <= unix.NFT_REG32_15:
		return Reg(r - unix.NFT_REG32_00)
	default:
		f.odd = true
		return 0
	}
}

func (f *fields) value(t int) []byte {
	data, v := f.d.value(f.take(t))
	f.odd = f.odd || data == nil || v != nil
	return data
}

func (f *fields) bitwise() Expr {
	x := Bitwise{
		Src: f.reg(unix.NFTA_BITWISE_SREG), Dst: f.reg(unix.NFTA_BITWISE_DREG),
		Mask: f.value(unix.NFTA_BITWISE_MASK), Xor: f.value(unix.NFTA_BITWISE_XOR),
	}
	n := int(f.u32(unix.NFTA_BITWISE_LEN))
	f.odd = f.odd || n != len(x.Mask) || n != len(x.Xor)
	if zero(x.Xor) {
		x.Xor = nil
	}
	return x
}

func (f *fields) lookup() Expr {
	x := Lookup{Set: f.d.Str(f.take(unix.NFTA_LOOKUP_SET)), Src: f.reg(unix.NFTA_LOOKUP_SREG)}
	// A destination makes it the look-up of a map, even register 0, where a verdict goes.
	f.odd = f.odd || f.attr[unix.NFTA_LOOKUP_DREG] != nil
	if f.attr[unix.NFTA_LOOKUP_FLAGS] != nil {
		flags := f.u32(unix.NFTA_LOOKUP_FLAGS)
		x.Invert = flags&unix.NFT_LOOKUP_F_INV != 0
		f.odd = f.odd || flags&^unix.NFT_LOOKUP_F_INV != 0
	}
	return x
}

func (f *fields) immediate() Expr {
	data, v := f.d.value(f.take(unix.NFTA_IMMEDIATE_DATA))
	if f.u32(unix.NFTA_IMMEDIATE_DREG) != unix.NFT_REG_VERDICT || data != nil || v == nil {
		f.odd = true
		return nil
	}
	return *v
}

// exhausted says whether everything was found and nothing is left but zeros: an attribute that a newer kernel added
// says nothing new as long as it is zero.
func (f *fields) exhausted() bool {
	for _, a := range f.attr {
		if !zero(a) {
			return false
		}
	}
	return !f.odd
}

func zero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
