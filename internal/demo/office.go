package demo

import (
	"context"
	"time"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/demo/ground"
)

// office is the chapter in Azure: from enable to a rule that somebody adds above
// the lock. How it ends is told by [story.payday].
func (s *story) office(ctx context.Context) error {
	s.say("%s and %s are virtual machines of an Azure that this process simulates, behind one network security group. "+
		"A group can deny, so a lock is a rule of ours above the one that lets the world in; nothing of others is touched.", ground.Jump, ground.Payroll)
	s.before = s.tenant.Rules()
	if err := s.reaches(s.tenant, ground.Jump, true, sshPort, ground.Office, ground.Elsewhere); err != nil {
		return err
	}
	s.ok("simulated: anybody gets to %s:22", ground.Jump)
	if err := s.types(ctx, authz.Admin, 0, "enable", ground.Jump, "--yes"); err != nil {
		return err
	}
	if err := s.types(ctx, authz.Requester, 0, "open", ground.Jump, "--from", ground.Office, "--for", "1m", "--reason", "the payroll"); err != nil {
		return err
	}
	if err := s.officeOnly(); err != nil {
		return err
	}
	if err := s.reaches(s.tenant, ground.Payroll, true, sshPort, ground.Elsewhere); err != nil {
		return err
	}
	s.ok("simulated: %s gets in, %s does not; %s behind the same group is as it was", ground.Office, ground.Elsewhere, ground.Payroll)
	var err error
	if s.errand, err = s.newest(ctx, ground.Jump); err != nil {
		return err
	}
	s.say("\nIn the portal, somebody puts a rule above all others that lets everybody in.")
	begin := time.Now()
	if err := s.tenant.Meddle(); err != nil {
		return err
	}
	repaired, err := s.happened(ctx, audit.Repaired, func(r api.Record) bool { return r.VM == s.errand.Door.VM && r.Time.After(begin.Add(-time.Second)) })
	if err != nil {
		return err
	}
	s.ok("repaired%s: %s", measures(repaired), repaired.Text)
	if err := s.officeOnly(); err != nil {
		return err
	}
	s.ok("simulated: the lock stands above that rule now, and the rule is as somebody wrote it")
	return nil
}

// officeOnly fails unless only the office gets in to the jump host.
func (s *story) officeOnly() error {
	if err := s.reaches(s.tenant, ground.Jump, true, sshPort, ground.Office); err != nil {
		return err
	}
	return s.reaches(s.tenant, ground.Jump, false, sshPort, ground.Elsewhere)
}

// payday ends what began in the office: the grant by itself, the lock by hand.
func (s *story) payday(ctx context.Context) error {
	deadline := s.errand.Deadline.Time
	s.say("The minute on %s ends at %s. A group has no clock, so Sesame takes the rule away.", ground.Jump, deadline.Local().Format(time.TimeOnly))
	if err := s.until(ctx, deadline, "the grant in Azure ends"); err != nil {
		return err
	}
	closed, err := s.happened(ctx, audit.Closed, func(r api.Record) bool { return r.Grant == s.errand.ID })
	if err != nil {
		return err
	}
	if err := s.reaches(s.tenant, ground.Jump, false, sshPort, ground.Office, ground.Elsewhere); err != nil {
		return err
	}
	s.ok("simulated: read back closed%s; nobody gets in", measures(closed))
	if err := s.types(ctx, authz.Admin, 0, "disable", ground.Jump, "--yes"); err != nil {
		return err
	}
	if err := s.tenant.Repent(); err != nil {
		return err
	}
	if err := s.restored(ctx, s.tenant, s.before); err != nil {
		return err
	}
	s.ok("simulated: without that rule, the group says what it said before, byte for byte")
	return s.reaches(s.tenant, ground.Jump, true, sshPort, ground.Office, ground.Elsewhere)
}
