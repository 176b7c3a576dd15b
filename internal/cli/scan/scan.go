// Package scan holds the command that looks for management ports that are open.
package scan

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sesame-access/sesame/internal/cli/console"
	"github.com/sesame-access/sesame/internal/cli/input"
	"github.com/sesame-access/sesame/internal/cli/output"
	"github.com/sesame-access/sesame/internal/config"
	"github.com/sesame-access/sesame/internal/daemon"
	"github.com/sesame-access/sesame/internal/daemon/clouds"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/posture"
	"github.com/sesame-access/sesame/internal/posture/history"
	"github.com/sesame-access/sesame/internal/posture/report"
	"github.com/sesame-access/sesame/internal/reach/survey"
	"github.com/sesame-access/sesame/internal/scan"
)

// A ReadConfig reads a configuration file; the usual one if file is empty.
type ReadConfig func(ctx context.Context, file string) (config.Config, error)

// commands are those of this package, on one console.
type commands struct {
	*console.Console

	read ReadConfig
}

// scanning is what `scan` was told.
type scanning struct {
	where
	settings posture.Settings

	ports, raise      []string
	failOn            string
	suppress, history string
}

// Command returns the command.
func Command(c *console.Console, read ReadConfig) *cobra.Command {
	a := commands{c, read}
	s := scanning{}
	cmd := &cobra.Command{
		Use:   "scan",
		Short: "Find the management ports that are open, say by which rule, and to whom",
		Long: `Scan reads every machine of some subscriptions and accounts, and the rules in
front of them, and says of every management port whether it is closed. It needs
no server and no policy, and no more than credentials that may read.

A port is healthy when it is proven that nobody comes in but live grants and
exempt sources, unhealthy when it is proven that somebody else does, not
applicable when nobody could come whatever the rules said, and unknown when a
fact is missing, which is named. Of a port that is open the rule that decides is
named, and one address that gets in.

Without a place to look at, the clouds of the configuration are scanned. On the
machine of a server, as somebody who may read its state directory, grants and
exempt sources are known by the marks of their rules; elsewhere they are openings
like any other.`,
		Example: `  sesame scan --subscription 00000000-0000-0000-0000-000000000000
  sesame scan --management-group corp --fail-on critical
  sesame scan --aws --region eu-central-1 -o json
  sesame scan --config sesame.yaml --suppress accepted.yaml --history scans.json`,
		Args: console.Takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.scan(cmd.Context(), s) },
	}
	f := cmd.Flags()
	f.StringVar(&s.file, "config", "", "scan the clouds of this configuration")
	f.StringArrayVar(&s.subscriptions, "subscription", nil, "the id of an Azure subscription; may be given again")
	f.StringArrayVar(&s.groups, "management-group", nil, "an Azure management group, with everything below it; may be given again")
	f.BoolVar(&s.aws, "aws", false, "the AWS account that the environment's credentials are of")
	f.StringArrayVar(&s.regions, "region", nil, "an AWS region; all that are enabled without one; may be given again")
	f.StringArrayVarP(&s.ports, "port", "p", nil, "a port to ask about instead of 22, 3389, 5985 and 5986, such as 1433 or 53/udp; may be given again")
	f.StringArrayVar(&s.raise, "raise", nil, "a tag, such as env=prod, that makes a finding one step more severe; may be given again")
	f.StringVar(&s.failOn, "fail-on", posture.High.String(), `exit with 10 if something is as bad: "low", "medium", "high", "critical" or "never"`)
	f.StringVar(&s.suppress, "suppress", "", "a file with findings that somebody accepts for some time")
	f.StringVar(&s.history, "history", "", "a file that remembers findings, to tell what is new, fixed and regressed")
	return cmd
}

func (a commands) scan(ctx context.Context, s scanning) error {
	least, fails, err := s.threshold()
	if err != nil {
		return err
	}
	if s.settings, err = s.read(); err != nil {
		return err
	}
	accepted, err := suppressions(ctx, s.suppress)
	if err != nil {
		return err
	}
	past, err := remembered(ctx, s.history)
	if err != nil {
		return err
	}
	seen, err := a.look(ctx, s.where)
	if err != nil {
		return err
	}
	now := console.Now()
	findings := slices.Collect(posture.Judge(seen.Estate, s.settings, now))
	ended, idle := posture.Suppress(findings, accepted, now)
	trend, next := history.Remember(past, findings, len(seen.Unread) == 0, now, keep)
	if s.history == "" {
		trend.Changes = nil
	} else if err := remember(s.history, next); err != nil {
		return err
	}
	d := report.Of(seen.Estate, findings, trend, now)
	d.Ended, d.Idle = machines(ended), machines(idle)
	for _, u := range seen.Unread {
		d.Unread = append(d.Unread, u.Name+": "+console.ErrorText(u.Err))
	}
	if err := a.Show(d, func() error { return a.print(d, trend) }); err != nil {
		return err
	}
	worse := func(f posture.Finding) bool { return f.Bad() && f.Severity >= least }
	if n := len(slices.DeleteFunc(findings, func(f posture.Finding) bool { return !worse(f) })); n > 0 && fails {
		return errkind.Wrap(errkind.Conflict, console.ErrFound, "%s of severity %s or worse", output.Count(n, "finding"), least)
	}
	if len(d.Unread) > 0 {
		return errkind.New(errkind.Unavailable, "not everything could be read: %s", d.Unread[0])
	}
	return nil
}

// keep is how long a finding that was fixed is remembered.
const keep = 365 * 24 * time.Hour

