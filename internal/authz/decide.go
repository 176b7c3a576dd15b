package authz

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/authz/engine"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/policy"
)

// An Answer is the decision on a whole request. It allows only if every door is
// allowed: a request is granted as a whole or not at all.
type Answer struct {
	access.Decision
	Doors []DoorDecision // one for each door asked for, sorted by door
}

// A DoorDecision is the decision on one door of a request.
type DoorDecision struct {
	Door firewall.Door
	access.Decision
	// Policy is the name of the policy that allowed the door, the first by name
	// where several do; empty where none does. The grant keeps it.
	Policy string
}

// A Situation is what a request is decided in.
type Situation struct {
	Policies []policy.Policy // the JIT policies
	Locks    []access.Lock
	// Target returns a VM with its trusted tags; nil for a VM without any.
	Target func(firewall.VMID) Target
	// Live is how many live grants the requester has.
	Live int
	// Zone is where hours and days are meant; nil for UTC.
	Zone *time.Location
	Now  time.Time
}

// target returns what vm is.
func (in Situation) target(vm firewall.VMID) Target {
	if in.Target == nil {
		return Target{VM: vm, Tags: nil}
	}
	return in.Target(vm)
}

// asks returns what req asks for at d, one for each source.
func (in Situation) asks(req access.Request, d firewall.Door) []engine.Ask {
	start := req.Start
	if start.Before(in.Now) {
		start = in.Now
	}
	zone := in.Zone
	if zone == nil {
		zone = time.UTC
	}
	out := make([]engine.Ask, len(req.Sources))
	for i, s := range req.Sources {
		out[i] = engine.Ask{
			Port: d.Port, Protocol: d.Protocol, Source: s, Caller: req.Caller, Start: start.In(zone),
			Duration: req.Duration, Reason: req.Reason, Ticket: req.Ticket, Live: in.Live,
		}
	}
	return out
}

// Decide decides whether who may have what req asks for. A door is allowed if who
// may request on its VM, from every source; if the door is locked; and if one JIT
// policy allows duration, start and every source; with several policies, one must
// allow all of that. NeedsApproval says that a policy which allows a door wants
// somebody else to agree, and that who may not go without; approval.TermsOf says who.
//
// The reasons of the whole request are those of its doors, with the door in
// front where there is more than one, and what is about no single door.
func (e *Engine) Decide(who access.Identity, req access.Request, in Situation) Answer {
	doors := slices.Clone(req.Doors)
	slices.SortFunc(doors, firewall.CompareDoors)
	doors = slices.Compact(doors)

	var out Answer
	out.Allow = true
	refuse := func(why string) {
		out.Allow = false
		out.Not = append(out.Not, why)
	}
	switch n := len(doors); {
	case n == 0:
		refuse("the request names no door, at least one")
	case n > access.MaxDoors:
		// The limit bounds the work, so it comes before the work.
		refuse(fmt.Sprintf("the request names %d doors, at most %d", n, access.MaxDoors))
		return out
	}
	for _, d := range doors {
		one := e.decideDoor(who, req, d, in)
		out.Doors = append(out.Doors, one)
		out.Allow = out.Allow && one.Allow
		out.NeedsApproval = out.NeedsApproval || one.NeedsApproval
		prefix := ""
		if len(doors) > 1 {
			prefix = d.String() + ": "
		}
		for _, why := range one.By {
			out.By = append(out.By, prefix+why)
		}
		for _, why := range one.Not {
			out.Not = append(out.Not, prefix+why)
		}
	}
	if req.Glass {
		out.NeedsApproval = false // that is what an emergency is for
	}
	if req.Foreign() {
		// The policy says which sources may be asked for. It stands among the
		// reasons so that whoever reads the decision sees it.
		out.By = append(out.By, "asks for another address than the caller's own ("+req.Caller.String()+")")
	}
	return out
}

// decideDoor decides on one door: who asks, whether there is a lock to open, and
// what the policies allow. It looks at everything, whatever it finds first.
func (e *Engine) decideDoor(who access.Identity, req access.Request, d firewall.Door, in Situation) DoorDecision {
	covers := covering(in.Policies, d)
	out := DoorDecision{Door: d, Decision: e.may(who, covers, req, d, in), Policy: ""}
	locked := slices.ContainsFunc(in.Locks, func(l access.Lock) bool { return l.Door == d })
	// The reasons do not name the door: whoever shows them has named it already.
	switch {
	case !locked && len(covers) == 0:
		out.Not = append(out.Not, "it is not a just-in-time port: it is not locked, and no policy covers it; "+enableHint(d))
	case !locked:
		out.Not = append(out.Not, "it is not locked, so there is nothing to open; "+enableHint(d))
	case len(covers) == 0:
		out.Not = append(out.Not, "no policy covers it; "+enableHint(d))
	}
	for _, p := range covers {
		not := policy.Check(p, req, d, in.Now)
		for _, why := range not {
			out.Not = append(out.Not, "policy "+p.Name+": "+why)
		}
		if len(not) == 0 && (!req.Glass || p.Glass.Allows(req.Principal)) {
			out.By = append(out.By, "policy "+p.Name)
			out.Policy = cmp.Or(out.Policy, p.Name)
		}
	}
	out.Allow = out.Allow && locked && out.Policy != ""
	out.NeedsApproval = out.Allow && wants(covers, out.Policy)
	if out.NeedsApproval {
		if skip := e.MaySkip(who, req, d, in); skip.Allow {
			out.NeedsApproval = false
			for _, why := range skip.By {
				out.By = add(out.By, why+" (without approval)")
			}
		}
	}
	return out
}

