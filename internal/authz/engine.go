package authz

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/authz/accesspolicy"
	"github.com/sesame-access/sesame/internal/authz/condition"
	"github.com/sesame-access/sesame/internal/authz/engine"
	"github.com/sesame-access/sesame/internal/authz/role"
	"github.com/sesame-access/sesame/internal/authz/scope"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
)

// Rules are everything that an Engine is compiled from.
type Rules struct {
	// Definitions are roles beside the built-in ones, which they cannot replace.
	Definitions []role.Definition
	Assignments []Assignment
	Denies      []Deny
	Policies    []accesspolicy.Document
	// Tree says how scopes lie where no id says it.
	Tree scope.Tree
	// Damaged names what forbids, or may forbid, and could not be read from where it
	// is kept: "deny assignment x".
	Damaged []string
}

// An Engine answers questions. It is never changed, and safe for concurrent use.
type Engine struct {
	index *engine.Index
	roles map[string]role.Definition
	// damaged says why nothing that access policies decide can be decided: one of
	// them cannot be read, and it may be the one that forbids.
	damaged []string
}

// New compiles rules. It never fails: an assignment that means nothing gives
// nothing and says why, and while an access policy cannot be read nobody is let in.
func New(r Rules) *Engine {
	e := &Engine{index: nil, roles: map[string]role.Definition{}, damaged: nil}
	for _, d := range slices.Concat(r.Definitions, role.BuiltIn()) {
		e.roles[d.Name] = d
	}
	for _, what := range r.Damaged {
		e.damaged = append(e.damaged, what+" cannot be read, so nobody is let in until an administrator writes it again")
	}
	rules := e.fromPolicies(r.Policies)
	c := compiler{engine: e, tree: r.Tree, given: map[pair][]string{}}
	assignments := slices.Clone(r.Assignments)
	slices.SortFunc(assignments, CompareAssignments)
	same := func(a, b Assignment) bool { return CompareAssignments(a, b) == 0 }
	for _, a := range slices.CompactFunc(assignments, same) {
		rules = append(rules, c.assignment(a))
	}
	for _, d := range r.Denies {
		rules = append(rules, c.deny(d))
	}
	slices.Sort(e.damaged)
	e.index = engine.NewIndex(rules, r.Tree)
	return e
}

// fromPolicies returns the rules of access policies, in the order of their names.
func (e *Engine) fromPolicies(documents []accesspolicy.Document) (rules []engine.Rule) {
	reader, broken := accesspolicy.NewReader()
	byName := func(a, b accesspolicy.Document) int { return strings.Compare(a.Name, b.Name) }
	for _, d := range slices.SortedFunc(slices.Values(documents), byName) {
		var found []engine.Rule
		err := broken
		if err == nil {
			found, err = reader.Read(d)
		}
		if err != nil {
			e.damaged = append(e.damaged, fmt.Sprintf("access policy %s cannot be understood, so nobody is let in until an administrator writes it again: %s", d.Name, errkind.Public(err)))
			continue
		}
		rules = append(rules, found...)
	}
	return rules
}

// Role returns the definition of a role, by its exact name.
func (e *Engine) Role(name string) (role.Definition, bool) {
	d, ok := e.roles[name]
	return d, ok
}

// A Target is what something is done to: a VM, or everything.
type Target = engine.Target

// TargetOf returns vm as a target. Of its tags it takes those whose keys are
// trusted: a VM's owner writes its tags, and would say by the others who may come
// in.
func TargetOf(vm firewall.VMID, tags map[string]string, trusted []string) Target {
	t := Target{VM: vm, Tags: nil}
	for _, key := range trusted {
		if value, ok := tags[key]; ok {
			if t.Tags == nil {
				t.Tags = map[string]string{}
			}
			t.Tags[key] = value
		}
	}
	return t
}

// compiler turns assignments into rules.
type compiler struct {
	engine *Engine
	tree   scope.Tree
	given  map[pair][]string // what a role gives under a condition, once worked out
}

type pair struct{ role, condition string }

// assignment returns the rule of an assignment. One that gives nothing says why.
func (c *compiler) assignment(a Assignment) engine.Rule {
	holder := Holder{Principal: a.Principal, Group: a.Group}
	d, known := c.engine.Role(string(a.Role))
	note := ""
	switch {
	case !known:
		note = "there is no such role"
	case a.Eligible:
		note = "it is eligible only; activate it where it is assigned"
	case a.Scope == "":
		note = "it is assigned nowhere"
	case !d.AssignableAt(c.tree, a.Scope):
		note = "the role cannot be assigned there"
	}
	var actions []string
	if note == "" {
		actions = c.actions(d, a.Condition)
	}
	rule := engine.Permit(a.String(), holder, actions, a.Scope)
	rule.Note = note
	return rule
}

// actions returns what d gives under a condition, as far as that is certain.
func (c *compiler) actions(d role.Definition, text string) []string {
	key := pair{d.Name, text}
	if known, ok := c.given[key]; ok {
		return slices.Clone(known)
	}
	var out []string
	met, err := condition.Parse(text)
	for _, a := range Actions() {
		if err == nil && a.given(func(op role.Operation) bool { return d.Allows(op) && met.Of(op) == condition.True }) {
			out = append(out, string(a))
		}
	}
	c.given[key] = out
	return slices.Clone(out)
}

// deny returns the rule of a deny assignment. Closing it does not take.
func (c *compiler) deny(d Deny) engine.Rule {
	unmet, err := condition.Parse(d.Condition)
	denied := role.Definition{Permissions: d.Permissions}
	var actions []string
	for _, a := range Actions() {
		if a != Close && a.taken(func(op role.Operation) bool {
			return denied.Allows(op) && (err != nil || unmet.Of(op) != condition.False)
		}) {
			actions = append(actions, string(a))
		}
	}
	return engine.Forbid(d.String(), engine.Denial{From: d.From, Except: d.Except, Actions: actions, At: d.Scope, Exactly: d.Exactly})
}