// look reads the clouds, and shows how far it has come.
func (a commands) look(ctx context.Context, w where) (scan.Seen, error) {
	cfg, err := w.over(ctx, a.read)
	if err != nil {
		return scan.Seen{}, err
	}
	keys, err := daemon.ReadMarks(cfg.StateDir)
	if errors.Is(err, daemon.ErrNoMarks) || errors.Is(err, fs.ErrPermission) {
		keys = firewall.Keyring{Instance: "", Keys: nil} // then nothing is known to be ours
	} else if err != nil {
		return scan.Seen{}, err
	}
	var sources []scan.Source
	for _, c := range clouds.Open(cfg, keys) {
		sources = append(sources, c)
	}
	if len(sources) == 0 {
		return scan.Seen{}, console.Hint(errkind.New(errkind.Invalid, "there is no cloud to scan"), "name one with --subscription, --management-group, --aws or --config")
	}
	live := a.Live()
	defer live.Clear()
	return scan.Look(ctx, sources, func(p scan.Progress) {
		live.Show(fmt.Sprintf("%d of %s answered, %s, %d of %s read", p.Clouds, output.Count(p.OfClouds, "cloud"), output.Count(p.VMs, "machine"), p.Firewalls, output.Count(p.OfFirewalls, "firewall")))
	})
}

func (a commands) print(d report.Document, trend history.Trend) error {
	heads := []string{"SEVERITY", "VM", "PORT", "CHECK", "CHANGE", "REASON"}
	rows := report.Rows(d)
	for _, r := range rows {
		for i := range r {
			r[i] = output.Dash(output.Plain(r[i]))
		}
	}
	if err := output.WriteTable(a.Out, "Every management port is closed.", heads, rows); err != nil {
		return err
	}
	counts := map[string]int{}
	for _, m := range d.Machines {
		counts[m.Verdict]++
	}
	var parts []string
	for _, v := range posture.Verdicts() {
		parts = append(parts, fmt.Sprintf("%d %s", counts[v.String()], v))
	}
	fmt.Fprintf(a.Out, "\n%s: %s.\n", output.Count(len(d.Machines), "machine"), strings.Join(parts, ", "))
	if len(trend.Changes) > 0 {
		fmt.Fprintf(a.Out, "Since the last scan: %d new, %d fixed, %d regressed.\n", trend.Count(history.New), trend.Count(history.Fixed), trend.Count(history.Regressed))
	}
	for _, vm := range d.Ended {
		fmt.Fprintf(a.Err, "a suppression of %s has ended\n", output.Plain(vm))
	}
	for _, vm := range d.Idle {
		fmt.Fprintf(a.Err, "a suppression of %s is about nothing bad; it can go\n", output.Plain(vm))
	}
	for _, u := range d.Unread {
		fmt.Fprintf(a.Err, "not read: %s\n", output.Plain(u))
	}
	return nil
}

// threshold is the least severity to fail on.
func (s scanning) threshold() (least posture.Severity, fails bool, err error) {
	if s.failOn == "never" {
		return posture.None, false, nil
	}
	for _, x := range posture.Severities() {
		if x != posture.None && x.String() == s.failOn {
			return x, true, nil
		}
	}
	return posture.None, false, errkind.Bad("--fail-on", s.failOn, `"low", "medium", "high", "critical" or "never"`)
}

// read returns what to look at.
func (s scanning) read() (posture.Settings, error) {
	out := posture.Defaults()
	out.Raise = s.raise
	for _, tag := range s.raise {
		if key, _, is := strings.Cut(tag, "="); !is || key == "" {
			return out, errkind.Bad("--raise", tag, "a tag, such as env=prod")
		}
	}
	if len(s.ports) > 0 {
		out.Ports = nil
	}
	for _, text := range s.ports {
		number, proto, named := strings.Cut(text, "/")
		p := survey.Port{Protocol: firewall.TCP, Number: 0}
		var err error
		if named {
			p.Protocol, err = firewall.ParseProtocol(proto)
		}
		if err == nil {
			p.Number, err = firewall.ParsePort(number)
		}
		if err != nil {
			return out, err
		}
		out.Ports = append(out.Ports, p)
	}
	return out, nil
}

func machines(list []posture.Suppression) (out []string) {
	for _, x := range list {
		out = append(out, string(x.VM))
	}
	return out
}

// suppressions reads the file, if there is to be one.
func suppressions(ctx context.Context, file string) ([]posture.Suppression, error) {
	if file == "" {
		return nil, nil
	}
	text, err := input.ReadFile(ctx, file)
	if err != nil {
		return nil, errkind.Wrap(errkind.Invalid, err, "the suppressions cannot be read: %v", err)
	}
	list, err := posture.ParseSuppressions(text)
	if err != nil {
		return nil, errkind.Wrap(errkind.Invalid, err, "%s: %s", file, errkind.Public(err))
	}
	return list, nil
}

// remembered reads the history; there is none before the first scan.
func remembered(ctx context.Context, file string) ([]history.Record, error) {
	if file == "" {
		return nil, nil
	}
	text, err := input.ReadFile(ctx, file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		var records []history.Record
		if records, err = history.Parse(text); err == nil {
			return records, nil
		}
	}
	return nil, errkind.Wrap(errkind.Invalid, err, "%s: %v", file, err)
}

// remember writes the history, whole or not at all.
func remember(file string, records []history.Record) error {
	text, err := history.Format(records)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(file), ".sesame-scan-*")
	if err != nil {
		return fmt.Errorf("write the history: %w", err)
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write the history: %w", err), os.Remove(f.Name()))
	}
	return nil
}
