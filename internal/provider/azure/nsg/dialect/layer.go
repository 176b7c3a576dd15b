package dialect

import (
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/resource"
	"github.com/sesame-access/sesame/internal/provider/azure/rule"
)

// Layer returns the group as the reach engine sees it.
func (r Reading) Layer() firewall.Layer {
	rules := rule.Defaults()
	for _, x := range r.inbound() {
		rules = append(rules, r.ruleOf(*x))
	}
	rule.InOrder(rules)
	return rule.Layer(r.Group.ID, rules, r.places(), firewall.Deny)
}

// A Line is a part of a foreign rule that the layer has a line for.
type Line struct {
	firewall.LayerRule

	Rule resource.Rule
}

// Lines returns the lines of everybody else's rules, in the order in which they
// are asked.
func (r Reading) Lines() []Line {
	var rules []rule.Rule
	called := map[string]resource.Rule{}
	for _, x := range r.inbound() {
		if !r.Ours(*x) {
			l := r.ruleOf(*x)
			rules, called[l.Name] = append(rules, l), *x
		}
	}
	var out []Line
	for _, l := range rule.Layer(r.Group.ID, rules, r.places(), firewall.Deny).Rules {
		out = append(out, Line{LayerRule: l, Rule: called[l.Name]})
	}
	return out
}

func (r Reading) ruleOf(x resource.Rule) rule.Rule {
	out := rule.Of(x)
	out.Owned = r.Ours(x)
	return out
}

// places returns who is behind the group, those together that share a view.
func (r Reading) places() []rule.Place {
	var out []rule.Place
	at := map[*rule.View]int{}
	for _, a := range r.Attachments {
		i, seen := at[a.View]
		if !seen {
			i = len(out)
			at[a.View] = i
			out = append(out, rule.Place{})
			if a.View != nil {
				out[i].View = *a.View
			}
		}
		for _, to := range a.Addresses {
			out[i].Ends = append(out[i].Ends, rule.End{VM: a.VM, Address: to, Groups: a.Groups})
		}
	}
	return out
}
