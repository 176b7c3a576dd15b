// Package nsg locks and opens ports in an Azure network security group. It is the
// part of the provider that decides: which rules the group must hold, where they
// stand, what is sent to make it so, and what an answer means. It does no I/O;
// whoever talks to Azure fetches documents, asks here, and sends what this says.
//
// Package resource is the document and package dialect what is written into it and
// read out of it. Whoever talks to Azure does, for one group and in this order:
//
//   - get the document, and those of the other groups in front of the same
//     machines: [resource.Parse], a [Reading], [Reading.Snapshot];
//   - compile: [Compile], which is the contract's;
//   - write: [Writes], and of each answer [Answer.Pending] until its operation has
//     come to an end, then [Answer.Err] and [Course.After];
//   - get the document again: [Strange] says what became of foreign rules.
//
// # Rules of ours
//
// A VM is behind a group with each of its IP configurations that the group stands
// in front of, at the interface or at the subnet ([dialect.Attachment]). For each IP
// configuration and locked door there is a lock, a Deny for everybody to the
// configuration's own addresses, and above it one Allow for each opening. Azure
// judges inbound packets by the private address, so that is the destination. IPv4
// and IPv6 never share a rule, which Azure refuses.
//
// # Where they stand
//
// No foreign rule is changed, moved or made again, ever, and no number is used
// twice. A lock stands above every foreign rule that lets somebody in, or may. An
// opening stands above its lock, above Azure's default rules, and above those
// foreign Denies for everybody that the owner listed as MayOutrank; any other
// foreign Deny that decides about a part of the source is a proven block, and the
// opening is refused with the rule's name. What may deny, because its source or its
// shape is not known, proves nothing, but is not outranked either: the opening
// stands between it and the lock, or is refused if it cannot. Numbers come from
// reserved windows, the highest that is free; rules of ours that stand well stay
// where they are.
//
// Of the two groups that can stand in front of an IP configuration one locks: the
// interface's, unless it has no number left above what it would have to outrank;
// then the subnet's; else the lock is refused with the rule in the way. (An interface
// behind no group may be given one of Sesame's own: package own.) A lock that
// is shadowed later moves up. If it cannot, it stays, and whoever computes reach
// sees that the door is exposed. Openings are made in both groups, whether or not
// the other would let them in today: only what is written can be read back. A
// lock that stands in the other group is shown as the group's own.
//
// # Order
//
// A plan's changes can be made one by one, and then every state in between is
// safe; or all at once. What narrows or ends comes first. Openings that a new or
// moved lock would cut are written before it. Locks that have ended go last.
//
// A rule that no IP configuration's identity explains any more, because the
// address went to another VM or to nobody, is stale. A stale Allow goes at once.
// A stale lock goes last: when its door is not locked any more, or when the door's
// new locks were read back and the inventory has settled.
package nsg