// wants reports whether the policy of that name wants approvals.
func wants(policies []policy.Policy, name string) bool {
	return slices.ContainsFunc(policies, func(p policy.Policy) bool { return p.Name == name && len(p.Approvals) > 0 })
}

// may decides whether the one who asks may have d at all. In an emergency that the
// policy names them for, they may, whatever their roles.
func (e *Engine) may(who access.Identity, covers []policy.Policy, req access.Request, d firewall.Door, in Situation) access.Decision {
	if !req.Glass {
		return e.ask(who, Request, req, d, in)
	}
	var out access.Decision
	for _, p := range covers {
		if p.Glass.Allows(req.Principal) {
			out.By = append(out.By, "policy "+p.Name+" names "+req.Principal.Name()+" for emergencies")
		} else {
			out.Not = append(out.Not, "policy "+p.Name+" does not name "+req.Principal.Name()+" for emergencies")
		}
	}
	out.Allow = len(out.By) > 0
	return out
}

// ask decides an action that depends on what is asked for, at one door: every
// source must be allowed.
func (e *Engine) ask(who access.Identity, a Action, req access.Request, d firewall.Door, in Situation) access.Decision {
	on := in.target(d.VM)
	c := e.index.Case(who, string(a), on)
	asks := in.asks(req, d)
	verdicts := make([]engine.Verdict, len(asks))
	for i, one := range asks {
		verdicts[i] = c.Request(one)
	}
	return e.explain(c, a, on, verdicts...)
}

// MaySkip decides whether who may have d without the approvals that a JIT policy
// wants, as req asks for it.
func (e *Engine) MaySkip(who access.Identity, req access.Request, d firewall.Door, in Situation) access.Decision {
	return e.ask(who, Skip, req, d, in)
}

// MayApprove decides whether who may approve req at a stage: at every door and from
// every source. Only a person who is known may, and never who asked, under whatever
// alias; requester is who asked, with what is known about them now.
func (e *Engine) MayApprove(who access.Identity, req access.Request, requester access.Identity, stage string, in Situation) access.Decision {
	switch {
	case who.Kind != access.Person || who.Person == "":
		return access.Decision{Not: []string{"only a person may approve, and nobody has said which person " + who.String() + " is; an administrator links them"}}
	case who.Same(requester) || !requester.Is(req.Principal):
		return access.Decision{Not: []string{"nobody approves what they asked for themselves"}}
	case len(req.Doors) == 0 || len(req.Doors) > access.MaxDoors:
		return access.Decision{Not: []string{fmt.Sprintf("the request names %d doors, 1 to %d", len(req.Doors), access.MaxDoors)}}
	}
	whole := access.Decision{Allow: true}
	for _, d := range req.Doors {
		on := in.target(d.VM)
		c := e.index.Case(who, string(Approve), on)
		var verdicts []engine.Verdict
		for _, one := range in.asks(req, d) {
			verdicts = append(verdicts, c.Approve(engine.Approval{Ask: one, Requester: requester, Stage: stage}))
		}
		one := e.explain(c, Approve, on, verdicts...)
		whole.Allow = whole.Allow && one.Allow
		for _, why := range one.By {
			whole.By = add(whole.By, why)
		}
		for _, why := range one.Not {
			whole.Not = add(whole.Not, why)
		}
	}
	return whole
}

// covering returns the policies that have rules for d, sorted by name.
func covering(policies []policy.Policy, d firewall.Door) []policy.Policy {
	var out []policy.Policy
	for i := range policies {
		if _, ok := policies[i].PortOf(d); ok {
			out = append(out, policies[i])
		}
	}
	slices.SortStableFunc(out, func(a, b policy.Policy) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// enableHint says who makes d a just-in-time port, and how.
func enableHint(d firewall.Door) string {
	port := strconv.Itoa(int(d.Port))
	if d.Protocol != firewall.TCP {
		port += "/" + d.Protocol.String()
	}
	return "an administrator runs `sesame enable " + d.VM.Name() + " --port " + port + "`"
}
