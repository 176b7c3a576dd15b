//go:build linux

package nftables

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/nftables/nfnetlink"
	"github.com/sesame-access/sesame/internal/provider/nftables/table"
)

// conditionalTries is how often the frame is compared and written again when
// somebody else committed something in between.
const conditionalTries = 8

// Apply implements [provider.Provider]. The plan is one transaction. Only
// writing the frame is conditional: not on the whole ruleset, which others change
// as they like, but on our table being as it was read, or as it is to become.
func (p *Provider) Apply(ctx context.Context, s provider.Snapshot, pl plan.Plan) error {
	h, err := p.host(pl.Firewall)
	if err != nil || pl.Empty() {
		return err
	}
	state, ok := s.Raw.(table.State)
	if !ok {
		return errkind.New(errkind.Internal, "a snapshot of %s that no kernel gave", s.Firewall)
	}
	t, err := table.NewTransaction(pl.Changes)
	if err != nil {
		return fmt.Errorf("read the plan: %w", err)
	}
	if err := h.commit(ctx, state, t, p.clocks); err != nil {
		return fmt.Errorf("write the table of host %s: %w", h.Name, refusal(err))
	}
	return nil
}

// commit sends the transaction. It holds the lock until what the commit did to
// the generation is booked.
func (h *host) commit(ctx context.Context, state table.State, t *table.Transaction, clocks func() access.Reading) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	c, err := h.connection()
	if err != nil {
		return err
	}
	if !t.Frames() {
		return h.commitElements(ctx, c, state, t, clocks)
	}
	seen := h.seen
	h.seen = nil // whatever comes of this, the frame is read again
	frame, generation := state.Frame, uint32(0)
	if seen != nil && seen.frame == frame {
		generation = seen.generation + h.own
	}
	for range conditionalTries {
		if generation != 0 {
			b := nfnetlink.NewBatch()
			b.Expect(generation)
			t.Write(b, state, frame, clocks())
			if err = c.Commit(ctx, b); !errors.Is(err, unix.ERESTART) {
				return err
			}
		}
		g, err := c.Generation(ctx)
		if err != nil {
			return err
		}
		v, err := h.read(ctx, c, g.ID)
		if err != nil {
			return err
		}
		if !v.frame.Same(state.Frame) && !t.Made(v.frame, state.Keys.Instance) {
			return fmt.Errorf("the table changed since it was read: %w", provider.ErrConflict)
		}
		frame, generation = v.frame, v.generation
	}
	return fmt.Errorf("somebody commits all the time: %w", provider.ErrConflict)
}

// commitElements sends a transaction that leaves the frame alone.
func (h *host) commitElements(ctx context.Context, c *nfnetlink.Conn, state table.State, t *table.Transaction, clocks func() access.Reading) error {
	b := nfnetlink.NewBatch()
	t.Write(b, state, state.Frame, clocks())
	err := c.Commit(ctx, b)
	switch {
	case err == nil && b.Ops() > 0 && !t.Locks():
		h.own++
	case err != nil || t.Locks():
		h.seen = nil
	}
	if errors.Is(err, unix.ENOENT) && t.Deletes() {
		// There may be nothing left to delete from.
		g, errG := c.Generation(ctx)
		if errG != nil {
			return errors.Join(err, errG)
		}
		if v, errR := h.read(ctx, c, g.ID); errR == nil && !v.frame.Exists() {
			return nil
		}
	}
	return err
}

// refusal gives the kernel's refusals the kind that the contract has for them.
func refusal(err error) error {
	var refused *nfnetlink.BatchError
	switch {
	case !errors.As(err, &refused) && !errors.Is(err, unix.EMSGSIZE):
		return err // nothing was sent, or nobody knows
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EEXIST), errors.Is(err, unix.ERESTART), errors.Is(err, unix.EBUSY):
		return fmt.Errorf("%w: %w", provider.ErrConflict, err)
	}
	return fmt.Errorf("%w: %w", provider.ErrRefused, err)
}
