// Package nftables is the firewall in a Linux kernel: it locks ports of a host
// with one nf_tables table of Sesame's own, over netlink, without the nft
// program. Package table has the table itself, and is the specification of it.
//
// # What it gives
//
// An opening is an element of a hash set with a timeout, so that the kernel
// closes it on time with no process of ours alive, never late and at most 12 ms
// early. Opening, extending and closing are transactions of microseconds that
// cost the same with a hundred thousand openings. A plan is one transaction:
// everything of it is in force at once, or nothing.
//
// A lock on a host judges what comes in by the network. Loopback is let through,
// and so are packets for other machines, containers among them, unless they were
// sent to an address of the host: a published port is judged under the number
// that it was published as, which is the number to lock. What a socket of the host
// gets is judged by the socket's port as well, whatever port it was sent to. Ports
// are those of the packets' destination, so that a connection the host itself
// makes from a locked port gets no answers if its lock cuts; use ports below the
// ephemeral range.
//
// Where a lock cuts, the kernel stops every packet of a connection whose opening
// has ended, at once and by itself. The socket at the host's end is not told: it
// stays until TCP or its program gives up.
//
// # Whose table
//
// The table is called inet sesame; its comment names the installation. A table
// of another installation is reported as an obstacle and never written to, and
// nothing is opened beside an element that another one left in ours. Anything
// else that is found in the table is repaired in place. Tables of others are
// read, never written. What they do to connections at any port, locked or not, is
// a layer beside ours (package foreign); what surely keeps everybody out of a
// locked port is named as an obstacle, too. None of them can open a socket's
// locked port by redirecting another port to it.
//
// What the gate cannot see is a way to the service that bypasses its port on this
// host: a container's port that is published under another number is locked only
// by that number, and a program that takes connections at one port and makes
// them again from here to another, as proxies and tunnels do, comes by loopback.
// Lock the port that such a way begins at, too.
//
// # Reading
//
// Single keys are looked up at a constant price. The frame - chains, rules, sets
// and ports, and what others wrote - is read again when the kernel's own version
// number says that somebody wrote since: a conditional read, not a belief. Every
// commit in the namespace adds one to that number, ours too, which are counted.
package nftables
