package reconcile

import (
	"context"
	"slices"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
)

// situation returns everything that the verdict on the plan depends on: what the
// other firewalls on the paths show, and what they will show once their own
// pending plans are applied.
func (p *pass) situation(ctx context.Context) plan.Case {
	c := plan.Case{
		Plan: p.plan, Want: p.want, Desired: p.desired(), VMs: p.fw.VMs,
		Observed:  map[firewall.ID]firewall.Layer{p.fw.ID: p.seen.Layer},
		Joint:     nil,
		Unlocking: p.book.Unlocked,
	}
	others := p.others()
	if len(others) == 0 {
		return c
	}
	all := plan.Route(plan.Desired(p.book.Locks, p.book.Grants, p.now), p.fw.VMs)
	c.Joint = map[firewall.ID]firewall.Layer{p.fw.ID: p.plan.After}
	for _, id := range others {
		seen, ok := p.loop.Sight.last(id)
		if !ok {
			continue // not read yet: unknown, which neither proves nor refuses
		}
		c.Observed[id], c.Joint[id] = seen.Layer, seen.Layer
		other, known := p.loop.Lookup(id)
		displaced, err := p.loop.Book.Displaced(ctx, id)
		if !known || err != nil || p.bookErr != nil {
			continue
		}
		// The wants of this pass are a part of what the other firewall is asked
		// for; what else it shows stays.
		want := slices.Clone(all[id])
		for _, s := range seen.Shown() {
			if _, mentioned := all[id].Of(s.Door); !mentioned {
				want = append(want, s)
			}
		}
		want.Sort()
		if pending, err := other.Provider.Compile(seen, want, displaced); err == nil {
			c.Joint[id] = pending.After
		}
	}
	return c
}

// desired returns what must be true of the doors as a client outside sees it,
// which behind an address translation is not what this firewall is asked for.
func (p *pass) desired() firewall.Wants {
	if p.bookErr != nil {
		return nil
	}
	return plan.Sticky(plan.Desired(p.book.Locks, p.book.Grants, p.now), p.want, nil)
}

// others returns the other firewalls on the paths to the VMs of this one.
func (p *pass) others() []firewall.ID {
	var ids []firewall.ID
	for _, v := range p.fw.VMs {
		for _, id := range v.Firewalls() {
			if id != p.fw.ID {
				ids = append(ids, id)
			}
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}
