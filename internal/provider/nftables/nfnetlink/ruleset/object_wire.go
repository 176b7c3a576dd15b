//go:build linux

package ruleset

import (
	"encoding/binary"
	"math"
	"time"

	"golang.org/x/sys/unix"
)

// Encode writes the table as a message about it has it.
func (t Table) Encode(e *Encoder) {
	e.Name(unix.NFTA_TABLE_NAME, t.Name)
	e.U32(unix.NFTA_TABLE_FLAGS, uint32(t.Flags))
	e.comment(attrTableUserdata, udataComment, t.Comment)
}

// Table reads the attributes of a table of the family.
func (d *Decoder) Table(f Family, b []byte) Table {
	t := Table{TableID: TableID{Family: f}}
	for typ, a := range d.Attrs(b) {
		switch typ {
		case unix.NFTA_TABLE_NAME:
			t.Name = d.Str(a)
		case unix.NFTA_TABLE_FLAGS:
			t.Flags = TableFlags(d.U32(a))
		case attrTableUserdata:
			t.Comment = d.comment(a, udataComment)
		case attrTableOwner:
			t.Owner = d.U32(a)
		}
	}
	return t
}

// Encode writes the chain; one with a zero Hook is a regular one.
func (c Chain) Encode(e *Encoder) {
	e.Name(unix.NFTA_CHAIN_TABLE, c.Table.Name)
	e.Name(unix.NFTA_CHAIN_NAME, c.Name)
	if c.Hook != (Hook{}) {
		if c.Hook.Devices != "" {
			e.Fail("encode chain %s: the devices of a hook can only be read", c.ChainID)
		}
		hook := e.Nest(unix.NFTA_CHAIN_HOOK)
		e.U32(unix.NFTA_HOOK_HOOKNUM, uint32(c.Hook.Num))
		e.U32(unix.NFTA_HOOK_PRIORITY, uint32(c.Hook.Priority)) //nolint:gosec // The kernel reads it as signed.
		e.EndNest(hook)
		e.Name(unix.NFTA_CHAIN_TYPE, c.Hook.Type)
		e.U32(unix.NFTA_CHAIN_POLICY, uint32(c.Hook.Policy)) //nolint:gosec // The kernel's codes are signed.
	}
	e.comment(attrChainUserdata, udataComment, c.Comment)
}

// Chain reads the attributes of a chain.
func (d *Decoder) Chain(f Family, b []byte) Chain {
	c := Chain{ChainID: ChainID{Table: TableID{Family: f}}}
	for typ, a := range d.Attrs(b) {
		switch typ {
		case unix.NFTA_CHAIN_TABLE:
			c.Table.Name = d.Str(a)
		case unix.NFTA_CHAIN_NAME:
			c.Name = d.Str(a)
		case unix.NFTA_CHAIN_TYPE:
			c.Hook.Type = d.Str(a)
		case unix.NFTA_CHAIN_POLICY:
			c.Hook.Policy = VerdictCode(int32(d.U32(a))) //nolint:gosec // The kernel's codes are signed.
		case unix.NFTA_CHAIN_HOOK:
			d.hook(&c.Hook, a)
		case attrChainUserdata:
			c.Comment = d.comment(a, udataComment)
		}
	}
	return c
}

func (d *Decoder) hook(h *Hook, b []byte) {
	for typ, a := range d.Attrs(b) {
		switch typ {
		case unix.NFTA_HOOK_HOOKNUM:
			h.Num = HookNum(d.U32(a))
		case unix.NFTA_HOOK_PRIORITY:
			h.Priority = int32(d.U32(a)) //nolint:gosec // The kernel means it signed.
		case unix.NFTA_HOOK_DEV:
			h.Devices = d.Str(a)
		case attrHookDevs:
			h.Devices = ""
			for t, name := range d.Attrs(a) {
				if t == attrDeviceName && h.Devices != "" {
					h.Devices += ","
				}
				h.Devices += d.Str(name)
			}
		}
	}
}

