//go:build linux

package foreign

import (
	"fmt"
	"slices"

	"github.com/sesame-access/sesame/internal/provider/nftables/nfnetlink/ruleset"
)

// A Ruleset is the tables of others as they were read.
type Ruleset struct {
	Tables []ruleset.Table
	Chains []ruleset.Chain
	Rules  []ruleset.Rule // by table and chain, in order
	Sets   []ruleset.Set
	// Elements are those of the sets that Wanted names. What a set without an
	// entry holds is not known.
	Elements map[ruleset.SetID][]ruleset.Element
}

// Wanted returns the sets whose elements decide about packets: those that rules
// look something up in, and that packets do not write to by themselves.
func (r *Ruleset) Wanted() []ruleset.SetID {
	asked := map[ruleset.SetID]bool{}
	for _, x := range r.Rules {
		for _, e := range x.Exprs {
			if name, ok := looksUp(e); ok {
				asked[x.Table.Set(name)] = true
			}
		}
	}
	var out []ruleset.SetID
	for _, s := range r.Sets {
		if asked[s.SetID] && s.Flags&ruleset.SetDynamic == 0 {
			out = append(out, s.SetID)
		}
	}
	return out
}

// looksUp returns the set, or the map, that x asks.
func looksUp(x ruleset.Expr) (string, bool) {
	switch x := x.(type) {
	case ruleset.Lookup:
		return x.Set, true
	case ruleset.Raw:
		if m, ok := mapLookup(x); ok {
			return m.Set, m.verdict
		}
	}
	return "", false
}

// Without returns r without one table.
func (r *Ruleset) Without(t ruleset.TableID) *Ruleset {
	out := *r
	out.Tables = slices.DeleteFunc(slices.Clone(r.Tables), func(x ruleset.Table) bool { return x.TableID == t })
	out.Chains = slices.DeleteFunc(slices.Clone(r.Chains), func(x ruleset.Chain) bool { return x.Table == t })
	out.Rules = slices.DeleteFunc(slices.Clone(r.Rules), func(x ruleset.Rule) bool { return x.Table == t })
	out.Sets = slices.DeleteFunc(slices.Clone(r.Sets), func(x ruleset.Set) bool { return x.Table == t })
	return &out
}

// dormant reports whether the chain's table is switched off.
func (r *Ruleset) dormant(c ruleset.Chain) bool {
	return slices.ContainsFunc(r.Tables, func(t ruleset.Table) bool {
		return t.TableID == c.Table && t.Flags&ruleset.TableDormant != 0
	})
}

// untracked reports whether a rule keeps packets from connection tracking: then
// nothing is certain about the state of any connection.
func (r *Ruleset) untracked() bool {
	return slices.ContainsFunc(r.Rules, func(x ruleset.Rule) bool {
		return slices.ContainsFunc(x.Exprs, func(e ruleset.Expr) bool {
			raw, ok := e.(ruleset.Raw)
			return ok && (raw.Name == "notrack" || raw.Name == "target" && (raw.Target() == "CT" || raw.Target() == "NOTRACK"))
		})
	})
}

// place names a base chain for people.
func place(c ruleset.Chain) string {
	return fmt.Sprintf("table %s, chain %s (hook %s)", c.Table, c.Name, hookName(c))
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

// name names a rule for people.
func name(r ruleset.Rule) string {
	if r.Comment != "" {
		return fmt.Sprintf("the rule with handle %d (%q)", r.Handle, r.Comment)
	}
	return fmt.Sprintf("the rule with handle %d", r.Handle)
}
