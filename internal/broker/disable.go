package broker

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/fleet"
	"github.com/sesame-access/sesame/internal/policy"
	"github.com/sesame-access/sesame/internal/store"
)

// PreviewDisable shows what Disable would write and whom it would let in again;
// nothing is changed.
func (b *Broker) PreviewDisable(ctx context.Context, caller Caller, doors []firewall.Door) (fleet.Preview, error) {
	rules, err := b.Ledger.Rules(ctx)
	if err != nil {
		return fleet.Preview{}, errkind.Wrap(errkind.Unavailable, err, "the rules cannot be read")
	}
	for _, d := range doors {
		if err := b.may(ctx, rules, caller, authz.Disable, d.VM); err != nil {
			return fleet.Preview{}, err
		}
	}
	if _, _, err := released(rules, doors); err != nil {
		return fleet.Preview{}, err
	}
	return b.giveBack(ctx, doors)
}

// giveBack shows what would be if the doors were not locked.
func (b *Broker) giveBack(ctx context.Context, doors []firewall.Door) (fleet.Preview, error) {
	var about []firewall.VMID
	for _, d := range doors {
		about = append(about, d.VM)
	}
	return b.Enforcer.Preview(ctx, about, func(locks []access.Lock, grants []access.Grant) ([]access.Lock, []access.Grant) {
		gone := func(d firewall.Door) bool { return slices.Contains(doors, d) }
		return slices.DeleteFunc(locks, func(l access.Lock) bool { return gone(l.Door) }),
			slices.DeleteFunc(grants, func(g access.Grant) bool { return gone(g.Door) })
	})
}

// Disable ends the locks of the given doors and their grants, and gives the
// doors back to whatever governs them without Sesame. They leave their policies:
// a policy that has no locked door left is deleted. What comes back by it is looked
// at first, and some of it has to be agreed to.
func (b *Broker) Disable(ctx context.Context, caller Caller, doors []firewall.Door, agreed Agreed) error {
	err := b.decide(ctx, func(rules store.Rules) error {
		c := store.Change{Expect: rules.Version}
		for _, d := range doors {
			if err := b.may(ctx, rules, caller, authz.Disable, d.VM); err != nil {
				return err
			}
			if !locked(rules, d) {
				return errkind.New(errkind.NotFound, "%s is not locked, so there is nothing to disable; an orphan lock that `sesame vms` shows there is of a book that was lost, and can be given back once it is enabled again", d)
			}
			c.Unlocks = append(c.Unlocks, d)
			rec := b.record(audit.Unlocked, caller)
			rec.Door = d
			c.Records = append(c.Records, rec)
		}
		if len(doors) == 0 {
			return errkind.New(errkind.Invalid, "no door is named, so there is nothing to disable")
		}
		preview, err := b.giveBack(ctx, doors)
		if err != nil {
			return errkind.Wrap(errkind.Unavailable, err, "what would come back cannot be shown now, so nothing is given back")
		}
		if err := b.mayRestore(preview, agreed); err != nil {
			return err
		}
		if _, err := b.endAll(ctx, &c, caller, at(doors), access.DoorUnlocked); err != nil {
			return err
		}
		if c.Policies, c.DropPolicies, err = released(rules, doors); err != nil {
			return err
		}
		for _, p := range c.Policies {
			c.Records = append(c.Records, b.saved(caller, p))
		}
		for _, name := range c.DropPolicies {
			rec := b.record(audit.PolicyDeleted, caller)
			rec.Text = "policy " + name + ": its last port was disabled"
			c.Records = append(c.Records, rec)
		}
		return b.save(ctx, c)
	})
	if err == nil {
		b.Enforcer.Wake(fmt.Sprintf("%d doors disabled", len(doors)))
	}
	return err
}

// released returns the policies that cover some of the doors as they are without
// them: those that are left with less, and the names of those that are left with
// nothing. A policy is every one of its ports of every one of its VMs; where what
// is left cannot be said like that, it is a conflict.
func released(rules store.Rules, doors []firewall.Door) (smaller []policy.Policy, gone []string, err error) {
	for _, p := range rules.Policies {
		covered := p.Doors()
		leaving := slices.DeleteFunc(slices.Clone(covered), func(d firewall.Door) bool { return !slices.Contains(doors, d) })
		if len(leaving) == 0 {
			continue
		}
		stays := slices.DeleteFunc(covered, func(d firewall.Door) bool { return slices.Contains(doors, d) || !locked(rules, d) })
		if len(stays) == 0 {
			gone = append(gone, p.Name)
			continue
		}
		next := p
		next.VMs = slices.DeleteFunc(slices.Clone(p.VMs), func(vm firewall.VMID) bool {
			return !slices.ContainsFunc(stays, func(d firewall.Door) bool { return d.VM == vm })
		})
		next.Ports = slices.DeleteFunc(slices.Clone(p.Ports), func(x policy.Port) bool {
			return !slices.ContainsFunc(stays, func(d firewall.Door) bool { return d.Port == x.Port && d.Protocol == x.Protocol })
		})
		if len(next.Doors()) != len(stays) {
			return nil, nil, inseparable(p, leaving)
		}
		smaller = append(smaller, next)
	}
	return smaller, gone, nil
}

// inseparable is the error that doors cannot leave p by themselves.
func inseparable(p policy.Policy, leaving []firewall.Door) error {
	vm := leaving[0].VM
	var others []string
	for _, d := range p.Doors() {
		if d.VM == vm && !slices.Contains(leaving, d) {
			others = append(others, fmt.Sprintf("%d/%s", d.Port, d.Protocol))
		}
	}
	return errkind.New(errkind.Conflict, "policy %s has the same ports for every VM, so %s cannot leave it and the other ports of %s (%s) stay; "+
		"disable those too, or first apply the policy without %s and enable them in a policy of their own, with `sesame enable %s --name OTHER --port %s`",
		p.Name, doorList(leaving), vm.Name(), strings.Join(others, ", "), vm.Name(), vm.Name(), strings.Join(others, " --port "))
}
