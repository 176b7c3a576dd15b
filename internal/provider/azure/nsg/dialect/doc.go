// Package dialect is how Sesame speaks in a network security group: how rules of
// ours are named, described and marked, how they are found again among everybody
// else's, and what the group shows, as a layer for the reach engine.
//
// A VM is behind a group with each of its IP configurations that the group stands
// in front of, at the interface or at the subnet. What one rule of ours is about is
// a [Spot]: one IP configuration in one address family, since Azure refuses rules
// that mix them. Azure judges inbound packets by the private address, so that is
// what a rule of ours is for.
//
// What foreign rules say, and the layer that all make together, is package rule's
// business.
//
// Everything is a pure function of a [Reading].
package dialect
