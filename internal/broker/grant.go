package broker

import (
	"context"
	"errors"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/access/approval"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/broker/desk"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/store"
)

// Close ends a grant now: its owner may, and whoever may close anybody's. When it
// is over already, the firewalls are looked at once more. When the book cannot be
// written the door closes all the same.
func (b *Broker) Close(ctx context.Context, caller Caller, id string) (Standing, error) {
	for range desk.Tries {
		g, err := b.own(ctx, caller, id, authz.Close)
		if err != nil {
			return Standing{}, err
		}
		now := b.Clocks()
		if g.Over(now) {
			return b.settle(ctx, []access.Grant{g})[0], nil
		}
		g.Ended = access.Ending{At: firewall.Instant(now.Wall), By: caller.Principal, Why: access.ClosedByUser}
		switch err := b.end(ctx, caller, g); {
		case err == nil:
			return b.settle(ctx, []access.Grant{g})[0], nil
		case !errors.Is(err, store.ErrEpoch): // it was extended or ended at the same moment
			return Standing{}, err
		}
	}
	return Standing{}, errkind.New(errkind.Conflict, "grant %s keeps changing; try again", id)
}

// end saves that g has ended; where that fails for a reason that is not about
// the grant, the grant ends without.
func (b *Broker) end(ctx context.Context, caller Caller, g access.Grant) error {
	rec := b.Record(audit.Ended, caller)
	rec.Request, rec.Grant, rec.Door, rec.Sources = g.Request, g.ID, g.Door, g.Sources
	rec.Deadline, rec.Text = g.Deadline.Wall, string(g.Ended.Why)
	c := store.Change{
		GrantUpdates: []store.GrantUpdate{{ID: g.ID, Epoch: g.Epoch, Deadline: access.Deadline{}, Ended: g.Ended}},
		Records:      []audit.Record{rec},
	}
	saving, cancel := context.WithTimeout(ctx, closeSaveTime)
	defer cancel()
	err := b.Ledger.Save(saving, c)
	switch errkind.Of(err) {
	case errkind.Conflict, errkind.NotFound, errkind.Invalid:
		if err != nil {
			return err
		}
	case errkind.Internal, errkind.Unavailable, errkind.Unauthenticated, errkind.Denied, errkind.Exhausted:
		if err != nil {
			b.Enforcer.End(g.ID, g.Ended, c)
		}
	}
	return nil
}

// closeSaveTime is how long a close waits for the book before it goes on without.
const closeSaveTime = 2 * time.Second

// Extend moves the deadline of a live grant to d from now. It is decided anew, as
// if its owner asked for the whole time at once: the grant never lasts longer
// than the policy allows a single one to.
func (b *Broker) Extend(ctx context.Context, caller Caller, id string, d time.Duration) (Standing, error) {
	g, err := b.own(ctx, caller, id, "")
	if err != nil {
		return Standing{}, err
	}
	err = b.Decide(ctx, func(rules store.Rules) error {
		now := b.Clocks()
		if g, err = b.Ledger.Grant(ctx, id); err != nil {
			return err
		}
		if g.Over(now) {
			return errkind.New(errkind.Conflict, "grant %s has ended at %s; ask for a new one", g.ID, g.End().Format(time.RFC3339))
		}
		vm, err := inventory.Find(b.Enforcer.VMs(), string(g.Door.VM))
		if err != nil {
			return err
		}
		if err := b.unready(access.Request{}, []inventory.VM{vm}, now); err != nil {
			return err
		}
		ticket, err := b.extensible(ctx, g)
		if err != nil {
			return err
		}
		end := firewall.Instant(now.Wall.Add(d))
		if !end.After(g.Deadline.Wall) {
			return errkind.New(errkind.Invalid, "grant %s lasts until %s already; extending to %s would shorten it",
				g.ID, g.Deadline.Wall.Format(time.RFC3339), end.Format(time.RFC3339))
		}
		return b.extend(ctx, rules, caller, &g, ticket, end, now)
	})
	if err != nil {
		return Standing{}, err
	}
	return b.settle(ctx, []access.Grant{g})[0], nil
}

// extensible fails where g lasts no longer than it was granted for, whoever asks. It
// returns the ticket that g was granted with.
func (b *Broker) extensible(ctx context.Context, g access.Grant) (ticket string, err error) {
	r, err := b.Ledger.Request(ctx, g.Request)
	switch {
	case errkind.Of(err) == errkind.NotFound:
		return "", nil
	case err != nil:
		return "", errkind.Wrap(errkind.Unavailable, err, "the request of grant %s cannot be read, so it is not extended", g.ID)
	case r.Glass:
		return "", errkind.New(errkind.Denied, "grant %s is of an emergency, which is not extended; ask for access in the ordinary way", g.ID)
	}
	return r.Ticket, nil
}

