package reconcile

import (
	"context"
	"maps"
	"slices"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
)

// situation returns everything that the verdict on the plan depends on: what the
// other firewalls on the paths show, and what they will show once their own
// pending plans are applied.
func (p *pass) situation(ctx context.Context) plan.Case {
	c := plan.Case{Plan: p.plan, Want: p.want, Desired: p.desired(), Unlocking: p.book.Unlocked}
	seen, pending := map[firewall.ID]provider.Snapshot{p.fw.ID: p.seen}, []firewall.Layer{p.plan.After}
	others := slices.DeleteFunc(inventory.Firewalls(p.fw.VMs), func(id firewall.ID) bool { return id == p.fw.ID })
	var all map[firewall.ID]firewall.Wants
	if len(others) > 0 {
		all = plan.Route(plan.Desired(p.book.Locks, p.book.Grants, p.now), p.fw.VMs)
	}
	for _, id := range others {
		last, ok := p.loop.Sight.Last(id)
		if !ok {
			continue // not read yet: unknown, which neither proves nor refuses
		}
		seen[id] = last
		if l, ok := p.pending(ctx, last, all[id]); ok {
			pending = append(pending, l)
		}
	}
	c.VMs, c.Observed = provider.Around(p.fw.VMs, seen)
	if len(seen) > 1 {
		c.Joint = maps.Clone(c.Observed)
		for _, l := range pending {
			c.Joint[l.Firewall] = l
		}
	}
	return c
}

// pending returns what another firewall will show once its own plan is applied,
// if that is known.
func (p *pass) pending(ctx context.Context, seen provider.Snapshot, asked firewall.Wants) (firewall.Layer, bool) {
	other, known := p.loop.Lookup(seen.Firewall)
	displaced, err := p.loop.Book.Displaced(ctx, seen.Firewall)
	if !known || err != nil || p.bookErr != nil {
		return firewall.Layer{}, false
	}
	// The wants of this pass are a part of what the other firewall is asked for;
	// what else it shows stays.
	want := slices.Clone(asked)
	for _, s := range seen.Shown() {
		if _, mentioned := asked.Of(s.Door); !mentioned {
			want = append(want, s)
		}
	}
	want.Sort()
	next, err := other.Provider.Compile(seen, want, displaced)
	return next.After, err == nil
}

// desired returns what must be true of the doors as a client outside sees it,
// which behind an address translation is not what this firewall is asked for.
func (p *pass) desired() firewall.Wants {
	if p.bookErr != nil {
		return nil
	}
	return plan.Sticky(plan.Desired(p.book.Locks, p.book.Grants, p.now), p.want, nil)
}
