package azure

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"

	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/azure/meter"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg"
)

// How often a write is sent again that Azure was too busy to accept, how long
// before the second time, each further time waiting twice as long, and how long
// Azure may ask to wait. What is longer is the next pass's business.
const (
	attempts  = 6
	firstWait = 500 * time.Millisecond
	patience  = 15 * time.Second
)

// A writer makes the changes of one plan.
type writer struct {
	*Provider

	snapshot provider.Snapshot
	before   nsg.Reading
	group    *group
	accepted bool // something may have been written
}

// Apply implements [provider.Provider].
func (p *Provider) Apply(ctx context.Context, s provider.Snapshot, pl plan.Plan) error {
	if err := ctx.Err(); err != nil || len(pl.Changes) == 0 {
		return err
	}
	r, read := s.Raw.(nsg.Reading)
	if !read || r.Group == nil {
		return fmt.Errorf("write %s: the snapshot was not read by the Azure provider", s.Firewall)
	}
	w := &writer{Provider: p, snapshot: s, before: r, group: p.of(s.Firewall)}
	err := w.make(ctx, pl.Changes)
	w.group.after(err)
	if err != nil {
		return fmt.Errorf("write %s: %w", s.Firewall, err)
	}
	return nil
}

// write makes changes, as one write of the group or rule by rule.
func (w *writer) write(ctx context.Context, changes []plan.Change) error {
	way := nsg.Way{Course: w.group.courseNow()}
	if len(changes) > 1 {
		way.Conditional = w.refusesStale(ctx, w.client(changes))
	}
	all, err := nsg.Writes(w.snapshot, changes, way, time.Now())
	if err != nil || len(all) == 0 {
		return err
	}
	if all[0].IfMatch == "" && !narrows(changes) {
		if err := w.stands(ctx); err != nil {
			return err
		}
	}
	for _, x := range all {
		if err := w.patiently(ctx, x); err != nil {
			return err
		}
	}
	return nil
}

// narrows reports whether all changes are closings, which wait for nothing.
func narrows(changes []plan.Change) bool {
	return !slices.ContainsFunc(changes, func(c plan.Change) bool { return c.Op != plan.Close })
}

// stands looks whether the group is still as the snapshot saw it, where the write
// does not say so itself.
func (w *writer) stands(ctx context.Context) error {
	g, _, err := w.read(ctx, w.snapshot.Firewall)
	if err != nil {
		return fmt.Errorf("look at it again: %w", err)
	}
	if g.ETag != w.snapshot.Version {
		return provider.ErrConflict
	}
	return nil
}

// patiently makes a write until Azure has time for it.
func (w *writer) patiently(ctx context.Context, x nsg.Write) error {
	for wait, n := firstWait, 1; ; wait, n = 2*wait, n+1 {
		if err := w.spare(ctx, x); err != nil {
			return err
		}
		now, due := x.At(time.Now())
		switch {
		case !due && x.Path == "":
			return w.conflict(errors.New("an opening of the write is over"))
		case !due:
			return nil
		}
		accepted, err := w.send(ctx, now)
		if err == nil {
			return nil
		}
		if w.accepted = w.accepted || accepted; errors.Is(err, provider.ErrConflict) {
			return w.conflict(err)
		}
		busy, told := errors.AsType[*nsg.BusyError](err)
		if accepted || !told || n == attempts || busy.After > patience {
			return fmt.Errorf("%s %s: %w", x.Method, x.Path, err)
		}
		if err := meter.Pause(ctx, max(wait, busy.After)); err != nil {
			return err
		}
	}
}

// conflict returns err as ErrConflict if nothing was written; what is left of a
// plan that was begun is no conflict but half done.
func (w *writer) conflict(err error) error {
	if w.accepted {
		return fmt.Errorf("half of the plan is written: %s", err.Error())
	}
	if errors.Is(err, provider.ErrConflict) {
		return err
	}
	return fmt.Errorf("%w: %w", provider.ErrConflict, err)
}

// spare waits where only few calls are left, unless x closes something.
func (w *writer) spare(ctx context.Context, x nsg.Write) error {
	if slices.ContainsFunc(x.Changes, func(c plan.Change) bool { return c.Op == plan.Close }) {
		return ctx.Err()
	}
	m, err := w.meterOf(call{client: w.client(x.Changes), method: x.Method, of: w.snapshot.Firewall})
	if err != nil {
		return err
	}
	if wait := m.Spare(time.Now()); wait > 0 {
		return meter.Pause(ctx, wait)
	}
	return ctx.Err()
}

// send makes a write and follows it to its end. Accepted says that it may have
// been made, whatever the error.
func (w *writer) send(ctx context.Context, x nsg.Write) (accepted bool, err error) {
	c := call{client: w.client(x.Changes), method: x.Method, of: w.snapshot.Firewall, path: x.Path, body: x.Body}
	if x.IfMatch != "" {
		c.header = http.Header{"If-Match": {x.IfMatch}}
	}
	w.group.writes(w.before.Group)
	a, err := w.ask(ctx, c)
	if err != nil {
		_, told := errors.AsType[*nsg.BusyError](err) // then it was not sent
		return !told, err
	}
	if a.Status/100 != 2 {
		err := a.Err(time.Now())
		return err != nil && unknown(err), err
	}
	if o, begun := operationOf(c, a); begun {
		if err := w.follow(ctx, o, a, w.group.expects()); err != nil {
			return true, err
		}
	}
	w.accepted = true
	w.group.wrote(time.Since(a.sent))
	return true, nil
}

// unknown reports whether err leaves open if something was written.
func unknown(err error) bool {
	_, busy := errors.AsType[*nsg.BusyError](err)
	return !busy && !errors.Is(err, provider.ErrConflict) && !errors.Is(err, provider.ErrRefused)
}

// client returns who makes changes: who locks where there is a lock among them,
// else who opens where there is an opening, else who closes.
func (w *writer) client(changes []plan.Change) *arm.Client {
	out := w.Closer
	for _, c := range changes {
		switch {
		case c.Op == plan.Lock, c.Op == plan.Drop && !c.Opening.From.IsValid():
			return w.Locker
		case c.Op == plan.Open:
			out = w.Opener
		}
	}
	return out
}
