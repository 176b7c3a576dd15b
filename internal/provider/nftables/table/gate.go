//go:build linux

package table

import (
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sesame-access/sesame/internal/provider/nftables/nfnetlink/ruleset"
)

// ID returns the table's name.
func ID() ruleset.TableID { return ruleset.TableID{Family: ruleset.INet, Name: "sesame"} }

// The chains of the gate, in the order in which packets meet them.
const (
	chainGate     = "gate"
	chainTCP      = "tcp_gate"
	chainJudge    = "judge"
	chainOpenings = "openings"
)

// The sets of ports.
const (
	lockedTCP = "tcp_ports"
	lockedUDP = "udp_ports"
	cutTCP    = "tcp_cut"
)

const (
	// fuse ends an element that was added by hand without a timeout.
	fuse = 8 * time.Hour
	// room is what one set of openings holds, elements that have expired and are
	// not collected yet among them.
	room = 1 << 16
	// MostOpenings is how many openings the whole table may hold: so few that no
	// set runs full even when all expire and are replaced within one second.
	MostOpenings = room / 2
)

const (
	commentHead = "Sesame's gate, of installation "
	commentTail = "; managed, do not edit"
)

// tableOf is the table itself. Its comment says which installation writes it.
func tableOf(instance string) ruleset.Table {
	return ruleset.Table{TableID: ID(), Comment: commentHead + instance + commentTail}
}

// stranger returns the installation that the table's comment names if it is
// another one.
func stranger(t ruleset.Table, instance string) string {
	rest, ok := strings.CutPrefix(t.Comment, commentHead)
	if !ok {
		return ""
	}
	if who, _, _ := strings.Cut(rest, ";"); who != instance {
		return who
	}
	return ""
}

// portSets are the names of the sets of ports, sorted.
func portSets() []string { return []string{cutTCP, lockedTCP, lockedUDP} }

// firstSets are the sets that the table always has, sorted.
func firstSets() []string {
	return append(portSets(), slot{six: false, bits: 32, exempt: false}.name(), slot{six: true, bits: 128, exempt: false}.name())
}

// shape returns what the set of that name must be; there is no other name that
// belongs in the table.
func shape(name string) (ruleset.Set, bool) {
	if slices.Contains(portSets(), name) {
		return ruleset.Set{SetID: ID().Set(name), Key: ruleset.KeyOf(ruleset.InetService)}, true
	}
	s, ok := parseSlot(name)
	if !ok {
		return ruleset.Set{}, false
	}
	addr := ruleset.IPv4Addr
	if s.six {
		addr = ruleset.IPv6Addr
	}
	set := ruleset.Set{
		SetID: ID().Set(name), Key: ruleset.KeyOf(addr, ruleset.InetProto, ruleset.InetService),
		Size: room, Counter: true,
	}
	if !s.exempt {
		set.Flags, set.Timeout = ruleset.SetTimeout, fuse
	}
	return set, true
}

// chains returns the chains that the table must have, sorted by name.
func chains() []ruleset.Chain {
	const mangle = -150 // before destinations are translated: what is published is seen as it was sent
	list := []ruleset.Chain{
		{ChainID: ID().Chain(chainGate), Hook: ruleset.Hook{
			Type: "filter", Num: ruleset.Prerouting, Priority: mangle, Policy: ruleset.VerdictAccept,
		}},
		{ChainID: ID().Chain(chainTCP)},
		{ChainID: ID().Chain(chainJudge)},
		{ChainID: ID().Chain(chainOpenings)},
	}
	slices.SortFunc(list, func(a, b ruleset.Chain) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// rules returns the rules that the table must have with the given sets, by the
// names of their chains, and in each chain in order.
func rules(sets []string) []ruleset.Rule {
	const (
		lo     = 1
		syn    = 0x02
		synAck = 0x12
	)
	in := func(chain string, phrases ...[]ruleset.Expr) ruleset.Rule {
		return ruleset.NewRule(ID().Chain(chain), "", phrases...)
	}
	tcp, udp := ruleset.Is(ruleset.L4Proto(), unix.IPPROTO_TCP), ruleset.Is(ruleset.L4Proto(), unix.IPPROTO_UDP)
	port := ruleset.DestPort()
	list := []ruleset.Rule{
		in(chainGate, tcp, ruleset.In(lockedTCP, port), ruleset.Goto(chainTCP)),
		in(chainGate, udp, ruleset.In(lockedUDP, port), ruleset.Goto(chainJudge)),
		in(chainTCP, tcp, ruleset.In(cutTCP, port), ruleset.Goto(chainJudge)),
		in(chainTCP, tcp, ruleset.IsNot(ruleset.TCPFlags().Mask(synAck), syn), ruleset.Accept()),
		in(chainTCP, ruleset.Goto(chainJudge)),
		in(chainJudge, ruleset.Is(ruleset.InputIndex(), lo), ruleset.Accept()),
		in(chainJudge, ruleset.Is(ruleset.DestType(), unix.RTN_UNICAST), ruleset.Accept()),
		in(chainJudge, ruleset.Jump(chainOpenings)),
		in(chainJudge, ruleset.Count(), ruleset.Drop()),
	}
	for _, name := range sets {
		if s, ok := parseSlot(name); ok {
			list = append(list, in(chainOpenings, ruleset.In(name, s.field(), ruleset.L4Proto(), port), ruleset.Accept()))
		}
	}
	slices.SortStableFunc(list, func(a, b ruleset.Rule) int { return strings.Compare(a.Name, b.Name) })
	return list
}
