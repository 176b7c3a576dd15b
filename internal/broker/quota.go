package broker

import (
	"context"
	"slices"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/access/approval"
	"github.com/sesame-access/sesame/internal/broker/desk"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/policy"
	"github.com/sesame-access/sesame/internal/store"
)

// mayAsk fails when the one who asks has enough already. What is asked of other
// people is bounded most: whoever is asked too often says yes to be left alone.
func (b *Broker) mayAsk(ctx context.Context, j *job) error {
	if j.request.Glass {
		return b.mayBreak(ctx, j)
	}
	since := time.Time{}
	if j.terms.Waits() {
		since = j.now.Wall.Add(-time.Hour)
	} else if b.Quotas.Live == 0 {
		return nil
	}
	tally, err := b.Ledger.Tally(ctx, j.request.Principal, since)
	if err != nil {
		return errkind.Wrap(errkind.Unavailable, err, "what you have cannot be counted now, so nothing is added")
	}
	switch most := b.Quotas; {
	case most.Live > 0 && tally.Live+len(j.request.Doors) > most.Live:
		return errkind.New(errkind.Exhausted, "%s has %d grants that are not closed yet, and may have %d; close some with `sesame close`", j.request.Principal, tally.Live, most.Live)
	case !j.terms.Waits():
		return nil
	case most.Asked > 0 && tally.Asked >= most.Asked:
		return errkind.New(errkind.Exhausted, "%s has asked for approval %d times within an hour, and may %d times; wait a little", j.request.Principal, tally.Asked, most.Asked)
	}
	return b.mayWait(ctx, j)
}

// mayWait fails when too much of the same person waits already, or just this.
func (b *Broker) mayWait(ctx context.Context, j *job) error {
	waiting, err := b.Ledger.Waiting(ctx)
	if err != nil {
		return errkind.Wrap(errkind.Unavailable, err, "what waits cannot be read now, so nothing is added")
	}
	n := 0
	for _, r := range waiting {
		if r.Case().StateAt(j.now) != approval.Pending || !b.same(ctx, r.Principal, j.caller) {
			continue
		}
		n++
		again := slices.Equal(r.Doors, j.request.Doors) && slices.Equal(r.Sources, j.request.Sources)
		if again && !j.ask.Supersede {
			return errkind.New(errkind.Conflict, "request %s waits for the same already; `sesame cancel %s` takes it back", r.ID, r.ID)
		}
	}
	if most := b.Quotas.Waiting; most > 0 && n >= most {
		return errkind.New(errkind.Exhausted, "%d requests of %s wait for approval already, and %d may; cancel one, or wait until they are decided", n, j.request.Principal, most)
	}
	return nil
}

// mayBreak fails while somebody has yet to look at an earlier emergency of the same
// person: the next one waits for that, under whatever name.
func (b *Broker) mayBreak(ctx context.Context, j *job) error {
	names := []access.Principal{j.request.Principal}
	for _, p := range granting(j.rules.Policies, j.outcome) {
		names = append(names, slices.DeleteFunc(slices.Clone(p.Glass.Who), func(x access.Principal) bool { return !b.same(ctx, x, j.caller) })...)
	}
	for _, p := range names {
		tally, err := b.Ledger.Tally(ctx, p, time.Time{})
		if err != nil {
			return errkind.Wrap(errkind.Unavailable, err, "it cannot be read whether the last emergency was reviewed")
		}
		if len(tally.Unreviewed) > 0 {
			return errkind.New(errkind.Conflict, "nobody has reviewed your last emergency, %s, and there is no next one before; somebody else who may approve runs `sesame review %s`",
				tally.Unreviewed[0], tally.Unreviewed[0])
		}
	}
	return nil
}

// same reports whether p is the caller, or another name of the same person. Where
// that cannot be read, it is only what it is by itself.
func (b *Broker) same(ctx context.Context, p access.Principal, caller Caller) bool {
	if p.Is(caller.Principal) {
		return true
	}
	who, _, err := b.Identity(ctx, p)
	return err == nil && who.Same(caller.Identity)
}

// supersede adds to c the end of what j takes the place of: the grants of its
// requester at the same doors from the same sources, and what waits for the same.
func (b *Broker) supersede(ctx context.Context, c *store.Change, j *job) error {
	if !j.ask.Supersede {
		return nil
	}
	mine := func(p access.Principal) bool { return p.Is(j.request.Principal) }
	waiting, err := b.Ledger.Waiting(ctx)
	if err != nil {
		return errkind.Wrap(errkind.Unavailable, err, "what waits cannot be read now, so nothing takes its place")
	}
	for _, r := range waiting {
		old := r.Case()
		if !mine(r.Principal) || old.StateAt(j.now) != approval.Pending ||
			!slices.Equal(r.Doors, j.request.Doors) || !slices.Equal(r.Sources, j.request.Sources) {
			continue
		}
		_, v, err := old.Cast(approval.Vote{Choice: approval.Cancel, By: j.caller.Principal, Comment: "superseded by " + j.request.ID, At: j.request.Asked}, "", j.now)
		if err != nil {
			return err
		}
		c.Ballots = append(c.Ballots, store.Ballot{Request: r.ID, After: len(r.Votes), Vote: v, Last: true})
		c.Records = append(c.Records, b.voted(j.caller, old, v)...)
	}
	if j.terms.Waits() {
		return nil // what is open stays open until this is granted
	}
	_, err = b.EndAll(ctx, c, j.caller, func(g access.Grant) bool {
		return mine(g.Principal) && slices.Contains(j.request.Doors, g.Door) && slices.Equal(g.Sources, j.request.Sources)
	}, access.Superseded)
	return err
}

// reason says why something is not allowed.
func reason(not []string) string { return desk.Reasons(not) }

// later returns when req begins: its start, unless that has passed.
func later(req access.Request, now access.Reading) (start time.Time) {
	if req.Start.Before(now.Wall) {
		return time.Time{}
	}
	return req.Start
}

// wanted reports whether some policy of those wants more than what c was granted by.
func wanted(policies []policy.Policy, c approval.Case) bool {
	for _, p := range policies {
		for _, a := range p.Approvals {
			had := slices.ContainsFunc(c.Stages, func(s policy.Approval) bool { return s.Stage == a.Stage && s.Count >= a.Count })
			if !had {
				return true
			}
		}
	}
	return false
}
