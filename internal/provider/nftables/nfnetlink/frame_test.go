//go:build linux

package nfnetlink

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	. "github.com/sesame-access/sesame/internal/provider/nftables/nfnetlink/ruleset"
)

func TestWhatDoesNotFitAnAttributeIsNeverSent(t *testing.T) {
	for name, write := range map[string]func(*Batch){
		"rule": func(b *Batch) {
			b.AddRule(NewRule(gate.Chain("c"), "", []Expr{Raw{Name: "x", Data: make([]byte, 1<<16)}}))
		},
		"rule of many": func(b *Batch) { b.AddRule(NewRule(gate.Chain("c"), "", make64K()...)) },
		"comment":      func(b *Batch) { b.AddTable(Table{TableID: gate, Comment: strings.Repeat("x", MaxComment+1)}) },
		"NUL":          func(b *Batch) { b.AddTable(Table{TableID: gate, Comment: "a\x00b"}) },
		"name":         func(b *Batch) { b.DeleteTable(TableID{Family: INet, Name: strings.Repeat("x", 256)}) },
		"no name":      func(b *Batch) { b.FlushSet(gate.Set("")) },
		"key":          func(b *Batch) { b.AddElements(gate.Set("s"), Element{Key: make([]byte, 65)}) },
		"no key":       func(b *Batch) { b.DeleteElements(gate.Set("s"), Element{}) },
		"timeout":      func(b *Batch) { b.AddElements(gate.Set("s"), Element{Key: []byte{1}, Timeout: -time.Second}) },
		"key type":     func(b *Batch) { b.AddSet(Set{SetID: gate.Set("s")}) },
		"register":     func(b *Batch) { b.AddRule(NewRule(gate.Chain("c"), "", []Expr{Meta{Dst: 16}})) },
		"mask and xor": func(b *Batch) {
			b.AddRule(NewRule(gate.Chain("c"), "", []Expr{Bitwise{Mask: []byte{1}, Xor: []byte{1, 2}}}))
		},
		"hook's device": func(b *Batch) { b.AddChain(Chain{ChainID: gate.Chain("c"), Hook: Hook{Type: "filter", Devices: "lo"}}) },
	} {
		t.Run(name, func(t *testing.T) {
			c, k := newFakeKernel(t)
			if err := unix.SetNonblock(k.fd, true); err != nil {
				t.Fatal(err)
			}
			b := oneTable()
			write(b)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := c.Commit(ctx, b); err == nil || errors.Is(err, ErrOutcomeUnknown) || ctx.Err() != nil {
				t.Errorf("committed: %v", err)
			}
			if _, err := unix.Read(k.fd, make([]byte, 1<<20)); !errors.Is(err, unix.EAGAIN) {
				t.Errorf("something was sent: %v", err)
			}
		})
	}
}

func make64K() (phrases [][]Expr) {
	for range 2000 {
		phrases = append(phrases, Is(L4Proto(), 6))
	}
	return phrases
}

func TestABatchCanBeCommittedAgain(t *testing.T) {
	b := oneTable()
	first := bytes.Clone(b.seal(7))
	if !bytes.Equal(first, b.seal(7)) {
		t.Error("sealed twice, it differs")
	}
	if len(first) != b.Size() {
		t.Errorf("Size is %d, sent are %d", b.Size(), len(first))
	}
	b.DeleteTable(gate)
	var d Decoder
	acks := 0
	for m := range messages(&d, b.seal(1<<32-1)) {
		if m.flags&unix.NLM_F_ACK != 0 {
			acks++
			if m.typ != subsystem|unix.NFT_MSG_DELTABLE {
				t.Errorf("message %#x asks for an acknowledgement", m.typ)
			}
		}
	}
	if d.Err != nil || acks != 1 || b.Ops() != 2 {
		t.Errorf("%d messages ask for an acknowledgement, %d operations, %v", acks, b.Ops(), d.Err)
	}
}

// FuzzDecode feeds what could come from a socket to everything that reads it.
func FuzzDecode(f *testing.F) {
	b := gateBatch()
	f.Add(b.seal(1))
	f.Add(ack(2, unix.ENOENT).Buf)
	f.Fuzz(func(t *testing.T, data []byte) {
		whole := bytes.Clone(data)
		events(data)
		r := replies{queries: make([]query, 3), base: 1, open: 3}
		_ = r.read(data, func(d *Decoder, family Family, body []byte) {
			d.Table(family, body)
			d.Chain(family, body)
			d.Set(family, body)
			d.Rule(family, body)
			d.Elements(family, body)
			readGeneration(d, body)
		})
		var d Decoder
		n := 0
		for m := range messages(&d, data) {
			n += unix.NLMSG_HDRLEN + len(m.body)
			_ = b.failure(int(m.seq%uint32(len(b.sent)+1))-1, m.answer(&d)).Error()
		}
		if n > len(data) {
			t.Errorf("read %d bytes of %d", n, len(data))
		}
		if !bytes.Equal(whole, data) {
			t.Error("reading changed the data")
		}
	})
}
