// Package engine answers questions about access from rules, with Cedar.
//
// Role assignments, deny assignments and the statements of access policies are all
// Rules, each one Cedar policy. A question is: may this principal do this action on
// this VM, or on everything? The answer is yes if some rule permits it, no rule
// forbids it, and no rule that could apply fails to be evaluated. (Cedar itself
// passes over a rule that fails, a forbid too; here that is a no.)
//
// # The index
//
// The head of a rule names whom it is for, which actions, and where; each may be
// left open but for the actions. A rule whose head names somebody else, another
// action or another place can neither permit, forbid nor fail, because Cedar
// evaluates the head first and heads cannot fail. So the rules are kept by their
// heads, and a question looks up only the combinations of the principal and its
// groups with the VM and its scopes. That this hides nothing, a property test
// shows against Cedar's own scan over all rules.
package engine

import (
	"iter"
	"maps"
	"slices"
	"strconv"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/authz/scope"
)

// An Index is a set of rules that is quick to ask. It is never changed.
type Index struct {
	tree  scope.Tree
	rules []Rule
	// names are small numbers for the entities that heads name; 0 is left open.
	names map[types.EntityUID]uint32
	heads map[head][]int32
	of    map[types.EntityUID][]int32
}

// head is what the index keeps rules by.
type head struct {
	action              string
	principal, resource uint32
}

// NewIndex returns an index over rules, for scopes that lie as tree says. The
// order of the rules is that in which a Verdict lists them.
func NewIndex(rules []Rule, tree scope.Tree) *Index {
	x := &Index{
		tree: maps.Clone(tree), rules: slices.Clone(rules),
		names: map[types.EntityUID]uint32{}, heads: map[head][]int32{}, of: map[types.EntityUID][]int32{},
	}
	for i, r := range x.rules {
		x.rules[i].id = types.PolicyID(strconv.Itoa(i))
		h := head{action: "", principal: x.number(r.principal), resource: x.number(r.resource)}
		if h.principal != 0 {
			x.of[r.principal] = append(x.of[r.principal], int32(i))
		}
		for _, h.action = range r.actions {
			x.heads[h] = append(x.heads[h], int32(i))
		}
	}
	return x
}

// number returns the number of an entity, a new one where it has none yet.
func (x *Index) number(uid types.EntityUID) uint32 {
	if uid == (types.EntityUID{}) {
		return 0
	}
	n, known := x.names[uid]
	if !known {
		n = uint32(len(x.names) + 1) //nolint:gosec // there are fewer entities than that
		x.names[uid] = n
	}
	return n
}

// Rules returns the rules in their order.
func (x *Index) Rules() []Rule { return slices.Clone(x.rules) }

// A Case is a question without its circumstances: who, what and where. It may be
// decided for several circumstances, one after the other.
type Case struct {
	index    *Index
	question cedar.Request
	entities types.EntityMap
	// candidates are the rules whose heads fit, in their order.
	candidates []int32
	nobody     bool
}

// Case returns the case of who doing action on vm, or on everything if vm is the
// zero Target. Whoever has no issuer or no subject is nobody, and may do nothing.
func (x *Index) Case(who access.Identity, action string, on Target) *Case {
	principal, ok := principalEntity(who)
	resource := on.entity(x.tree)
	c := &Case{
		index: x, nobody: !ok,
		question: cedar.Request{
			Principal: principal.UID, Action: actionUID(action), Resource: resource.UID, Context: types.Record{},
		},
		entities: types.EntityMap{principal.UID: principal, resource.UID: resource},
	}
	if ok {
		c.candidates = x.candidates(action, principal, resource)
	}
	return c
}

// candidates returns the rules whose heads fit, in their order.
func (x *Index) candidates(action string, principal, resource types.Entity) (found []int32) {
	for _, p := range x.numbers(principal) {
		for _, r := range x.numbers(resource) {
			found = append(found, x.heads[head{action: action, principal: p, resource: r}]...)
		}
	}
	slices.Sort(found)
	return found
}

// numbers returns the numbers under which a head may name e: left open, itself,
// and what it is in.
func (x *Index) numbers(e types.Entity) []uint32 {
	out := []uint32{0}
	if n, known := x.names[e.UID]; known {
		out = append(out, n)
	}
	for parent := range e.Parents.All() {
		if n, known := x.names[parent]; known {
			out = append(out, n)
		}
	}
	return out
}

