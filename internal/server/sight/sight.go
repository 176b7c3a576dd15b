// Package sight is what one caller may view of everything that Sesame knows. What
// leaves the server about VMs goes through it.
package sight

import (
	"slices"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/broker/consent"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/fleet"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/policy"
	"github.com/sesame-access/sesame/internal/reconcile/sight"
	"github.com/sesame-access/sesame/internal/store"
)

// A Sight is what one caller may view: all VMs, or those of their roles. A VM that
// is in no inventory any more can still be seen by whoever has a role on it itself,
// and while it is locked by whoever has one above it.
type Sight struct {
	All   bool
	VMs   []firewall.VMID // sorted; never nil unless All
	Rules store.Rules
}

// Of returns what who may view by the rules, of the VMs of an inventory and those
// that the rules name, and those that a policy lets them in to in an emergency;
// target says which tags of a VM are trusted.
func Of(rules store.Rules, who access.Identity, vms []inventory.VM, target func(firewall.VMID) authz.Target) Sight {
	out := Sight{All: rules.Engine.Allows(who, authz.View, authz.Target{}), VMs: []firewall.VMID{}, Rules: rules}
	if out.All {
		out.VMs = nil
		return out
	}
	for _, vm := range vms {
		out.VMs = append(out.VMs, vm.ID)
	}
	for _, l := range rules.Locks {
		out.VMs = append(out.VMs, l.Door.VM)
	}
	for _, a := range rules.Access.Assignments {
		if vm, ok := a.Scope.VM(); ok && (a.Principal.Is(who.Principal) || who.In(a.Group)) {
			out.VMs = append(out.VMs, vm)
		}
	}
	slices.Sort(out.VMs)
	out.VMs = slices.DeleteFunc(slices.Compact(out.VMs), func(vm firewall.VMID) bool { return !rules.Engine.Allows(who, authz.View, target(vm)) })
	// Whoever is let in to a VM in an emergency has to find it then.
	for _, x := range rules.Policies {
		if x.Glass.Allows(who.Principal) {
			out.VMs = append(out.VMs, x.VMs...)
		}
	}
	slices.Sort(out.VMs)
	out.VMs = slices.Compact(out.VMs)
	return out
}

// Sees reports whether vm may be viewed.
func (v Sight) Sees(vm firewall.VMID) bool {
	if v.All {
		return true
	}
	_, ok := slices.BinarySearch(v.VMs, vm)
	return ok
}

// Policy returns p as far as v sees it: the VMs that it does not see are left
// out, and a policy about none that it sees does not exist.
func (v Sight) Policy(p policy.Policy) (policy.Policy, bool) {
	p.VMs = slices.DeleteFunc(slices.Clone(p.VMs), func(vm firewall.VMID) bool { return !v.Sees(vm) })
	return p, len(p.VMs) > 0
}

// DoorState returns how the door of l stands, over all firewalls on its way: it
// is locked when all of them that show it say so, and what is wrong on any of
// them is said.
func (v Sight) DoorState(l access.Lock, states []sight.DoorState) api.DoorState {
	out := api.DoorStateOf(l)
	out.Policy = ""
	for _, p := range v.Rules.Policies {
		if port, ok := p.PortOf(l.Door); ok {
			out.Policy, out.Max = p.Name, access.FormatDuration(port.Max)
		}
	}
	for i, x := range slices.DeleteFunc(slices.Clone(states), func(x sight.DoorState) bool { return x.Door != l.Door }) {
		read := api.TimeOf(x.Read)
		if i == 0 {
			out.Locked, out.Read = x.Locked, read
		}
		out.Locked = out.Locked && x.Locked
		if read.Before(out.Read.Time) {
			out.Read = read
		}
		if out.Exposed == "" {
			out.Exposed = x.Exposed
		}
		if out.Unproven == "" {
			out.Unproven = x.Unproven
		}
		if out.Failing == "" {
			out.Failing = x.Failing
		}
		out.Obstacles = append(out.Obstacles, x.Obstacles...)
	}
	return out
}

// Preview returns what v may see of p, which is about some of vms. Who does not see
// all that would be lost cannot agree to it.
func (v Sight) Preview(p fleet.Preview, vms []inventory.VM, now time.Time) api.Preview {
	out := api.Preview{Changes: []api.Change{}, Reach: []api.ReachChange{}, Names: v.names(p, vms)}
	for _, one := range p.Plans {
		for _, x := range api.ChangesOf(one) {
			if v.Sees(firewall.VMID(x.Door.VM)) {
				out.Changes = append(out.Changes, x)
			}
		}
	}
	for _, d := range p.Doors {
		if v.Sees(d.Door.VM) {
			out.Reach = append(out.Reach, api.ReachChangeOf(d.Door, d.Before, d.After))
		}
	}
	for _, r := range api.RefusalsOf(p.Refused) {
		if v.Sees(firewall.VMID(r.Door.VM)) {
			out.Refused = append(out.Refused, r)
		}
	}
	for _, l := range p.Losses {
		if v.Sees(l.VM) {
			out.Losses = append(out.Losses, api.LossOf(l))
		}
	}
	if n := len(out.Losses); n > 0 && n == len(p.Losses) {
		out.Agree = consent.Fingerprint(p.Losses)
	}
	for _, o := range p.Others {
		if v.Sees(o.Door.VM) {
			out.Others = append(out.Others, api.Other{Door: api.DoorOf(o.Door), Text: o.Wrong})
		}
	}
	for _, r := range p.Restored {
		if !v.Sees(r.Door.VM) {
			continue
		}
		shown := api.RestoredOf(r.Firewall, r.Change, r.Rules)
		shown.NewID, shown.Asks = r.NewID, consent.Reluctant(r, now)
		if !r.Since.IsZero() {
			been := now.Sub(r.Since)
			shown.Age = access.FormatDuration(max(been.Truncate(time.Hour), min(been, time.Hour).Truncate(time.Minute)))
		}
		out.Restored = append(out.Restored, shown)
	}
	return out
}

// names returns what people call the VMs behind the firewalls of p, where their ids
// do not say: whatever it tells of is about these.
func (v Sight) names(p fleet.Preview, vms []inventory.VM) map[string]string {
	out := map[string]string{}
	for _, x := range vms {
		behind := func(one plan.Plan) bool { return slices.Contains(x.Firewalls(), one.Firewall) }
		if v.Sees(x.ID) && !strings.EqualFold(x.Name, x.ID.Name()) && slices.ContainsFunc(p.Plans, behind) {
			out[string(x.ID)] = x.Name
		}
	}
	return out
}

// Proposed returns what the surroundings of the VMs of p propose to exempt.
func (v Sight) Proposed(vms []inventory.VM, p policy.Policy) []api.Proposal {
	var out []api.Proposal
	proposed := consent.Proposed(vms, p)
	for _, vm := range p.VMs {
		for _, x := range proposed[vm] {
			if v.Sees(vm) {
				out = append(out, api.ProposalOf(vm, x))
			}
		}
	}
	return out
}
