package view

import (
	"cmp"
	"slices"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/api/arm"
	"github.com/sesame-access/sesame/internal/firewall"
)

// A History is what was asked for: whatever is not over, and the newest of the rest,
// as many as a page of the store holds.
type History struct {
	Grants []access.Grant // newest first
	Now    access.Reading
}

// Of returns the requests for the given VMs of a policy, newest first.
func (h History) Of(s *Shown, vms []firewall.VMID) []arm.Request {
	asked := map[string][]arm.Request{}
	var order []string
	for _, g := range h.Grants {
		if !slices.Contains(vms, g.Door.VM) || !s.Covers(g.Door) {
			continue
		}
		if asked[g.Request] == nil {
			order = append(order, g.Request)
		}
		asked[g.Request] = append(asked[g.Request], arm.RequestOf(g, g.StateAt(h.Now), s.Spelled))
	}
	out := []arm.Request{}
	for _, id := range order {
		out = append(out, arm.Joined(asked[id]))
	}
	return out
}

// Awaited returns what a request that waits for approval would be granted at now. Azure
// knows no approval: what is only asked for has begun there, and no more.
func Awaited(r access.Request, now access.Reading) []access.Grant {
	start := r.Start
	if start.Before(r.Asked) {
		start = r.Asked
	}
	end := r.Until
	if end.IsZero() { // its time begins when it is approved
		end = firewall.Instant(now.Wall).Add(r.Duration)
	}
	out := make([]access.Grant, len(r.Doors))
	for i, d := range r.Doors {
		out[i] = access.Grant{
			Request: r.ID, Principal: r.Principal, Door: d, Sources: r.Sources, Reason: r.Reason,
			Start: start, Deadline: access.Deadline{Wall: end}, Created: r.Asked,
		}
	}
	return out
}

// Covers reports whether d is a port of the policy.
func (s *Shown) Covers(d firewall.Door) bool {
	for _, p := range s.Parts {
		if _, ok := p.PortOf(d); ok {
			return true
		}
	}
	return false
}

// Spelled returns the id of a VM as the policy spells it.
func (s *Shown) Spelled(vm firewall.VMID) string { return cmp.Or(s.spell[vm], string(vm)) }
