package ground

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// flushRules deletes every nftables table of this network namespace, as
// `nft flush ruleset` does: the demo's stand-in for somebody with root on a VM.
// It does not use the code that Sesame writes its rules with.
func flushRules() error {
	runtime.LockOSThread()
	// The kernel tells those who watch who it was.
	if err := os.WriteFile("/proc/thread-self/comm", []byte("somebody"), 0); err != nil {
		return fmt.Errorf("take a name: %w", err)
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return fmt.Errorf("open netlink: %w", err)
	}
	defer unix.Close(fd) //nolint:errcheck // the process ends here
	const deleteTable = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_DELTABLE
	var batch []byte
	batch = append(batch, message(unix.NFNL_MSG_BATCH_BEGIN, unix.NLM_F_REQUEST, unix.NFNL_SUBSYS_NFTABLES)...)
	batch = append(batch, message(deleteTable, unix.NLM_F_REQUEST|unix.NLM_F_ACK, 0)...)
	batch = append(batch, message(unix.NFNL_MSG_BATCH_END, unix.NLM_F_REQUEST, unix.NFNL_SUBSYS_NFTABLES)...)
	if err := unix.Sendto(fd, batch, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	answer := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil {
		return fmt.Errorf("receive: %w", err)
	}
	var header unix.NlMsghdr
	r := bytes.NewReader(answer[:n])
	var code int32
	if err := binary.Read(r, binary.NativeEndian, &header); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if err := binary.Read(r, binary.NativeEndian, &code); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if header.Type != unix.NLMSG_ERROR || code != 0 {
		return fmt.Errorf("delete all tables: %w", unix.Errno(-code)) //nolint:gosec // the kernel keeps its errors small
	}
	return nil
}

// message is a netlink message of nfnetlink without attributes, for every
// address family.
func message(kind, flags, resource uint16) []byte {
	const length = unix.SizeofNlMsghdr + 4
	b := make([]byte, 0, length)
	b = binary.NativeEndian.AppendUint32(b, length)
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, flags)
	b = binary.NativeEndian.AppendUint32(b, 1) // sequence
	b = binary.NativeEndian.AppendUint32(b, 0) // sender
	b = append(b, unix.AF_UNSPEC, unix.NFNETLINK_V0)
	return binary.BigEndian.AppendUint16(b, resource)
}
