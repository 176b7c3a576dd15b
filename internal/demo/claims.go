package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/api/client"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/cli/output"
	"github.com/sesame-access/sesame/internal/demo/ground"
	"github.com/sesame-access/sesame/internal/demo/program"
	"github.com/sesame-access/sesame/internal/firewall"
)

// otherPort is a second port of web-1 that is protected in the story: a grant is
// for one port.
const otherPort = 8080

// exitDenied is what a command exits with when somebody may not do that.
const exitDenied = 3

// patienceOfClaims is how long something may take that happens by itself, and
// pollEvery how often it is looked at.
const (
	patienceOfClaims = 10 * time.Second
	pollEvery        = 10 * time.Millisecond
)

// types shows a command of somebody in the given role, and what comes of it,
// which must be the given code.
func (s *story) types(ctx context.Context, role authz.Role, code int, args ...string) error {
	who := string(role)
	for _, p := range program.People() {
		if p.Role == role {
			who = p.Name
		}
	}
	s.command(who, program.CommandLine(args))
	r, err := s.program.Run(ctx, role, args...)
	if err != nil {
		return err
	}
	s.output(r.Out)
	if r.Code != code {
		return fmt.Errorf("%w: %s exits with %d, not with %d", errNotAsTold, program.CommandLine(args), r.Code, code)
	}
	return nil
}

// admits fails unless new connections to port 22 from every side get through.
func (s *story) admits(ctx context.Context, vm string, from ...ground.Side) error {
	return s.claim(ctx, vm, sshPort, true, from)
}

// shut fails unless new connections from every side are dropped.
func (s *story) shut(ctx context.Context, vm string, port uint16, from ...ground.Side) error {
	return s.claim(ctx, vm, port, false, from)
}

// claim knocks from every side at once. What is let in is in after a fraction of
// a millisecond unless this machine is busy; what is dropped is sent again after
// a second.
func (s *story) claim(ctx context.Context, vm string, port uint16, open bool, from []ground.Side) error {
	const refusal = 700 * time.Millisecond
	limit := map[bool]time.Duration{true: patienceOfClaims, false: refusal}[open]
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	answers := make(chan error, len(from))
	for _, side := range from {
		go func() {
			through, err := s.ground.Knock(ctx, side, vm, port)
			if err == nil && through != open {
				who := map[bool]string{true: "the stranger", false: "this terminal"}[side == ground.Stranger]
				is := map[bool]string{true: "open", false: "closed"}[through]
				err = fmt.Errorf("%w: %s:%d is %s for %s", errNotAsTold, vm, port, is, who)
			}
			answers <- err
		}()
	}
	var failed error
	for range from {
		if err := <-answers; err != nil {
			failed = err
		}
	}
	return failed
}

// becomes waits until port 22 of a VM is open, or shut, for everybody.
func (s *story) becomes(ctx context.Context, vm string, open bool) error {
	begin := time.Now()
	for {
		err := s.claim(ctx, vm, sshPort, open, []ground.Side{ground.You, ground.Stranger})
		if err == nil || ctx.Err() != nil || time.Since(begin) > patienceOfClaims {
			return err
		}
		if err := pause(ctx, pollEvery); err != nil {
			return err
		}
	}
}

// lives fails unless Rosa's session does.
func (s *story) lives(ctx context.Context) error {
	if err := s.session.Alive(ctx); err != nil {
		return fmt.Errorf("%w: Rosa's session: %w", errNotAsTold, err)
	}
	s.ok("Rosa's %s lives on", s.how("ssh session", "simulated connection"))
	return nil
}

// newest returns the grant that was last made for a VM. That it is open may be
// in the book a moment after everybody was told.
func (s *story) newest(ctx context.Context, vm string) (api.Grant, error) {
	begin := time.Now()
	for {
		page, err := s.admin.Grants(ctx, client.List{VM: vm, Limit: 1})
		if err != nil {
			return api.Grant{}, err
		}
		if len(page.Items) > 0 && page.Items[0].State == string(access.Open) {
			return page.Items[0], nil
		}
		if time.Since(begin) > patienceOfClaims {
			return api.Grant{}, fmt.Errorf("%w: %s has no open grant", errNotAsTold, vm)
		}
		if err := pause(ctx, pollEvery); err != nil {
			return api.Grant{}, err
		}
	}
}

// happened waits for the newest record of its kind that fits.
func (s *story) happened(ctx context.Context, kind audit.Kind, fits func(api.Record) bool) (api.Record, error) {
	begin := time.Now()
	for {
		page, err := s.admin.Activity(ctx, client.Filter{Kinds: []string{string(kind)}})
		if err != nil {
			return api.Record{}, err
		}
		for _, r := range page.Items {
			if fits(r) {
				return r, nil
			}
		}
		if time.Since(begin) > patienceOfClaims {
			return api.Record{}, fmt.Errorf("%w: %v passed without a record of %s", errNotAsTold, patienceOfClaims, kind)
		}
		if err := pause(ctx, pollEvery); err != nil {
			return api.Record{}, err
		}
	}
}

// until waits for an instant, and says on a terminal how long.
func (s *story) until(ctx context.Context, t time.Time, what string) error {
	defer s.wait("")
	for {
		left := time.Until(t)
		if left <= 0 {
			return nil
		}
		s.wait(fmt.Sprintf("%s in %s", what, left.Round(time.Second)))
		if err := pause(ctx, min(left, time.Second)); err != nil {
			return err
		}
	}
}

// how chooses words: what is real, and what is simulated.
func (s *story) how(real, simulated string) string {
	if s.real {
		return real
	}
	return simulated
}

// measures writes the time that counts of a record: " (asked to open 3.2ms)".
func measures(r api.Record) string {
	if len(r.Measures) == 0 {
		return ""
	}
	return " (" + r.Measures[0].Name + " " + output.Rounded(r.Measures[0].Took) + ")"
}

// pause waits.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// name is the short name of a VM's id.
func name(vm string) string { return firewall.VMID(vm).Name() }
