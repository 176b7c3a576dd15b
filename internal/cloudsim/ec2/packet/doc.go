// Package packet follows one packet at a time to an instance of Amazon EC2, and
// says what becomes of it and which rule decided.
//
// It is naive on purpose: loops over plain documents, one function for each
// paragraph of the documentation, nothing computed ahead, nothing shared with
// the reach engine. So it can contradict that engine, and a reader can check it
// against the documentation line by line.
//
// # The way in
//
//  1. Routing. The subnet's route table is asked for the way back to the
//     source; the most specific route decides. From the Internet nobody gets to
//     an IPv4 address but by the public address of an interface, or to an IPv6
//     address, and only where that route leads to an internet gateway. A NAT
//     gateway and an egress-only gateway let nobody in who was not called. A
//     local route, peering, a transit, virtual or private gateway, and an
//     interface that forwards bring packets to private addresses.
//     (VPC user guide: route priority, internet gateways, NAT gateways.)
//  2. Network ACL of the subnet, inbound. Entries by ascending number, the
//     first that matches decides, and at the end everything is denied. The
//     destination is the private address. Traffic that stays in the subnet is
//     not looked at. (VPC user guide: network ACL basics.)
//  3. Security groups of the interface. They only allow, so their order means
//     nothing: one rule in one group is enough. A rule that names a group means
//     the private addresses of the interfaces that wear it, in the same VPC or
//     over an active peering, never their public ones. (VPC user guide:
//     security group rules, security group referencing.)
//  4. Network ACL, outbound, for the answer: it goes back to the port that the
//     client called from. ACLs remember nothing; security groups do, and need no
//     rule for answers.
//
// [World.Leave] does the same for the other end of the way, when the source is
// an interface too: its groups' egress rules and its subnet's ACL.
//
// # What is not known
//
// A rule whose source is a prefix list that nobody has resolved, or a group
// whose members nobody can list, might match. If nothing else lets the packet in
// the outcome is Unknown: neither delivered nor denied.
//
// # What is left out
//
// Network firewalls, load balancers and other middleboxes, VPC block public
// access, gateway route tables, and routes whose destination is a prefix list.
package packet
