// Package foreign reads other people's tables and says which of them would keep
// out somebody whom Sesame's gate lets in. In a kernel a drop anywhere is final,
// and an accept is not: nothing that others write can open a locked port, but
// much of it can defeat a grant.
//
// It follows one packet, the first of a connection to a port, through the chains
// that it would meet on its way in, and the answer to it on its way out, with what
// is certain about them: protocol, port, that they begin and answer a connection,
// and that the other end is not this host. A packet that may be sent on to another
// address, such as that of a container with a published port, meets the forward
// hook with a destination that is not known: whether something drops it there is
// unknown, wherever anything does.
// What the packet's source or anything that this package does not model decides
// is uncertain. A drop that is certain blocks; one behind an uncertain accept,
// or an uncertain one in a rule that names the port, may block. An uncertain
// drop that does not name the port, as in a block list for everything, is not
// told: it is not about the grants.
//
// It does no I/O and changes nothing.
package foreign
