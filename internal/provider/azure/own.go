package azure

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/resource"
	"github.com/sesame-access/sesame/internal/provider/azure/own"
)

// standing reads a group as packets meet it: one of ours that does not stand in front
// of its interface, whether or not it is there, as what it is to become.
func (p *Provider) standing(ctx context.Context, ours map[firewall.ID]own.Group, fw firewall.ID) (*resource.Group, time.Time, error) {
	o, mine := ours[fw]
	if !mine {
		return p.settled(ctx, fw)
	}
	nic, at, err := p.front(ctx, o)
	switch {
	case err != nil:
		return nil, time.Time{}, err
	case nic.Group == fw:
		return p.settled(ctx, fw)
	case nic.Group != "":
		return nil, time.Time{}, fmt.Errorf("%s has the group %s by now", o.Interface, nic.Group)
	}
	g, err := resource.Parse([]byte(o.Text))
	return g, at, err
}

// front reads the interface of a group of ours.
func (p *Provider) front(ctx context.Context, o own.Group) (own.Interface, time.Time, error) {
	a, err := p.ask(ctx, call{client: p.Reader, method: http.MethodGet, of: firewall.ID(o.Interface)})
	if err == nil && a.Status != http.StatusOK {
		err = errors.New(a.String())
	}
	if err != nil {
		return own.Interface{}, time.Time{}, fmt.Errorf("read %s: %w", o.Interface, err)
	}
	nic, err := own.ReadInterface(a.Body)
	return nic, a.at, err
}

// make makes the changes of a plan; where the group is one of ours, with the group
// before and without it after, if it comes to that.
func (w *writer) make(ctx context.Context, changes []plan.Change) error {
	s, err := w.last(ctx)
	if err != nil {
		return err
	}
	o, mine := s.Own[w.snapshot.Firewall]
	has := func(op plan.Op) bool {
		return slices.ContainsFunc(changes, func(c plan.Change) bool { return c.Op == op && !c.Opening.From.IsValid() })
	}
	switch {
	case mine && w.before.Group.ETag == "" && has(plan.Lock):
		return w.raise(ctx, o, changes)
	case mine && w.before.Group.ETag == "":
		return fmt.Errorf("%s has no group, and gets one with its first lock: %w", o.Interface, provider.ErrRefused)
	}
	if err := w.write(ctx, changes); err != nil || !mine || !has(plan.Drop) {
		return err
	}
	return w.raze(ctx, o)
}

// raise makes a group with all that changes say, and puts it in front of its interface.
func (w *writer) raise(ctx context.Context, o own.Group, changes []plan.Change) error {
	x, err := nsg.Whole(w.snapshot, changes, time.Now())
	if err != nil {
		return err
	}
	a, err := w.ask(ctx, call{client: w.Locker, method: http.MethodGet, of: o.ID})
	switch {
	case err != nil:
		return err
	case a.Status == http.StatusOK:
		if err := own.Vacant(a.Body, w.Keys.Instance); err != nil {
			return fmt.Errorf("%w: %w", err, provider.ErrRefused)
		}
	case a.Status != http.StatusNotFound:
		return a.Err(time.Now())
	}
	if err := w.patiently(ctx, x); err != nil {
		return err
	}
	return w.place(ctx, o, "", o.ID)
}

// raze takes a group away that holds nothing any more.
func (w *writer) raze(ctx context.Context, o own.Group) error {
	g, _, err := w.read(ctx, o.ID)
	if err != nil || !own.Bare(g) {
		return err
	}
	if err := w.place(ctx, o, o.ID, ""); err != nil {
		return err
	}
	if g, _, err = w.read(ctx, o.ID); err != nil || !own.Bare(g) {
		return err
	}
	return w.finish(ctx, call{client: w.Locker, method: http.MethodDelete, of: o.ID, header: http.Header{"If-Match": {g.ETag}}})
}

// place puts one group in front of the interface instead of another. An interface is
// written as a whole, so it is written only where a stale write is refused: that is
// tried with a tag that nobody has and a group that is not there.
func (w *writer) place(ctx context.Context, o own.Group, from, to firewall.ID) error {
	nic, _, err := w.front(ctx, o)
	switch {
	case err != nil:
		return err
	case nic.Group == to:
		return nil
	case nic.Group != from:
		return fmt.Errorf("%s has the group %q by now", o.Interface, nic.Group)
	}
	write := func(group firewall.ID, tag string) error {
		body, err := nic.With(group)
		if err != nil {
			return err
		}
		c := call{client: w.Locker, method: http.MethodPut, of: firewall.ID(o.Interface), body: body, header: http.Header{"If-Match": {tag}}}
		return w.finish(ctx, c)
	}
	switch err := write(o.ID+"-is-not-there", nobodysTag); {
	case errors.Is(err, provider.ErrConflict):
	case err != nil && !errors.Is(err, provider.ErrRefused):
		return err
	default:
		said := "it was taken"
		if err != nil {
			said = err.Error()
		}
		return fmt.Errorf("a stale write of %s is not refused, and could undo somebody else's; set its network security group to %q by hand (%s): %w",
			o.Interface, to, said, provider.ErrRefused)
	}
	return write(to, nic.ETag)
}

// finish makes one call and follows it to its end.
func (w *writer) finish(ctx context.Context, c call) error {
	a, err := w.ask(ctx, c)
	if err != nil {
		return err
	}
	if err := a.Err(time.Now()); err != nil {
		return fmt.Errorf("%s %s: %w", c.method, c.of, err)
	}
	if o, begun := operationOf(c, a); begun {
		return w.follow(ctx, o, a, 0)
	}
	return nil
}
