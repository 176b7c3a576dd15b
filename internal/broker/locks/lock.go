// Package locks adds and ends locks: it saves policies, which bring them, and
// gives doors back. Whoever takes something away from others is shown it first, and
// has to agree.
package locks

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/broker/desk"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/fleet"
	"github.com/sesame-access/sesame/internal/inventory"
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
	var saved policy.Policy
	err := b.Decide(ctx, func(rules store.Rules) error {
		locks, err := b.lock(ctx, rules, caller, p)
		if err != nil {
			return err
		}
		saved = p
		old, _ := inForce(rules, p.Name)
		saved.Version = old.Version + 1
		c := store.Change{Expect: rules.Version, Policies: []policy.Policy{p}, Locks: locks}
		c.Records = append(c.Records, b.saved(caller, p))
		if err := b.consent(ctx, caller, &c, rules, p, agreed); err != nil {
			return err
		}
		for _, l := range locks {
			if locked(rules, l.Door) {
				continue
			}
			rec := b.Record(audit.Locked, caller)
			rec.Door, rec.Text = l.Door, "policy "+p.Name
			c.Records = append(c.Records, rec)
		}
		if _, err := b.EndAll(ctx, &c, caller, desk.At(left(rules, p)), access.PolicyRemoved); err != nil {
			return err
		}
		return b.Save(ctx, c)
	})
	if err != nil {
		return policy.Policy{}, err
	}
	b.Enforcer.Wake("policy " + p.Name)
	return saved, nil
}

// left returns the doors that the version of p in force covers and p does not.
func left(rules store.Rules, p policy.Policy) []firewall.Door {
	old, _ := inForce(rules, p.Name)
	return slices.DeleteFunc(old.Doors(), func(d firewall.Door) bool {
		_, covered := p.PortOf(d)
		return covered
	})
}

// locked reports whether d has a lock already.
func locked(rules store.Rules, d firewall.Door) bool {
	return slices.ContainsFunc(rules.Locks, func(l access.Lock) bool { return l.Door == d })
}

// inForce returns the policy of that name as it is in force.
func inForce(rules store.Rules, name string) (policy.Policy, bool) {
	i := slices.IndexFunc(rules.Policies, func(p policy.Policy) bool { return p.Name == name })
	if i < 0 {
		return policy.Policy{}, false
	}
	return rules.Policies[i], true
}

// saved is the record that p was saved.
func (b *Locks) saved(caller desk.Caller, p policy.Policy) audit.Record {
	p.Version = 0 // of what it was made from, which the log knows
	rec := b.Record(audit.PolicySaved, caller)
	rec.Text = summary(p) + "\n" + string(policy.Format(p))
	return rec
}

// summary says in one line what p is about: "policy ssh: 22/tcp of db-1, web-1".
func summary(p policy.Policy) string {
	ports, vms := make([]string, len(p.Ports)), make([]string, len(p.VMs))
	for i, x := range p.Ports {
		ports[i] = fmt.Sprintf("%d/%s", x.Port, x.Protocol)
	}
	for i, vm := range p.VMs {
		vms[i] = vm.Name()
	}
	return "policy " + p.Name + ": " + strings.Join(ports, ", ") + " of " + strings.Join(vms, ", ")
}