// Encode writes the set. The id is how later messages of the same batch could name it; the kernel insists on one.
func (s Set) Encode(e *Encoder, id uint32) {
	length := s.Key.length()
	if length == 0 {
		e.Fail("encode set %s: unknown key type %#x", s.SetID, uint32(s.Key))
	}
	e.Name(unix.NFTA_SET_TABLE, s.Table.Name)
	e.Name(unix.NFTA_SET_NAME, s.Name)
	e.U32(unix.NFTA_SET_FLAGS, uint32(s.Flags))
	e.U32(unix.NFTA_SET_KEY_TYPE, uint32(s.Key))
	e.U32(unix.NFTA_SET_KEY_LEN, uint32(length)) //nolint:gosec // At most 80.
	e.U32(unix.NFTA_SET_ID, id)
	if s.Size > 0 {
		at := e.Nest(unix.NFTA_SET_DESC)
		e.U32(unix.NFTA_SET_DESC_SIZE, s.Size)
		e.EndNest(at)
	}
	e.duration(unix.NFTA_SET_TIMEOUT, s.Timeout)
	if s.Counter {
		e.expr(attrSetExpr, Counter{})
	}
	// nft notes the byte order of the key for itself: 2 is the network's, 0 that of a concatenation.
	order := []byte{udataSetKeyByteorder, 4, 0, 0, 0, 0}
	if s.Key <= keyTypeMask {
		binary.NativeEndian.PutUint32(order[2:], 2)
	}
	e.comment(unix.NFTA_SET_USERDATA, udataSetComment, s.Comment, order...)
}

// Set reads the attributes of a set.
func (d *Decoder) Set(f Family, b []byte) Set {
	s := Set{SetID: SetID{Table: TableID{Family: f}}}
	for typ, a := range d.Attrs(b) {
		switch typ {
		case unix.NFTA_SET_TABLE:
			s.Table.Name = d.Str(a)
		case unix.NFTA_SET_NAME:
			s.Name = d.Str(a)
		case unix.NFTA_SET_FLAGS:
			s.Flags = SetFlags(d.U32(a))
		case unix.NFTA_SET_KEY_TYPE:
			s.Key = KeyType(d.U32(a))
		case unix.NFTA_SET_TIMEOUT:
			s.Timeout = d.duration(a)
		case unix.NFTA_SET_DESC:
			for t, v := range d.Attrs(a) {
				if t == unix.NFTA_SET_DESC_SIZE {
					s.Size = d.U32(v)
				}
			}
		case attrSetExpr:
			_, s.Counter = d.expr(a).(Counter)
		case attrSetExprs:
			for _, x := range d.exprs(a) {
				_, counts := x.(Counter)
				s.Counter = s.Counter || counts
			}
		case unix.NFTA_SET_USERDATA:
			s.Comment = d.comment(a, udataSetComment)
		}
	}
	return s
}

// Encode writes the rule without its handle, which is the kernel's to give.
func (r Rule) Encode(e *Encoder) {
	e.Name(unix.NFTA_RULE_TABLE, r.Table.Name)
	e.Name(unix.NFTA_RULE_CHAIN, r.Name)
	e.exprs(unix.NFTA_RULE_EXPRESSIONS, r.Exprs)
	e.comment(unix.NFTA_RULE_USERDATA, udataComment, r.Comment)
}

// Rule reads the attributes of a rule.
func (d *Decoder) Rule(f Family, b []byte) Rule {
	r := Rule{ChainID: ChainID{Table: TableID{Family: f}}}
	for typ, a := range d.Attrs(b) {
		switch typ {
		case unix.NFTA_RULE_TABLE:
			r.Table.Name = d.Str(a)
		case unix.NFTA_RULE_CHAIN:
			r.Name = d.Str(a)
		case unix.NFTA_RULE_HANDLE:
			r.Handle = d.U64(a)
		case unix.NFTA_RULE_EXPRESSIONS:
			r.Exprs = d.exprs(a)
		case unix.NFTA_RULE_USERDATA:
			r.Comment = d.comment(a, udataComment)
		}
	}
	return r
}

