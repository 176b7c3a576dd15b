package memory

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/sesame-access/sesame/internal/firewall"
)

// A watcher collects the firewalls that somebody changed by hand.
type watcher struct {
	mu     sync.Mutex
	due    map[firewall.ID]bool
	signal chan struct{}
}

// hand is who does what is not applied.
const hand = "a hand"

// Watch implements [provider.Watcher]. It reports what is done by hand, not what
// is applied.
func (w *World) Watch(ctx context.Context, wake func(fw firewall.ID, by string)) error {
	x := &watcher{due: map[firewall.ID]bool{}, signal: make(chan struct{}, 1)}
	w.mu.Lock()
	w.watchers[x] = true
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.watchers, x)
	}()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-x.signal:
		}
		x.mu.Lock()
		due := slices.Sorted(maps.Keys(x.due))
		clear(x.due)
		x.mu.Unlock()
		for _, id := range due {
			wake(id, hand)
		}
	}
}

// wake tells the watchers about id. It never blocks.
func (w *World) wake(id firewall.ID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for x := range w.watchers {
		x.mu.Lock()
		x.due[id] = true
		x.mu.Unlock()
		select {
		case x.signal <- struct{}{}:
		default:
		}
	}
}
