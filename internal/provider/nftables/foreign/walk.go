//go:build linux

package foreign

import (
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/nftables/nfnetlink/ruleset"
	"github.com/sesame-access/sesame/internal/reach"
)

// deepest is how many jumps deep the kernel goes.
const deepest = 16

// A line is one thing that a base chain does to some clients at some ports.
type line struct {
	by     string
	action firewall.Action
	maybe  bool
	from   reach.Ranges
}

// A walk follows the packets of all clients, at one port and from one port,
// through one base chain.
type walk struct {
	*Ruleset
	packet packet
	rules  map[ruleset.ChainID][]ruleset.Rule
	lines  []line
	left   *int // how many more rules may be looked at
}

// base goes through the base chain.
func (w *walk) base(c ruleset.Chain) {
	out, spared := w.chain(c.ChainID, w.packet.all, w.packet.all, 0)
	if c.Hook.Policy == ruleset.VerdictDrop {
		w.drop("its policy", out, out.Minus(spared))
	}
}

// drop says that at is dropped, who is sure to come so far for certain.
func (w *walk) drop(by string, at, sure reach.Ranges) {
	certain := at.Intersect(sure)
	w.say(line{by: by, action: firewall.Deny, from: certain})
	w.say(line{by: by, action: firewall.Deny, maybe: true, from: at.Minus(certain)})
}

func (w *walk) say(l line) {
	if len(l.from) > 0 {
		w.lines = append(w.lines, l)
	}
}

// chain takes clients through one chain: here are those whose packets may come to
// it, and sure those of them whose packets do, or have been dropped already. It
// returns whose packets may come out at its end, and whose it may have spared
// what follows: those of sure that it did not come out, or have been dropped.
func (w *walk) chain(id ruleset.ChainID, here, sure reach.Ranges, depth int) (out, spared reach.Ranges) {
	if depth > deepest {
		return here, here
	}
	for _, r := range w.rules[id] {
		if len(here) == 0 {
			break
		}
		*w.left--
		if *w.left < 0 {
			return here.Union(out), here.Union(spared)
		}
		for _, b := range w.packet.run(w.Ruleset, r) {
			at := here.Intersect(b.any())
			if len(at) == 0 {
				continue
			}
			s := step{branch: b, at: at, sure: at.Intersect(b.yes).Intersect(sure)}
			went, gone := w.step(r, s, depth)
			// Who surely met the rule goes on only as far as the rule lets him.
			here = here.Minus(b.yes).Union(went.on)
			sure = sure.Minus(gone)
			out, spared = out.Union(went.out), spared.Union(went.spared)
		}
	}
	return here.Union(out), spared
}

// A step is a branch of a rule, whose packets may meet it, and whose surely do.
type step struct {
	branch

	at, sure reach.Ranges
}

// A way is whose packets may go on to the next rule, though they met this one;
// whose may leave the chain by its end; and whose may be accepted.
type way struct{ on, out, spared reach.Ranges }

// step does what the branch does. Gone are those who from there on are not sure to
// come to the next rule any more, without having been dropped.
func (w *walk) step(r ruleset.Rule, s step, depth int) (went way, gone reach.Ranges) {
	switch s.effect {
	case bends:
		certain := s.at.Intersect(s.yes)
		w.say(line{by: name(r) + " sends it on", action: firewall.Unknown, from: certain})
		w.say(line{by: name(r) + " sends it on", action: firewall.Unknown, maybe: true, from: s.at.Minus(certain)})
		return way{spared: s.at}, s.at
	case mystery:
		w.drop(name(r), s.at, nil)
		return way{on: s.at, spared: s.at}, s.at
	case decides:
	}
	switch s.verdict.Code {
	case ruleset.VerdictAccept:
		return way{spared: s.at}, s.at
	case ruleset.VerdictDrop:
		w.drop(name(r), s.at, s.sure)
		return way{}, nil
	case ruleset.VerdictReturn:
		return way{out: s.at}, s.at
	case ruleset.VerdictJump:
		out, spared := w.chain(r.Table.Chain(s.verdict.Chain), s.at, s.sure, depth+1)
		return way{on: out, spared: spared}, spared
	case ruleset.VerdictGoto:
		out, spared := w.chain(r.Table.Chain(s.verdict.Chain), s.at, s.sure, depth+1)
		return way{out: out, spared: spared}, spared.Union(out)
	case ruleset.VerdictContinue, ruleset.VerdictBreak:
		return way{on: s.at}, nil
	}
	w.drop(name(r), s.at, nil) // a queue: whoever reads it decides
	return way{spared: s.at}, s.at
}
