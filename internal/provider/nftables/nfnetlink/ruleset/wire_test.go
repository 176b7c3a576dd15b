//go:build linux

package ruleset

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

var table = TableID{Family: INet, Name: "t"}

func names() *rapid.Generator[string] { return rapid.StringMatching(`[a-z][a-z0-9_]{0,30}`) }

func comments() *rapid.Generator[string] {
	return rapid.StringOfN(rapid.RuneFrom([]rune("aä→ 0")), 0, 60, 200)
}

func some(n int) *rapid.Generator[[]byte] { return rapid.SliceOfN(rapid.Byte(), 1, n) }

func registers() *rapid.Generator[Reg] {
	return rapid.Map(rapid.Uint8Range(0, 15), func(r uint8) Reg { return Reg(r) })
}

// whole makes a generator of complete milliseconds.
func whole() *rapid.Generator[time.Duration] {
	return rapid.Map(rapid.Int64Range(0, 1<<40), func(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond })
}

func anyExpr() *rapid.Generator[Expr] {
	return rapid.Custom(func(t *rapid.T) Expr {
		reg := registers().Draw(t, "register")
		number := rapid.Uint32()
		switch rapid.IntRange(0, 8).Draw(t, "kind") {
		case 0:
			return Payload{Base: Header(number.Draw(t, "base")), Offset: number.Draw(t, "offset"), Len: number.Draw(t, "len"), Dst: reg}
		case 1:
			return Meta{Key: MetaKey(number.Draw(t, "key")), Dst: reg}
		case 2:
			return Fib{Result: number.Draw(t, "result"), Flags: number.Draw(t, "flags"), Dst: reg}
		case 3:
			x := Bitwise{Src: reg, Dst: registers().Draw(t, "destination"), Mask: some(16).Draw(t, "mask")}
			if xor := rapid.SliceOfN(rapid.Byte(), len(x.Mask), len(x.Mask)).Draw(t, "xor"); !zero(xor) {
				x.Xor = xor
			}
			return x
		case 4:
			return Cmp{Src: reg, Op: CmpOp(number.Draw(t, "op")), Data: some(16).Draw(t, "data")}
		case 5:
			return Lookup{Set: names().Draw(t, "set"), Src: reg, Invert: rapid.Bool().Draw(t, "invert")}
		case 6:
			code := rapid.SampledFrom([]VerdictCode{VerdictDrop, VerdictAccept, VerdictContinue, VerdictBreak, VerdictReturn}).Draw(t, "code")
			return Verdict{Code: code}
		case 7:
			code := rapid.SampledFrom([]VerdictCode{VerdictJump, VerdictGoto}).Draw(t, "code")
			return Verdict{Code: code, Chain: names().Draw(t, "chain")}
		default:
			return Counter{Packets: rapid.Uint64().Draw(t, "packets"), Bytes: rapid.Uint64().Draw(t, "bytes")}
		}
	})
}

// again encodes and returns the attributes, whole and well-formed.
func again(t *rapid.T, write func(e *Encoder)) []byte {
	t.Helper()
	var e Encoder
	write(&e)
	if e.Err != nil {
		t.Fatal(e.Err)
	}
	if len(e.Buf)%unix.NLA_ALIGNTO != 0 {
		t.Fatalf("%d bytes are not aligned", len(e.Buf))
	}
	return e.Buf
}

