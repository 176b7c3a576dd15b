package aws

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/smithy-go"

	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/aws/securitygroup"
	"github.com/sesame-access/sesame/internal/provider/aws/truce"
)

// How often a call is made again that the cloud is not ready for, and how long
// before the second time, at least; each further time waits twice as long. What is longer
// is the next pass's business.
const (
	attempts  = 5
	firstWait = 500 * time.Millisecond
)

// A writer makes the changes of one plan.
type writer struct {
	Region
	securitygroup.Reading

	vpc   string
	truce *truce.Guard
	// made are the owned groups that this plan has made, by name. They may not be
	// seen by other calls yet.
	made    map[string]string
	written bool // something may have been written
}

// Apply implements [provider.Provider].
func (p *Provider) Apply(ctx context.Context, s provider.Snapshot, pl plan.Plan) error {
	region, vpc, err := p.locate(s.Firewall)
	if err != nil {
		return err
	}
	r, read := s.Raw.(securitygroup.Reading)
	if !read {
		return fmt.Errorf("write %s: the snapshot was not read by the AWS provider", s.Firewall)
	}
	w := &writer{Region: region, Reading: r, vpc: vpc, truce: p.truce(s.Firewall), made: map[string]string{}}
	for changes := pl.Changes; len(changes) > 0; {
		n := 1
		for n < len(changes) && changes[n].Step == changes[0].Step {
			n++
		}
		if err := w.step(ctx, changes[:n]); err != nil {
			return fmt.Errorf("write %s: %w", s.Firewall, err)
		}
		changes = changes[n:]
	}
	return nil
}

// step makes the writes of one step.
func (w *writer) step(ctx context.Context, changes []plan.Change) error {
	var writes []securitygroup.Write
	for _, c := range changes {
		x, due, err := securitygroup.At(c, time.Now())
		if err != nil {
			return err
		}
		if due {
			writes = append(writes, x)
		}
	}
	for _, c := range securitygroup.Calls(writes) {
		if err := w.patiently(ctx, c); err != nil {
			return fmt.Errorf("%s %s: %w", c.Do, c.Group, err)
		}
		w.written = true
		for _, x := range c.Writes {
			w.note(x)
		}
	}
	return nil
}

// note remembers a write that somebody may undo, and what we undo ourselves.
func (w *writer) note(x securitygroup.Write) {
	switch x.Do { //nolint:exhaustive // nobody fights over the others
	case securitygroup.Revoke:
		if !w.owned(x.Group) && !w.IsRest(x.Group, *x.Rule) {
			w.truce.Done(x.Contest(), time.Now())
		}
	case securitygroup.Authorize:
		x.Do = securitygroup.Revoke
		w.truce.Undone(x.Contest())
	case securitygroup.Attach:
		w.truce.Done(x.Contest(), time.Now())
	case securitygroup.Swap:
		if _, _, copied := w.CopyOf(securitygroup.Group{Name: x.Group}); copied {
			w.truce.Done(x.Contest(), time.Now())
			break
		}
		x.Group = x.Instead // what is given back
		w.truce.Undone(x.Contest())
	case securitygroup.Detach:
		x.Do = securitygroup.Attach
		w.truce.Undone(x.Contest())
	}
}

// patiently makes a call until the cloud is ready for it.
func (w *writer) patiently(ctx context.Context, c securitygroup.Call) error {
	for wait, n := firstWait, 1; ; wait, n = 2*wait, n+1 {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := w.call(ctx, c)
		if err == nil {
			return nil
		}
		switch w.outcome(c, err) {
		case securitygroup.Done:
			return nil
		case securitygroup.Missing, securitygroup.Present:
			return w.singly(ctx, c)
		case securitygroup.Changed:
			if !w.written {
				return fmt.Errorf("%w: %w", provider.ErrConflict, err)
			}
			return err
		case securitygroup.Refused:
			return fmt.Errorf("%w: %w", provider.ErrRefused, err)
		case securitygroup.Busy:
			if n == attempts {
				return err
			}
		case securitygroup.Unknown:
			return err
		}
		// Others that were told to wait shall not all be back at once.
		timer := time.NewTimer(wait + rand.N(wait)) //nolint:gosec // chance is all that it needs
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// outcome judges an error. A group that was just made and is not found is not
// seen yet.
func (w *writer) outcome(c securitygroup.Call, err error) securitygroup.Outcome {
	api, told := errors.AsType[smithy.APIError](err)
	if !told {
		return securitygroup.Unknown
	}
	out := securitygroup.OutcomeOf(c.Do, api.ErrorCode())
	if _, made := w.made[c.Group]; made && out == securitygroup.Changed {
		return securitygroup.Busy
	}
	return out
}

// singly makes the writes of a call one by one, where the cloud has done none of
// them because one is done already.
func (w *writer) singly(ctx context.Context, c securitygroup.Call) error {
	if len(c.Writes) == 1 {
		return nil
	}
	for _, x := range c.Writes {
		c.Writes = []securitygroup.Write{x}
		if err := w.patiently(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// id returns the id of a group: of a foreign one it is the reference itself, of an
// owned one what was read or made.
func (w *writer) id(ctx context.Context, ref string) (string, error) {
	if id, made := w.made[ref]; made {
		return id, nil
	}
	if i := w.Find(ref); i >= 0 {
		return w.Groups[i].ID, nil
	}
	return w.lookUp(ctx, ref)
}

// closing returns the client that takes rules out of a group.
func (w *writer) closing(group string) *ec2.Client {
	if w.owned(group) {
		return w.Closer
	}
	return w.Locker
}

// opening returns the client that puts rules into a group.
func (w *writer) opening(group string) *ec2.Client {
	if w.owned(group) {
		return w.Opener
	}
	return w.Locker
}

func (w *writer) owned(group string) bool {
	_, owned := w.Owner(securitygroup.Group{Name: group})
	return owned
}
