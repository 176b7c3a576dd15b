package broker

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"slices"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/access/approval"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/store"
)

// A Say is what somebody says about a request.
type Say struct {
	Choice  approval.Choice
	Comment string
	// Digest is that of the request as whoever approves has seen it; it is not looked
	// at where nothing is approved.
	Digest [sha256.Size]byte
}

// Vote says what the caller thinks of a request. Approving and denying take the
// right to approve on every VM of it, cancelling is its requester's, and reviewing an
// emergency is anybody's who may approve. The approval that was still missing grants:
// everything is decided anew then, and the time of the grants begins.
//
// Of votes at the same moment one is first; the others are judged again by what it
// left, so that there is one outcome.
func (b *Broker) Vote(ctx context.Context, caller Caller, id string, say Say) (Answer, error) {
	if _, err := access.ParseID("request", access.RequestPrefix, id); err != nil {
		return Answer{}, err
	}
	for {
		var after approval.Case
		var grants []access.Grant
		err := b.Decide(ctx, func(rules store.Rules) (err error) {
			grants = nil
			after, grants, err = b.vote(ctx, rules, caller, id, say)
			return err
		})
		// Whoever was first has got on, so this ends.
		if errors.Is(err, store.ErrVoted) && ctx.Err() == nil {
			continue
		}
		if err != nil {
			return Answer{}, err
		}
		return b.answered(ctx, after, grants), nil
	}
}

// vote judges and saves one vote by the rules as they are.
func (b *Broker) vote(ctx context.Context, rules store.Rules, caller Caller, id string, say Say) (approval.Case, []access.Grant, error) {
	c, err := b.caseOf(ctx, rules, caller, id)
	if err != nil {
		return c, nil, err
	}
	requester, _, err := b.Identity(ctx, c.Principal)
	if err != nil {
		return c, nil, err
	}
	// Nobody has said who is behind it: then it is a person by itself, and whoever
	// turns out to be that person has asked.
	requester.Person = cmp.Or(requester.Person, access.PersonOf(c.Principal))
	if err := b.mayVote(ctx, rules, caller, c, requester, say.Choice); err != nil {
		return c, nil, err
	}
	now := b.Clocks()
	next, v, err := c.Cast(approval.Vote{
		Choice: say.Choice, Person: caller.Person, By: caller.Principal, Comment: say.Comment,
		Digest: say.Digest, At: firewall.Instant(now.Wall),
	}, requester.Person, now)
	if err != nil {
		return c, nil, err
	}
	change := store.Change{Expect: rules.Version, Ballots: []store.Ballot{{
		Request: c.ID, After: len(c.Votes), Vote: v, Last: next.StateAt(now) != approval.Pending,
	}}}
	change.Records = b.voted(caller, c, v)
	if v.Choice != approval.Approve {
		return next, nil, b.Save(ctx, change)
	}
	grants, err := b.approve(ctx, rules, change, next, now)
	return next, grants, err
}

// approve saves an approval, and grants where it was the last that was wanted. The
// request is decided as if it were asked now: a role may have been lost since, a
// policy changed, a VM have left.
func (b *Broker) approve(ctx context.Context, rules store.Rules, change store.Change, c approval.Case, now access.Reading) ([]access.Grant, error) {
	outcome, err := b.again(ctx, rules, c, now)
	if err != nil {
		return nil, err
	}
	if c.StateAt(now) != approval.Approved {
		return nil, b.Save(ctx, change)
	}
	req := c.Request
	if !req.Until.IsZero() {
		req = lasting(rules.Policies, Ask{Until: req.Until}, req, now)
	}
	vms, err := b.present(req)
	if err != nil {
		return nil, err
	}
	if err := b.unready(req, vms, now); err != nil {
		return nil, err
	}
	decision := outcome.Decision
	decision.By = append(slices.Clip(decision.By), c.Why(now))
	grants := b.grants(req, outcome, now)
	return grants, b.saveGrants(ctx, change, req, decision, grants)
}