func same[T any](t *rapid.T, d Decoder, want, got T) {
	t.Helper()
	if d.Err != nil {
		t.Fatal(d.Err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("read back (-want +got):\n%s", diff)
	}
}

func TestObjectsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var d Decoder
		id := TableID{Family: INet, Name: names().Draw(t, "table")}
		tab := Table{TableID: id, Flags: TableFlags(rapid.Uint32().Draw(t, "flags")), Comment: comments().Draw(t, "comment")}
		same(t, d, tab, d.Table(INet, again(t, tab.Encode)))

		chain := Chain{ChainID: id.Chain(names().Draw(t, "chain")), Comment: comments().Draw(t, "comment")}
		if rapid.Bool().Draw(t, "base") {
			chain.Hook = Hook{
				Type: names().Draw(t, "type"), Num: HookNum(rapid.Uint32().Draw(t, "hook")),
				Priority: rapid.Int32().Draw(t, "priority"), Policy: VerdictCode(rapid.Int32().Draw(t, "policy")),
			}
		}
		same(t, d, chain, d.Chain(INet, again(t, chain.Encode)))

		types := rapid.SliceOfN(rapid.SampledFrom([]DataType{IPv4Addr, IPv6Addr, InetProto, InetService}), 1, maxKeyFields).Draw(t, "key")
		set := Set{
			SetID: id.Set(names().Draw(t, "set")), Key: KeyOf(types...), Flags: SetFlags(rapid.Uint32().Draw(t, "flags")),
			Timeout: whole().Draw(t, "timeout"), Size: rapid.Uint32().Draw(t, "size"), Counter: rapid.Bool().Draw(t, "counter"),
			Comment: comments().Draw(t, "comment"),
		}
		same(t, d, set, d.Set(INet, again(t, func(e *Encoder) { set.Encode(e, 1) })))
	})
}

func TestRulesReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var d Decoder
		rule := NewRule(table.Chain("c"), comments().Draw(t, "comment"), rapid.SliceOf(anyExpr()).Draw(t, "expressions"))
		got := d.Rule(INet, again(t, rule.Encode))
		same(t, d, rule, got)
		if !got.Equal(rule) {
			t.Fatal("read back, it is not equal")
		}
	})
}

func TestElementsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var d Decoder
		x := Element{
			Key: some(maxKey).Draw(t, "key"), KeyEnd: rapid.SliceOfN(rapid.Byte(), 0, maxKey).Draw(t, "end"),
			Timeout: whole().Draw(t, "timeout"), Expires: whole().Draw(t, "expires"), Comment: comments().Draw(t, "comment"),
			Flags: ElementFlags(rapid.SampledFrom([]uint32{0, 1}).Draw(t, "flags")),
		}
		var e Encoder
		list := e.Nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS)
		x.Encode(&e, false)
		x.Encode(&e, true)
		e.EndNest(list)
		_, got := d.Elements(INet, e.Buf)
		same(t, d, []Element{x, {Key: x.Key, KeyEnd: x.KeyEnd, Flags: x.Flags}}, got)
	})
}

func TestWhatIsNotModelledStaysRaw(t *testing.T) {
	write := func(name string, body func(e *Encoder)) []byte {
		var e Encoder
		e.Name(unix.NFTA_EXPR_NAME, name)
		at := e.Nest(unix.NFTA_EXPR_DATA)
		body(&e)
		e.EndNest(at)
		return e.Buf
	}
	for name, test := range map[string]struct {
		expr []byte
		raw  bool
	}{
		"unknown":                        {write("limit", func(e *Encoder) { e.U32(1, 5) }), true},
		"a newer attribute":              {write("meta", func(e *Encoder) { Meta{Key: MetaL4Proto}.encode(e); e.U32(9, 1) }), true},
		"a newer attribute of no effect": {write("meta", func(e *Encoder) { Meta{Key: MetaL4Proto}.encode(e); e.U32(9, 0) }), false},
		"a very new attribute":           {write("meta", func(e *Encoder) { Meta{Key: MetaL4Proto}.encode(e); e.U32(99, 0) }), true},
		"a setter":                       {write("meta", func(e *Encoder) { e.U32(unix.NFTA_META_KEY, 3); e.U32(unix.NFTA_META_SREG, 1) }), true},
		"a map":                          {write("lookup", func(e *Encoder) { Lookup{Set: "s"}.encode(e); e.U32(unix.NFTA_LOOKUP_DREG, unix.NFT_REG_VERDICT) }), true},
		"a shift":                        {write("bitwise", func(e *Encoder) { Bitwise{Mask: []byte{1}}.encode(e); e.U32(6, 1) }), true},
		"a boolean":                      {write("bitwise", func(e *Encoder) { Bitwise{Mask: []byte{1}}.encode(e); e.U32(6, 0) }), false},
		"a constant":                     {write("immediate", func(e *Encoder) { e.reg(unix.NFTA_IMMEDIATE_DREG, 0); e.value(unix.NFTA_IMMEDIATE_DATA, []byte{1}) }), true},
		"a half":                         {write("cmp", func(e *Encoder) { e.reg(unix.NFTA_CMP_SREG, 0) }), true},
		"a lookup":                       {write("lookup", func(e *Encoder) { Lookup{Set: "s", Invert: true}.encode(e) }), false},
		"a lookup with new flags":        {write("lookup", func(e *Encoder) { Lookup{Set: "s"}.encode(e); e.U32(unix.NFTA_LOOKUP_FLAGS, 2) }), true},
	} {
		var d Decoder
		x := d.expr(test.expr)
		raw, isRaw := x.(Raw)
		if d.Err != nil || isRaw != test.raw {
			t.Errorf("%s: read %#v, %v", name, x, d.Err)
		}
		if isRaw {
			if got := write(raw.Name, raw.encode); !bytes.Equal(got, test.expr) {
				t.Errorf("%s: written again as %x, want %x", name, got, test.expr)
			}
		}
	}
}

