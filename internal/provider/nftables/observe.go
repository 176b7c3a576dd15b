//go:build linux

package nftables

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/nftables/nfnetlink"
	"github.com/sesame-access/sesame/internal/provider/nftables/nfnetlink/ruleset"
	"github.com/sesame-access/sesame/internal/provider/nftables/table"
)

// Observe implements [provider.Provider].
func (p *Provider) Observe(ctx context.Context, fw firewall.ID, only []firewall.Key) (provider.Snapshot, error) {
	h, err := p.host(fw)
	if err != nil {
		return provider.Snapshot{}, err
	}
	if only != nil {
		only = slices.Clone(only)
		slices.SortFunc(only, firewall.CompareKeys)
		only = slices.Compact(only)
	}
	var s provider.Snapshot
	for range steadyReads {
		// A set that was there and is gone: look again.
		if s, err = p.observe(ctx, h, only); !errors.Is(err, unix.ENOENT) {
			break
		}
	}
	if err != nil {
		return provider.Snapshot{}, fmt.Errorf("read the tables of host %s: %w", h.Name, err)
	}
	return s, nil
}

func (p *Provider) observe(ctx context.Context, h *host, only []firewall.Key) (provider.Snapshot, error) {
	v, c, err := h.look(ctx)
	if err != nil {
		return provider.Snapshot{}, err
	}
	// The clocks are read before the elements, so that what an element has left
	// is never taken for less than it is by the time that reading took.
	r := table.Reading{At: p.clocks(), Only: only, Elements: nil}
	if only == nil {
		r.Elements, err = dump(ctx, c, v.frame)
	} else {
		r.Elements, err = find(ctx, c, v.frame, h.owner.VM, only)
	}
	if err != nil {
		return provider.Snapshot{}, err
	}
	state := table.NewState(h.owner, v.frame, r)
	obstacles := slices.Concat(state.Obstacles(), v.obstacles)
	return provider.Snapshot{
		Firewall: h.owner.Firewall, Version: strconv.FormatUint(uint64(v.generation), 10), Only: only,
		// The kernel's clock is this machine's, which is asked already.
		Clock: time.Time{},
		Layer: state.Layer(), Beside: v.others, Owned: state.Owned(), Obstacles: obstacles, Raw: state,
	}, nil
}

// dump reads every opening.
func dump(ctx context.Context, c *nfnetlink.Conn, f *table.Frame) (map[string][]ruleset.Element, error) {
	out := make(map[string][]ruleset.Element, len(f.Sets()))
	for _, set := range f.Sets() {
		elements, err := c.Elements(ctx, table.ID().Set(set))
		if err != nil {
			return nil, err
		}
		out[set] = elements
	}
	return out, nil
}

// find looks up single keys, each where a grant of it and where an exempt source
// would be.
func find(ctx context.Context, c *nfnetlink.Conn, f *table.Frame, vm firewall.VMID, only []firewall.Key) (map[string][]ruleset.Element, error) {
	keys := map[string][][]byte{}
	for _, k := range only {
		if k.Door.VM != vm || !k.From.IsValid() {
			continue
		}
		sets, key := table.Find(k)
		for _, set := range sets {
			if slices.Contains(f.Sets(), set) {
				keys[set] = append(keys[set], key)
			}
		}
	}
	out := make(map[string][]ruleset.Element, len(keys))
	for set, list := range keys {
		elements, err := c.Lookup(ctx, table.ID().Set(set), list...)
		if err != nil {
			return nil, err
		}
		out[set] = elements
	}
	return out, nil
}
