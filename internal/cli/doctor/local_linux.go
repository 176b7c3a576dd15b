package doctor

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Local tries what the daemon and the demo need of this machine.
func Local(tell func(Check)) {
	if os.Geteuid() != 0 {
		tell(Check{"kernel", Skip, "only root can see whether this machine could be protected", "sudo sesame doctor"})
		return
	}
	tell(capabilities())
	tell(nfTables())
	tell(namespaces())
	tell(sshServer())
}

// capabilities looks for those that writing firewalls and making namespaces
// need.
func capabilities() Check {
	const next = "in a container, run it with --cap-add NET_ADMIN, and for the demo with --privileged"
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return failed("capabilities", err, "")
	}
	var effective uint64
	for line := range strings.Lines(string(text)) {
		if hex, ok := strings.CutPrefix(line, "CapEff:"); ok {
			if effective, err = strconv.ParseUint(strings.TrimSpace(hex), 16, 64); err != nil {
				return failed("capabilities", err, "")
			}
		}
	}
	switch {
	case effective&(1<<unix.CAP_NET_ADMIN) == 0:
		return Check{"capabilities", Fail, "CAP_NET_ADMIN is missing, which writing firewalls needs", next}
	case effective&(1<<unix.CAP_SYS_ADMIN) == 0:
		return Check{"capabilities", Warn, "CAP_SYS_ADMIN is missing, which the demo's namespaces need", next}
	}
	return Check{"capabilities", OK, "CAP_NET_ADMIN and CAP_SYS_ADMIN are there", ""}
}

// nfTables asks the kernel for the generation of its rules, which changes
// nothing.
func nfTables() Check {
	const next = "load the module: modprobe nf_tables"
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return failed("nf_tables", err, next)
	}
	defer unix.Close(fd) //nolint:errcheck // only read
	timeout := unix.Timeval{Sec: 2, Usec: 0}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		return failed("nf_tables", err, "")
	}
	const getGeneration = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETGEN
	msg := make([]byte, unix.NLMSG_HDRLEN+4) // and a struct nfgenmsg of zeros
	binary.NativeEndian.PutUint32(msg[0:], unix.NLMSG_HDRLEN+4)
	binary.NativeEndian.PutUint16(msg[4:], getGeneration)
	binary.NativeEndian.PutUint16(msg[6:], unix.NLM_F_REQUEST)
	if err := unix.Sendto(fd, msg, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return failed("nf_tables", err, next)
	}
	reply := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, reply, 0)
	switch {
	case err != nil:
		return failed("nf_tables", err, next)
	case n < unix.NLMSG_HDRLEN+4:
		return Check{"nf_tables", Fail, "the kernel's answer is too short", ""}
	case binary.NativeEndian.Uint16(reply[4:]) == unix.NLMSG_ERROR:
		negative := binary.NativeEndian.Uint32(reply[unix.NLMSG_HDRLEN:])
		return failed("nf_tables", unix.Errno(-negative), next)
	}
	return Check{"nf_tables", OK, "the kernel answers", ""}
}

func namespaces() Check {
	for _, kind := range []string{"net", "pid", "mnt", "uts", "ipc"} {
		if _, err := os.Stat("/proc/self/ns/" + kind); err != nil {
			return Check{"namespaces", Warn, fmt.Sprintf("the kernel has no %s namespaces, which the demo needs", kind), ""}
		}
	}
	return Check{"namespaces", OK, "the kernel has those that the demo needs", ""}
}

func sshServer() Check {
	for _, name := range []string{"sshd", "/usr/sbin/sshd", "/usr/local/sbin/sshd", "/sbin/sshd"} {
		if path, err := exec.LookPath(name); err == nil {
			return Check{"sshd", OK, path, ""}
		}
	}
	return Check{"sshd", Warn, "OpenSSH's server is not installed; the demo then plays in memory", "apt-get install openssh-server"}
}