// extend decides and saves the later deadline of g.
func (b *Broker) extend(ctx context.Context, rules store.Rules, caller Caller, g *access.Grant, ticket string, end time.Time, now access.Reading) error {
	whole := access.Request{
		ID: g.Request, Principal: g.Principal, Doors: []firewall.Door{g.Door}, Sources: g.Sources,
		Caller: caller.Addr, Start: g.Start, Duration: end.Sub(g.Start), Reason: g.Reason, Ticket: ticket, Asked: firewall.Instant(now.Wall),
	}
	in, err := b.Situation(ctx, rules, g.Principal, now)
	if err != nil {
		return err
	}
	if in.Live > 0 {
		in.Live-- // the grant itself is not one more
	}
	outcome := rules.Engine.Decide(caller.Identity, whole, in)
	if outcome.NeedsApproval {
		outcome.Allow = false
		outcome.Not = append(outcome.Not, "its policy wants approval, which is for the time that was asked for; ask anew for more")
	}
	if !outcome.Decision.Allow {
		rec := b.requestRecord(audit.Denied, whole, g.Door, outcome.Decision, g.ID, g.Deadline.Wall)
		rec.Text = "extension"
		if err := b.Save(ctx, store.Change{Expect: rules.Version, Records: []audit.Record{rec}}); err != nil {
			return err
		}
		return errkind.New(errkind.Denied, "grant %s cannot last until %s: %s", g.ID, end.Format(time.RFC3339), desk.Reasons(outcome.Decision.Not))
	}
	deadline := access.DeadlineAt(end, now)
	rec := b.requestRecord(audit.Extended, whole, g.Door, outcome.Decision, g.ID, end)
	err = b.Save(ctx, store.Change{
		Expect:       rules.Version,
		GrantUpdates: []store.GrantUpdate{{ID: g.ID, Epoch: g.Epoch, Deadline: deadline, Ended: access.Ending{}}},
		Records:      []audit.Record{rec},
	})
	g.Deadline = deadline
	g.Epoch++
	return err
}

// own returns the grant id if caller is its owner, or may do action to anybody's
// grant on its VM; an empty action leaves it to the owner. To others the grant
// does not exist.
func (b *Broker) own(ctx context.Context, caller Caller, id string, action authz.Action) (access.Grant, error) {
	hidden := errkind.New(errkind.NotFound, "there is no grant %s that you may change; `sesame requests` lists yours", errkind.Quote(id))
	if _, err := access.ParseID("grant", access.GrantPrefix, id); err != nil {
		return access.Grant{}, err
	}
	g, err := b.Ledger.Grant(ctx, id)
	switch {
	case errkind.Of(err) == errkind.NotFound:
		return access.Grant{}, hidden
	case err != nil:
		return access.Grant{}, errkind.Wrap(errkind.Unavailable, err, "grant %s cannot be read now; it closes by itself at its deadline", id)
	case g.Principal.Is(caller.Principal):
		return g, nil
	case action == "":
		return access.Grant{}, hidden
	}
	rules, err := b.Ledger.Rules(ctx)
	if err != nil {
		return access.Grant{}, errkind.Wrap(errkind.Unavailable, err, "the rules cannot be read, so nobody can close what is not theirs")
	}
	if !rules.Engine.Allows(caller.Identity, action, b.Target(g.Door.VM)) {
		return access.Grant{}, hidden
	}
	return g, nil
}

// answer returns the answer that a request got, with its grants as they are now.
func (b *Broker) answer(ctx context.Context, id string) (Answer, error) {
	r, err := b.Ledger.Request(ctx, id)
	if err != nil {
		return Answer{}, err
	}
	if !r.Decision.Allow {
		return Answer{}, errkind.New(errkind.Denied, "%s may not open %s: %s", r.Principal, desk.DoorList(r.Doors), desk.Reasons(r.Decision.Not))
	}
	grants, _, err := b.Ledger.Grants(ctx, store.GrantFilter{Request: id, Page: store.Page{Limit: access.MaxDoors, Cursor: ""}})
	if err != nil {
		return Answer{}, err
	}
	return b.answered(ctx, r.Case(), grants), nil
}

// answered is the answer of a case whose grants are saved, when they have settled.
func (b *Broker) answered(ctx context.Context, c approval.Case, grants []access.Grant) Answer {
	a := Answer{Case: c, State: c.StateAt(b.Clocks()), Grants: nil}
	if len(grants) > 0 {
		a.Grants = b.settle(ctx, grants)
	}
	return a
}
