//go:build linux

package nfnetlink

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/sesame-access/sesame/internal/provider/nftables/nfnetlink/ruleset"
)

const (
	// maxElements bounds the elements of one message; by size they could be more.
	maxElements = 300
	// maxList bounds the element list of one message in bytes, with room below what an attribute can hold.
	maxList = 60_000
	// batchHead is the length of the message that begins a batch: header and the expected generation.
	batchHead = headerLen + unix.NLA_HDRLEN + 4
)

// Batch is one transaction being written. Every call is one operation, numbered from 0. What cannot be encoded is
// remembered and reported by Commit; nothing of the batch is sent then. A Batch is not safe for concurrent use, and may be
// committed again.
type Batch struct {
	e    ruleset.Encoder
	sent []sentMessage
	ops  int
}

// sentMessage remembers what a message is about, so that an answer to it can be explained.
type sentMessage struct {
	at    int // where it begins in the buffer
	op    int
	first int          // for a list of elements, which of the operation's elements is the first one
	what  string       // "add element"
	on    fmt.Stringer // the table, chain or set
}

// NewBatch returns an empty transaction.
func NewBatch() *Batch {
	b := new(Batch)
	at := beginMessage(&b.e, unix.NFNL_MSG_BATCH_BEGIN, 0, ruleset.AnyFamily, unix.NFNL_SUBSYS_NFTABLES)
	b.e.U32(attrBatchGenID, 0)
	endMessage(&b.e, at)
	return b
}

// Expect makes the commit conditional: it is refused with unix.ERESTART when the ruleset of the namespace, which other
// programs change too, is of another generation by then. 0 takes the condition back.
func (b *Batch) Expect(generation uint32) {
	binary.BigEndian.PutUint32(b.e.Buf[batchHead-4:], generation)
}

// Size returns how many bytes the transaction takes; see [Conn.Limit].
func (b *Batch) Size() int { return len(b.e.Buf) + headerLen }

// Ops returns how many operations the batch has, which is the number of the next one.
func (b *Batch) Ops() int { return b.ops }

// AddTable creates the table, or leaves it as it is when it exists.
func (b *Batch) AddTable(t ruleset.Table) {
	b.op("add table", t.TableID, t.Family, unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, func() { t.Encode(&b.e) })
}

// DeleteTable deletes the table with all that is in it.
func (b *Batch) DeleteTable(t ruleset.TableID) {
	b.op("delete table", t, t.Family, unix.NFT_MSG_DELTABLE, 0, func() { b.e.Name(unix.NFTA_TABLE_NAME, t.Name) })
}

// DestroyTable deletes the table if there is one. Kernels before Linux 6.3 do not know it.
func (b *Batch) DestroyTable(t ruleset.TableID) {
	b.op("destroy table", t, t.Family, msgDestroyTable, 0, func() { b.e.Name(unix.NFTA_TABLE_NAME, t.Name) })
}

// AddChain creates the chain; of one that exists it can change the policy.
func (b *Batch) AddChain(c ruleset.Chain) {
	b.op("add chain", c.ChainID, c.Table.Family, unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE, func() { c.Encode(&b.e) })
}

// DeleteChain deletes the chain, which must be empty and not jumped to.
func (b *Batch) DeleteChain(c ruleset.ChainID) {
	b.op("delete chain", c, c.Table.Family, unix.NFT_MSG_DELCHAIN, 0, func() {
		b.e.Name(unix.NFTA_CHAIN_TABLE, c.Table.Name)
		b.e.Name(unix.NFTA_CHAIN_NAME, c.Name)
	})
}

// FlushChain deletes the rules of the chain.
func (b *Batch) FlushChain(c ruleset.ChainID) {
	b.op("flush chain", c, c.Table.Family, unix.NFT_MSG_DELRULE, 0, func() {
		b.e.Name(unix.NFTA_RULE_TABLE, c.Table.Name)
		b.e.Name(unix.NFTA_RULE_CHAIN, c.Name)
	})
}

// AddSet creates the set, or leaves it as it is when the same one exists; one that differs is unix.EEXIST.
func (b *Batch) AddSet(s ruleset.Set) {
	id := uint32(b.ops) + 1 //nolint:gosec // The batch would be too large long before.
	b.op("add set", s.SetID, s.Table.Family, unix.NFT_MSG_NEWSET, unix.NLM_F_CREATE, func() { s.Encode(&b.e, id) })
}

// DeleteSet deletes the set, which no rule may use.
func (b *Batch) DeleteSet(s ruleset.SetID) {
	b.op("delete set", s, s.Table.Family, unix.NFT_MSG_DELSET, 0, func() {
		b.e.Name(unix.NFTA_SET_TABLE, s.Table.Name)
		b.e.Name(unix.NFTA_SET_NAME, s.Name)
	})
}

