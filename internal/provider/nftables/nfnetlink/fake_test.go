//go:build linux

package nfnetlink

import (
	"context"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	. "github.com/sesame-access/sesame/internal/provider/nftables/nfnetlink/ruleset"
)

// fakeKernel answers a Conn over a pair of sockets with what a real kernel answers on a bad day.
type fakeKernel struct {
	t  *testing.T
	fd int
}

func newFakeKernel(t *testing.T) (*Conn, *fakeKernel) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	s, err := newSocket(fds[0])
	if err != nil {
		t.Fatal(err)
	}
	c := &Conn{socket: s, seq: 1<<32 - 2} // sequence numbers wrap
	t.Cleanup(func() { _ = c.Close(); _ = unix.Close(fds[1]) })
	return c, &fakeKernel{t: t, fd: fds[1]}
}

// receive returns the sequence numbers of the messages in the next datagram.
func (k *fakeKernel) receive() (seqs []uint32) {
	buf := make([]byte, 1<<20)
	n, err := unix.Read(k.fd, buf)
	if err != nil {
		k.t.Error(err)
	}
	var d Decoder
	for m := range messages(&d, buf[:max(n, 0)]) {
		seqs = append(seqs, m.seq)
	}
	return append(seqs, 0, 0) // so that a failed test does not panic
}

func (k *fakeKernel) send(e Encoder) {
	if _, err := unix.Write(k.fd, e.Buf); err != nil {
		k.t.Error(err)
	}
}

// reply adds a message with these four bytes and then the body.
func reply(e *Encoder, typ int, flags uint16, seq, head uint32, body func()) {
	at := beginMessage(e, typ, 0, AnyFamily, 0)
	binary.NativeEndian.PutUint16(e.Buf[at+6:], flags)
	binary.NativeEndian.PutUint32(e.Buf[at+8:], seq)
	binary.NativeEndian.PutUint32(e.Buf[at+16:], head)
	if body != nil {
		body()
	}
	endMessage(e, at)
}

func ack(seq uint32, errno unix.Errno) Encoder {
	var e Encoder
	reply(&e, unix.NLMSG_ERROR, 0, seq, uint32(-int32(errno)), nil)
	return e
}

func oneTable() *Batch {
	b := NewBatch()
	b.AddTable(Table{TableID: gate})
	return b
}

func TestALostAnswerIsAnUnknownOutcome(t *testing.T) {
	c, k := newFakeKernel(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := c.Commit(ctx, oneTable())
	if !errors.Is(err, ErrOutcomeUnknown) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("no answer: %v", err)
	}
	late := k.receive()
	k.send(ack(late[1], unix.EPERM)) // comes after all, and must not be taken for the answer to the next one
	done := make(chan struct{})
	go func() {
		defer close(done)
		next := k.receive()
		k.send(ack(late[1], unix.EEXIST))
		k.send(ack(next[1], 0))
	}()
	if err := c.Commit(t.Context(), oneTable()); err != nil {
		t.Errorf("the next transaction: %v", err)
	}
	<-done

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Commit(ended, oneTable()); !errors.Is(err, context.Canceled) || errors.Is(err, ErrOutcomeUnknown) {
		t.Errorf("a context that ended before: %v", err)
	}
	time.AfterFunc(10*time.Millisecond, func() { _ = c.Close() })
	if err := c.Commit(t.Context(), oneTable()); !errors.Is(err, ErrOutcomeUnknown) {
		t.Errorf("closed while waiting: %v", err)
	}
	if err := c.Commit(t.Context(), oneTable()); err == nil || errors.Is(err, ErrOutcomeUnknown) {
		t.Errorf("closed before: %v", err)
	}
}

func TestGarbageIsAnUnknownOutcome(t *testing.T) {
	for name, data := range map[string][]byte{
		"short": {1, 2, 3}, "long": append([]byte{255, 255, 0, 0}, make([]byte, 28)...), "empty error": ack(0, 0).Buf[:16],
	} {
		t.Run(name, func(t *testing.T) {
			c, k := newFakeKernel(t)
			go func() {
				seqs := k.receive()
				if len(data) == 16 {
					binary.NativeEndian.PutUint32(data, 16)
					binary.NativeEndian.PutUint32(data[8:], seqs[1])
				}
				k.send(Encoder{Buf: data})
			}()
			if err := c.Commit(t.Context(), oneTable()); !errors.Is(err, ErrOutcomeUnknown) || !errors.Is(err, ErrMalformed) {
				t.Errorf("%v, want an unknown outcome", err)
			}
		})
	}
}

