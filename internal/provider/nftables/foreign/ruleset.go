//go:build linux

package foreign

import (
	"fmt"
	"slices"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/nftables/nfnetlink/ruleset"
)

// A Ruleset is the tables of others as they were read.
type Ruleset struct {
	Tables []ruleset.Table
	Chains []ruleset.Chain
	Rules  []ruleset.Rule // by table and chain, in order
	Sets   []ruleset.Set
	// Ports are the elements of the sets that PortSet selects.
	Ports map[ruleset.SetID][]ruleset.Element
}

// PortSet reports whether the elements of s are needed to judge the rules that
// look a port up in it.
func PortSet(s ruleset.Set) bool {
	return s.Key == ruleset.KeyOf(ruleset.InetService) && s.Flags&ruleset.SetMap == 0
}

// Without returns r without one table.
func (r *Ruleset) Without(t ruleset.TableID) *Ruleset {
	out := *r
	out.Tables = slices.DeleteFunc(slices.Clone(r.Tables), func(x ruleset.Table) bool { return x.TableID == t })
	out.Chains = slices.DeleteFunc(slices.Clone(r.Chains), func(x ruleset.Chain) bool { return x.Table == t })
	out.Rules = slices.DeleteFunc(slices.Clone(r.Rules), func(x ruleset.Rule) bool { return x.Table == t })
	return &out
}

// Blocks returns, as sentences, what keeps new connections to a port of this
// host out, or their answers in, or may do so.
func (r *Ruleset) Blocks(p firewall.Protocol, port uint16) []string {
	var out []string
	for _, c := range r.Chains {
		leg := legOf(c)
		if leg == aside || leg == passing || r.dormant(c) { // where it is passed on to, the layer says that it is not known
			continue
		}
		var text [2]string
		for i, family := range []ruleset.Family{ruleset.IPv4, ruleset.IPv6} {
			if c.Table.Family == family || c.Table.Family == ruleset.INet || c.Table.Family == ruleset.NetDev {
				w := walk{Ruleset: r, packet: packet{protocol: p, port: port, family: family, leg: leg}}
				text[i] = w.base(c)
			}
		}
		if text[0] == text[1] && text[0] != "" {
			out = append(out, text[0])
			continue
		}
		for i, only := range []string{" (IPv4 only)", " (IPv6 only)"} {
			if text[i] != "" {
				out = append(out, text[i]+only)
			}
		}
	}
	slices.Sort(out)
	return out
}

// dormant reports whether the chain's table is switched off.
func (r *Ruleset) dormant(c ruleset.Chain) bool {
	return slices.ContainsFunc(r.Tables, func(t ruleset.Table) bool {
		return t.TableID == c.Table && t.Flags&ruleset.TableDormant != 0
	})
}

// name names a rule for people.
func name(r ruleset.Rule) string {
	if r.Comment != "" {
		return fmt.Sprintf("the rule with handle %d (%q)", r.Handle, r.Comment)
	}
	return fmt.Sprintf("the rule with handle %d", r.Handle)
}
