package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/cli/connect"
	"github.com/sesame-access/sesame/internal/cli/console"
	"github.com/sesame-access/sesame/internal/cli/output"
	"github.com/sesame-access/sesame/internal/config"
	"github.com/sesame-access/sesame/internal/daemon"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/fleet"
	"github.com/sesame-access/sesame/internal/plan"
)

// A sweeping is what `sweep` was told.
type sweeping struct {
	where            string // one of the places; empty for all
	file, stateDir   string
	hostOnly, dryRun bool
}

// The places that can be swept by themselves, as they are typed.
const (
	placeHosts = "hosts"
	placeAWS   = "aws"
	placeAzure = "azure"
)

func places() []string { return []string{placeHosts, placeAWS, placeAzure} }

// of returns cfg with nothing but the place.
func (s sweeping) of(cfg config.Config) config.Config {
	if s.where != "" && s.where != placeHosts {
		cfg.Hosts = nil
	}
	if s.where != "" && s.where != placeAWS {
		cfg.AWS.Accounts = nil
	}
	if s.where != "" && s.where != placeAzure {
		cfg.Azure.Subscriptions, cfg.Azure.ManagementGroups = nil, nil
	}
	return cfg
}

func (a *app) sweepCommand() *cobra.Command {
	var s sweeping
	cmd := &cobra.Command{
		Use:   "sweep [PLACE]",
		Short: "Close what is past its deadline, with or without a server",
		Long: `Sweep closes what nobody has a right to any more. A server that runs is asked to
do it. With a place, --config, --state-dir or --host-only, or when no server
answers and you are root, it is done from here, with nothing but the keys of the
marks and the firewalls: no server, no database.

The places are hosts, aws and azure, as far as the configuration names any;
without one all are swept.

From here it deletes openings of ours that are past their deadline by more than
a minute, or whose mark does not verify. It never touches a lock, an exempt
source or anything that is not ours; what looks wrong there it reports.`,
		Example: `  sesame sweep --dry-run
  sudo sesame sweep --config /etc/sesame/sesame.yaml
  sudo sesame sweep aws --dry-run`,
		Args:      console.Takes(0, 1, "nothing, or a place: "+strings.Join(places(), ", ")),
		ValidArgs: places(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				s.where = args[0]
				if !slices.Contains(places(), s.where) {
					return errkind.Bad("PLACE", s.where, `"`+strings.Join(places(), `" or "`)+`"`)
				}
			}
			if s.hostOnly {
				if s.where != "" && s.where != placeHosts {
					return errkind.New(errkind.Invalid, "--host-only and %s exclude each other", s.where)
				}
				s.where = placeHosts
			}
			return a.sweep(cmd.Context(), s)
		},
	}
	f := cmd.Flags()
	f.StringVar(&s.file, "config", "", "do it from here, by this configuration")
	f.StringVar(&s.stateDir, "state-dir", "", "do it from here, with the keys of the marks in this directory, over the configuration")
	f.BoolVar(&s.hostOnly, "host-only", false, "the same as hosts")
	f.BoolVar(&s.dryRun, "dry-run", false, "only show what would be closed")
	return cmd
}

func (a *app) sweep(ctx context.Context, s sweeping) error {
	if s.file != "" || s.stateDir != "" || s.where != "" {
		return a.sweepFromHere(ctx, s)
	}
	err := a.sweepByServer(ctx, s)
	gone := errors.Is(err, connect.ErrNoServer) || errkind.Of(err) == errkind.Unavailable
	if gone && a.Machine.UID == 0 {
		fmt.Fprintf(a.Err, "no server answers (%s), so this is done from here\n", console.ErrorText(err))
		return a.sweepFromHere(ctx, s)
	}
	return err
}