func TestTheWholeBatchIsRefused(t *testing.T) {
	c, k := newFakeKernel(t)
	go func() {
		seqs := k.receive()
		var e Encoder
		reply(&e, unix.NLMSG_ERROR, unix.NLM_F_CAPPED|unix.NLM_F_ACK_TLVS, seqs[0], uint32(1<<32-int64(unix.ENOMEM)), func() {
			e.Buf = append(e.Buf, make([]byte, unix.NLMSG_HDRLEN)...) // the refused header
			e.Attr(extAckMsg, []byte("no room\x00"))
			e.Attr(extAckOffset, binary.NativeEndian.AppendUint32(nil, 24))
		})
		k.send(e)
	}()
	var refused *BatchError
	err := c.Commit(t.Context(), oneTable())
	if !errors.As(err, &refused) || !errors.Is(err, unix.ENOMEM) {
		t.Fatal(err)
	}
	if f := refused.Failures[0]; f.Op != -1 || f.Text != "no room" || f.Offset != 24 || !strings.Contains(err.Error(), "no room") {
		t.Errorf("%+v: %v", f, err)
	}
}

// tables answers a dump of tables with one of that name, in two datagrams.
func (k *fakeKernel) tables(name string, flags uint16) {
	seq := k.receive()[0]
	var e Encoder
	reply(&e, subsystem|unix.NFT_MSG_NEWTABLE, unix.NLM_F_MULTI, seq-1, 0, func() { e.Name(unix.NFTA_TABLE_NAME, "stale") })
	reply(&e, subsystem|unix.NFT_MSG_NEWTABLE, unix.NLM_F_MULTI, seq, 0, func() { e.Name(unix.NFTA_TABLE_NAME, name) })
	k.send(e)
	e = Encoder{}
	reply(&e, unix.NLMSG_DONE, unix.NLM_F_MULTI|flags, seq, 0, nil)
	k.send(e)
}

func TestAnInterruptedDumpIsBegunAnew(t *testing.T) {
	c, k := newFakeKernel(t)
	go func() {
		k.tables("half", unix.NLM_F_DUMP_INTR)
		k.tables("half", unix.NLM_F_DUMP_INTR)
		k.tables("whole", 0)
	}()
	got, err := c.Tables(t.Context(), AnyFamily)
	if err != nil || len(got) != 1 || got[0].Name != "whole" {
		t.Errorf("read %+v, %v", got, err)
	}
	go func() {
		for range dumpTries {
			k.tables("half", unix.NLM_F_DUMP_INTR)
		}
	}()
	if got, err := c.Tables(t.Context(), AnyFamily); !errors.Is(err, unix.EINTR) || got != nil {
		t.Errorf("a dump that never comes whole: %+v, %v", got, err)
	}
}

// A hash table that is being resized delivers elements twice and leaves others out, without a word.
func TestADumpOfAResizedTableIsBegunAnew(t *testing.T) {
	c, k := newFakeKernel(t)
	go func() {
		for _, keys := range [][]int{{1, 2, 2, 4}, {1, 2, 3, 4}} {
			seq := k.receive()[0]
			for _, key := range keys {
				var e Encoder
				reply(&e, subsystem|unix.NFT_MSG_NEWSETELEM, unix.NLM_F_MULTI, seq, 0, func() {
					encodeList(&e, gate.Set("s"))
					at := e.Nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS)
					(&Element{Key: host4(key)}).Encode(&e, false)
					e.EndNest(at)
				})
				k.send(e)
			}
			var e Encoder
			reply(&e, unix.NLMSG_DONE, unix.NLM_F_MULTI, seq, 0, nil)
			k.send(e)
		}
	}()
	got, err := c.Elements(t.Context(), gate.Set("s"))
	if err != nil || len(got) != 4 {
		t.Errorf("read %d elements, %v; want 4", len(got), err)
	}
}

func TestADumpThatFailsAtItsEndIsAnError(t *testing.T) {
	c, k := newFakeKernel(t)
	go func() {
		var e Encoder
		reply(&e, unix.NLMSG_DONE, unix.NLM_F_MULTI, k.receive()[0], uint32(1<<32-int64(unix.ENOMEM)), nil)
		k.send(e)
	}()
	if got, err := c.Tables(t.Context(), AnyFamily); !errors.Is(err, unix.ENOMEM) || got != nil {
		t.Errorf("%+v, %v; want ENOMEM", got, err)
	}
}
