package fleet

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/reconcile"
)

const (
	inventoryEvery = 10 // resyncs; one, after an inventory could not be read
	inventoryTime  = time.Minute
	knownTime      = 10 * time.Second
	spoolEvery     = 2 * time.Second
	watchAgain     = 5 * time.Second
)

// A source is a provider and what is known of its inventory.
type source struct {
	provider.Provider

	vms    []inventory.VM // as read last, with those that were named before
	failed bool           // it could not be read last time
}

// announce closes known when every inventory was asked. A cloud that does not
// answer does not keep the others waiting for long.
func (f *Fleet) announce(ctx context.Context, asking *sync.WaitGroup) {
	all := make(chan struct{})
	go func() {
		asking.Wait()
		close(all)
	}()
	patience := time.NewTimer(knownTime)
	defer patience.Stop()
	select {
	case <-all:
	case <-patience.C:
		f.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "an inventory takes its time; going on without its VMs")
	}
	close(f.known)
}

// look reads the inventory of a source again and again. It calls asked when it was
// read, or could not be, for the first time.
func (f *Fleet) look(ctx context.Context, wg *sync.WaitGroup, s *source, asked func()) {
	again := time.NewTimer(f.refresh(ctx, wg, s))
	defer again.Stop()
	asked()
	for {
		select {
		case <-ctx.Done():
			return
		case <-again.C:
			again.Reset(f.refresh(ctx, wg, s))
		}
	}
}

// watch passes a provider's events on, and starts again when they end.
func (f *Fleet) watch(ctx context.Context, w provider.Watcher) {
	for ctx.Err() == nil {
		err := w.Watch(ctx, f.event)
		if ctx.Err() != nil {
			return
		}
		f.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "watching ended; starting again", slog.Any("error", err))
		pause := time.NewTimer(watchAgain)
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
		pause.Stop()
	}
}

// refresh reads the inventory of a source and starts a loop for every new
// firewall. A VM that it does not name any more keeps its loop and its lock, and is
// marked as missing; so are all of them where it could not be read. It returns how
// long to wait for the next time.
func (f *Fleet) refresh(ctx context.Context, wg *sync.WaitGroup, s *source) time.Duration {
	read, err := f.inventory(ctx, s.Provider)
	failed := ""
	if err != nil && ctx.Err() == nil {
		failed = "the inventory could not be read: " + err.Error()
		f.cfg.Log.LogAttrs(ctx, slog.LevelError, "read inventory", slog.Any("error", err))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s.failed = err != nil
	ours := map[firewall.ID]bool{}
	for _, v := range read {
		for _, id := range v.Firewalls() {
			ours[id] = true
		}
	}
	read = slices.Clone(read)
	for i, v := range read {
		read[i].Cuts = slices.ContainsFunc(v.Firewalls(), func(id firewall.ID) bool { return s.Limits(id).Cuts })
	}
	for _, old := range s.vms {
		if inventory.Of(read, old.ID).ID == "" {
			old.Missing = []string{cmp.Or(failed, "the inventory does not name the VM any more")}
			old.Gone = failed == ""
			read = append(read, old)
		}
	}
	s.vms = read
	f.combine(ctx, wg, s, ours)
	if failed != "" {
		return f.cfg.Resync // there may be firewalls in it that nobody closes
	}
	return inventoryEvery * f.cfg.Resync
}

// combine puts together what all sources know. Of the firewalls that are ours s is
// the provider from now on.
func (f *Fleet) combine(ctx context.Context, wg *sync.WaitGroup, s *source, ours map[firewall.ID]bool) {
	f.vms = nil
	for _, other := range f.sources {
		f.vms = append(f.vms, other.vms...)
	}
	slices.SortFunc(f.vms, func(a, b inventory.VM) int { return cmp.Compare(a.ID, b.ID) })
	behind := map[firewall.ID][]inventory.VM{}
	for _, v := range f.vms {
		for _, id := range v.Firewalls() {
			behind[id] = append(behind[id], v)
		}
	}
	for id, vms := range behind {
		p := f.firewalls[id].Provider
		if ours[id] {
			p = s.Provider
		}
		f.firewalls[id] = reconcile.Firewall{ID: id, Provider: p, VMs: vms}
		if f.running[id] == nil {
			own := f.loops
			if seldom := p.Limits(id).Resync; seldom > 0 {
				own.Resync = apart(seldom, id)
			}
			l := reconcile.NewLoop(own, id)
			f.running[id] = l
			wg.Go(func() { l.Run(ctx) })
		}
	}
}

// apart returns a time up to an eighth shorter than resync, always the same for the
// same firewall. The loops of a cloud all begin when its inventory was read, and
// would go on to read at once, for ever, from an API that counts calls.
func apart(resync time.Duration, id firewall.ID) time.Duration {
	const part, steps = 8, 1 << 10
	h := fnv.New32a()
	_, _ = h.Write([]byte(id)) // never fails
	return resync - resync/part/steps*time.Duration(h.Sum32()%steps)
}

// Troubles says in general what Sesame cannot do its work with now, each as a
// sentence for anybody to read.
func (f *Fleet) Troubles() []string {
	var out []string
	if n := len(f.FailingFirewalls()); n > 0 {
		out = append(out, fmt.Sprintf("%d firewalls do not answer as they should", n))
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	unread := 0
	for _, s := range f.sources {
		if s.failed {
			unread++
		}
	}
	if unread > 0 {
		out = append(out, fmt.Sprintf("%d of %d inventories cannot be read; what is new there is not known", unread, len(f.sources)))
	}
	return out
}

func (f *Fleet) inventory(ctx context.Context, p provider.Provider) ([]inventory.VM, error) {
	ctx, cancel := context.WithTimeout(ctx, inventoryTime)
	defer cancel()
	return p.Inventory(ctx)
}