// again decides a request that waits by the rules as they are now. It fails when the
// answer would be another one: an approval is about what was asked under the policies
// as they were.
func (b *Broker) again(ctx context.Context, rules store.Rules, c approval.Case, now access.Reading) (authz.Answer, error) {
	req := c.Request
	if req.Until.IsZero() {
		req.Start = later(req, now)
	} else {
		req = lasting(rules.Policies, Ask{Until: req.Until}, req, now)
	}
	who, known, err := b.Identity(ctx, req.Principal)
	if err != nil {
		return authz.Answer{}, err
	}
	in, err := b.Situation(ctx, rules, req.Principal, now)
	if err != nil {
		return authz.Answer{}, err
	}
	outcome := rules.Engine.Decide(who, req, in)
	switch {
	case !outcome.Allow && !known:
		return outcome, errkind.New(errkind.Unavailable, "request %s cannot be decided now: %s; which groups %s is in nobody here can tell", c.ID, reason(outcome.Not), req.Principal)
	case !outcome.Allow:
		return outcome, errkind.New(errkind.Conflict, "request %s would not be allowed any more: %s; it has to be asked for anew", c.ID, reason(outcome.Not))
	case approval.TermsOf(c.Request, granting(rules.Policies, outcome), now).Digest != c.Digest:
		return outcome, errkind.New(errkind.Conflict, "the policy of request %s has changed since it was asked for, and an approval would be of something else; it has to be asked for anew", c.ID)
	}
	return outcome, nil
}

// caseOf returns the request id as caller may see it. To others it does not exist.
func (b *Broker) caseOf(ctx context.Context, rules store.Rules, caller Caller, id string) (approval.Case, error) {
	r, err := b.Ledger.Request(ctx, id)
	if err != nil && errkind.Of(err) != errkind.NotFound {
		return approval.Case{}, errkind.Wrap(errkind.Unavailable, err, "request %s cannot be read now", id)
	}
	sees := err == nil && r.Principal.Is(caller.Principal)
	for _, d := range r.Doors {
		sees = sees || rules.Engine.Allows(caller.Identity, authz.View, b.Target(d.VM))
	}
	if !sees {
		return approval.Case{}, errkind.New(errkind.NotFound, "there is no request %s that you may see; `sesame requests --waiting` lists those that wait", errkind.Quote(id))
	}
	return r.Case(), nil
}

// mayVote fails unless caller's roles let them say this about c; a denial is
// recorded. The requester is let through, to be told by the case what is theirs.
func (b *Broker) mayVote(ctx context.Context, rules store.Rules, caller Caller, c approval.Case, requester access.Identity, choice approval.Choice) error {
	if choice == approval.Cancel || caller.Same(requester) {
		return nil
	}
	stage := string(choice)
	if left := c.Left(); len(left) > 0 {
		stage = left[0].Stage
	}
	in, err := b.Situation(ctx, rules, c.Principal, b.Clocks())
	if err != nil {
		return err
	}
	d := rules.Engine.MayApprove(caller.Identity, c.Request, requester, stage, in)
	if d.Allow {
		return nil
	}
	return b.Refuse(ctx, caller, string(choice)+" request "+c.ID, c.Doors[0].VM, d.Not)
}

// voted are the records of a vote: one for each door.
func (b *Broker) voted(caller Caller, c approval.Case, v approval.Vote) []audit.Record {
	kind := map[approval.Choice]audit.Kind{
		approval.Approve: audit.Agreed, approval.Deny: audit.Refused, approval.Cancel: audit.Cancelled,
		approval.Lapse: audit.Lapsed, approval.Review: audit.GlassReviewed,
	}[v.Choice]
	var out []audit.Record
	for _, d := range c.Doors {
		rec := b.Record(kind, caller)
		rec.Request, rec.Door, rec.Sources, rec.Text = c.ID, d, c.Sources, v.Comment
		if v.Stage != "" {
			rec.By = []string{"stage " + v.Stage, "digest " + approval.FormatDigest(v.Digest)}
		}
		out = append(out, rec)
	}
	return out
}