// sweepByServer has the server do it.
func (a *app) sweepByServer(ctx context.Context, s sweeping) error {
	c, _, err := a.Client(ctx, authz.Admin)
	if err != nil {
		return err
	}
	if !s.dryRun {
		a.Stays("the server goes on closing; `sesame requests` shows how it stands")
	}
	swept, err := c.Sweep(ctx, api.Sweep{DryRun: s.dryRun})
	if err != nil {
		return err
	}
	return a.Show(swept, func() error {
		for _, x := range swept.Closings {
			fmt.Fprintln(a.Out, output.Plain(x.Text))
		}
		switch {
		case len(swept.Closings) == 0:
			fmt.Fprintln(a.Out, "Everything that is open has a right to be.")
		case !swept.Done && !s.dryRun:
			fmt.Fprintln(a.Out, "The firewalls are still being written; the server goes on until it is done.")
		}
		return nil
	})
}

// A sweptHere is what a sweep from here found on one firewall, as JSON.
type sweptHere struct {
	Firewall string       `json:"firewall"`
	Closings []api.Change `json:"closings"`
	Stuck    []string     `json:"stuck,omitempty"`
	Left     []string     `json:"left,omitempty"`
	Failed   string       `json:"failed,omitzero"`
}

// sweepFromHere needs nothing but the keys of the marks and the firewalls.
func (a *app) sweepFromHere(ctx context.Context, s sweeping) error {
	cfg, err := readConfig(ctx, s.file)
	if err != nil {
		return err
	}
	if cfg, err = (override{stateDir: s.stateDir}).over(cfg); err != nil {
		return err
	}
	if cfg = s.of(cfg); len(cfg.Hosts)+len(cfg.AWS.Accounts) == 0 && !cfg.Azure.Any() {
		what := map[string]string{placeHosts: "no host", placeAWS: "no AWS account", placeAzure: "nothing of Azure"}[s.where]
		return console.Hint(errkind.New(errkind.Invalid, "the configuration names %s, so there is no firewall to sweep", cmp.Or(what, "neither host nor cloud")), "`--config FILE` names another one")
	}
	if !s.dryRun {
		a.Stays("what was closed stays closed; run the sweep again for the rest")
	}
	swept, err := daemon.Sweep(ctx, cfg, newLog(a.Err, cfg.Log), s.dryRun)
	if err != nil && len(swept) == 0 {
		return err
	}
	out := make([]sweptHere, len(swept))
	failed := err // what is known was swept all the same
	for i, x := range swept {
		out[i] = sweptHere{
			Firewall: string(x.Firewall), Closings: api.ChangesOf(plan.Plan{Firewall: x.Firewall, Changes: x.Closed}),
			Stuck: nil, Left: x.Left, Failed: "",
		}
		for _, k := range x.Stuck {
			out[i].Stuck = append(out[i].Stuck, fmt.Sprintf("%s from %s", k.Door, firewall.FormatSource(k.From)))
			failed = errkind.New(errkind.Unavailable, "not everything that had to be closed was read back closed; run the sweep again")
		}
		if x.Err != nil {
			out[i].Failed = x.Err.Error()
			failed = errkind.Wrap(errkind.Unavailable, x.Err, "not every firewall could be swept; run the sweep again")
		}
	}
	if err := a.Show(api.PageOf(out, ""), func() error { a.printSwept(swept, s.dryRun); return nil }); err != nil {
		return err
	}
	return failed
}

func (a *app) printSwept(swept []fleet.Swept, dryRun bool) {
	n := 0
	for _, x := range swept {
		for _, c := range x.Closed {
			n++
			fmt.Fprintf(a.Out, "%s  %s\n", x.Firewall, output.Plain(c.String()))
		}
		for _, k := range x.Stuck {
			fmt.Fprintf(a.Out, "%s  STILL OPEN %s from %s\n", x.Firewall, k.Door, firewall.FormatSource(k.From))
		}
		for _, l := range x.Left {
			fmt.Fprintf(a.Out, "%s  left alone: %s\n", x.Firewall, output.Plain(l))
		}
		if x.Err != nil {
			fmt.Fprintf(a.Out, "%s  FAILED: %s\n", x.Firewall, output.Plain(x.Err.Error()))
		}
	}
	what := "closed"
	if dryRun {
		what = "would be closed"
	}
	fmt.Fprintf(a.Out, "%s looked at, %s %s\n", output.Count(len(swept), "firewall"), output.Count(n, "opening"), what)
}
