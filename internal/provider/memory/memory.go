// Package memory simulates firewalls. Nothing here protects anything, and what
// it prints says so; but it behaves: it is as strict, as slow and as forgetful
// as the clouds are, it can be broken and tampered with, and it answers for
// every packet by itself, without the engine it is compared with. Tests, the
// simulated world and the demo without root run on it.
//
// A [World] holds virtual machines and any number of firewalls in front of
// them, and is the [provider.Provider] of all of these. A firewall speaks one
// of three dialects:
//
//   - [Numbered], like a network security group: rules with unique priorities,
//     the first match decides, conditional writes on a version, one update at a
//     time (a later one supersedes an earlier one, whose outcome is then
//     unknown), a default rule that lets a virtual network in.
//   - [Union], like security groups: any rule that matches lets a packet in,
//     nothing can deny, there are no versions, and reads may lag behind. A lock
//     is a tag on the group; foreign rules that reach a locked door are
//     displaced, their exact complement is kept.
//   - [Keyed], like a host's kernel: openings are elements with a timeout that
//     ends them without anybody's help, single keys can be looked up, a plan is
//     one transaction, and a lock can cut connections.
//
// What a firewall holds and how plans are compiled is the business of package
// dialect, which is pure; states, clocks and faults are here. Time passes by the clock of package
// time, without goroutines of the simulator's own: what is due happens, in its
// order, before the next look. Everything is safe for concurrent use.
package memory

import "github.com/sesame-access/sesame/internal/provider/memory/dialect"

// The simulator's own words come from its pure half.
type (
	// A Dialect is the kind of firewall that is simulated.
	Dialect = dialect.Dialect
	// Config describes one firewall.
	Config = dialect.Config
	// A Rule is one line of a simulated firewall, ours or foreign.
	Rule = dialect.Rule
	// A State is what one firewall holds at one moment.
	State = dialect.State
)

// The dialects.
const (
	Numbered = dialect.Numbered
	Union    = dialect.Union
	Keyed    = dialect.Keyed
)
