// Package netlab is a laboratory of virtual machines made of Linux namespaces,
// each with a real OpenSSH server, for the demo and for end-to-end tests.
//
// # The network
//
//	          switch: a namespace with a bridge, 198.18.77.0/24 and fd5e:5a3e:77::/64
//	     ┌──────────┬──────────┬───────────┬─────────────┐
//	    .1         .11        .12        .101          .102
//	  caller      web-1       db-1       alice        stranger
//	(optional)   └── VMs: sshd ──┘      └──── clients ────┘
//
// A [Host] is one machine on that network. A [VM] is a host with network, pid,
// mount, uts and ipc namespaces of its own, in which sshd is process 1. A client
// is a host with a network namespace only. The caller is the network namespace
// New was called in: it gets one interface, sesame77, so that a person at this
// terminal is on the network too. Nothing else of that namespace changes, and no
// firewall is touched anywhere.
//
// The last number of a host's addresses is the same in IPv4 and IPv6:
// 198.18.77.11 is fd5e:5a3e:77::11. Where the machine already uses the network,
// the next free one is taken, interface name included.
//
// # What a login meets
//
// The ssh_config in the lab's directory names every VM, knows its host key and
// holds the one key that opens it: `ssh -F DIR/ssh_config web-1`. Nothing of the
// user's own ~/.ssh is read or written. A VM has its own host name, processes,
// /run, /var/log and password file (without passwords); all other files are this
// machine's own, and the login is root: a VM is a place to log in to, not a
// place to hide things in.
//
// # How it ends
//
// Close takes everything down and waits for it. When the process dies without
// it, even by kill -9, the kernel does the same: every process of the lab dies
// with the thread that started it, a namespace goes with its last process, an
// interface with its namespace. A small second process, the reaper, then removes
// the directory. Stale removes what a reaper could not, killed in the same
// moment, say.
//
// The program re-executes itself for two small jobs, so its main, or TestMain,
// begins with Stage.
package netlab

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"

	"github.com/sesame-access/sesame/internal/errkind"
)

// What a laboratory cannot do without. Test for them with errors.Is.
var (
	// ErrNeedsLinux is returned by New on every other system.
	ErrNeedsLinux = errkind.New(errkind.Unavailable,
		"virtual machines made of namespaces need Linux; this system is another one")

	// ErrNeedsRoot is returned by New when the process may not make namespaces.
	ErrNeedsRoot = errkind.New(errkind.Denied,
		"making network namespaces needs root with CAP_SYS_ADMIN and CAP_NET_ADMIN; run it with sudo, and in a container with --privileged")

	// ErrNoSSHD is returned by New when OpenSSH's server is not installed.
	ErrNoSSHD = errkind.New(errkind.Unavailable,
		"no sshd was found on this machine; install it with: apt-get install openssh-server")
)

// Options says what to build.
type Options struct {
	// Base is the directory in which the lab makes its own, readable by its
	// owner only. Empty means the system's directory for temporary files.
	Base string

	VMs     []string // names of the virtual machines, at most 80
	Clients []string // names of the other hosts, at most 100

	// Caller puts the network namespace that calls New on the lab's network.
	Caller bool
}

// Numbers of the hosts within the lab's networks.
const (
	callerNumber = 1
	firstVM      = 11
	firstClient  = 101

	maxVMs     = 80
	maxClients = 100
)

// check refuses options that could not become hosts. A name serves as host
// name, directory and pattern in ssh_config, so it is a plain DNS label.
func (o Options) check() error {
	label := regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)
	seen := map[string]bool{"caller": true}
	for _, list := range []struct {
		field string
		names []string
		most  int
	}{{"vms", o.VMs, maxVMs}, {"clients", o.Clients, maxClients}} {
		if len(list.names) > list.most {
			return errkind.Bad(list.field, strconv.Itoa(len(list.names)), fmt.Sprintf("at most %d names", list.most))
		}
		for i, name := range list.names {
			if !label.MatchString(name) || seen[name] {
				return errkind.Bad(fmt.Sprintf("%s[%d]", list.field, i), name,
					"a host name used once: lower-case letters, digits and inner hyphens, at most 32, not caller")
			}
			seen[name] = true
		}
	}
	return nil
}

// A subnet is the lab's pair of networks: 198.18.77.0/24, in the range for
// benchmarks (RFC 2544), and fd5e:5a3e:77::/64, in a random unique local prefix.
type subnet struct {
	second, third int  // the numbers that vary
	ipv6          bool // the machine has it
}

// address returns the addresses of the host with the given number, digit for
// digit the same. IPv6 is the zero prefix where there is none.
func (s subnet) address(number int) (v4, v6 netip.Prefix) {
	v4 = netip.MustParsePrefix(fmt.Sprintf("198.%d.%d.%d/24", s.second, s.third, number))
	if s.ipv6 {
		v6 = netip.MustParsePrefix(fmt.Sprintf("fd5e:5a3e:%d::%d/64", s.third, number))
	}
	return v4, v6
}
