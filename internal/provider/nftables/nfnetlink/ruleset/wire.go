//go:build linux

package ruleset

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"strings"

	"golang.org/x/sys/unix"
)

// Encoder writes netlink messages and attributes. The first error sticks, and whoever sends must look at it: a buffer
// with an error in it is not a shorter message, it is no message.
type Encoder struct {
	Buf []byte
	Err error
}

// Fail makes the error stick, unless there is one already.
func (e *Encoder) Fail(format string, args ...any) {
	if e.Err == nil {
		e.Err = fmt.Errorf(format, args...)
	}
}

// Nest begins a nested attribute and returns its place for EndNest.
func (e *Encoder) Nest(typ uint16) int {
	at := len(e.Buf)
	e.Buf = append(e.Buf, 0, 0, 0, 0)
	binary.NativeEndian.PutUint16(e.Buf[at+2:], typ|unix.NLA_F_NESTED)
	return at
}

// EndNest ends the nested attribute that begins at the place.
func (e *Encoder) EndNest(at int) {
	n := len(e.Buf) - at
	if n > maxAttr {
		e.Fail("encode attribute %d: %d bytes nested in it, at most %d fit",
			binary.NativeEndian.Uint16(e.Buf[at+2:])&^nestedMask, n, maxAttr)
		return
	}
	binary.NativeEndian.PutUint16(e.Buf[at:], uint16(n)) //nolint:gosec // Checked above.
}

// Attr writes one attribute; the padding after it is not part of its length.
func (e *Encoder) Attr(typ uint16, data []byte) {
	n := unix.NLA_HDRLEN + len(data)
	if n > maxAttr {
		e.Fail("encode attribute %d: %d bytes, at most %d fit", typ, n, maxAttr)
		return
	}
	e.Buf = binary.NativeEndian.AppendUint16(e.Buf, uint16(n))
	e.Buf = binary.NativeEndian.AppendUint16(e.Buf, typ)
	e.Buf = append(e.Buf, data...)
	e.pad()
}

func (e *Encoder) pad() {
	for len(e.Buf)%unix.NLA_ALIGNTO != 0 {
		e.Buf = append(e.Buf, 0)
	}
}

// U32 writes a number in network order.
func (e *Encoder) U32(typ uint16, v uint32) {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], v)
	e.Attr(typ, b[:])
}

// U64 writes a number in network order.
func (e *Encoder) U64(typ uint16, v uint64) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], v)
	e.Attr(typ, b[:])
}

// Name writes the name of a table, chain or set, which must be one that the kernel can give back.
func (e *Encoder) Name(typ uint16, s string) {
	if s == "" || len(s) > maxName || strings.IndexByte(s, 0) >= 0 {
		e.Fail("encode name %q: a name has 1 to %d bytes and no NUL", s, maxName)
		return
	}
	e.Buf = binary.NativeEndian.AppendUint16(e.Buf, uint16(unix.NLA_HDRLEN+len(s)+1)) //nolint:gosec // Checked above.
	e.Buf = binary.NativeEndian.AppendUint16(e.Buf, typ)
	e.Buf = append(e.Buf, s...)
	e.Buf = append(e.Buf, 0)
	e.pad()
}

// value writes data as the kernel's nft_data: a value inside of an attribute.
func (e *Encoder) value(typ uint16, data []byte) {
	at := e.Nest(typ)
	e.Attr(unix.NFTA_DATA_VALUE, data)
	e.EndNest(at)
}

// comment writes user data that hold a comment and, before it, the entries already encoded in more.
func (e *Encoder) comment(typ uint16, kind byte, s string, more ...byte) {
	if len(s) > MaxComment || strings.IndexByte(s, 0) >= 0 {
		e.Fail("encode comment %q: a comment has at most %d bytes and no NUL", s, MaxComment)
		return
	}
	if s != "" {
		more = append(more, kind, byte(len(s)+1)) //nolint:gosec // Checked above.
		more = append(more, s...)
		more = append(more, 0)
	}
	if len(more) > 0 {
		e.Attr(typ, more)
	}
}

// ErrMalformed says that received data are not what netlink data look like.
var ErrMalformed = errors.New("malformed netlink data")

// Decoder reads attributes. The first error sticks; what was read before it must not be used.
type Decoder struct {
	Err error
}

// Fail makes the error stick, unless there is one already.
func (d *Decoder) Fail(what string) {
	if d.Err == nil {
		d.Err = fmt.Errorf("decode %s: %w", what, ErrMalformed)
	}
}

// Attrs walks the attributes in b: their types without flag bits, and their data, which alias b.
func (d *Decoder) Attrs(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) > 0 {
			if len(b) < unix.NLA_HDRLEN {
				d.Fail("attribute header")
				return
			}
			n := int(binary.NativeEndian.Uint16(b))
			if n < unix.NLA_HDRLEN || n > len(b) {
				d.Fail("attribute length")
				return
			}
			if !yield(binary.NativeEndian.Uint16(b[2:])&^nestedMask, b[unix.NLA_HDRLEN:n]) {
				return
			}
			b = b[min(Align(n), len(b)):]
		}
	}
}

// Align rounds a length up to where the next attribute or message begins.
func Align(n int) int { return (n + unix.NLA_ALIGNTO - 1) &^ (unix.NLA_ALIGNTO - 1) }

// U32 reads a number in network order.
func (d *Decoder) U32(b []byte) uint32 {
	if len(b) != 4 {
		d.Fail("32-bit number")
		return 0
	}
	return binary.BigEndian.Uint32(b)
}

// U64 reads a number in network order.
func (d *Decoder) U64(b []byte) uint64 {
	if len(b) != 8 {
		d.Fail("64-bit number")
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

// Str reads text up to its NUL.
func (d *Decoder) Str(b []byte) string {
	s, _, _ := bytes.Cut(b, []byte{0})
	return string(s)
}

// value reads nft_data: a value, or a verdict.
func (d *Decoder) value(b []byte) (data []byte, v *Verdict) {
	for t, a := range d.Attrs(b) {
		switch t {
		case unix.NFTA_DATA_VALUE:
			data = bytes.Clone(a)
		case unix.NFTA_DATA_VERDICT:
			v = d.verdict(a)
		}
	}
	return data, v
}

func (d *Decoder) verdict(b []byte) *Verdict {
	v := new(Verdict)
	for t, a := range d.Attrs(b) {
		switch t {
		case unix.NFTA_VERDICT_CODE:
			v.Code = VerdictCode(int32(d.U32(a))) //nolint:gosec // The kernel's codes are signed.
		case unix.NFTA_VERDICT_CHAIN:
			v.Chain = d.Str(a)
		}
	}
	return v
}

// comment finds the entry of the given kind in user data. They are free-form: what cannot be read is no comment.
func (d *Decoder) comment(b []byte, kind byte) string {
	for len(b) >= 2 {
		n := 2 + int(b[1])
		if n > len(b) {
			return ""
		}
		if b[0] == kind {
			return d.Str(b[2:n])
		}
		b = b[n:]
	}
	return ""
}
