package admin

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/cli/console"
	"github.com/sesame-access/sesame/internal/cli/output"
	"github.com/sesame-access/sesame/internal/errkind"
)

func (a commands) disableCommand() *cobra.Command {
	var names []string
	var open bool
	var how console.Consent
	cmd := &cobra.Command{
		Use:   "disable VM[:PORT]",
		Short: "Give just-in-time ports back to whoever ruled them before",
		Long: `Disable ends the locks of a VM's ports and every grant on them. It shows first
who gets in again, and asks for your consent. Without --port it is about every
just-in-time port of the VM. The ports leave their policy, which is deleted with
the last one. An orphan lock, one that no policy covers or that a lost database
knew, ends in the same way.

Rules of others that the locks had taken out come back: each is listed with its
age and with what it lets in. One that is open to the Internet, or was taken out
more than 7 days ago, comes back only with --restore-open; without it nothing is
given back.`,
		Example: `  sesame disable web-1 --port 3389
  sesame disable web-1 --dry-run`,
		Args: console.Takes(1, 1, "one VM, such as web-1"),
		RunE: func(cmd *cobra.Command, args []string) error {
			vm, port := console.SplitDoor(args[0])
			if err := console.CheckVM(vm); err != nil {
				return err
			}
			ports, err := console.ParsePorts(append(port, names...))
			if err != nil {
				return err
			}
			return a.disable(cmd.Context(), api.Disable{VM: vm, Ports: ports, DryRun: true, Restore: open}, how)
		},
	}
	cmd.Flags().StringArrayVarP(&names, "port", "p", nil, "a port, such as 22 or 53/udp; may be given again")
	cmd.Flags().BoolVar(&open, "restore-open", false, "give displaced rules back, too, that are open to the Internet or were taken out long ago")
	how.Register(cmd.Flags())
	return cmd
}

// reluctant fails where a rule would come back that only --restore-open gives back.
func reluctant(p api.Preview, open bool) error {
	var said []string
	for _, r := range p.Restored {
		if r.Asks != "" {
			said = append(said, fmt.Sprintf("%s on %s (%s; %s)", output.Plain(cmp.Or(r.Rule, r.Why)), r.Firewall, console.Named(p, output.Plain(strings.Join(r.Opens, ", "))), output.Plain(r.Asks)))
		}
	}
	if open || len(said) == 0 {
		return nil
	}
	return console.Hint(errkind.New(errkind.Conflict, "these rules would come back: %s; nothing was changed", strings.Join(said, "; ")),
		"say --restore-open to give them back all the same, and delete afterwards what should not be there")
}

func (a commands) disable(ctx context.Context, d api.Disable, how console.Consent) error {
	if err := a.Possible(how); err != nil {
		return err
	}
	c, _, err := a.Client(ctx, authz.Admin)
	if err != nil {
		return err
	}
	if len(d.Ports) == 0 {
		vm, err := c.VM(ctx, d.VM)
		if err != nil {
			return err
		}
		for _, x := range vm.Doors {
			d.Ports = append(d.Ports, api.Port{Port: x.Port, Protocol: x.Protocol})
		}
		switch n := len(d.Ports); {
		case n == 0:
			return errkind.New(errkind.NotFound, "%s has no just-in-time port, so there is nothing to disable", vm.Name)
		case n > access.MaxDoors:
			return errkind.New(errkind.Invalid, "%s has %d just-in-time ports, and at most %d go at once; name some with --port", vm.Name, n, access.MaxDoors)
		}
	}
	trial, err := c.Disable(ctx, d)
	if err != nil {
		return err
	}
	if how.DryRun {
		return a.Show(trial, func() error { return console.PrintPreview(a.Out, trial.Preview) })
	}
	if err := reluctant(trial.Preview, d.Restore); err != nil {
		return err
	}
	if err := a.consent(ctx, trial.Preview, how, "Give these ports back?"); err != nil {
		return err
	}
	a.Stays("the ports may have been given back; `sesame vms %s` shows how they stand", d.VM)
	d.DryRun = false
	done, err := c.Disable(ctx, d)
	if err != nil {
		return err
	}
	return a.Show(done, func() error {
		for _, x := range done.Doors {
			fmt.Fprintf(a.Out, "%s is not just-in-time any more\n", x)
		}
		return nil
	})
}
