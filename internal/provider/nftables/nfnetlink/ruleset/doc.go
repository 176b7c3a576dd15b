// Package ruleset has the values that nf_tables keeps - tables, chains, rules with their expressions, sets and their
// elements - and how the kernel encodes them in netlink attributes. It opens nothing and asks nobody; package nfnetlink
// above it does.
//
// It models what a gate of hash sets needs. An expression that it does not model, or of which it would lose a part, is
// read as [Raw] and can be written again as that.
//
// # Rules
//
// A rule is a list of expressions, and one word of the nft language is often several of them. Phrases say them as nft
// does:
//
//	// ip saddr & 255.255.255.0 . meta l4proto . th dport @net4_24 accept
//	ruleset.NewRule(chain, "", ruleset.In("net4_24", ruleset.SourceIPv4().Prefix(24), ruleset.L4Proto(), ruleset.DestPort()),
//		ruleset.Accept())
//	// tcp flags & (syn | ack) != syn accept
//	ruleset.NewRule(chain, "", ruleset.Is(ruleset.L4Proto(), unix.IPPROTO_TCP),
//		ruleset.IsNot(ruleset.TCPFlags().Mask(0x12), 0x02), ruleset.Accept())
//
// # Encoding
//
// Numbers in attributes are big-endian; the headers of attributes are in the host's order. Keys of sets are in network
// order, each field of a concatenation padded to four bytes ([Concat]). Registers are numbered from 0 to 15, four bytes
// each ([Reg]). Times are milliseconds in the kernel: they are cut, never rounded up, and never to zero, which would mean
// for ever. An attribute holds at most 65,535 bytes; [Encoder] makes anything longer an error and never a shorter one.
// [Decoder] reads nothing beyond the data it is given, whatever they say.
package ruleset
