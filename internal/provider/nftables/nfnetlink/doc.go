// Package nfnetlink speaks with nf_tables, the kernel's packet filter, over netlink: transactions, dumps, single look-ups
// and events, each over a socket of one network namespace. What it sends and receives are the values of package ruleset.
//
// # Writing
//
// A [Batch] is one transaction. Its methods only encode; [Conn.Commit] sends it, and the kernel applies all of it or
// none of it, in one step that no packet sees half done:
//
//	c, err := nfnetlink.Dial()
//	table := ruleset.TableID{Family: ruleset.INet, Name: "gate"}
//	host4 := table.Set("host4")
//	b := nfnetlink.NewBatch()
//	b.AddTable(ruleset.Table{TableID: table, Comment: "who may come in"})
//	b.AddSet(ruleset.Set{SetID: host4, Key: ruleset.KeyOf(ruleset.IPv4Addr, ruleset.InetProto, ruleset.InetService),
//		Flags: ruleset.SetTimeout, Timeout: 8 * time.Hour, Counter: true})
//	b.AddElements(host4, ruleset.Element{Key: ruleset.Concat(addr.AsSlice(), ruleset.ProtoKey(6), ruleset.PortKey(22)),
//		Timeout: time.Hour, Comment: "grant 7f3a"})
//	err = c.Commit(ctx, b)
//
// What Commit answers is one of four things:
//
//   - nil: the kernel acknowledged the transaction, all of it is in force;
//   - a *[BatchError]: the kernel refused, nothing changed; every refused operation is named by its number in the batch,
//     with the errno (errors.Is(err, unix.ENOENT)) and the kernel's own words where it gave any;
//   - an error for which errors.Is(err, [ErrOutcomeUnknown]): the batch was sent and no answer came. Read the state back;
//   - any other error: nothing was sent. A batch that does not fit the socket is refused so (unix.EMSGSIZE, see
//     [Conn.Limit]), because half a transaction would be worse than none.
//
// Refusals are not a way to ask: a transaction that the kernel gives up costs it milliseconds, one that it commits
// microseconds.
//
// # Sizes
//
// A netlink attribute cannot be longer than 65,535 bytes, and an element list is one attribute: a longer one would be cut
// silently. AddElements and its kin therefore split a list over as many messages of the same transaction as it takes;
// everything else that would overflow makes Commit fail before it sends. Only the last message asks for an
// acknowledgement, so that a large batch cannot overflow the receive buffer with acks of what went well.
//
// # Reading
//
// Dumps ([Conn.Tables], [Conn.Chains], [Conn.Rules], [Conn.Sets], [Conn.Elements]) are consistent: one that a commit
// interrupted is begun anew. A dump of a hash set costs the kernel quadratic time; [Conn.Lookup] reads single keys at a
// constant price. What was written is read back equal: Table, Chain and Set with ==, rules with their method Equal.
//
// A [Monitor] delivers what changed and who changed it.
package nfnetlink