// PreviewEnable shows what Enable would write, whom it would keep out and what has
// to be agreed to, after every other check that Enable makes; nothing is changed.
func (b *Locks) PreviewEnable(ctx context.Context, caller desk.Caller, p policy.Policy) (fleet.Preview, error) {
	rules, err := b.Ledger.Rules(ctx)
	if err != nil {
		return fleet.Preview{}, errkind.Wrap(errkind.Unavailable, err, "the rules cannot be read")
	}
	added, err := b.lock(ctx, rules, caller, p)
	if err != nil {
		return fleet.Preview{}, err
	}
	return b.suppose(ctx, rules, p, added)
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

func (b *Locks) lock(ctx context.Context, rules store.Rules, caller desk.Caller, p policy.Policy) ([]access.Lock, error) {
	if err := b.mayReplace(ctx, rules, caller, p.Name); err != nil {
		return nil, err
	}
	if err := current(rules, p); err != nil {
		return nil, err
	}
	vms := b.Enforcer.VMs()
	for _, id := range p.VMs {
		v, err := inventory.Find(vms, string(id))
		if err != nil {
			return nil, err
		}
		if err := b.MayDo(ctx, rules, caller, authz.Enable, id); err != nil {
			return nil, err
		}
		if p.Cut && !v.Cuts {
			return nil, errkind.New(errkind.Invalid, "policy %s ends connections with their grant, and nothing in front of %s can: its firewall forgets which rule let a connection in. Leave cut out, or put this VM into a policy of its own",
				p.Name, id.Name())
		}
	}
	now := firewall.Instant(b.Clocks().Wall)
	var locks []access.Lock
	for _, d := range p.Doors() {
		for _, other := range rules.Policies {
			if _, covered := other.PortOf(d); covered && other.Name != p.Name {
				return nil, errkind.New(errkind.Conflict, "policy %s covers %s already; change that one, or take the door out of it first", other.Name, d)
			}
		}
		if slices.Contains(b.Own, d) && len(p.Exempt) == 0 {
			return nil, errkind.New(errkind.Conflict, "%s is where Sesame itself listens: locked, nobody could ask for it any more; exempt those who must reach it always, or leave the port out", d)
		}
		l := access.Lock{Door: d, Exempt: p.Exempt, Cut: p.Cut, Proof: p.Proof, Policy: p.Name, Since: now, By: caller.Principal}
		if i := slices.IndexFunc(rules.Locks, func(x access.Lock) bool { return x.Door == d }); i >= 0 {
			l.Since, l.Accepts = rules.Locks[i].Since, rules.Locks[i].Accepts
		}
		locks = append(locks, l)
	}
	return locks, nil
}

// DropPolicy deletes a policy: its doors cannot be asked for any more and their
// grants end, but they stay locked until somebody disables them.
func (b *Locks) DropPolicy(ctx context.Context, caller desk.Caller, name string) error {
	err := b.Decide(ctx, func(rules store.Rules) error {
		p, found := inForce(rules, name)
		if !found {
			return errkind.New(errkind.NotFound, "there is no policy %s", errkind.Quote(name))
		}
		if err := b.mayReplace(ctx, rules, caller, name); err != nil {
			return err
		}
		rec := b.Record(audit.PolicyDeleted, caller)
		rec.Text = "the locks of policy " + name + " stay"
		c := store.Change{Expect: rules.Version, DropPolicies: []string{name}, Records: []audit.Record{rec}}
		if _, err := b.EndAll(ctx, &c, caller, desk.At(p.Doors()), access.PolicyRemoved); err != nil {
			return err
		}
		return b.Save(ctx, c)
	})
	if err == nil {
		b.Enforcer.Wake("policy " + name + " deleted")
	}
	return err
}

// mayReplace fails unless caller may change every VM of the policy of that name
// that is in force. VMs that the caller may not view are counted and not named.
func (b *Locks) mayReplace(ctx context.Context, rules store.Rules, caller desk.Caller, name string) error {
	old, _ := inForce(rules, name)
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

// current fails if p says which version it was made from, and another is in
// force by now.
func current(rules store.Rules, p policy.Policy) error {
	old, found := inForce(rules, p.Name)
	switch {
	case p.Version == 0 || p.Version == old.Version:
		return nil
	case found && len(policy.Diff(old, p)) == 0:
		return nil // nothing is lost; the answer to the first try may have been
	case !found:
		return errkind.New(errkind.Conflict, "there is no policy %s any more, of which this is made from version %d; leave the version out to make it anew", p.Name, p.Version)
	}
	return errkind.New(errkind.Conflict, "policy %s is at version %d by now, and this is made from version %d; it would change what is in force like this: %s. Start again from what `sesame policy show %s` says now",
		p.Name, old.Version, p.Version, strings.Join(policy.Diff(old, p), "; "), p.Name)
}
