//go:build linux

package ruleset

import (
	"time"

	"golang.org/x/sys/unix"
)

// Family is the protocol family of a table: which packets its chains see.
type Family uint8

// The families. AnyFamily is for reading only: it stands for all of them.
const (
	AnyFamily Family = unix.NFPROTO_UNSPEC
	INet      Family = unix.NFPROTO_INET
	IPv4      Family = unix.NFPROTO_IPV4
	IPv6      Family = unix.NFPROTO_IPV6
	ARP       Family = unix.NFPROTO_ARP
	NetDev    Family = unix.NFPROTO_NETDEV
	Bridge    Family = unix.NFPROTO_BRIDGE
)

// String returns the family's name as nft writes it.
func (f Family) String() string {
	switch f {
	case INet:
		return "inet"
	case IPv4:
		return "ip"
	case IPv6:
		return "ip6"
	case ARP:
		return "arp"
	case NetDev:
		return "netdev"
	case Bridge:
		return "bridge"
	case AnyFamily:
		return "any"
	default:
		return "unknown"
	}
}

// TableID names a table. When reading, an empty Name stands for all tables of the family.
type TableID struct {
	Family Family
	Name   string
}

// Chain names a chain of the table.
func (t TableID) Chain(name string) ChainID { return ChainID{Table: t, Name: name} }

// Set names a set of the table.
func (t TableID) Set(name string) SetID { return SetID{Table: t, Name: name} }

// String returns "inet name".
func (t TableID) String() string { return t.Family.String() + " " + t.Name }

// Admits says whether an object of table o belongs to what t asks for when reading.
func (t TableID) Admits(o TableID) bool {
	return (t.Family == AnyFamily || t.Family == o.Family) && (t.Name == "" || t.Name == o.Name)
}

// ChainID names a chain.
type ChainID struct {
	Table TableID
	Name  string
}

// String returns "inet table chain".
func (c ChainID) String() string { return c.Table.String() + " " + c.Name }

// SetID names a set or a map.
type SetID struct {
	Table TableID
	Name  string
}

// String returns "inet table set".
func (s SetID) String() string { return s.Table.String() + " " + s.Name }

// TableFlags are the kernel's NFT_TABLE_F_* bits.
type TableFlags uint32

// The flags of a table. An owned table can be changed by the socket that owns it alone; it vanishes with that socket
// unless it also persists (Linux 6.9).
const (
	TableDormant TableFlags = 1
	TableOwner   TableFlags = 2
	TablePersist TableFlags = 4
)

// Table is a table without its content. Tables compare with ==.
type Table struct {
	TableID
	Flags   TableFlags
	Comment string
	Owner   uint32 // the netlink port of the owning socket, 0 for none; read only
}

// HookNum says where in a packet's way a base chain sits. The same number means other places in other families.
type HookNum uint32

// The hooks of the families ip, ip6, inet and bridge; Ingress is the one of inet and netdev.
const (
	Prerouting    HookNum = unix.NF_INET_PRE_ROUTING
	Input         HookNum = unix.NF_INET_LOCAL_IN
	Forward       HookNum = unix.NF_INET_FORWARD
	Output        HookNum = unix.NF_INET_LOCAL_OUT
	Postrouting   HookNum = unix.NF_INET_POST_ROUTING
	Ingress       HookNum = 5
	NetDevIngress HookNum = 0
)

// Hook binds a chain to a place in the packet's way. The zero Hook is that of a regular chain, which is only jumped to.
type Hook struct {
	Type     string // "filter", "nat" or "route"; empty for a regular chain
	Num      HookNum
	Priority int32       // lower runs earlier; -150 is nft's "mangle"
	Policy   VerdictCode // Accept or Drop; the zero value drops
	Devices  string      // the interfaces of an ingress hook, joined by commas; read only
}

// Chain is a chain without its rules. Chains compare with ==.
type Chain struct {
	ChainID
	Hook    Hook
	Comment string
}

// SetFlags are the kernel's NFT_SET_* bits.
type SetFlags uint32

// The flags of a set.
const (
	SetAnonymous SetFlags = unix.NFT_SET_ANONYMOUS
	SetConstant  SetFlags = unix.NFT_SET_CONSTANT
	SetInterval  SetFlags = unix.NFT_SET_INTERVAL
	SetMap       SetFlags = unix.NFT_SET_MAP
	SetTimeout   SetFlags = unix.NFT_SET_TIMEOUT
	SetDynamic   SetFlags = unix.NFT_SET_EVAL
)

// Set is a set without its elements. Sets compare with ==.
type Set struct {
	SetID
	Key     KeyType
	Flags   SetFlags
	Timeout time.Duration // for elements that have none of their own; 0 means that those are permanent
	Size    uint32        // the most elements it takes, expired ones included until they are collected; 0 means no limit
	Counter bool          // every element counts its packets
	Comment string
}

// Element is one element of a set.
type Element struct {
	Key     []byte        // in network order, see [Concat]
	KeyEnd  []byte        // the last key of the range, in sets of concatenated intervals
	Timeout time.Duration // its whole life; 0 means the set's default
	Expires time.Duration // what is left of it; 0 when writing means all of it
	Comment string        // at most MaxComment bytes
	Flags   ElementFlags
	Verdict *Verdict // what a verdict map decides, nil elsewhere; read only
	Packets uint64   // read only, as is Bytes
	Bytes   uint64
}

// ElementFlags are the kernel's NFT_SET_ELEM_* bits.
type ElementFlags uint32

// The flags of an element.
const (
	IntervalEnd ElementFlags = unix.NFT_SET_ELEM_INTERVAL_END // the key is the first one after an interval
	CatchAll    ElementFlags = 2                              // matches every key that no other element has; it has no key
)

// MaxComment is the longest comment in bytes. Of an element, Linux refuses one of 252 and silently forgets one of 253; a
// set's shares its room with a note of six bytes. The nft tool shows all of them but writes none longer than 127.
const MaxComment = 245

// Rule is one rule.
type Rule struct {
	ChainID
	Handle  uint64 // the kernel's number for it, unique in the table; read only
	Exprs   []Expr
	Comment string
}
