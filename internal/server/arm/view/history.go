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
