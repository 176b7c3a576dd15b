//go:build linux

package nfnetlink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sesame-access/sesame/internal/provider/nftables/nfnetlink/ruleset"
)

// ErrOutcomeUnknown says that a transaction was sent and that its answer was lost or did not come in time: it may be in
// force or not. Only reading the state back can tell.
var ErrOutcomeUnknown = errors.New("the kernel's answer did not arrive")

// BatchError says that the kernel refused a transaction: nothing of it is in force. The kernel goes on checking after
// the first refusal, so later failures can be consequences of earlier ones. errors.Is finds the errno of any of them.
type BatchError struct {
	Failures []*OpError // in the order of the batch, at least one
}

// Error tells the first failure and how many there are.
func (e *BatchError) Error() string {
	if n := len(e.Failures); n > 1 {
		return fmt.Sprintf("%v (and %d more failures)", e.Failures[0], n-1)
	}
	return e.Failures[0].Error()
}

// Unwrap returns the failures.
func (e *BatchError) Unwrap() []error {
	list := make([]error, len(e.Failures))
	for i, f := range e.Failures {
		list[i] = f
	}
	return list
}

// OpError says that the kernel refused one operation.
type OpError struct {
	Op      int        // its number in the batch; -1 when the kernel refused the batch as a whole
	Element int        // the number of the element that the kernel pointed at, among those of the operation; -1 for none
	What    string     // "add element inet gate host4"
	Errno   unix.Errno // why
	Text    string     // the kernel's own words, often none
	Offset  int        // of the attribute that the kernel pointed at, in bytes from the beginning of the message; 0 for none
}

// Error tells what was refused and why.
func (e *OpError) Error() string {
	var s strings.Builder
	s.WriteString(e.What)
	if e.Op >= 0 {
		fmt.Fprintf(&s, " (operation %d", e.Op)
		if e.Element >= 0 {
			fmt.Fprintf(&s, ", element %d", e.Element)
		}
		s.WriteString(")")
	}
	fmt.Fprintf(&s, ": %v", e.Errno)
	if e.Text != "" {
		fmt.Fprintf(&s, ": %s", e.Text)
	}
	return s.String()
}

// Unwrap returns the errno.
func (e *OpError) Unwrap() error { return e.Errno }

// answer is a netlink error message: errno 0 is an acknowledgement.
type answer struct {
	errno  unix.Errno
	text   string
	offset int
}

// answer reads an error message with the kernel's extended acknowledgement.
func (m message) answer(d *ruleset.Decoder) answer {
	const errnoLen, echoed = 4, 4 + unix.NLMSG_HDRLEN
	if len(m.body) < errnoLen {
		d.Fail("acknowledgement")
		return answer{}
	}
	a := answer{errno: unix.Errno(-int32(binary.NativeEndian.Uint32(m.body)))} //nolint:gosec // An errno, negated.
	if m.flags&unix.NLM_F_ACK_TLVS == 0 || len(m.body) < echoed {
		return a
	}
	// The header of the refused message is echoed; its body only when the socket did not ask to leave it out.
	skip := echoed
	if m.flags&unix.NLM_F_CAPPED == 0 {
		echo := min(uint64(binary.NativeEndian.Uint32(m.body[errnoLen:])), uint64(len(m.body)))
		skip = errnoLen + ruleset.Align(int(echo)) //nolint:gosec // At most the body's length.
	}
	for t, v := range d.Attrs(m.body[min(skip, len(m.body)):]) {
		switch {
		case t == extAckMsg:
			a.text = d.Str(v)
		case t == extAckOffset && len(v) == 4:
			a.offset = int(binary.NativeEndian.Uint32(v))
		}
	}
	return a
}

// failure explains an answer to message i, or to the whole batch when i is -1.
func (b *Batch) failure(i int, a answer) *OpError {
	e := &OpError{Op: -1, Element: -1, What: "commit transaction", Errno: a.errno, Text: a.text, Offset: a.offset}
	if i < 0 {
		return e
	}
	m := b.sent[i]
	e.Op, e.What = m.op, m.what+" "+m.on.String()
	if n := b.elementAt(m.at, a.offset); n >= 0 {
		e.Element = m.first + n
	}
	return e
}

// elementAt returns which element of the message's list has the attribute at the offset, -1 for none.
func (b *Batch) elementAt(at, offset int) int {
	var d ruleset.Decoder
	msg := b.e.Buf[at:]
	msg = msg[:binary.NativeEndian.Uint32(msg)]
	if kind := binary.NativeEndian.Uint16(msg[4:]) & 0xff; kind != unix.NFT_MSG_NEWSETELEM &&
		kind != unix.NFT_MSG_DELSETELEM && kind != msgDestroySetElem {
		return -1
	}
	pos := headerLen
	for t, a := range d.Attrs(msg[headerLen:]) {
		pos += unix.NLA_HDRLEN
		if t != unix.NFTA_SET_ELEM_LIST_ELEMENTS {
			pos += ruleset.Align(len(a))
			continue
		}
		n := 0
		for _, x := range d.Attrs(a) {
			end := pos + unix.NLA_HDRLEN + ruleset.Align(len(x))
			if offset >= pos && offset < end {
				return n
			}
			pos = end
			n++
		}
	}
	return -1
}
