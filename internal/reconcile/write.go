package reconcile

import (
	"context"
	"errors"
	"fmt"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
)

// write makes the changes of the plan: everything that waits on this firewall at
// once. When that is refused, the closings go alone and the rest in halves, so
// that one bad opening never holds a close or another opening; when the book
// cannot vouch for the rest, the closings go alone.
func (p *pass) write(ctx context.Context) error {
	if p.plan.Empty() {
		return nil
	}
	additions := plan.Additions(p.want, p.seen.Shown())
	err := p.fencedApply(ctx, p.plan)
	switch {
	case errors.Is(err, errUnfenced):
		return errors.Join(err, p.part(ctx, nil))
	case !errors.Is(err, provider.ErrRefused):
		return err
	}
	if err := p.part(ctx, nil); err != nil {
		return fmt.Errorf("close alone: %w", err)
	}
	return p.bisect(ctx, additions)
}

// bisect writes as many of the additions as the firewall takes.
func (p *pass) bisect(ctx context.Context, additions []firewall.Key) error {
	if len(additions) == 0 {
		return nil
	}
	err := p.part(ctx, additions)
	if !errors.Is(err, provider.ErrRefused) {
		return err
	}
	if len(additions) == 1 {
		r := plan.Refusal{Door: additions[0].Door, From: additions[0].From, Why: err.Error()}
		p.refused = append(p.refused, r)
		p.want = plan.Hold(p.want, p.seen.Shown(), r)
		return nil
	}
	half := len(additions) / 2
	return errors.Join(p.bisect(ctx, additions[:half]), p.bisect(ctx, additions[half:]))
}

// errUnfenced says that the book could not vouch for what a plan opens, locks,
// displaces or restores.
var errUnfenced = errors.New("the book does not vouch for the change")

// part writes the closings and the given additions, from what the firewall
// shows now; without additions, nothing but closings.
func (p *pass) part(ctx context.Context, additions []firewall.Key) error {
	seen, err := p.fw.Provider.Observe(ctx, p.fw.ID, p.keys)
	if err != nil {
		return fmt.Errorf("observe: %w", err)
	}
	shown := seen.Shown()
	kept := additions
	// What earlier parts wrote is shown now and is no addition any more.
	displaced, err := p.displaced(ctx)
	if err != nil {
		kept = nil
	}
	part, err := p.fw.Provider.Compile(seen, plan.Only(p.want, shown, kept), displaced)
	if err != nil {
		return fmt.Errorf("compile: %w", err)
	}
	if len(additions) == 0 {
		part = part.Only(plan.Close)
	}
	p.seen = seen
	return p.fencedApply(ctx, part)
}

// fencedApply applies pl. Right before, whatever it opens, locks, displaces or
// restores is checked again: the epochs it was planned from, and the deadlines.
// Closings need no check.
func (p *pass) fencedApply(ctx context.Context, pl plan.Plan) error {
	if p.bookErr != nil {
		// What is displaced must be stored first, and cannot be now.
		pl = pl.Only(plan.Close, plan.Lock, plan.Open)
	}
	if pl.Empty() {
		return nil
	}
	if pl.Has(plan.Keep, plan.Displace, plan.Lock, plan.Open, plan.Restore, plan.Drop) {
		if err := p.fence(ctx, pl); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, p.callTime())
	defer cancel()
	p.loop.Sight.Sends(pl, p.book.Grants, p.loop.Clocks().Wall)
	p.wrote = true // from here on, only reading back tells
	if err := p.fw.Provider.Apply(ctx, p.seen, pl); err != nil {
		return fmt.Errorf("write %s: %w", p.fw.ID, err)
	}
	return nil
}

// fence fails with errStale when the book moved on since the pass read it, and
// stores the foreign rules that the plan is about to displace.
func (p *pass) fence(ctx context.Context, pl plan.Plan) error {
	if p.bookErr != nil {
		return nil // then the plan only repairs what the marks prove; there is nothing to compare with
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var ids []string
	for _, c := range pl.Changes {
		if c.Op == plan.Open {
			ids = append(ids, c.Opening.Grants.IDs()...)
		}
	}
	rules, err := p.loop.Book.Rules(ctx)
	if err != nil {
		return fmt.Errorf("check the rules: %w: %w", errUnfenced, err)
	}
	epochs, err := p.loop.Book.Epochs(ctx, ids)
	if err != nil {
		return fmt.Errorf("check the grants: %w: %w", errUnfenced, err)
	}
	if rules.Version != p.book.Version {
		return errStale
	}
	now := p.clocks(p.seen)
	live := make(map[string]int64, len(ids))
	for _, g := range p.loop.Endings.Apply(p.book.Grants) {
		if g.Live(now) {
			live[g.ID] = g.Epoch
		}
	}
	for _, id := range ids {
		planned, ok := live[id]
		if epoch, exists := epochs[id]; !ok || !exists || epoch != planned {
			return errStale
		}
	}
	return p.storeDisplaced(ctx, pl)
}
