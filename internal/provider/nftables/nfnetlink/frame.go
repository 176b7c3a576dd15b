//go:build linux

package nfnetlink

import (
	"encoding/binary"
	"iter"

	"golang.org/x/sys/unix"

	"github.com/sesame-access/sesame/internal/provider/nftables/nfnetlink/ruleset"
)

// The parts of the kernel's interface that golang.org/x/sys/unix does not have.
const (
	msgDestroyTable   = 26 // NFT_MSG_DESTROYTABLE
	msgDestroySetElem = 30 // NFT_MSG_DESTROYSETELEM
	attrBatchGenID    = 1  // NFNL_BATCH_GENID
	extAckMsg         = 1  // NLMSGERR_ATTR_MSG
	extAckOffset      = 2  // NLMSGERR_ATTR_OFFS

	headerLen = unix.NLMSG_HDRLEN + 4 // the netlink header and nfgenmsg
	subsystem = unix.NFNL_SUBSYS_NFTABLES << 8
)

// beginMessage begins a message and returns its place for endMessage. Its sequence number stays open.
func beginMessage(e *ruleset.Encoder, typ int, flags uint16, f ruleset.Family, resource uint16) int {
	at := len(e.Buf)
	e.Buf = append(e.Buf, make([]byte, headerLen)...)
	h := e.Buf[at:]
	binary.NativeEndian.PutUint16(h[4:], uint16(typ)) //nolint:gosec // The kernel's numbers.
	binary.NativeEndian.PutUint16(h[6:], unix.NLM_F_REQUEST|flags)
	h[16] = byte(f)
	binary.BigEndian.PutUint16(h[18:], resource)
	return at
}

func endMessage(e *ruleset.Encoder, at int) {
	binary.NativeEndian.PutUint32(e.Buf[at:], uint32(len(e.Buf)-at)) //nolint:gosec // No larger buffer is sent.
}

// message is one received netlink message. Its body aliases the receive buffer.
type message struct {
	typ, flags uint16
	seq, port  uint32
	body       []byte // what follows the netlink header
}

// messages walks the netlink messages in b.
func messages(d *ruleset.Decoder, b []byte) iter.Seq[message] {
	return func(yield func(message) bool) {
		for len(b) > 0 {
			if len(b) < unix.NLMSG_HDRLEN {
				d.Fail("message header")
				return
			}
			n := int64(binary.NativeEndian.Uint32(b))
			if n < unix.NLMSG_HDRLEN || n > int64(len(b)) {
				d.Fail("message length")
				return
			}
			m := message{
				typ: binary.NativeEndian.Uint16(b[4:]), flags: binary.NativeEndian.Uint16(b[6:]),
				seq: binary.NativeEndian.Uint32(b[8:]), port: binary.NativeEndian.Uint32(b[12:]),
				body: b[unix.NLMSG_HDRLEN:n],
			}
			if !yield(m) {
				return
			}
			b = b[min(ruleset.Align(int(n)), len(b)):]
		}
	}
}

// object splits the body of an nf_tables message into its family and its attributes.
func (m message) object(d *ruleset.Decoder) (ruleset.Family, []byte) {
	if len(m.body) < 4 {
		d.Fail("nfgenmsg")
		return 0, nil
	}
	return ruleset.Family(m.body[0]), m.body[4:]
}
