package authz

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/sesame-access/sesame/internal/access"
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

// Decide decides on req as it stands at now. NeedsApproval says that a policy which
// allows a door wants somebody else to agree; approval.TermsOf says who. A door is allowed if the principal
// may request on its VM, the door is locked, and one policy allows duration,
// start and every source; with several policies, one must allow all of that.
//
// The reasons of the whole request are those of its doors, with the door in
// front where there is more than one, and what is about no single door.
func Decide(assignments []Assignment, policies []policy.Policy, locks []access.Lock, req access.Request, now time.Time) Answer {
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
		one := decideDoor(assignments, policies, locks, req, d, now)
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
func decideDoor(assignments []Assignment, policies []policy.Policy, locks []access.Lock, req access.Request, d firewall.Door, now time.Time) DoorDecision {
	covers := covering(policies, d)
	out := DoorDecision{Door: d, Decision: who(assignments, covers, req, d), Policy: ""}
	locked := slices.ContainsFunc(locks, func(l access.Lock) bool { return l.Door == d })
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
		not := policy.Check(p, req, d, now)
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
	return out
}

// wants reports whether the policy of that name wants approvals.
func wants(policies []policy.Policy, name string) bool {
	return slices.ContainsFunc(policies, func(p policy.Policy) bool { return p.Name == name && len(p.Approvals) > 0 })
}

// who decides whether the one who asks may have d at all. In an emergency that the
// policy names them for, they may, whatever their roles.
func who(assignments []Assignment, covers []policy.Policy, req access.Request, d firewall.Door) access.Decision {
	if !req.Glass {
		return May(assignments, req.Principal, Request, d.VM)
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

// MayApprove decides whether approver may agree to a stage of what is asked for, or
// deny it: it takes the right on every VM. That nobody approves their own, and that
// only people do, is decided where it is known who the person is.
//
// Every stage takes the same right today; the access policies tell stages apart.
func MayApprove(assignments []Assignment, approver access.Identity, req access.Request, stage string) access.Decision {
	out := access.Decision{Allow: len(req.Doors) > 0 && stage != ""}
	var last firewall.VMID
	for _, d := range req.Doors {
		if d.VM == last {
			continue
		}
		last = d.VM
		one := May(assignments, approver.Principal, Approve, d.VM)
		out.Allow = out.Allow && one.Allow
		out.By, out.Not = append(out.By, one.By...), append(out.Not, one.Not...)
	}
	return out
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