// A Verdict answers a question. Its lists name rules, in their order.
type Verdict struct {
	Allow bool
	// Permits and Forbids applied.
	Permits, Forbids []Rule
	// Failed could not be evaluated, so that the answer is no.
	Failed []Failure
	// Missed are rules whose heads fit and whose conditions do not hold.
	Missed []Rule
}

// A Failure is a rule that could not be evaluated.
type Failure struct {
	Rule Rule
	Why  string
}

// Decide decides the case in the given circumstances.
func (c *Case) Decide(circumstances types.Record) Verdict {
	return c.decide(c.candidates, circumstances)
}

// Possible decides the case as far as no circumstances are needed: it is allowed if
// some permit applies or depends on them, and no forbid applies whatever they are.
func (c *Case) Possible() Verdict {
	var plain, depending []int32
	for _, i := range c.candidates {
		if c.index.rules[i].depends {
			depending = append(depending, i)
			continue
		}
		plain = append(plain, i)
	}
	v := c.decide(plain, types.Record{})
	for _, i := range depending {
		if rule := c.index.rules[i]; !rule.Forbids() {
			v.Permits = append(v.Permits, rule)
			v.Allow = len(v.Forbids)+len(v.Failed) == 0
		}
	}
	return v
}

// decide decides the case by some of its candidates.
func (c *Case) decide(candidates []int32, circumstances types.Record) Verdict {
	if c.nobody || len(candidates) == 0 {
		return Verdict{}
	}
	q := c.question
	q.Context = circumstances
	decision, trace := cedar.Authorize(some{c.index.rules, candidates}, c.entities, q)
	v := Verdict{Allow: bool(decision) && len(trace.Errors) == 0}
	hit := make(map[int]bool, len(trace.Reasons)+len(trace.Errors))
	for _, e := range trace.Errors {
		i := c.mark(e.PolicyID, hit)
		v.Failed = append(v.Failed, Failure{Rule: c.index.rules[i], Why: e.Message})
	}
	for _, r := range trace.Reasons {
		rule := c.index.rules[c.mark(r.PolicyID, hit)]
		if rule.Forbids() {
			v.Forbids = append(v.Forbids, rule)
		} else {
			v.Permits = append(v.Permits, rule)
		}
	}
	for _, i := range candidates {
		if rule := c.index.rules[i]; !hit[int(i)] && (len(v.Forbids) == 0 || !rule.Forbids()) {
			v.Missed = append(v.Missed, rule)
		}
	}
	return v
}

// some are some of the rules, as Cedar wants them.
type some struct {
	rules []Rule
	of    []int32
}

// All yields the rules of s, each with the id that mark knows it by.
func (s some) All() iter.Seq2[cedar.PolicyID, *cedar.Policy] {
	return func(yield func(cedar.PolicyID, *cedar.Policy) bool) {
		for _, i := range s.of {
			if !yield(s.rules[i].id, s.rules[i].policy) {
				return
			}
		}
	}
}

// mark returns the rule with a policy's id, and notes that it was named.
func (c *Case) mark(id types.PolicyID, hit map[int]bool) int {
	i, err := strconv.Atoi(string(id))
	if err != nil || i < 0 || i >= len(c.index.rules) {
		return 0 // Cedar gives back the ids that it was given
	}
	hit[i] = true
	return i
}

// Own returns the rules whose heads name the principal of c or a group of theirs, in
// their order; at most limit, and whether there are more.
func (c *Case) Own(limit int) (rules []Rule, more bool) {
	if c.nobody {
		return nil, false
	}
	x := c.index
	var found []int32
	add := func(list []int32) {
		more = more || len(list) > limit
		found = append(found, list[:min(limit, len(list))]...)
	}
	add(x.of[c.question.Principal])
	for g := range c.entities[c.question.Principal].Parents.All() {
		add(x.of[g])
	}
	slices.Sort(found)
	rules = make([]Rule, 0, min(limit, len(found)))
	more = more || len(found) > limit
	for _, i := range found[:min(limit, len(found))] {
		rules = append(rules, x.rules[i])
	}
	return rules, more
}
