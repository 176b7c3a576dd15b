// Package securitygroup is what the AWS provider knows: what the security groups
// of one VPC let in, which of it is ours, and which writes make them show what is
// wanted. It is pure: [Plan] is a function of a [Reading], and the SDK is
// somebody else's business.
//
// # One firewall is one VPC
//
// The groups of a VPC are one firewall. A group may be worn by many instances, an
// interface wears many groups, and what one lock takes out of a shared group the
// next one's rest depends on: whatever is smaller than a VPC has two writers
// somewhere. What the reach engine sees is, for every VM, the union of the groups
// that its interfaces wear, behind the network ACL of the subnet where that is a
// wall to anybody.
//
// # Locks
//
// A security group cannot deny. A door is locked when no foreign rule of a group
// on the VM's interfaces lets anybody in but exempt sources, and a sealed tag of
// the VM's owned group says that this is meant to be so. A foreign rule that does
// is displaced: it is recorded whole, what else it lets in is kept by rules of
// ours beside it, and only then it is revoked, by content, so that only the rule
// that was recorded goes. When no lock needs it out any more it comes back with
// its source, ports, description and tags; its id is new.
//
// A rule for every protocol is kept as TCP, UDP, ICMP, ICMPv6 and the protocols
// of [Network].Keep. No finite list of rules says "every other protocol": those
// are lost, as are the ports of VMs that share the group and are not under the same
// lock. Nothing here decides about that. The layer afterwards shows it, and whoever
// asked compares it with what was agreed to; a want that spares has no rule taken
// out for it. An owner who does not want to be asked says Refuse.
//
// With Split a VM wears a copy of its own of such a group instead, that says what
// the group says but for the locked ports, and follows it. Nothing is displaced
// then. A copy is another group to those who name the original as a source, and
// lets everything out, as a new group does: where the original is named, or lets
// out less, there is no copy. Rules of other VPCs that name it are not seen.
//
// # Grants
//
// Every VM with a lock has one owned group, named after installation and
// instance, with no way out, attached to each of its interfaces as long as it has
// a lock. A grant is one rule in it, and everything else in it is closed. The mark
// is the rule's description: a call gives the same tags to all of its rules, so
// that a mark in a tag would cost a call for each.
//
// # Order
//
// The steps of a plan are such that after each single write everybody is let in
// who is before and after the plan, and nobody who is neither: closings, the
// owned group, what stays of displaced rules, openings, locks, displacements,
// what is given back, and what only served a lock that has ended.
//
// Rules, quotas and the shape of permissions: Amazon EC2 API reference and VPC
// user guide, "Security group rules" and "Amazon VPC quotas", as of 2026-11.
package securitygroup
