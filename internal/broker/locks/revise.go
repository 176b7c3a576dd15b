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
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/policy"
	"github.com/sesame-access/sesame/internal/store"
)

// Revise saves a revision, locks the doors of what is put and ends the grants of
// doors that no policy covers any more. It takes the right on the VMs whose terms
// change, and on no others that the policies are about.
func (b *Locks) Revise(ctx context.Context, caller desk.Caller, r revision.Revision, agreed Agreed) ([]policy.Policy, error) {
	return b.revise(ctx, caller, r, agreed, b.mayTouch)
}

// A right fails unless caller may make a revision.
type right func(ctx context.Context, rules store.Rules, caller desk.Caller, r revision.Revision) error

func (b *Locks) revise(ctx context.Context, caller desk.Caller, r revision.Revision, agreed Agreed, may right) ([]policy.Policy, error) {
	var saved []policy.Policy
	err := b.Decide(ctx, func(rules store.Rules) error {
		locks, err := b.lock(ctx, rules, caller, r, may)
		if err != nil {
			return err
		}
		saved = slices.Clone(r.Put)
		c := store.Change{Expect: rules.Version, Policies: r.Put, DropPolicies: r.Drop, Locks: locks}
		for i, p := range r.Put {
			old, _ := revision.Named(rules.Policies, p.Name)
			saved[i].Version = old.Version + 1
			c.Records = append(c.Records, b.saved(caller, p))
		}
		for _, name := range r.Drop {
			rec := b.Record(audit.PolicyDeleted, caller)
			rec.Text = "the locks of policy " + name + " stay"
			c.Records = append(c.Records, rec)
		}
		if len(r.Put) > 0 {
			if err := b.consent(ctx, caller, &c, rules, r, agreed); err != nil {
				return err
			}
		}
		for _, l := range locks {
			if locked(rules, l.Door) {
				continue
			}
			rec := b.Record(audit.Locked, caller)
			rec.Door, rec.Text = l.Door, "policy "+l.Policy
			c.Records = append(c.Records, rec)
		}
		if _, err := b.EndAll(ctx, &c, caller, desk.At(r.Left(rules.Policies)), access.PolicyRemoved); err != nil {
			return err
		}
		return b.Save(ctx, c)
	})
	if err != nil {
		return nil, err
	}
	for _, p := range r.Put {
		b.Enforcer.Wake("policy " + p.Name)
	}
	for _, name := range r.Drop {
		b.Enforcer.Wake("policy " + name + " deleted")
	}
	return saved, nil
}

// lock checks a revision and returns the locks of what it puts.
func (b *Locks) lock(ctx context.Context, rules store.Rules, caller desk.Caller, r revision.Revision, may right) ([]access.Lock, error) {
	for _, name := range r.Drop {
		if _, found := revision.Named(rules.Policies, name); !found {
			return nil, errkind.New(errkind.NotFound, "there is no policy %s", errkind.Quote(name))
		}
	}
	if err := may(ctx, rules, caller, r); err != nil {
		return nil, err
	}
	vms, others := b.Enforcer.VMs(), r.Others(rules.Policies)
	var locks []access.Lock
	for _, p := range r.Put {
		if err := revision.Current(rules.Policies, p); err != nil {
			return nil, err
		}
		if err := revision.Cuts(vms, p); err != nil {
			return nil, err
		}
		for _, d := range p.Doors() {
			l, err := b.lockOf(rules, caller, others, p, d)
			if err != nil {
				return nil, err
			}
			locks = append(locks, l)
		}
		others = append(others, p)
	}
	return locks, nil
}

// lockOf returns the lock of one door of p, which none of the others covers.
func (b *Locks) lockOf(rules store.Rules, caller desk.Caller, others []policy.Policy, p policy.Policy, d firewall.Door) (access.Lock, error) {
	for _, other := range others {
		if _, covered := other.PortOf(d); covered {
			return access.Lock{}, errkind.New(errkind.Conflict, "policy %s covers %s already; change that one, or take the door out of it first", other.Name, d)
		}
	}
	if slices.Contains(b.Own, d) && len(p.Exempt) == 0 {
		return access.Lock{}, errkind.New(errkind.Conflict, "%s is where Sesame itself listens: locked, nobody could ask for it any more; exempt those who must reach it always, or leave the port out", d)
	}
	l := access.Lock{
		Door: d, Exempt: p.Exempt, Cut: p.Cut, Proof: p.Proof, Policy: p.Name,
		Since: firewall.Instant(b.Clocks().Wall), By: caller.Principal,
	}
	if i := slices.IndexFunc(rules.Locks, func(x access.Lock) bool { return x.Door == d }); i >= 0 {
		l.Since, l.Accepts = rules.Locks[i].Since, rules.Locks[i].Accepts
	}
	return l, nil
}

// mayTouch fails unless caller may enable every VM whose terms r changes.
func (b *Locks) mayTouch(ctx context.Context, rules store.Rules, caller desk.Caller, r revision.Revision) error {
	for _, vm := range r.Touched(rules.Policies) {
		if err := b.MayDo(ctx, rules, caller, authz.Enable, vm); err != nil {
			return err
		}
	}
	return nil
}

// mayReplace fails unless caller may change every VM of what r puts, and of the
// versions in force.
func (b *Locks) mayReplace(ctx context.Context, rules store.Rules, caller desk.Caller, r revision.Revision) error {
	for _, p := range r.Put {
		if err := b.mayChange(ctx, rules, caller, p.Name); err != nil {
			return err
		}
		for _, id := range p.VMs {
			if _, err := inventory.Find(b.Enforcer.VMs(), string(id)); err != nil {
				return err
			}
			if err := b.MayDo(ctx, rules, caller, authz.Enable, id); err != nil {
				return err
			}
		}
	}
	for _, name := range r.Drop {
		if err := b.mayChange(ctx, rules, caller, name); err != nil {
			return err
		}
	}
	return nil
}
