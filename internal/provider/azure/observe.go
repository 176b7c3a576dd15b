package azure

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/azure/meter"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/resource"

	"golang.org/x/sync/errgroup"
)

// atOnce is how many groups are read at the same time for one that is observed.
const atOnce = 4

// Observe implements [provider.Provider]. The groups are read; who is behind them,
// and what is no group, is what the last inventory said. A group that is being
// written shows what will be, and cannot be written: it is read again for a while.
func (p *Provider) Observe(ctx context.Context, fw firewall.ID, _ []firewall.Key) (provider.Snapshot, error) {
	s, err := p.last(ctx)
	if err != nil {
		return provider.Snapshot{}, err
	}
	if !isGroup(fw) {
		l, known := s.Layers[fw]
		if !known {
			return provider.Snapshot{}, fmt.Errorf("read %s: the inventory does not name it", fw)
		}
		return provider.Snapshot{Firewall: fw, Layer: l}, nil
	}
	g, at, err := p.standing(ctx, s.Own, fw)
	if err != nil {
		return provider.Snapshot{}, fmt.Errorf("read %s: %w", fw, err)
	}
	r := nsg.Reading{Windows: p.Windows, MayOutrank: p.MayOutrank}
	r.Reading, r.Settled = s.around(g)
	r.Keys = p.Keys
	if err := p.beside(ctx, &r); err != nil {
		return provider.Snapshot{}, fmt.Errorf("read what stands beside %s: %w", fw, err)
	}
	seen := r.Snapshot(at)
	p.of(fw).seen(seen, r, p.strange(fw))
	return seen, nil
}

// strange returns who is told of strange changes to a group.
func (p *Provider) strange(fw firewall.ID) func([]resource.Difference) {
	return func(d []resource.Difference) {
		if p.Strange != nil {
			p.Strange(fw, d)
		}
	}
}

// beside reads the other groups in front of the machines of r. Nothing is known of
// one that cannot be read: it is there, without a rule of ours.
func (p *Provider) beside(ctx context.Context, r *nsg.Reading) error {
	others := map[firewall.ID]**resource.Group{}
	for _, a := range r.Attachments {
		for _, g := range []*resource.Group{a.Interface, a.Subnet} {
			if g != nil && g.ID != r.Group.ID {
				others[g.ID] = new(&resource.Group{ID: g.ID})
			}
		}
	}
	var reads errgroup.Group
	reads.SetLimit(atOnce)
	for id, into := range others {
		reads.Go(func() error {
			if g := p.of(id).recent(time.Now()); g != nil {
				*into = g
			} else if g, _, err := p.read(ctx, id); err == nil {
				*into = g
			}
			return ctx.Err()
		})
	}
	if err := reads.Wait(); err != nil {
		return err
	}
	fresh := func(g *resource.Group) *resource.Group {
		switch {
		case g == nil:
			return nil
		case g.ID == r.Group.ID:
			return r.Group
		}
		return *others[g.ID]
	}
	for i, a := range r.Attachments {
		r.Attachments[i].Interface, r.Attachments[i].Subnet = fresh(a.Interface), fresh(a.Subnet)
	}
	return nil
}

// settled reads a group until no write to it is under way, or patience ends.
func (p *Provider) settled(ctx context.Context, fw firewall.ID) (*resource.Group, time.Time, error) {
	start := time.Now()
	for gap := firstLook; ; gap = min(gap+gap/4, mostLook) {
		g, at, err := p.read(ctx, fw)
		if err != nil || !g.Busy() || time.Since(start)+gap > patience {
			return g, at, err
		}
		if err := meter.Pause(ctx, gap); err != nil {
			return nil, time.Time{}, err
		}
	}
}

// read reads the document of a group, with Azure's time.
func (p *Provider) read(ctx context.Context, fw firewall.ID) (*resource.Group, time.Time, error) {
	a, err := p.ask(ctx, call{client: p.Reader, method: http.MethodGet, of: fw})
	if err != nil {
		return nil, time.Time{}, err
	}
	if a.Status != http.StatusOK {
		return nil, time.Time{}, errors.New(a.String())
	}
	g, err := resource.Parse(a.Body)
	if err != nil {
		return nil, time.Time{}, err
	}
	if g.ID != fw {
		return nil, time.Time{}, fmt.Errorf("the answer is about %s", g.ID)
	}
	p.of(fw).read(g, time.Now())
	return g, a.at, nil
}
