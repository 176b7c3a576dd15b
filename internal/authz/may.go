package authz

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/authz/engine"
	"github.com/sesame-access/sesame/internal/authz/role"
)

// May decides whether who may do a to the target. The zero Target stands for what
// is not about one VM, such as the whole of the activity: only a role on all VMs
// allows that. Roles are assigned to an issuer and a subject; what a principal is
// displayed as decides nothing.
//
// Whether a request is allowed depends on what is asked for, and whether an approval
// is on what is approved. Of those May says whether it is worth asking: yes if some
// permit could apply and nothing forbids it whatever the circumstances. Decide,
// MaySkip and MayApprove decide.
func (e *Engine) May(who access.Identity, a Action, on Target) access.Decision {
	c := e.index.Case(who, string(a), on)
	return e.explain(c, a, on, verdict(c, a))
}

// Allows is May without reasons, for those who ask about many VMs.
func (e *Engine) Allows(who access.Identity, a Action, on Target) bool {
	return !e.blocked(a) && verdict(e.index.Case(who, string(a), on), a).Allow
}

// verdict decides c without the circumstances of a.
func verdict(c *engine.Case, a Action) engine.Verdict {
	if a.circumstantial() {
		return c.Possible()
	}
	return c.Plain()
}

// blocked reports whether a cannot be decided, because an access policy that might
// forbid it cannot be read.
func (e *Engine) blocked(a Action) bool { return len(e.damaged) > 0 && a.circumstantial() }

// mostMissed is how many assignments of somebody are named that did not help.
const mostMissed = 16

// explain turns the verdicts of a case into a decision with every reason.
func (e *Engine) explain(c *engine.Case, a Action, on Target, verdicts ...engine.Verdict) access.Decision {
	d := access.Decision{Allow: len(verdicts) > 0 && !e.blocked(a), NeedsApproval: false, By: nil, Not: nil}
	if e.blocked(a) {
		d.Not = slices.Clone(e.damaged)
	}
	for _, v := range verdicts {
		d.Allow = d.Allow && v.Allow
		for _, r := range v.Permits {
			d.By = add(d.By, r.Name)
		}
		for _, r := range v.Forbids {
			d.Not = add(d.Not, r.Name+" forbids it")
		}
		for _, f := range v.Failed {
			d.Not = add(d.Not, f.Rule.Name+" cannot be evaluated, so that it counts as a no: "+f.Why)
		}
		for _, r := range v.Missed {
			if !r.Forbids() {
				d.Not = add(d.Not, r.Name+": its conditions do not hold")
			}
		}
	}
	own, more := c.Own(mostMissed)
	for _, r := range own {
		if r.At != "" && !r.Forbids() && !slices.Contains(d.By, r.Name) {
			d.Not = add(d.Not, r.Name+": "+missed(r, a, on))
		}
	}
	if more {
		d.Not = append(d.Not, fmt.Sprintf("and further assignments than these %d", mostMissed))
	}
	if len(d.By)+len(d.Not) == 0 {
		d.Not = []string{"no role is assigned; an administrator assigns one"}
	}
	return d
}

// missed says why a role that somebody has does not help.
func missed(r engine.Rule, a Action, on Target) string {
	switch {
	case r.Note != "":
		return r.Note
	case !r.Names(string(a)):
		return "does not include " + string(a)
	}
	return "does not cover " + cmp.Or(string(on.VM), "all VMs")
}

// add appends a reason that is not there yet.
func add(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}

// May reports whether r, one of Sesame's own roles, gives a where it is assigned.
func (r Role) May(a Action) bool {
	i := slices.IndexFunc(role.BuiltIn(), func(d role.Definition) bool { return d.Name == string(r) })
	return i >= 0 && slices.Contains(Gives(role.BuiltIn()[i]), a)
}
