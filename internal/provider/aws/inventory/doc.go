// Package inventory reads what one account has in one region, and says which
// machines there are, which ways lead to them, and who uses their ports without
// being able to ask.
//
// All reads are filtered or paged, and a page set that breaks off is no reading.
// Without the instances, the interfaces and the subnets nothing is known, and Read
// fails. What cannot be read of routes, network ACLs, groups, prefix lists and
// peerings is unknown where it matters, and nowhere else.
//
// # Who is proposed as exempt
//
// The API says what stands in the network, and not what it is for. What is
// proposed follows from the rules that are there: one that lets in a load
// balancer's interfaces serves its health checks; one for an Instance Connect
// endpoint, or for the prefix list of EC2 Instance Connect, people who come through
// it; and one for a small network at a management port whoever manages from there.
package inventory