func TestRulesThatDifferAreNotEqual(t *testing.T) {
	a := NewRule(table.Chain("c"), "x", In("s", SourceIPv4(), L4Proto(), DestPort()), Count(), Accept())
	b := a
	b.Handle = 7
	b.Exprs = append([]Expr(nil), a.Exprs...)
	b.Exprs[len(b.Exprs)-2] = Counter{Packets: 5, Bytes: 500}
	if !a.Equal(b) {
		t.Error("the handle and what the counter shows must not matter")
	}
	bad := []Expr{Raw{}}
	for name, o := range map[string]Rule{
		"chain":   NewRule(table.Chain("d"), "x", a.Exprs),
		"comment": NewRule(table.Chain("c"), "y", a.Exprs),
		"verdict": NewRule(table.Chain("c"), "x", a.Exprs[:len(a.Exprs)-1], Drop()),
		"order":   NewRule(table.Chain("c"), "x", In("s", SourceIPv4(), DestPort(), L4Proto()), Count(), Accept()),
		"invert":  NewRule(table.Chain("c"), "x", NotIn("s", SourceIPv4(), L4Proto(), DestPort()), Count(), Accept()),
		"prefix":  NewRule(table.Chain("c"), "x", In("s", SourceIPv4().Prefix(31), L4Proto(), DestPort()), Count(), Accept()),
		"more":    NewRule(table.Chain("c"), "x", a.Exprs, Accept()),
	} {
		if a.Equal(o) || o.Equal(a) {
			t.Errorf("%s: different rules are equal", name)
		}
	}
	if x := NewRule(table.Chain("c"), "", bad); x.Equal(x) {
		t.Error("what cannot be encoded is equal to nothing")
	}
}

func TestConcatenationsFillRegisters(t *testing.T) {
	want := []Expr{
		Meta{Key: MetaNFProto},
		Cmp{Op: Equal, Data: []byte{unix.NFPROTO_IPV6}},
		Payload{Base: NetworkHeader, Offset: 8, Len: 16, Dst: 0},
		Bitwise{Mask: []byte{255, 255, 255, 255, 255, 255, 0xfe, 0, 0, 0, 0, 0, 0, 0, 0, 0}},
		Meta{Key: MetaL4Proto, Dst: 4},
		Payload{Base: TransportHeader, Offset: 2, Len: 2, Dst: 5},
		Lookup{Set: "s", Invert: true},
	}
	if diff := cmp.Diff(want, NotIn("s", SourceIPv6().Prefix(55), L4Proto(), DestPort())); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	key := Concat([]byte{1, 2, 3, 4}, ProtoKey(6), PortKey(0x0102))
	if diff := cmp.Diff([]byte{1, 2, 3, 4, 6, 0, 0, 0, 1, 2, 0, 0}, key); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for _, test := range []struct {
		key    KeyType
		number uint32
		length int
	}{
		{KeyOf(InetService), 13, 2},
		{KeyOf(IPv4Addr, InetProto, InetService), 7<<12 | 12<<6 | 13, 12},
		{KeyOf(IPv6Addr, InetProto, InetService), 8<<12 | 12<<6 | 13, 24},
		{KeyOf(IPv4Addr, DataType(33)), 7<<6 | 33, 0},
		{KeyOf(InetProto, InetProto, InetProto, InetProto, InetProto, InetProto), 0, 0},
		{KeyOf(), 0, 0},
	} {
		if uint32(test.key) != test.number || test.key.length() != test.length {
			t.Errorf("key type %#x of %d bytes, want %#x of %d", test.key, test.key.length(), test.number, test.length)
		}
	}
	if got, want := IsNot(DestType(), 2)[1].(Cmp).Data, binary.NativeEndian.AppendUint32(nil, 2); !bytes.Equal(got, want) {
		t.Errorf("an address type is %x, want %x in the host's order", got, want)
	}
	if got := Is(DestPort(), 22)[1].(Cmp).Data; !bytes.Equal(got, []byte{0, 22}) {
		t.Errorf("a port is %x, want it in network order", got)
	}
}

