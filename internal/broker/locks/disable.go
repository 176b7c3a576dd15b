package locks

import (
	"context"
	"fmt"
	"slices"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/broker/desk"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/fleet"
	"github.com/sesame-access/sesame/internal/policy"
	"github.com/sesame-access/sesame/internal/store"
)

// PreviewDisable shows what Disable would write and whom it would let in again;
// nothing is changed.
func (b *Locks) PreviewDisable(ctx context.Context, caller desk.Caller, doors []firewall.Door) (fleet.Preview, error) {
	rules, err := b.Ledger.Rules(ctx)
	if err != nil {
		return fleet.Preview{}, errkind.Wrap(errkind.Unavailable, err, "the rules cannot be read")
	}
	for _, d := range doors {
		if err := b.MayDo(ctx, rules, caller, authz.Disable, d.VM); err != nil {
			return fleet.Preview{}, err
		}
	}
	if _, _, err := released(rules, doors); err != nil {
		return fleet.Preview{}, err
	}
	preview, err := b.giveBack(ctx, doors)
	if err == nil {
		err = givesAll(preview, doors)
	}
	return preview, err
}

// givesAll fails if one of the doors is not locked, by the book or as its firewall
// shows it.
func givesAll(preview fleet.Preview, doors []firewall.Door) error {
	for _, d := range doors {
		if !slices.Contains(preview.Given, d) {
			return errkind.New(errkind.NotFound, "%s is not locked, so there is nothing to disable", d)
		}
	}
	return nil
}

// giveBack shows what would be if the doors were not locked.
func (b *Locks) giveBack(ctx context.Context, doors []firewall.Door) (fleet.Preview, error) {
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
// at first, and some of it has to be agreed to. A lock that only its firewall shows,
// because the book that knew it was lost, ends in the same way.
func (b *Locks) Disable(ctx context.Context, caller desk.Caller, doors []firewall.Door, agreed Agreed) error {
	err := b.Decide(ctx, func(rules store.Rules) error {
		c := store.Change{Expect: rules.Version}
		for _, d := range doors {
			if err := b.MayDo(ctx, rules, caller, authz.Disable, d.VM); err != nil {
				return err
			}
			rec := b.Record(audit.Unlocked, caller)
			rec.Door = d
			if !locked(rules, d) { // of a book that was lost: what is not in this one cannot leave it
				c.Locks = append(c.Locks, access.Lock{Door: d, Since: rec.Time, By: caller.Principal})
				rec.Text = "the book did not know this lock"
			}
			c.Unlocks = append(c.Unlocks, d)
			c.Records = append(c.Records, rec)
		}
		if len(doors) == 0 {
			return errkind.New(errkind.Invalid, "no door is named, so there is nothing to disable")
		}
		preview, err := b.giveBack(ctx, doors)
		if err != nil {
			return errkind.Wrap(errkind.Unavailable, err, "what would come back cannot be shown now, so nothing is given back")
		}
		if err := givesAll(preview, doors); err != nil {
			return err
		}
		if err := b.mayRestore(preview, agreed); err != nil {
			return err
		}
		if _, err := b.EndAll(ctx, &c, caller, desk.At(doors), access.DoorUnlocked); err != nil {
			return err
		}
		if c.Policies, c.DropPolicies, err = released(rules, doors); err != nil {
			return err
		}
		for _, p := range c.Policies {
			c.Records = append(c.Records, b.saved(caller, p))
		}
		for _, name := range c.DropPolicies {
			rec := b.Record(audit.PolicyDeleted, caller)
			rec.Text = "policy " + name + ": its last port was disabled"
			c.Records = append(c.Records, rec)
		}
		return b.Save(ctx, c)
	})
	if err == nil {
		b.Enforcer.Wake(fmt.Sprintf("%d doors disabled", len(doors)))
	}
	return err
}

// released returns the policies that cover some of the doors as they are without
// them: those that are left with less, and the names of those that are left with
// nothing.
func released(rules store.Rules, doors []firewall.Door) (smaller []policy.Policy, gone []string, err error) {
	for _, p := range rules.Policies {
		leaving := slices.DeleteFunc(p.Doors(), func(d firewall.Door) bool { return !slices.Contains(doors, d) })
		stays := slices.DeleteFunc(p.Doors(), func(d firewall.Door) bool { return slices.Contains(doors, d) || !locked(rules, d) })
		switch {
		case len(leaving) == 0:
		case len(stays) == 0:
			gone = append(gone, p.Name)
		default:
			next, err := p.Without(leaving, stays)
			if err != nil {
				return nil, nil, err
			}
			smaller = append(smaller, next)
		}
	}
	return smaller, gone, nil
}
