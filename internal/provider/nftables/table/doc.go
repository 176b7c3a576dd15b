// Package table knows Sesame's own table in a kernel as a value: what it must
// look like, what was read of it, what that lets in, and which writes lead from
// there to what is wanted. It does no I/O and asks no clock.
//
// # The gate
//
//	table inet sesame {
//		set tcp_ports { type inet_service }                # the locked ports
//		set udp_ports { type inet_service }
//		set tcp_cut { type inet_service }                  # those whose lock cuts
//		set host4 { type ipv4_addr . inet_proto . inet_service; flags timeout; timeout 8h; counter; }
//		set net4_24 { … }                                  # likewise; made when first needed
//		set exempt4_24 { … }                               # likewise, without timeouts
//		chain gate {
//			type filter hook prerouting priority mangle; policy accept;
//			tcp dport @tcp_ports goto tcp_gate
//			udp dport @udp_ports goto judge
//		}
//		chain tcp_gate {
//			tcp dport @tcp_cut goto judge
//			tcp flags & (syn | ack) != syn accept
//			goto judge
//		}
//		chain judge {
//			iif lo accept
//			fib daddr type unicast accept
//			jump openings
//			counter drop
//		}
//		chain local { type filter hook input priority mangle; … }  # as gate, but to tcp_local and judge_local
//		chain tcp_local { … }                              # as tcp_gate, but to judge_local
//		chain judge_local {                                # begins as judge; then, for each family:
//			ip saddr . … != @host4 ip saddr & 255.255.255.0 . … != @net4_24 counter drop
//		}
//		chain openings {
//			ip saddr . meta l4proto . th dport @host4 accept
//			ip saddr & 255.255.255.0 . meta l4proto . th dport @net4_24 accept
//		}
//	}
//
// Every packet that would start a connection to a locked port is judged, and
// every single datagram, whatever connection tracking believes: an entry that a
// provoked reset leaves behind would let a new connection pass as an established
// one. Where the lock cuts, every packet is judged, so that a connection ends
// with the opening that let it in, when that expires too.
//
// A packet for another machine ("unicast" to the routing table) is none of the
// gate's business. One to a broadcast or multicast address is judged: a socket
// of this host may be listening.
//
// # Twice
//
// A packet is judged by the port that it was sent to, which guards what is
// published to other machines, and again on its way into a socket of this host,
// by the port that the socket has: a rule of others that redirects 2222 to 22
// would lead past a lock of 22. Neither asks connection tracking.
//
// The first alone counts uses, of what is forwarded as of what is delivered; the
// second asks for the absence of the source, which counts nothing. A connection
// redirected to a locked port from an unlocked one counts nowhere. One rule has
// room for sixteen sets; sets of a family beyond that are asked before it, and
// count what is delivered twice.
//
// # Sets
//
// There is one hash set for each length of prefix, looked up with the source
// masked to that length: hash sets cost the same at any size, and do not let
// their deletions pile up as interval sets do. Each element is an opening and
// carries its mark as comment, its deadline as timeout and its use as counter.
// Exempt sources are in sets of their own, because every set of grants has a
// default timeout: it is the fuse for an element that somebody adds by hand
// without one.
//
// # Repair
//
// A frame - everything of the table but the elements - that differs in anything
// from what this package would write is wrong and is written again in place, in
// one transaction: chains are emptied and filled, sets keep their elements. The
// table is never replaced, and nothing relies on a chain's policy; both would
// let packets pass for a moment.
package table