func TestTimesAreCutButNeverToForever(t *testing.T) {
	for in, want := range map[time.Duration]time.Duration{
		0: 0, 1: time.Millisecond, 1999 * time.Microsecond: time.Millisecond, time.Hour: time.Hour,
	} {
		var e Encoder
		e.duration(4, in)
		var d Decoder
		var got time.Duration
		for _, a := range d.Attrs(e.Buf) {
			got = d.duration(a)
		}
		if got != want || d.Err != nil || e.Err != nil {
			t.Errorf("%v becomes %v, want %v", in, got, want)
		}
	}
	var d Decoder
	if got := d.duration(bytes.Repeat([]byte{255}, 8)); got <= 0 {
		t.Errorf("a time beyond what a Duration holds becomes %v", got)
	}
}

func TestTheLongestCommentFitsEverywhere(t *testing.T) {
	long := strings.Repeat("x", MaxComment)
	var e Encoder
	Set{SetID: table.Set("s"), Key: KeyOf(IPv4Addr), Comment: long}.Encode(&e, 1)
	var d Decoder
	if got := d.Set(INet, e.Buf); e.Err != nil || got.Comment != long {
		t.Errorf("read back %q, %v", got.Comment, e.Err)
	}
	for typ, a := range d.Attrs(e.Buf) {
		if typ == unix.NFTA_SET_USERDATA && len(a) > unix.NFT_USERDATA_MAXLEN-2 {
			t.Errorf("%d bytes of user data; of more than 254 the kernel forgets them", len(a))
		}
	}
}

// FuzzDecode feeds attributes to everything that reads them, and what was read back to what writes.
func FuzzDecode(f *testing.F) {
	for _, write := range []func(e *Encoder){
		Table{TableID: table, Comment: "c"}.Encode,
		Chain{ChainID: table.Chain("c"), Hook: Hook{Type: "filter", Priority: -1}}.Encode,
		NewRule(table.Chain("c"), "x", In("s", SourceIPv4().Prefix(9)), IsNot(DestType(), 2), Count(), Goto("d")).Encode,
		func(e *Encoder) {
			Set{SetID: table.Set("s"), Key: KeyOf(IPv4Addr), Size: 9, Counter: true, Timeout: 9e9}.Encode(e, 1)
		},
		func(e *Encoder) {
			at := e.Nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS)
			(&Element{Key: []byte{1, 2}, KeyEnd: []byte{3}, Comment: "c", Timeout: 9e9}).Encode(e, false)
			e.EndNest(at)
		},
	} {
		var e Encoder
		write(&e)
		f.Add(e.Buf)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		var d Decoder
		d.Table(INet, data)
		d.Chain(INet, data)
		d.Set(INet, data)
		d.Elements(INet, data)
		d = Decoder{}
		rule := d.Rule(INet, data)
		rule.Refuses()
		if !bytes.Equal(before, data) {
			t.Fatal("reading changed the data")
		}
		if d.Err != nil {
			return
		}
		var e Encoder
		if rule.Encode(&e); e.Err != nil {
			return // a name that the kernel would not give
		}
		if got := d.Rule(INet, e.Buf); d.Err != nil || !got.Equal(rule) {
			t.Errorf("read %+v, written and read again %+v, %v", rule, got, d.Err)
		}
	})
}
