package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
)

// A Swept is what a sweep found on one firewall.
type Swept struct {
	Firewall firewall.ID
	// Closed are the openings that were read back gone or, when nothing was to be
	// written, would be closed.
	Closed []plan.Change
	// Stuck are doomed openings that were still there afterwards or, when nothing
	// was to be written, that no write of ours would close.
	Stuck []firewall.Key
	// Left says what looks wrong and is not a sweep's to touch, each as a sentence.
	Left []string
	// Err says why the firewall could not be swept.
	Err error
}

// Sweep closes what is past its deadline, or claims to be ours and is not, on
// every firewall of the providers, by what the firewalls themselves show, and
// returns what it found, sorted by firewall. It needs no database. Providers are
// swept at the same time: one that does not answer keeps no other open. When dry is
// set nothing is written. The error is for an inventory that could not be read; the
// firewalls that are known are swept all the same.
func Sweep(ctx context.Context, providers []provider.Provider, clocks func() access.Reading, dry bool) ([]Swept, error) {
	out, errs := make([][]Swept, len(providers)), make([]error, len(providers))
	var sweeping sync.WaitGroup
	for i, p := range providers {
		sweeping.Go(func() { out[i], errs[i] = sweepAll(ctx, p, clocks, dry) })
	}
	sweeping.Wait()
	all := slices.Concat(out...)
	slices.SortStableFunc(all, func(a, b Swept) int { return cmp.Compare(a.Firewall, b.Firewall) })
	return all, errors.Join(errs...)
}

// sweepAll sweeps the firewalls of one provider.
func sweepAll(ctx context.Context, p provider.Provider, clocks func() access.Reading, dry bool) ([]Swept, error) {
	asking, cancel := context.WithTimeout(ctx, inventoryTime)
	defer cancel()
	vms, err := p.Inventory(asking)
	if err != nil {
		err = fmt.Errorf("read inventory: %w", err)
	}
	var out []Swept
	for _, id := range inventory.Firewalls(vms) {
		out = append(out, sweep(ctx, p, id, clocks(), dry))
	}
	return out, err
}

// sweep sweeps one firewall.
func sweep(ctx context.Context, p provider.Provider, id firewall.ID, now access.Reading, dry bool) Swept {
	out := Swept{Firewall: id, Closed: nil, Stuck: nil, Left: nil, Err: nil}
	seen, err := p.Observe(ctx, id, nil)
	if err != nil {
		out.Err = fmt.Errorf("observe %s: %w", id, err)
		return out
	}
	if !seen.Clock.IsZero() {
		now.Third = seen.Clock
	}
	s := plan.SweepOf(seen.Shown(), broken(seen), now)
	out.Left = leftAlone(seen)
	if len(seen.Owned) == 0 && len(out.Left) == 0 {
		// Success would be taken for a lock that holds.
		out.Left = []string{"there is nothing of ours here: no port is locked by this firewall"}
	}
	if len(s.Doomed) == 0 {
		return out
	}
	whole, err := p.Compile(seen, s.Want, nil)
	if err != nil {
		out.Err = fmt.Errorf("compile %s: %w", id, err)
		return out
	}
	part := s.Of(whole)
	if dry {
		// What would be there still is what no change is about.
		out.settle(s, part, slices.DeleteFunc(slices.Clone(s.Doomed), func(k firewall.Key) bool {
			return slices.ContainsFunc(part.Changes, func(c plan.Change) bool { return keyOf(c) == k })
		}))
		return out
	}
	writeErr := p.Apply(ctx, seen, part)
	back, err := p.Observe(ctx, id, nil)
	if err != nil {
		out.Err = fmt.Errorf("read back %s: %w", id, err)
		return out
	}
	out.settle(s, part, plan.SweepOf(back.Shown(), broken(back), now).Doomed)
	if writeErr != nil && len(out.Stuck) > 0 {
		out.Err = fmt.Errorf("write %s: %w", id, writeErr)
	}
	return out
}

// settle sorts what was doomed into closed and stuck, by what is still there.
func (out *Swept) settle(s plan.Sweep, part plan.Plan, still []firewall.Key) {
	for _, c := range part.Changes {
		if !slices.Contains(still, keyOf(c)) {
			out.Closed = append(out.Closed, c)
		}
	}
	for _, k := range s.Doomed {
		if slices.Contains(still, k) {
			out.Stuck = append(out.Stuck, k)
		}
	}
}

func keyOf(c plan.Change) firewall.Key { return firewall.Key{Door: c.Door, From: c.Opening.From} }

// broken returns the openings that claim to be ours and are not.
func broken(s provider.Snapshot) []firewall.Key {
	var keys []firewall.Key
	for _, o := range s.Owned {
		if o.Kind == provider.OwnedOpening && o.Mark == firewall.MarkBroken {
			keys = append(keys, firewall.Key{Door: o.Door, From: o.Opening.From})
		}
	}
	return keys
}

// leftAlone says what looks wrong about what a sweep does not touch.
func leftAlone(s provider.Snapshot) []string {
	var out []string
	for _, o := range s.Owned {
		switch {
		case o.Kind == provider.OwnedOpening && o.Mark == firewall.MarkForeign:
			out = append(out, fmt.Sprintf("%s from %s: %s", o.Door, firewall.FormatSource(o.Opening.From), o.Wrong))
		case o.Kind != provider.OwnedOpening && o.Wrong != "":
			out = append(out, fmt.Sprintf("%s: %s", o.Door, o.Wrong))
		}
	}
	for _, o := range s.Obstacles {
		out = append(out, fmt.Sprintf("%s: %s", o.Door, o.Text))
	}
	return out
}
