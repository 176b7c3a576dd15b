// Package ec2 simulates the part of the EC2 API that decides who can reach an
// instance, strictly enough that a client which gets along with it gets along
// with Amazon. The AWS SDKs and the aws command line work against it unchanged.
//
// # What is simulated
//
// The query protocol of version 2016-11-15, with the documents, namespaces,
// filters, page tokens and error codes of the real API:
//
//   - security groups: Create, Delete, Describe; rules by content and by id:
//     Authorize, Revoke, Modify, update descriptions, describe; references over
//     peerings and stale rules
//   - network interfaces: Describe, ModifyNetworkInterfaceAttribute (groups, as
//     a whole list; description; connection tracking), ModifyInstanceAttribute
//     (groups, of an instance with one interface)
//   - network ACLs: Describe; Create, Replace and Delete entries
//   - tags of everything, rules included: Create, Delete, Describe
//   - only described: instances and their status, VPCs, subnets, route tables,
//     internet gateways, peerings, Elastic IP addresses, prefix lists and their
//     entries, regions, account attributes
//   - STS: GetCallerIdentity, AssumeRole with an external id
//
// Signatures are verified. Who calls is in an account, and sees what is in it.
// What he may do is a table of actions with conditions on tags (package gate).
// Parameters that nobody knows are refused, and so is everything that the API
// reference forbids: a rule that is there already, one that is not there, one too
// many, a group too many on an interface, a group that is deleted while it is in
// use (package world). Every action has a token bucket of the documented size for
// each account and region. Calls for STS have none.
//
// Reads may lag behind writes, each by its own bit up to Config.ReadLag, so that
// two reads in a row can go back in time; what is not seen yet is NotFound for
// other calls too. DryRun asks for permission and nothing else.
//
// # What goes wrong
//
// [Simulator.Fail] makes calls go wrong in every way that a [FaultKind] names:
// lost, done but not answered, done late, not done but confirmed, half done,
// throttled for hours, slow, reads that are stuck in the past, somebody else's
// edit right before a call or between it and its answer. The same can be had over
// HTTP, under /_simulator/, from a simulator that runs as a program.
//
// # Who gets in
//
// [Simulator.Connect] follows one packet of a client through routes, network ACLs
// and security groups (package packet). [Simulator.Dial] makes a connection that
// lives on: a tracked one outlives the rule that let it in, until it has been
// idle for too long or the network ACL keeps its packets; one that is not
// tracked, because everybody was let in and everything out, ends with the rule.
//
// # What is there
//
// [Simulator.Build] gives access to the tables of a region; package fleet builds
// VPCs, groups from texts and instances, and whole fleets by a seed
// ([Simulator.Fleet]). [Simulator.Groups] and [Simulator.Document] tell what is
// really there, whatever reads say, the second in one canonical form.
//
// # What is not simulated
//
// Launching and stopping instances, and everything else that a method here does
// not name: put it into the world by hand ([Simulator.Hand]). Paths that are not
// routes to an address of an interface: load balancers, NAT, Instance Connect
// Endpoints, Session Manager. VPC sharing, block public access, EC2-Classic,
// security group VPC associations, cross-region peering, session policies and
// conditions of IAM but those on tags. Flows that are tracked on their own, such
// as through a network load balancer.
//
// # What is assumed
//
// The documentation does not say these, and nobody has measured them for us:
// an Authorize or Revoke call is done whole or not at all; ModifySecurityGroupRules
// sets the description too, and clears it where none is given; a call with ids
// and no filter takes from the smaller bucket of unfiltered calls; protocols
// without ports have the ports -1; messages are close to the real ones, and codes
// are what to rely on.
//
// Everything runs in a synctest bubble with [Simulator.Client].
package ec2
