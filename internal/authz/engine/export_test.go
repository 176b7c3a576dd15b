package engine

import (
	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
)

// Scan answers as Decide does, with Cedar's own scan over all rules of the index: what
// the index has to equal.
func (c *Case) Scan(circumstances types.Record) (permits, forbids, failed []Rule) {
	var all []int32
	for i := range c.index.rules {
		all = append(all, int32(i))
	}
	q := c.question
	q.Context = circumstances
	_, trace := cedar.Authorize(some{c.index.rules, all}, c.entities, q)
	hit := map[int]bool{}
	for _, e := range trace.Errors {
		failed = append(failed, c.index.rules[c.mark(e.PolicyID, hit)])
	}
	for _, r := range trace.Reasons {
		rule := c.index.rules[c.mark(r.PolicyID, hit)]
		if rule.Forbids() {
			forbids = append(forbids, rule)
		} else {
			permits = append(permits, rule)
		}
	}
	return permits, forbids, failed
}

// Entities returns what the case knows, for the schema to judge.
func (c *Case) Entities() (types.EntityMap, cedar.Request) { return c.entities, c.question }
