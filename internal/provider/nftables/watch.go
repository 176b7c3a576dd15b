//go:build linux

package nftables

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/nftables/nfnetlink"
	"github.com/sesame-access/sesame/internal/provider/nftables/table"
)

// followAgain is how long to wait before a host is followed again whose events
// could not be read.
const followAgain = time.Second

// Watch implements [provider.Watcher]. An element that expires is told nobody.
func (p *Provider) Watch(ctx context.Context, wake func(fw firewall.ID, by string)) error {
	var wg sync.WaitGroup
	for _, h := range p.hosts {
		wg.Go(func() {
			for ctx.Err() == nil {
				err := h.follow(ctx, func(by string) { wake(h.owner.Firewall, by) })
				if ctx.Err() != nil {
					return
				}
				p.log.LogAttrs(ctx, slog.LevelWarn, "cannot follow the kernel's events; trying again",
					slog.String("host", h.Name), slog.Any("error", err))
				pause(ctx, followAgain)
			}
		})
	}
	wg.Wait()
	return fmt.Errorf("watch the hosts: %w", context.Cause(ctx))
}

// follow wakes once for each transaction of somebody else that may concern us,
// and when events were lost.
func (h *host) follow(ctx context.Context, wake func(by string)) (err error) {
	m, err := h.monitor()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	wake("") // whatever happened before is not told
	concerned, touched := false, false
	for {
		e, err := m.Next(ctx)
		if err != nil {
			return err
		}
		switch {
		case e.Kind == nfnetlink.EventLost:
			wake("")
		case e.Port != 0 && e.Port == h.port():
			// ours
		case e.Kind == nfnetlink.EventGeneration:
			// The end of a transaction. The number of its thread, which it has too,
			// does not tell whether it is ours: we have many.
			switch {
			case touched:
				wake(writer(e.Generation))
			case concerned:
				wake("")
			}
			concerned, touched = false, false
		default:
			concerned = concerned || concerns(e)
			touched = touched || e.Table == table.ID()
		}
	}
}

// writer names who made g, as the kernel tells it: the name that the thread gave
// itself, and its number, which is that of the process where it has one thread, as
// nft has. It is evidence of mistakes; whoever means harm calls himself anything.
func writer(g nfnetlink.Generation) string {
	if g.PID == 0 {
		return ""
	}
	return fmt.Sprintf("%s (pid %d)", g.Comm, g.PID)
}

// concerns reports whether we should look: whatever touches our table does, and
// what changes the rules of others may obstruct. What others put into their sets
// all day long does not.
func concerns(e nfnetlink.Event) bool {
	return e.Table == table.ID() || e.Kind != nfnetlink.EventElement
}

// pause waits, or not if ctx is done.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
