package packet

import "net/netip"

// A World is what decides about packets: plain documents, as the API describes
// them. The zero value holds nothing and delivers nothing.
type World struct {
	Subnets     []Subnet
	Interfaces  []Interface
	Groups      []Group
	PrefixLists []PrefixList
	Peerings    []Peering
}

// A Subnet has the routes and the ACL that its interfaces are subject to.
type Subnet struct {
	ID, VPC string
	CIDRs   []netip.Prefix // of both families
	Routes  []Route        // of its route table, or of the VPC's main one
	ACL     string         // the id of its network ACL
	Entries []Entry        // of that ACL, in any order, without the last one that denies everything
}

// A Route says where packets to a destination go.
type Route struct {
	Destination netip.Prefix
	Target      string // "local", or the id of a gateway, a peering, an interface
	Blackhole   bool   // its target is gone
}

// An Entry is one line of a network ACL.
type Entry struct {
	Number int // 1 to 32766
	Egress bool
	Allow  bool
	CIDR   netip.Prefix
	Match
}

// A Match is what a rule says about protocol and ports.
type Match struct {
	Protocol int // the IANA number; All for every protocol
	// First and Last bound the destination port of TCP and UDP. For ICMP and
	// ICMPv6 they are type and code, with All for every one. Other protocols
	// have no ports, and what stands here means nothing.
	First, Last int
}

// All is every protocol, every ICMP type and every ICMP code.
const All = -1

// The protocols that have something like a port.
const (
	ICMP   = 1
	TCP    = 6
	UDP    = 17
	ICMPv6 = 58
)

// An Interface is a network interface. Everything is attached to interfaces: an
// instance has at least one.
type Interface struct {
	ID, Instance, Subnet string
	Addresses            []Address
	Groups               []string // the ids of its security groups
}

// An Address of an interface: an IPv6 address, or a private IPv4 address and the
// public one that an internet gateway translates to it.
type Address struct {
	Private netip.Addr
	Public  netip.Addr // the zero Addr where there is none
}

// A Group is a security group. A group that the world does not hold has members
// and rules that nobody can list.
type Group struct {
	ID, VPC string
	Rules   []Rule
}

// A Rule is one security group rule. Exactly one of CIDR, PrefixList and Group
// says who is at the other end.
type Rule struct {
	ID         string
	Egress     bool
	CIDR       netip.Prefix
	PrefixList string
	Group      string
	Match
}

// A PrefixList is a managed prefix list.
type PrefixList struct {
	ID      string
	Known   bool // its entries were read
	Entries []netip.Prefix
}

// A Peering joins two VPCs while it is active.
type Peering struct {
	ID        string
	Requester string // a VPC
	Accepter  string // a VPC
	Active    bool
}

// A Packet is the first one of a connection.
type Packet struct {
	From      netip.Addr
	FromPort  int    // the port that the answer goes to; without meaning for ICMP
	Interface string // the interface that it is for: private addresses repeat between VPCs
	To        netip.Addr
	Protocol  int // the IANA number
	Port      int // the destination port; the ICMP type
	Code      int // the ICMP code
}

// subnet returns the subnet with the given id.
func (w *World) subnet(id string) (Subnet, bool) {
	for _, s := range w.Subnets {
		if s.ID == id {
			return s, true
		}
	}
	return Subnet{}, false
}

// group returns the group with the given id.
func (w *World) group(id string) (Group, bool) {
	for _, g := range w.Groups {
		if g.ID == id {
			return g, true
		}
	}
	return Group{}, false
}

// iface returns the interface with the given id.
func (w *World) iface(id string) (Interface, bool) {
	for _, n := range w.Interfaces {
		if n.ID == id {
			return n, true
		}
	}
	return Interface{}, false
}

// vpc returns the VPC that an interface is in.
func (w *World) vpc(n Interface) string {
	s, _ := w.subnet(n.Subnet)
	return s.VPC
}

// joined reports whether a is b, or an active peering joins them.
func (w *World) joined(a, b string) bool {
	if a == b {
		return true
	}
	for _, p := range w.Peerings {
		if p.Active && (p.Requester == a && p.Accepter == b || p.Requester == b && p.Accepter == a) {
			return true
		}
	}
	return false
}
