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

// The chains of the gate, in the order in which packets meet them: those that
// judge what comes in, and those that judge what sockets of this host get.
const (
	chainGate       = "gate"
	chainTCP        = "tcp_gate"
	chainJudge      = "judge"
	chainOpenings   = "openings"
	chainLocal      = "local"
	chainTCPLocal   = "tcp_local"
	chainJudgeLocal = "judge_local"
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
	const mangle = -150 // before destinations are translated, and before sources are on their way in
	at := func(name string, hook ruleset.HookNum) ruleset.Chain {
		return ruleset.Chain{ChainID: ID().Chain(name), Hook: ruleset.Hook{
			Type: "filter", Num: hook, Priority: mangle, Policy: ruleset.VerdictAccept,
		}}
	}
	list := []ruleset.Chain{at(chainGate, ruleset.Prerouting), at(chainLocal, ruleset.Input)}
	for _, name := range []string{chainTCP, chainJudge, chainOpenings, chainTCPLocal, chainJudgeLocal} {
		list = append(list, ruleset.Chain{ChainID: ID().Chain(name)})
	}
	slices.SortFunc(list, func(a, b ruleset.Chain) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// rules returns the rules that the table must have with the given sets, by the
// names of their chains, and in each chain in order.
func rules(sets []string) []ruleset.Rule {
	list := slices.Concat(
		asks(chainGate, chainTCP, chainJudge),
		asks(chainLocal, chainTCPLocal, chainJudgeLocal),
		[]ruleset.Rule{
			in(chainJudge, ruleset.Jump(chainOpenings)),
			in(chainJudge, ruleset.Count(), ruleset.Drop()),
		},
	)
	var slots []slot
	for _, name := range sets {
		if s, ok := parseSlot(name); ok {
			slots = append(slots, s)
			list = append(list, in(chainOpenings, ruleset.In(name, s.fields()...), ruleset.Accept()))
		}
	}
	list = append(list, refuses(slots, false)...)
	list = append(list, refuses(slots, true)...)
	slices.SortStableFunc(list, func(a, b ruleset.Rule) int { return strings.Compare(a.Name, b.Name) })
	return list
}

func in(chain string, phrases ...[]ruleset.Expr) ruleset.Rule {
	return ruleset.NewRule(ID().Chain(chain), "", phrases...)
}

// asks returns the rules by which the packets of one hook that need an opening
// come to the end of its last chain.
func asks(hook, syns, judge string) []ruleset.Rule {
	const lo, syn, synAck = 1, 0x02, 0x12
	tcp, udp := ruleset.Is(ruleset.L4Proto(), unix.IPPROTO_TCP), ruleset.Is(ruleset.L4Proto(), unix.IPPROTO_UDP)
	port := ruleset.DestPort()
	return []ruleset.Rule{
		in(hook, tcp, ruleset.In(lockedTCP, port), ruleset.Goto(syns)),
		in(hook, udp, ruleset.In(lockedUDP, port), ruleset.Goto(judge)),
		in(syns, tcp, ruleset.In(cutTCP, port), ruleset.Goto(judge)),
		in(syns, tcp, ruleset.IsNot(ruleset.TCPFlags().Mask(synAck), syn), ruleset.Accept()),
		in(syns, ruleset.Goto(judge)),
		in(judge, ruleset.Is(ruleset.InputIndex(), lo), ruleset.Accept()),
		in(judge, ruleset.Is(ruleset.DestType(), unix.RTN_UNICAST), ruleset.Accept()),
	}
}

// mostUncounted is how many look-ups fit into one rule: the kernel takes 128
// expressions and 4 KiB, and a look-up is up to seven of them.
const mostUncounted = 16

// refuses returns the rules that drop what no set of one family holds, without
// counting what one holds. A look-up that asks for absence does not count what
// it finds, but all of them must be in one rule; sets for which it has no room
// are looked up before it and count again. Every frame has a set of each family.
func refuses(slots []slot, six bool) []ruleset.Rule {
	var list []ruleset.Rule
	var absent []ruleset.Expr
	n := 0
	for _, s := range slots {
		switch {
		case s.six != six:
		case n == mostUncounted:
			list = append(list, in(chainJudgeLocal, ruleset.In(s.name(), s.fields()...), ruleset.Accept()))
		default:
			n++
			absent = append(absent, ruleset.NotIn(s.name(), s.fields()...)...)
		}
	}
	return append(list, in(chainJudgeLocal, absent, ruleset.Count(), ruleset.Drop()))
}
