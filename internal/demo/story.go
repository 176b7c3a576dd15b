package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/api/client"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/demo/ground"
	"github.com/sesame-access/sesame/internal/demo/program"
)

// A story is the demo acted out: people type commands, and every claim about
// what comes of it is tried with connections of its own.
type story struct {
	*teller

	ground  ground.Ground
	cloud   *ground.Cloud
	tenant  *ground.Tenant
	program program.Program
	admin   *client.Client
	real    bool // there is a kernel below, and ssh

	session ground.Session // Rosa's, in web-1
	grant   api.Grant      // Rosa's, of web-1
	errand  api.Grant      // Rosa's, of jump-1
	before  string         // what the group in front of that said at first
	chapter int
}

// errNotAsTold is what a story ends with in which a claim does not hold.
var errNotAsTold = errors.New("the demo did not go as told")

// tell acts the story out, which takes a little more than the shortest grant.
func (s *story) tell(ctx context.Context) (err error) {
	defer func() {
		if s.session != nil {
			err = errors.Join(err, s.session.Close())
		}
	}()
	for _, chapter := range []struct {
		title string
		tell  func(context.Context) error
	}{
		{"Closed for everybody", s.closed},
		{"Open for one source", s.open},
		{"Two grants, one door", s.overlap},
		{"Somebody flushes the firewall", s.tamper},
		{"More time", s.extend},
		{"One machine more", s.enable},
		{"In Azure, simulated", s.office},
		{"In AWS, simulated", s.aloft},
		{"The minute is over", s.expire},
		{"The minute is over in Azure", s.payday},
		{"The record", s.record},
	} {
		s.chapter++
		s.title(s.chapter, chapter.title)
		if err := chapter.tell(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *story) closed(ctx context.Context) error {
	s.say("%s and %s are protected, %s is not yet. Ada is the administrator, Rosa may ask for access, Vito may only look.", web, db, build)
	if err := s.types(ctx, authz.Requester, 0, "vms"); err != nil {
		return err
	}
	for _, vm := range []string{web, db} {
		if err := s.shut(ctx, vm, sshPort, ground.You, ground.Stranger); err != nil {
			return err
		}
	}
	s.ok("%s and %s answer nobody: neither this terminal nor the stranger", web, db)
	if err := s.admits(ctx, build, ground.You, ground.Stranger); err != nil {
		return err
	}
	s.ok("%s answers everybody", build)
	return nil
}

func (s *story) open(ctx context.Context) error {
	s.say("Rosa asks for %s, for a minute.", web)
	if err := s.types(ctx, authz.Requester, 0, "open", web, "--for", "1m", "--reason", "read the logs"); err != nil {
		return err
	}
	var err error
	if s.grant, err = s.newest(ctx, web); err != nil {
		return err
	}
	opened, err := s.happened(ctx, audit.Opened, func(r api.Record) bool { return r.Grant == s.grant.ID })
	if err != nil {
		return err
	}
	s.ok("read back open from the firewall%s", measures(opened))
	if err := s.admits(ctx, web, ground.You); err != nil {
		return err
	}
	if s.session, err = s.ground.Login(ctx, web); err != nil {
		return fmt.Errorf("%w: Rosa cannot log in: %w", errNotAsTold, err)
	}
	s.ok("%s is in: %s", "Rosa", s.how("ssh "+web+" works, and the session stays", "a simulated connection stands"))
	if err := s.shut(ctx, web, sshPort, ground.Stranger); err != nil {
		return err
	}
	if err := s.shut(ctx, web, otherPort, ground.You, ground.Stranger); err != nil {
		return err
	}
	if err := s.shut(ctx, db, sshPort, ground.You, ground.Stranger); err != nil {
		return err
	}
	s.ok("nobody else is: the stranger gets no answer, and nor does Rosa from %s:%d or from %s", web, otherPort, db)
	if err := s.types(ctx, authz.Viewer, exitDenied, "open", web, "--for", "1m"); err != nil {
		return err
	}
	s.ok("Vito may look, not ask")
	return nil
}

func (s *story) overlap(ctx context.Context) error {
	s.say("Ada opens the same door from the same address, and closes it again. Rosa still needs it.")
	if err := s.types(ctx, authz.Admin, 0, "open", web, "--for", "1m", "--reason", "the same logs"); err != nil {
		return err
	}
	second, err := s.newest(ctx, web)
	if err != nil {
		return err
	}
	if second.ID == s.grant.ID {
		return fmt.Errorf("%w: Ada's grant is Rosa's", errNotAsTold)
	}
	if err := s.types(ctx, authz.Admin, 0, "close", second.ID); err != nil {
		return err
	}
	if err := s.admits(ctx, web, ground.You); err != nil {
		return err
	}
	s.ok("%s is still open for Rosa: access goes with the last grant that needs it", web)
	return nil
}

func (s *story) tamper(ctx context.Context) error {
	s.say("With root on %s, somebody deletes every firewall rule there is.", web)
	begin := time.Now()
	if err := s.ground.Flush(ctx, web); err != nil {
		return err
	}
	repaired, err := s.happened(ctx, audit.Repaired, func(r api.Record) bool { return r.VM == s.grant.Door.VM && r.Time.After(begin.Add(-time.Second)) })
	if err != nil {
		return err
	}
	s.ok("repaired%s: %s", measures(repaired), repaired.Text)
	if err := s.shut(ctx, web, sshPort, ground.Stranger); err != nil {
		return err
	}
	if err := s.admits(ctx, web, ground.You); err != nil {
		return err
	}
	s.ok("the stranger still gets no answer, Rosa still does")
	return s.lives(ctx)
}

func (s *story) extend(ctx context.Context) error {
	s.say("Rosa also opens %s, and finds that a minute is too short.", db)
	if err := s.types(ctx, authz.Requester, 0, "open", db, "--for", "1m", "--reason", "a slow query"); err != nil {
		return err
	}
	if err := s.types(ctx, authz.Requester, 0, "extend", db, "--for", "5m"); err != nil {
		return err
	}
	if err := s.admits(ctx, db, ground.You); err != nil {
		return err
	}
	s.ok("%s is open, without a gap, for five minutes from now", db)
	return nil
}

func (s *story) enable(ctx context.Context) error {
	s.say("Ada protects %s as well. She looks first who would lose access.", build)
	if err := s.types(ctx, authz.Admin, 0, "enable", build, "--dry-run"); err != nil {
		return err
	}
	if err := s.types(ctx, authz.Admin, 0, "enable", build, "--yes"); err != nil {
		return err
	}
	if err := s.becomes(ctx, build, false); err != nil {
		return err
	}
	s.ok("%s answers nobody", build)
	s.say("\nAnd takes it back. Who gets in again is shown before.")
	if err := s.types(ctx, authz.Admin, 0, "disable", build, "--dry-run"); err != nil {
		return err
	}
	if err := s.types(ctx, authz.Admin, 0, "disable", build, "--yes"); err != nil {
		return err
	}
	if err := s.becomes(ctx, build, true); err != nil {
		return err
	}
	s.ok("%s answers everybody again", build)
	return nil
}

func (s *story) expire(ctx context.Context) error {
	deadline := s.grant.Deadline.Time
	s.say("Rosa's minute on %s ends at %s. Nobody does anything.", web, deadline.Local().Format(time.TimeOnly))
	if err := s.until(ctx, deadline.Add(-3*time.Second), "Rosa's grant ends"); err != nil {
		return err
	}
	if err := s.admits(ctx, web, ground.You); err != nil {
		return err
	}
	s.ok("three seconds before, new connections still get in")
	if err := s.until(ctx, deadline.Add(100*time.Millisecond), "Rosa's grant ends"); err != nil {
		return err
	}
	if err := s.shut(ctx, web, sshPort, ground.You, ground.Stranger); err != nil {
		return err
	}
	s.ok("a tenth of a second after, they do not")
	closed, err := s.happened(ctx, audit.Closed, func(r api.Record) bool { return r.Grant == s.grant.ID })
	if err != nil {
		return err
	}
	s.ok("read back closed%s, proven: %s", measures(closed), closed.Level)
	if err := s.lives(ctx); err != nil {
		return err
	}
	if err := s.admits(ctx, db, ground.You); err != nil {
		return err
	}
	s.ok("%s, which was extended, is still open; Rosa is done there, too", db)
	if err := s.types(ctx, authz.Requester, 0, "close", db); err != nil {
		return err
	}
	if err := s.shut(ctx, db, sshPort, ground.You); err != nil {
		return err
	}
	s.ok("%s answers nobody", db)
	return nil
}

func (s *story) record(ctx context.Context) error {
	s.say("Everything is in a log that nobody can change unnoticed. The story of Rosa's first grant:")
	if err := s.types(ctx, authz.Viewer, 0, "activity", "--grant", s.grant.ID); err != nil {
		return err
	}
	if err := s.types(ctx, authz.Admin, 0, "audit", "verify"); err != nil {
		return err
	}
	report, err := s.admin.VerifyAudit(ctx)
	if err != nil {
		return err
	}
	if !report.OK || report.History.Overdue > 0 || report.History.Ongoing > 0 {
		return fmt.Errorf("%w: the log says %+v", errNotAsTold, report)
	}
	s.ok("%d grants, %d of them opened and closed again, none late by more than %s", report.History.Granted, report.History.Closed, report.History.MaxLate)
	grants, err := s.admin.Grants(ctx, client.List{State: "pending"})
	if err != nil {
		return err
	}
	for _, g := range grants.Items {
		if g.State != string(access.Closed) {
			return fmt.Errorf("%w: %s is still %s", errNotAsTold, g.ID, g.State)
		}
	}
	return nil
}
