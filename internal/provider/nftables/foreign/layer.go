//go:build linux

package foreign

import (
	"fmt"
	"slices"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/nftables/nfnetlink/ruleset"
	"github.com/sesame-access/sesame/internal/reach"
)

// mostSteps is how many rules are looked at to follow every class of ports through
// one base chain: a bound of a second or two. Of a chain that is longer nothing is
// known.
const mostSteps = 1 << 18

// Layer returns what r does to new connections to vm, as a layer of its own that
// stands beside the gate: a drop anywhere is final, and nothing here opens. Each
// line is about the ports and the clients that the rule decides about. Zero where
// nothing drops, and nothing is sent on.
func (r *Ruleset) Layer(id firewall.ID, vm firewall.VMID) firewall.Layer {
	l := firewall.Layer{Firewall: id, Kind: firewall.Ordered, Rules: nil, Default: firewall.Allow}
	rules := map[ruleset.ChainID][]ruleset.Rule{}
	for _, x := range r.Rules {
		rules[x.ChainID] = append(rules[x.ChainID], x)
	}
	untracked := r.untracked()
	for _, s := range r.stations() {
		t := tour{Ruleset: r, station: s, rules: rules, vm: vm, tracked: s.tracked() && !untracked, left: mostSteps}
		l.Rules = append(l.Rules, t.all()...)
	}
	if len(l.Rules) == 0 {
		return firewall.Layer{}
	}
	for _, p := range protocols() {
		l.Rules = append(l.Rules, firewall.LayerRule{Name: "the tables of others let it pass", Action: firewall.Allow, VM: vm, Protocol: p, Last: 65535})
	}
	l.Rules = append(l.Rules, firewall.LayerRule{Name: "the tables of others were not followed for this protocol", Action: firewall.Deny, Maybe: true, VM: vm, Last: 65535})
	return l
}

func protocols() []firewall.Protocol { return []firewall.Protocol{firewall.TCP, firewall.UDP} }

// A tour goes through one base chain with the packets of every class of ports.
type tour struct {
	*Ruleset
	station

	rules   map[ruleset.ChainID][]ruleset.Rule
	vm      firewall.VMID
	tracked bool
	left    int
}

// all returns what the chain does to everybody.
func (t *tour) all() (out []firewall.LayerRule) {
	doors, clients := t.classes(t.station, t.rules)
	for _, family := range []ruleset.Family{ruleset.IPv4, ruleset.IPv6} {
		if !t.sees(family) {
			continue
		}
		for _, protocol := range protocols() {
			p := packet{protocol: protocol, family: family, leg: t.leg, tracked: t.tracked, all: everybody(family)}
			out = append(out, t.ports(p, doors, clients)...)
		}
	}
	if t.left < 0 {
		return []firewall.LayerRule{{Name: place(t.Chain) + " is too long to follow", Action: firewall.Deny, Maybe: true, VM: t.vm, Last: 65535}}
	}
	return out
}

// A stretch is ports of the door, and of the client, at which the same happens.
type stretch struct {
	door, client class
	lines        []line
}

// ports returns what the chain does to packets like p at every port. Classes next
// to each other that fare alike become one.
func (t *tour) ports(p packet, doors, clients []class) (out []firewall.LayerRule) {
	var before []stretch
	flush := func() {
		for _, s := range before {
			out = append(out, t.lines(p, s)...)
		}
	}
	for _, door := range doors {
		var here []stretch
		for _, client := range clients {
			// Port 0 of a client is none: the last of a class stands for it.
			p.port, p.client = door.first, client.last
			w := walk{Ruleset: t.Ruleset, packet: p, rules: t.rules, lines: nil, left: &t.left}
			if w.base(t.Chain); t.left < 0 {
				return nil
			}
			if n := len(here); n > 0 && slices.EqualFunc(here[n-1].lines, w.lines, line.equal) {
				here[n-1].client.last = client.last
				continue
			}
			here = append(here, stretch{door: door, client: client, lines: w.lines})
		}
		if slices.EqualFunc(before, here, func(a, b stretch) bool {
			return a.client == b.client && slices.EqualFunc(a.lines, b.lines, line.equal)
		}) {
			for i := range before {
				before[i].door.last = door.last
			}
			continue
		}
		flush()
		before = here
	}
	flush()
	return out
}

func (l line) equal(m line) bool {
	return l.by == m.by && l.action == m.action && l.maybe == m.maybe && slices.Equal(l.from, m.from)
}

// lines writes what happens at s as rules of a layer.
func (t *tour) lines(p packet, s stretch) (out []firewall.LayerRule) {
	for _, l := range s.lines {
		out = append(out, firewall.LayerRule{
			Name: place(t.Chain) + ": " + l.by, Action: l.action, Maybe: l.maybe, VM: t.vm, Protocol: p.protocol,
			First: s.door.first, Last: s.door.last, SourceFirst: s.client.first, SourceLast: s.client.last, From: prefixes(l.from),
		})
	}
	return out
}

// Blocks returns, as sentences, what surely keeps everybody out of d, whoever has
// a grant for it; l is a layer that Layer returned. What keeps out some, or may do
// so, is for the layer to tell.
func Blocks(l firewall.Layer, d firewall.Door) (out []string) {
	if l.Firewall == "" {
		return nil
	}
	verdict := reach.Layer(l, d)
	if !verdict.Sources(reach.Open, reach.Unknown).Empty() {
		return nil
	}
	for x := range verdict.All() {
		for _, s := range x.Steps() {
			out = append(out, fmt.Sprintf("%s blocks connections to %d/%s, also for a grant; allow the port there", s.Rule, d.Port, d.Protocol))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
