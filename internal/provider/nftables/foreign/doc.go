// Package foreign reads other people's tables and says what they do to the
// connections that Sesame's gate lets in. In a kernel a drop anywhere is final,
// and an accept is not: nothing that others write can open a locked port, but
// much of it can defeat a grant.
//
// It follows the first packet of a connection through the base chains that it
// meets on its way in, by hook and priority, and the answer to it on its way out:
// of every client at once, for TCP and UDP, and for every class of ports that the
// rules tell apart. What it finds are the lines of a [firewall.Layer]: who is
// dropped, at which port, from which port, by which rule.
//
// # What is known
//
// Of the packet are known its family, protocol and ports, the client's address,
// that it begins or answers a connection, that it does not come by loopback and
// that it is for this host. All comparisons with these are exact: masks, parts of
// addresses as nft loads them, ranges, sets with and without intervals, their
// concatenations, and maps of verdicts. A client's port 0, which no system sends
// from, counts as the port above it.
//
// # What is not
//
// A condition on anything else (a mark, an interface, a rate, the host's address,
// a match of xtables), a set that could not be read or that packets write to, and
// an element that ends by itself are met perhaps. Then the rule's drop is a line
// with Maybe, for those whom it is about, and after its accept a drop is only
// possible. A rule that is not understood may drop what meets it, or accept it.
//
// A packet that a rule sends on to another port or address, with nat, redirect,
// tproxy or by writing to it, has an unknown end: what drops it before surely
// does, what happens later is not followed. So nothing is said about the hook
// forward, which only such a packet passes.
//
// Protocols but TCP and UDP are not followed, and not known where anything drops.
//
// It does no I/O and changes nothing.
package foreign
