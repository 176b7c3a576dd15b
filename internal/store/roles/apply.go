package roles

import (
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/authz/accesspolicy"
	"github.com/sesame-access/sesame/internal/authz/role"
)

// Apply returns rules as they are after c, so that it can be shown before it is
// saved what c does; rules stay as they are.
func (c *Change) Apply(rules authz.Rules) authz.Rules {
	rules.Assignments = slices.DeleteFunc(slices.Concat(rules.Assignments, c.Assign), func(a authz.Assignment) bool {
		return slices.ContainsFunc(c.Unassign, func(x authz.Assignment) bool { return authz.CompareAssignments(a, x) == 0 })
	})
	rules.Definitions = put(rules.Definitions, c.Define, c.Undefine, func(d role.Definition) string { return d.Name })
	rules.Denies = put(rules.Denies, c.Deny, c.Undeny, func(d authz.Deny) string { return d.Name })
	rules.Policies = put(rules.Policies, c.Policies, c.DropPolicies, func(p accesspolicy.Document) string { return p.Name })
	return rules
}

// put returns list with what is put replaced or added, and what is dropped left out,
// sorted by name.
func put[T any](list, puts []T, drops []string, name func(T) string) []T {
	out := slices.DeleteFunc(slices.Clone(list), func(old T) bool {
		return slices.Contains(drops, name(old)) || slices.ContainsFunc(puts, func(x T) bool { return name(x) == name(old) })
	})
	out = append(out, puts...)
	slices.SortFunc(out, func(a, b T) int { return strings.Compare(name(a), name(b)) })
	return out
}
