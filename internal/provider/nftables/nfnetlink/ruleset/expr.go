//go:build linux

package ruleset

import "golang.org/x/sys/unix"

// Expr is one instruction of a rule: it loads, changes, compares or decides. The set of them is closed: [Payload],
// [Meta], [Fib], [Bitwise], [Cmp], [Lookup], [Verdict], [Counter] and, for everything else, [Raw].
type Expr interface {
	name() string
	encode(e *Encoder)
}

// Reg is a data register: one of sixteen with four bytes each. Longer values take the following registers too.
type Reg uint8

// Header is the packet header that a payload offset counts from.
type Header uint32

// The headers.
const (
	LinkHeader      Header = unix.NFT_PAYLOAD_LL_HEADER
	NetworkHeader   Header = unix.NFT_PAYLOAD_NETWORK_HEADER
	TransportHeader Header = unix.NFT_PAYLOAD_TRANSPORT_HEADER
)

// Payload loads Len bytes of the packet from Offset of Base into Dst.
type Payload struct {
	Base   Header
	Offset uint32
	Len    uint32
	Dst    Reg
}

// MetaKey is a property of the packet that stands in no header.
type MetaKey uint32

// The meta keys.
const (
	MetaInputIndex  MetaKey = unix.NFT_META_IIF
	MetaOutputIndex MetaKey = unix.NFT_META_OIF
	MetaInputName   MetaKey = unix.NFT_META_IIFNAME
	MetaOutputName  MetaKey = unix.NFT_META_OIFNAME
	MetaNFProto     MetaKey = unix.NFT_META_NFPROTO
	MetaL4Proto     MetaKey = unix.NFT_META_L4PROTO
)

// Meta loads a property of the packet into Dst.
type Meta struct {
	Key MetaKey
	Dst Reg
}

// Fib asks the routing table and puts the answer into Dst.
type Fib struct {
	Result uint32 // unix.NFT_FIB_RESULT_*
	Flags  uint32 // unix.NFTA_FIB_F_*: what is looked up
	Dst    Reg
}

// Bitwise puts (Src & Mask) ^ Xor into Dst. Mask and Xor have the same length; an empty Xor is all zeros.
type Bitwise struct {
	Src, Dst Reg
	Mask     []byte
	Xor      []byte
}

// CmpOp is a comparison.
type CmpOp uint32

// The comparisons.
const (
	Equal    CmpOp = unix.NFT_CMP_EQ
	NotEqual CmpOp = unix.NFT_CMP_NEQ
)

// Cmp ends the rule unless Src compares with Data as Op says. Greater and less compare bytes, so network order.
type Cmp struct {
	Src  Reg
	Op   CmpOp
	Data []byte
}

// Lookup ends the rule unless the registers from Src on hold a key of the set, or, inverted, when they do.
type Lookup struct {
	Set    string
	Src    Reg
	Invert bool
}

// VerdictCode is what to do with the packet.
type VerdictCode int32

// The verdicts. The zero value is Drop, so that a forgotten one is closed.
const (
	VerdictDrop     VerdictCode = 0
	VerdictAccept   VerdictCode = 1
	VerdictContinue VerdictCode = unix.NFT_CONTINUE
	VerdictBreak    VerdictCode = unix.NFT_BREAK
	VerdictJump     VerdictCode = unix.NFT_JUMP
	VerdictGoto     VerdictCode = unix.NFT_GOTO
	VerdictReturn   VerdictCode = unix.NFT_RETURN
)

// Verdict decides; Chain is where VerdictJump and VerdictGoto go.
type Verdict struct {
	Code  VerdictCode
	Chain string
}

// Counter counts the packets that reach it.
type Counter struct {
	Packets uint64
	Bytes   uint64
}

// Raw is an expression that this package does not model: its kernel name and its encoded attributes.
type Raw struct {
	Name string
	Data []byte
}