// FlushSet deletes the elements of the set.
func (b *Batch) FlushSet(s ruleset.SetID) {
	b.op("flush set", s, s.Table.Family, unix.NFT_MSG_DELSETELEM, 0, func() { encodeList(&b.e, s) })
}

// AddRule appends the rule to its chain.
func (b *Batch) AddRule(r ruleset.Rule) {
	b.op("add rule", r.ChainID, r.Table.Family, unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_APPEND,
		func() { r.Encode(&b.e) })
}

// InsertRule puts the rule first in its chain.
func (b *Batch) InsertRule(r ruleset.Rule) {
	b.op("insert rule", r.ChainID, r.Table.Family, unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE, func() { r.Encode(&b.e) })
}

// DeleteRule deletes the rule with that handle.
func (b *Batch) DeleteRule(c ruleset.ChainID, handle uint64) {
	b.op("delete rule", c, c.Table.Family, unix.NFT_MSG_DELRULE, 0, func() {
		b.e.Name(unix.NFTA_RULE_TABLE, c.Table.Name)
		b.e.Name(unix.NFTA_RULE_CHAIN, c.Name)
		b.e.U64(unix.NFTA_RULE_HANDLE, handle)
	})
}

// AddElements adds the elements. What happens to one that exists depends on the kernel: before Linux 6.12 nothing,
// since then its timeout changes but not its comment. Adding, deleting and adding it again in one batch replaces it.
func (b *Batch) AddElements(s ruleset.SetID, elements ...ruleset.Element) {
	b.elements("add element", unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE, s, elements)
}

// DeleteElements deletes the elements, of which only the keys matter; one that is absent or expired is unix.ENOENT.
func (b *Batch) DeleteElements(s ruleset.SetID, elements ...ruleset.Element) {
	b.elements("delete element", unix.NFT_MSG_DELSETELEM, 0, s, elements)
}

// DestroyElements deletes those of the elements that are there. Kernels before Linux 6.3 do not know it.
func (b *Batch) DestroyElements(s ruleset.SetID, elements ...ruleset.Element) {
	b.elements("destroy element", msgDestroySetElem, 0, s, elements)
}

// op writes an operation of one message.
func (b *Batch) op(what string, on fmt.Stringer, f ruleset.Family, msg int, flags uint16, body func()) {
	at := b.begin(what, on, f, msg, flags, 0)
	body()
	endMessage(&b.e, at)
	b.ops++
}

func (b *Batch) begin(what string, on fmt.Stringer, f ruleset.Family, msg int, flags uint16, first int) int {
	at := beginMessage(&b.e, subsystem|msg, flags, f, 0)
	b.sent = append(b.sent, sentMessage{at: at, op: b.ops, first: first, what: what, on: on})
	return at
}

// elements writes an operation of as many messages as the elements need. None are no message: to the kernel an empty
// list would mean the whole set.
func (b *Batch) elements(what string, msg int, flags uint16, s ruleset.SetID, elements []ruleset.Element) {
	for first := 0; first < len(elements); {
		at := b.begin(what, s, s.Table.Family, msg, flags, first)
		encodeList(&b.e, s)
		list := b.e.Nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS)
		for n := 0; n < maxElements && first < len(elements) && len(b.e.Buf)-list < maxList; n++ {
			elements[first].Encode(&b.e, msg != unix.NFT_MSG_NEWSETELEM)
			first++
		}
		b.e.EndNest(list)
		endMessage(&b.e, at)
	}
	b.ops++
}

// seal gives every message its sequence number, from base on, asks for an acknowledgement of the last one alone, and
// returns what is to be sent. The kernel answers the message i of b.sent under base+1+i, the batch as a whole under base.
func (b *Batch) seal(base uint32) []byte {
	binary.NativeEndian.PutUint32(b.e.Buf[8:], base)
	for i, m := range b.sent {
		h := b.e.Buf[m.at:]
		binary.NativeEndian.PutUint32(h[8:], base+1+uint32(i))
		flags := binary.NativeEndian.Uint16(h[6:]) &^ unix.NLM_F_ACK
		if i == len(b.sent)-1 {
			flags |= unix.NLM_F_ACK
		}
		binary.NativeEndian.PutUint16(h[6:], flags)
	}
	e := ruleset.Encoder{Buf: b.e.Buf}
	endMessage(&e, beginMessage(&e, unix.NFNL_MSG_BATCH_END, 0, ruleset.AnyFamily, unix.NFNL_SUBSYS_NFTABLES))
	return e.Buf
}
