package broker

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/access/approval"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/store"
)

// ReviewEvery is how often everything that was granted is looked at again, at the
// latest: what nobody may have any more ends within a minute.
const ReviewEvery = 20 * time.Second

// KeepReviewing reviews what was granted and what waits until ctx is done: again and
// again, and whenever something was saved.
func (b *Broker) KeepReviewing(ctx context.Context, changed func() <-chan struct{}) {
	again := time.NewTimer(0)
	defer again.Stop()
	var seen int64
	news := changed()
	for {
		select {
		case <-ctx.Done():
			return
		case <-news:
			news = changed()
			rules, err := b.Ledger.Rules(ctx)
			if err != nil || rules.Version == seen {
				continue
			}
			seen = rules.Version
		case <-again.C:
		}
		again.Reset(ReviewEvery)
		if err := b.Review(ctx); err != nil && ctx.Err() == nil {
			b.Log.LogAttrs(ctx, slog.LevelWarn, "what was granted could not be reviewed; it stays until its deadline", slog.Any("error", err))
		}
	}
}

// Review ends what could not be asked for any more: a role was taken back, a policy
// has become narrower, a VM has left. It does so on positive evidence only: where the
// rules or an inventory cannot be read, everything stays as it is. It also notes which
// requests nobody has decided in time, and takes back those whose policy has changed.
func (b *Broker) Review(ctx context.Context) error {
	var ended []access.Grant
	err := b.Decide(ctx, func(rules store.Rules) error {
		ended = nil
		return errors.Join(b.reviewWaiting(ctx, rules), b.reviewGrants(ctx, rules, &ended))
	})
	if len(ended) > 0 {
		b.Enforcer.Wake("review")
	}
	return err
}

// reviewGrants ends the grants that their owners could not have now. Decisions are
// made anew only where the rules have changed since they were last.
func (b *Broker) reviewGrants(ctx context.Context, rules store.Rules, ended *[]access.Grant) error {
	grants, err := b.Ledger.Pending(ctx)
	if err != nil {
		return errkind.Wrap(errkind.Unavailable, err, "the grants cannot be read")
	}
	now, vms := b.Clocks(), b.Enforcer.VMs()
	why := map[string]access.EndReason{}
	for _, g := range grants {
		switch {
		case g.Over(now):
		case inventory.Of(vms, g.Door.VM).Gone:
			why[g.ID] = access.VMGone
		case rules.Version != b.reviewed.Load():
			if why[g.ID], err = b.lost(ctx, rules, g, now); err != nil {
				return err
			}
		}
	}
	c := store.Change{Expect: rules.Version}
	for _, reason := range []access.EndReason{access.RoleLost, access.VMGone, access.PolicyRemoved} {
		some, err := b.EndAll(ctx, &c, system(), func(g access.Grant) bool { return why[g.ID] == reason }, reason)
		if err != nil {
			return err
		}
		*ended = append(*ended, some...)
	}
	if len(*ended) > 0 {
		err = b.Save(ctx, c)
	}
	if err == nil {
		b.reviewed.Store(rules.Version)
	}
	return err
}

// lost says why the owner of g could not have it now; empty if they could. What a
// policy that cannot be read would say is not known, so it ends nothing.
func (b *Broker) lost(ctx context.Context, rules store.Rules, g access.Grant, now access.Reading) (access.EndReason, error) {
	whole := access.Request{
		ID: g.Request, Principal: g.Principal, Doors: []firewall.Door{g.Door}, Sources: g.Sources,
		Start: g.Start, Duration: g.Deadline.Wall.Sub(g.Start), Reason: g.Reason,
	}
	who, known, err := b.Identity(ctx, g.Principal)
	if err != nil {
		return "", err
	}
	in, err := b.Situation(ctx, rules, g.Principal, now)
	if err != nil {
		return "", err
	}
	in.Live = max(0, in.Live-1) // the grant itself is not one more
	outcome := rules.Engine.Decide(who, whole, in)
	if outcome.Allow && !outcome.NeedsApproval || len(rules.Damaged) > 0 {
		return "", nil
	}
	r, err := b.Ledger.Request(ctx, g.Request)
	switch {
	case errkind.Of(err) == errkind.NotFound:
		return "", nil // what it was asked with is not known, so nothing speaks against it
	case err != nil:
		return "", errkind.Wrap(errkind.Unavailable, err, "request %s cannot be read", g.Request)
	}
	whole.Ticket, whole.Glass = r.Ticket, r.Glass
	outcome = rules.Engine.Decide(who, whole, in)
	switch {
	case outcome.Allow && (whole.Glass || !wanted(granting(rules.Policies, outcome), r.Case())):
		return "", nil
	case !whole.Glass && !rules.Engine.Allows(who, authz.Request, b.Target(g.Door.VM)):
		if !known {
			return "", nil // a group may give it, and nobody here can tell which they are in
		}
		return access.RoleLost, nil
	}
	return access.PolicyRemoved, nil
}

// system is Sesame itself, as the one who does what nobody asked for.
func system() Caller { return Caller{Identity: access.Identity{Principal: access.System()}} }

// reviewWaiting notes what has lapsed, and takes back what would not be the same any
// more if it were approved.
func (b *Broker) reviewWaiting(ctx context.Context, rules store.Rules) error {
	waiting, err := b.Ledger.Waiting(ctx)
	if err != nil {
		return errkind.Wrap(errkind.Unavailable, err, "what waits cannot be read")
	}
	now := b.Clocks()
	for _, r := range waiting {
		c := r.Case()
		v := approval.Vote{By: access.System(), At: firewall.Instant(now.Wall)}
		switch c.StateAt(now) {
		case approval.Expired:
			v.Choice, v.Comment = approval.Lapse, c.Why(now)
		case approval.Pending:
			_, err := b.again(ctx, rules, c, now)
			if err == nil || len(rules.Damaged) > 0 {
				continue
			}
			v.Choice, v.Comment = approval.Cancel, errkind.Public(err)
		case approval.Approved, approval.Denied, approval.Cancelled:
			continue
		}
		_, v, err := c.Cast(v, "", now)
		if err != nil {
			return err
		}
		change := store.Change{Expect: rules.Version, Records: b.voted(system(), c, v)}
		change.Ballots = []store.Ballot{{Request: c.ID, After: len(c.Votes), Vote: v, Last: true}}
		if err := b.Save(ctx, change); err != nil && !errors.Is(err, store.ErrVoted) {
			return err
		}
	}
	return nil
}

// present returns the VMs of req as the inventory has them now.
func (b *Broker) present(req access.Request) ([]inventory.VM, error) {
	var out []inventory.VM
	known := b.Enforcer.VMs()
	for _, d := range req.Doors {
		if len(out) > 0 && out[len(out)-1].ID == d.VM {
			continue
		}
		vm, err := inventory.Find(known, string(d.VM))
		if err != nil {
			return nil, err
		}
		out = append(out, vm)
	}
	return out, nil
}
