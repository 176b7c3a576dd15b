package engine

import (
	"errors"
	"slices"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/ast"
	"github.com/cedar-policy/cedar-go/types"
	xast "github.com/cedar-policy/cedar-go/x/exp/ast"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/authz/scope"
)

// A Rule permits or forbids.
type Rule struct {
	// Name is what reasons call it, such as "assignment requester on all VMs".
	Name string
	// Note, unless empty, says why a rule that names somebody gives nothing at all.
	Note string
	// At is where a role is assigned; empty for the statement of a policy.
	At scope.Scope

	actions             []string // sorted
	principal, resource types.EntityUID
	policy              *cedar.Policy
	// depends says that it has conditions, which may be about the circumstances.
	depends bool
	id      types.PolicyID // its place in an Index
}

// Forbids reports whether r takes away.
func (r Rule) Forbids() bool { return r.policy.Effect() == cedar.Forbid }

// Names reports whether the head of r has the action.
func (r Rule) Names(action string) bool { return slices.Contains(r.actions, action) }

// Actions returns the actions in the head of r, sorted.
func (r Rule) Actions() []string { return slices.Clone(r.actions) }

// A Holder is whom a role is assigned to: a principal or a group.
type Holder struct {
	Principal access.Principal
	Group     string // ISSUER#GROUP; empty for a principal
}

// uid returns the entity of h; false for nobody.
func (h Holder) uid() (types.EntityUID, bool) {
	if h.Group != "" {
		return GroupUID(h.Group), ValidName(h.Group)
	}
	return PrincipalUID(h.Principal)
}

// Permit returns the rule that gives actions to one holder at a scope and below.
// A rule for nobody, for nothing or nowhere permits nothing.
func Permit(name string, to Holder, actions []string, at scope.Scope) Rule {
	uid, ok := to.uid()
	if !ok || at == "" {
		actions = nil
	}
	return assemble(Rule{Name: name, At: at, actions: actions, principal: uid, resource: ScopeUID(at)}, ast.Permit().ResourceIn(ScopeUID(at)))
}

// A Denial takes actions away from holders, but for some.
type Denial struct {
	// From are who; none means everybody.
	From    []Holder
	Except  []Holder
	Actions []string
	At      scope.Scope
	// Exactly says that nothing below the scope is meant.
	Exactly bool
}

// Forbid returns the rule of a denial. A holder who is nobody is passed over; where
// all of them are, nobody is denied anything.
func Forbid(name string, d Denial) Rule {
	policy := ast.Forbid().ResourceIn(ScopeUID(d.At))
	if d.Exactly {
		policy = ast.Forbid().ResourceEq(ScopeUID(d.At))
	}
	rule := Rule{Name: name, At: d.At, actions: d.Actions, resource: ScopeUID(d.At)}
	if from := uids(d.From); len(from) == 1 {
		rule.principal = from[0]
	} else if len(d.From) > 0 {
		policy = policy.When(ast.Principal().In(set(from)))
	}
	if except := uids(d.Except); len(except) > 0 {
		policy = policy.Unless(ast.Principal().In(set(except)))
	}
	return assemble(rule, policy)
}

func uids(holders []Holder) (out []types.EntityUID) {
	for _, h := range holders {
		if uid, ok := h.uid(); ok {
			out = append(out, uid)
		}
	}
	return out
}

func set(uids []types.EntityUID) ast.Node {
	values := make([]types.Value, len(uids))
	for i, uid := range uids {
		values[i] = uid
	}
	return ast.Value(types.NewSet(values...))
}

// assemble gives r the policy with the head that r says.
func assemble(r Rule, policy *ast.Policy) Rule {
	slices.Sort(r.actions)
	switch r.principal.Type {
	case "":
	case typeGroup:
		policy = policy.PrincipalIn(r.principal)
	default:
		policy = policy.PrincipalEq(r.principal)
	}
	actions := make([]types.EntityUID, len(r.actions))
	for i, a := range r.actions {
		actions[i] = actionUID(a)
	}
	r.policy = cedar.NewPolicyFromAST(policy.ActionInSet(actions...))
	return r
}

// errHead says what is missing in the head of a statement.
var errHead = errors.New(`the statement does not say which actions it is about; name them in its head, such as action == Action::"request"`)

// Statement returns the rule of one statement of an access policy. Its head must
// name its actions, so that nobody forbids or permits what they did not think of.
func Statement(name string, policy *cedar.Policy) (Rule, error) {
	tree := policy.AST()
	r := Rule{Name: name, policy: policy, depends: len(tree.Conditions) > 0}
	switch a := tree.Action.(type) {
	case xast.ScopeTypeEq:
		r.actions = []string{string(a.Entity.ID)}
	case xast.ScopeTypeIn:
		r.actions = []string{string(a.Entity.ID)}
	case xast.ScopeTypeInSet:
		for _, e := range a.Entities {
			r.actions = append(r.actions, string(e.ID))
		}
		slices.Sort(r.actions)
		r.actions = slices.Compact(r.actions)
	default:
		return Rule{}, errHead
	}
	r.principal, r.resource = Named(tree.Principal), Named(tree.Resource)
	return r, nil
}

// Named returns the entity that one place of a head names; the zero one where it
// is left open or names only a type.
func Named(place xast.IsScopeNode) types.EntityUID {
	switch s := place.(type) {
	case xast.ScopeTypeEq:
		return s.Entity
	case xast.ScopeTypeIn:
		return s.Entity
	case xast.ScopeTypeIsIn:
		return s.Entity
	case xast.ScopeTypeAll, xast.ScopeTypeIs, xast.ScopeTypeInSet:
	}
	return types.EntityUID{}
}
