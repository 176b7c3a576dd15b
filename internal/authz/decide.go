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

// Decide decides on req as it stands at now. A door is allowed if the principal
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
	may := May(assignments, req.Principal, Request, d.VM)
	out := DoorDecision{Door: d, Decision: may, Policy: ""}

	locked := slices.ContainsFunc(locks, func(l access.Lock) bool { return l.Door == d })
	covers := covering(policies, d)
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
		if len(not) == 0 {
			out.By = append(out.By, "policy "+p.Name)
			out.Policy = cmp.Or(out.Policy, p.Name)
		}
	}
	out.Allow = out.Allow && locked && out.Policy != ""
	// Approvals come in here: a policy that asks for some sets NeedsApproval on a
	// door that it otherwise allows. No policy asks for any today.
	out.NeedsApproval = false
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