// Encode writes the element; one that is only to be found needs no more than its key.
func (x *Element) Encode(e *Encoder, keyOnly bool) {
	at := e.Nest(unix.NFTA_LIST_ELEM)
	if x.Flags != 0 {
		e.U32(unix.NFTA_SET_ELEM_FLAGS, uint32(x.Flags))
	}
	if x.Flags&CatchAll == 0 {
		if len(x.Key) == 0 || len(x.Key) > maxKey || len(x.KeyEnd) > maxKey {
			e.Fail("encode element %x: a key has 1 to %d bytes", x.Key, maxKey)
		}
		e.value(unix.NFTA_SET_ELEM_KEY, x.Key)
	}
	if len(x.KeyEnd) > 0 {
		e.value(attrElemKeyEnd, x.KeyEnd)
	}
	if !keyOnly {
		e.duration(unix.NFTA_SET_ELEM_TIMEOUT, x.Timeout)
		e.duration(unix.NFTA_SET_ELEM_EXPIRATION, x.Expires)
		e.comment(unix.NFTA_SET_ELEM_USERDATA, udataComment, x.Comment)
	}
	e.EndNest(at)
}

func (d *Decoder) element(b []byte) Element {
	var x Element
	for typ, a := range d.Attrs(b) {
		switch typ {
		case unix.NFTA_SET_ELEM_KEY:
			x.Key, _ = d.value(a)
		case attrElemKeyEnd:
			x.KeyEnd, _ = d.value(a)
		case unix.NFTA_SET_ELEM_DATA:
			_, x.Verdict = d.value(a)
		case unix.NFTA_SET_ELEM_FLAGS:
			x.Flags = ElementFlags(d.U32(a))
		case unix.NFTA_SET_ELEM_TIMEOUT:
			x.Timeout = d.duration(a)
		case unix.NFTA_SET_ELEM_EXPIRATION:
			x.Expires = d.duration(a)
		case unix.NFTA_SET_ELEM_USERDATA:
			x.Comment = d.comment(a, udataComment)
		case unix.NFTA_SET_ELEM_EXPR:
			x.count(d.expr(a))
		case attrElemExprs:
			for _, y := range d.exprs(a) {
				x.count(y)
			}
		}
	}
	return x
}

func (x *Element) count(y Expr) {
	if c, ok := y.(Counter); ok {
		x.Packets, x.Bytes = c.Packets, c.Bytes
	}
}

// Elements reads the attributes of a message with elements, and which set they are of.
func (d *Decoder) Elements(f Family, b []byte) (SetID, []Element) {
	id := SetID{Table: TableID{Family: f}}
	var list []Element
	for typ, a := range d.Attrs(b) {
		switch typ {
		case unix.NFTA_SET_ELEM_LIST_TABLE:
			id.Table.Name = d.Str(a)
		case unix.NFTA_SET_ELEM_LIST_SET:
			id.Name = d.Str(a)
		case unix.NFTA_SET_ELEM_LIST_ELEMENTS:
			for _, x := range d.Attrs(a) {
				list = append(list, d.element(x))
			}
		}
	}
	return id, list
}

// duration writes a time in milliseconds, and nothing for none. What is shorter than a millisecond counts as one,
// because none would mean for ever.
func (e *Encoder) duration(typ uint16, t time.Duration) {
	switch {
	case t < 0:
		e.Fail("encode duration %v: it is negative", t)
	case t > 0:
		e.U64(typ, uint64(max(t.Milliseconds(), 1)))
	}
}

// duration reads milliseconds; what is longer than a Duration can say becomes the longest one.
func (d *Decoder) duration(b []byte) time.Duration {
	const most = math.MaxInt64 / int64(time.Millisecond)
	return time.Duration(min(d.U64(b), uint64(most))) * time.Millisecond
}
