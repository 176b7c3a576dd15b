package broker

import (
	"context"
	"log/slog"

	"github.com/sesame-access/sesame/internal/access"
)

// settle waits until the firewalls show the grants, or SettleTime has passed.
func (b *Broker) settle(ctx context.Context, grants []access.Grant) []Standing {
	ctx, cancel := context.WithTimeout(ctx, SettleTime)
	defer cancel()
	seen, err := b.Enforcer.Settle(ctx, grants)
	if err != nil {
		b.Log.LogAttrs(ctx, slog.LevelWarn, "grants not settled yet", slog.Any("error", err))
	}
	now := b.Clocks()
	out := make([]Standing, len(grants))
	for i, g := range grants {
		s, ok := seen[g.ID]
		if !ok {
			// An earlier pass may have settled it; then the book knows.
			if saved, err := b.Ledger.Grant(ctx, g.ID); err == nil && saved.Epoch >= g.Epoch {
				g = saved
			}
		}
		switch {
		case ok && g.Over(now) && !s.Open:
			g.Closed = s.At
		case ok && g.Live(now) && s.Open && g.Opened.IsZero():
			g.Opened = s.At
		case ok && g.Live(now) && !s.Open:
			g.Impeded = s.Why
		}
		out[i] = Standing{Grant: g, State: g.StateAt(now), Pending: g.Impeded}
		// What was open before may not be so for as long as it is to be now.
		unshown := ok && !s.Open || !ok && err != nil
		if g.Impeded == "" && (out[i].State == access.Opening || out[i].State == access.Open && unshown) {
			out[i].Pending = "the firewall does not show it yet; Sesame goes on trying"
			if out[i].State == access.Open {
				out[i].Pending = "the firewall does not show it until then yet; Sesame goes on trying"
			}
			if err != nil {
				out[i].Pending += ": " + err.Error()
			}
		}
	}
	return out
}
