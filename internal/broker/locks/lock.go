// Package locks adds and ends locks: it saves policies, which bring them, and
// gives doors back. Whoever takes something away from others is shown it first, and
// has to agree.
package locks

import (
	"context"
	"slices"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/broker/desk"
	"github.com/sesame-access/sesame/internal/broker/revision"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/fleet"
	"github.com/sesame-access/sesame/internal/policy"
	"github.com/sesame-access/sesame/internal/store"
)

// Locks says which doors are just-in-time.
type Locks struct{ *desk.Desk }

// Enable saves a policy and locks its doors. A version that p gives must be the
// one in force. A door that another policy covers is a conflict: one door, one
// policy. It takes the right on every VM of p and of the version in force. Doors that an earlier version of the
// policy covered and this one does not keep their lock, and their grants end. What
// the locks take away from others must be agreed to.
func (b *Locks) Enable(ctx context.Context, caller desk.Caller, p policy.Policy, agreed Agreed) (policy.Policy, error) {
	saved, err := b.revise(ctx, caller, revision.Revision{Put: []policy.Policy{p}, Drop: nil}, agreed, b.mayReplace)
	if err != nil {
		return policy.Policy{}, err
	}
	return saved[0], nil
}

// locked reports whether d has a lock already.
func locked(rules store.Rules, d firewall.Door) bool {
	return slices.ContainsFunc(rules.Locks, func(l access.Lock) bool { return l.Door == d })
}

// saved is the record that p was saved.
func (b *Locks) saved(caller desk.Caller, p policy.Policy) audit.Record {
	p.Version = 0 // of what it was made from, which the log knows
	rec := b.Record(audit.PolicySaved, caller)
	rec.Text = revision.Summary(p) + "\n" + string(policy.Format(p))
	return rec
}

// PreviewEnable shows what Enable would write, whom it would keep out and what has
// to be agreed to, after every other check that Enable makes; nothing is changed.
func (b *Locks) PreviewEnable(ctx context.Context, caller desk.Caller, p policy.Policy) (fleet.Preview, error) {
	rules, err := b.Ledger.Rules(ctx)
	if err != nil {
		return fleet.Preview{}, errkind.Wrap(errkind.Unavailable, err, "the rules cannot be read")
	}
	r := revision.Revision{Put: []policy.Policy{p}, Drop: nil}
	added, err := b.lock(ctx, rules, caller, r, b.mayReplace)
	if err != nil {
		return fleet.Preview{}, err
	}
	return b.suppose(ctx, rules, r, added)
}

// Plan shows what the next pass would write; nothing is changed.
func (b *Locks) Plan(ctx context.Context, caller desk.Caller) (fleet.Preview, error) {
	rules, err := b.Ledger.Rules(ctx)
	if err != nil {
		return fleet.Preview{}, errkind.Wrap(errkind.Unavailable, err, "the rules cannot be read")
	}
	if err := b.MayAsk(ctx, rules, caller, "view the plan", authz.View, ""); err != nil {
		return fleet.Preview{}, err
	}
	return b.Enforcer.Preview(ctx, nil, nil)
}

// DropPolicy deletes a policy: its doors cannot be asked for any more and their
// grants end, but they stay locked until somebody disables them.
func (b *Locks) DropPolicy(ctx context.Context, caller desk.Caller, name string) error {
	_, err := b.revise(ctx, caller, revision.Revision{Put: nil, Drop: []string{name}}, Agreed{}, b.mayReplace)
	return err
}

// mayChange fails unless caller may change every VM of the policy of that name
// that is in force. VMs that the caller may not view are counted and not named.
func (b *Locks) mayChange(ctx context.Context, rules store.Rules, caller desk.Caller, name string) error {
	old, _ := revision.Named(rules.Policies, name)
	var hidden []firewall.VMID
	for _, vm := range old.VMs {
		switch {
		case rules.Engine.Allows(caller.Identity, authz.Enable, b.Target(vm)):
		case rules.Engine.Allows(caller.Identity, authz.View, b.Target(vm)):
			return b.MayDo(ctx, rules, caller, authz.Enable, vm)
		default:
			hidden = append(hidden, vm)
		}
	}
	if len(hidden) == 0 {
		return nil
	}
	_ = b.MayDo(ctx, rules, caller, authz.Enable, hidden[0]) // records the denial; its text would name the VM
	return errkind.New(errkind.Denied, "policy %s also covers %s that %s may not view, and it takes the right on every VM of a policy to change it; put other VMs into a policy of another name",
		name, desk.VMCount(len(hidden)), caller)
}
