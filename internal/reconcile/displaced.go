package reconcile

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/store"
)

// displaced returns the foreign rules that are displaced on the firewall.
func (p *pass) displaced(ctx context.Context) ([]plan.Change, error) {
	if p.bookErr != nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return p.loop.Book.Displaced(ctx, p.fw.ID)
}

// storeDisplaced saves foreign rules whole before they are touched; those that
// an earlier attempt saved are there already.
func (p *pass) storeDisplaced(ctx context.Context, pl plan.Plan) error {
	var c store.Change
	rec := audit.Record{}
	for _, x := range pl.Changes {
		saved := func(o plan.Change) bool { return o.Door == x.Door && o.Undo == x.Undo }
		if x.Op != plan.Displace || slices.ContainsFunc(p.out, saved) {
			continue
		}
		if x.Since = firewall.Instant(p.now.Wall); len(c.Displaced) == 0 {
			rec = p.doorRecord(audit.Locked, x.Door, p.now)
			rec.Text = "about to displace foreign rules; each is stored whole"
		}
		rec.Plan = append(rec.Plan, x.String())
		c.Displaced = append(c.Displaced, store.Displaced{Firewall: p.fw.ID, Change: x})
	}
	if len(c.Displaced) == 0 {
		return nil
	}
	c.Records = []audit.Record{rec}
	if err := p.loop.Book.Save(ctx, c); err != nil {
		return fmt.Errorf("store what is displaced: %w: %w", errUnfenced, err)
	}
	return nil
}

// forget takes the displaced rules that are where they were from the book: what
// its owner deletes from now on stays deleted. A rule is there when giving
// everything back would not bring it, and is forgotten only once the lock that it
// was taken out for has ended. It is saved at once: a later displacement of the
// same rule must not be overtaken by it.
func (p *pass) forget(ctx context.Context) {
	locked := func(x plan.Change) bool {
		w, _ := p.want.Of(x.Door)
		return w.Locked
	}
	ended := slices.DeleteFunc(slices.Clone(p.out), locked)
	if len(ended) == 0 || p.doubtful || p.keys != nil || p.bookErr != nil {
		return
	}
	rest, err := p.fw.Provider.Compile(p.back, nil, p.out)
	if err != nil || len(rest.Refused) > 0 {
		return // it may only lack the room
	}
	var c store.Change
	for _, x := range ended {
		out := func(r plan.Change) bool { return r.Op == plan.Restore && r.Undo == x.Undo }
		if slices.ContainsFunc(rest.Changes, out) {
			continue
		}
		rec := p.doorRecord(audit.Returned, x.Door, p.now)
		rec.Text = x.Rule
		c.Restored = append(c.Restored, store.Displaced{Firewall: p.fw.ID, Change: x})
		c.Records = append(c.Records, rec)
	}
	if len(c.Restored) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := p.loop.Book.Save(ctx, c); err != nil {
		p.loop.Log.LogAttrs(ctx, slog.LevelError, "forget displaced rules that are back; trying again", slog.Any("error", err))
	}
}
