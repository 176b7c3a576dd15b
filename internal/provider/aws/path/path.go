// Package path turns what Amazon EC2 says about an account into machines with the
// paths that lead to them, and the layers that stand on these.
//
// # The paths to an address of an interface
//
// The subnet's route table is asked for the way back to a source; the most
// specific route decides where the source comes from, and whether it comes at all.
// A local route, peering, a transit, virtual or local gateway, and an interface
// that forwards bring packets to private addresses; inside the subnet nothing is
// routed. Only an internet gateway
// brings anybody from the Internet: to a public IPv4 address, which it translates,
// or to an IPv6 address. A NAT gateway and an egress-only gateway bring nobody.
// (VPC user guide: route priority, internet gateways, NAT gateways.)
//
//   - The network ACL of the subnet, inbound: entries by number, the first that
//     matches decides, and at the end everything is denied. Traffic that stays in
//     the subnet does not meet it. (VPC user guide: network ACL basics.)
//   - The security groups of the interface. They only allow; a packet passes when
//     any rule of any of them matches. A rule that names a group stands for the
//     private addresses of the interfaces that wear it, in the same VPC or over an
//     active peering, if that is how they come, and never for their public ones.
//     (VPC user guide: security group rules, security group referencing.)
//   - The network ACL once more, outbound, for the answer: ACLs remember nothing.
//     Its destination is the client, and its port the one that the client chose.
//
// # What is not known
//
// A prefix list that was not resolved, or a group that was not read, may stand for
// anybody who could be meant. An interface in a subnet that was not read is perhaps
// a member of the groups that it wears. A route table or an ACL that was not read may do
// anything, and so may a target of a kind that is not known.
//
// # A VPC as one firewall
//
// Where a subnet names a Firewall, the groups and ACLs of its VPC are one hop, and
// their layer is somebody else's; [Wall] is what an ACL adds to it. What comes
// through a target of which nothing is known is then a path that is unsure.
//
// # What is left out
//
// The rules at the source; network firewalls, load balancers and other
// middleboxes; VPC block public access; gateway route tables.
package path

import (
	"net/netip"

	"github.com/sesame-access/sesame/internal/firewall"
)

// An Estate is everything that packets to its machines meet.
type Estate struct {
	Machines    []Machine
	Interfaces  []Interface
	Subnets     []Subnet
	Groups      []Group // one that is named and not here was not read
	PrefixLists []PrefixList
	Peerings    []Peering
}

// A Machine is an instance.
type Machine struct {
	ID      firewall.VMID
	Name    string
	State   string // as the cloud says it
	System  string // what it runs, as the cloud says it
	Tags    map[string]string
	Missing []string // what could not be read about it
}

// An Interface is a network interface, of a machine or of something else.
type Interface struct {
	ID        string
	Machine   firewall.VMID // empty where it is something else's
	Subnet    string
	Addresses []Address
	Groups    []string // ids of its security groups
}

// An Address is an IPv6 address, or a private IPv4 address with the public one
// that an internet gateway translates to it.
type Address struct {
	Private netip.Addr
	Public  netip.Addr // the zero Addr where there is none
}

// A Subnet has the routes and the network ACL that its interfaces are subject to.
type Subnet struct {
	ID, VPC string
	// Firewall is what judges packets to the subnet as one: the groups of the VPC,
	// with the ACLs as walls before them (see Wall). Empty where each of them is
	// a hop of its own.
	Firewall firewall.ID
	CIDRs    []netip.Prefix
	Routes   []Route // of its own route table, or of the VPC's main one
	// Unrouted says that the route table was not read.
	Unrouted bool
	ACL      *ACL // nil if it was not read
}

// A Route says where packets to a destination go.
type Route struct {
	Destination netip.Prefix
	PrefixList  string // instead of Destination
	Target      string // "local", or the id of a gateway, a peering, an interface
	Blackhole   bool   // its target is gone
}

// An ACL is a network ACL.
type ACL struct {
	ID      string
	Entries []Entry // in any order
}

// An Entry is one line of a network ACL.
type Entry struct {
	Number int
	Egress bool
	Allow  bool
	CIDR   netip.Prefix
	Match
}

// A Match is what a rule says about protocol and ports. Ports mean nothing but for
// TCP and UDP.
type Match struct {
	Protocol    int // the IANA number; All for every protocol
	First, Last int // All and All for every port
}

// All is every protocol, and every port.
const All = -1

// A Group is a security group, with its ingress rules.
type Group struct {
	ID    string
	Rules []Rule
}

// A Rule is one ingress rule. One of CIDR, PrefixList and Group says who may come.
type Rule struct {
	ID         string
	CIDR       netip.Prefix
	PrefixList string
	Group      string
	Match
}

// A PrefixList is a managed prefix list that was resolved.
type PrefixList struct {
	ID      string
	Entries []netip.Prefix
}

// A Peering joins two VPCs while it is active.
type Peering struct {
	Requester, Accepter string
	Active              bool
}
