//go:build linux

package foreign

import (
	"fmt"

	"github.com/sesame-access/sesame/internal/provider/nftables/nfnetlink/ruleset"
)

// deepest is how many jumps deep the kernel goes.
const deepest = 16

// A walk follows one packet through one base chain.
type walk struct {
	*Ruleset
	packet packet
	// spared says that an uncertain accept may have let the packet through.
	spared bool
	// certain is the drop that the packet surely meets unless it was spared, and
	// uncertain the first one that it may meet.
	certain, uncertain string
	// aside is the first drop that the packet may meet of those that do not name
	// its port.
	aside string
}

// An end says how a chain ended.
type end uint8

const (
	through  end = iota // it did not decide
	accepted            // surely
	dropped             // surely
)

// base returns what the chain does to the packet, as a sentence; empty when it
// lets it through.
func (w *walk) base(c ruleset.Chain) string {
	e := w.follow(c)
	what := fmt.Sprintf("new connections to %d/%s", w.packet.port, w.packet.protocol)
	if w.packet.leg == answered {
		what = fmt.Sprintf("the answers of %d/%s", w.packet.port, w.packet.protocol)
	}
	in := place(c)
	switch {
	case e == dropped && !w.spared:
		return fmt.Sprintf("%s: %s blocks %s, also for a grant; allow the port there", in, w.certain, what)
	case e == dropped:
		return fmt.Sprintf("%s: %s may block %s; what is accepted before could not be told", in, w.certain, what)
	case w.uncertain != "":
		return fmt.Sprintf("%s: %s may block some %s", in, w.uncertain, what)
	}
	return ""
}

// follow goes through a base chain.
func (w *walk) follow(c ruleset.Chain) end {
	e := w.chain(c.ChainID, step{sure: true, named: false}, 0)
	if e == through && c.Hook.Policy == ruleset.VerdictDrop {
		e, w.certain = dropped, "its policy"
	}
	return e
}

// drop returns what in the chain drops the packet, or may, and whether it surely
// does; empty when nothing does.
func (w *walk) drop(c ruleset.Chain) (by string, certain bool) {
	switch e := w.follow(c); {
	case e == dropped && !w.spared:
		return w.certain, true
	case e == dropped:
		return w.certain, false
	case w.uncertain != "":
		return w.uncertain, false
	}
	return w.aside, false
}

func place(c ruleset.Chain) string {
	return fmt.Sprintf("table %s, chain %s (hook %s)", c.Table, c.Name, hookName(c))
}

// A step is how sure it is that the packet comes to a rule, and whether the port
// was named on the way.
type step struct{ sure, named bool }

// chain follows the packet through one chain.
func (w *walk) chain(id ruleset.ChainID, at step, depth int) end {
	if depth > deepest {
		return through
	}
	for _, r := range w.Rules {
		if r.ChainID != id {
			continue
		}
		m := w.packet.match(w.Ruleset, r)
		if m.result == no {
			continue
		}
		here := step{sure: at.sure && m.result == yes, named: at.named || m.named}
		switch e, done := w.verdict(r, here, depth); {
		case e != through:
			return e
		case done && m.result == yes:
			return through
		case done:
			at.sure = false // the rest of the chain may not be met
		}
	}
	return through
}

// verdict does what the rule does to a packet that matches it. Done means that
// the rest of the chain is not met.
func (w *walk) verdict(r ruleset.Rule, at step, depth int) (e end, done bool) {
	v, ok := decision(r)
	switch {
	case !ok:
		return through, false
	case v.Code == ruleset.VerdictAccept && at.sure:
		return accepted, true
	case v.Code == ruleset.VerdictAccept:
		w.spared = true
		return through, false
	case v.Code == ruleset.VerdictDrop && at.sure:
		w.certain = name(r)
		return dropped, true
	case v.Code == ruleset.VerdictDrop:
		if at.named && w.uncertain == "" {
			w.uncertain = name(r)
		}
		if !at.named && w.aside == "" {
			w.aside = name(r)
		}
		return through, false
	case v.Code == ruleset.VerdictJump, v.Code == ruleset.VerdictGoto:
		return w.chain(r.Table.Chain(v.Chain), at, depth+1), v.Code == ruleset.VerdictGoto
	}
	return through, v.Code == ruleset.VerdictReturn
}

// decision returns the verdict of a rule; a rule without one, that only counts
// or logs, decides nothing. Where the verdict stands in a map, the packet may be
// accepted.
func decision(r ruleset.Rule) (ruleset.Verdict, bool) {
	if r.Refuses() {
		return ruleset.Verdict{Code: ruleset.VerdictDrop}, true
	}
	for _, x := range r.Exprs {
		if v, ok := x.(ruleset.Verdict); ok {
			return v, true
		}
		if raw, ok := x.(ruleset.Raw); ok && raw.Name == "lookup" {
			return ruleset.Verdict{Code: ruleset.VerdictAccept}, true
		}
	}
	return ruleset.Verdict{}, false
}

func hookName(c ruleset.Chain) string {
	if c.Table.Family == ruleset.NetDev {
		return map[bool]string{true: "ingress", false: "egress"}[c.Hook.Num == ruleset.NetDevIngress]
	}
	return map[ruleset.HookNum]string{
		ruleset.Prerouting: "prerouting", ruleset.Input: "input", ruleset.Forward: "forward",
		ruleset.Output: "output", ruleset.Postrouting: "postrouting", ruleset.Ingress: "ingress",
	}[c.Hook.Num]
}
