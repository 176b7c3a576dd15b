package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/cli/connect"
	"github.com/sesame-access/sesame/internal/cli/console"
	"github.com/sesame-access/sesame/internal/cli/doctor"
	"github.com/sesame-access/sesame/internal/cli/output"
)

func (a *app) doctorCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Try every step of the way, and say what is not in order",
		Long: `Doctor says which server is used and why, and tries the way there: its address,
its certificate, its health, your token, the clocks, and the address that it
sees you at. It knocks once on every just-in-time port that you may know about
and compares what happens with what the firewalls should do. As root it also
looks whether this machine could be protected. With --config it tries every cloud
of that configuration from here: the credentials, the regions, and whether a
firewall there can be read. It changes nothing.

It exits with 1 when a check failed.`,
		Example: "  sesame doctor\n  sudo sesame doctor --config /etc/sesame/sesame.yaml",
		Args:    console.Takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var checks []doctor.Check
			failed := false
			tell := func(c doctor.Check) {
				if cmd.Context().Err() != nil {
					return // it was not tried to its end
				}
				checks = append(checks, c)
				failed = failed || c.Status == doctor.Fail
				if a.Format == output.Table {
					a.printCheck(c)
				}
			}
			c, target, err := a.Client(cmd.Context(), authz.Requester)
			switch {
			case errors.Is(err, connect.ErrNoServer):
				tell(doctor.Check{Name: "server", Status: doctor.Fail, Text: console.ErrorText(err), Next: hintFor(cmd, err, true)})
			case err != nil:
				tell(doctor.Check{Name: "server", Status: doctor.Fail, Text: console.ErrorText(err), Next: ""})
			default:
				doctor.Remote(cmd.Context(), target, c, tell)
			}
			doctor.Local(tell)
			if file != "" {
				cfg, err := readConfig(cmd.Context(), file)
				if err != nil {
					return err
				}
				doctor.Clouds(cmd.Context(), cfg, tell)
			}
			if cmd.Context().Err() != nil {
				return console.ErrInterrupted
			}
			if a.Format == output.JSON {
				if err := output.WriteJSON(a.Out, api.PageOf(checks, "")); err != nil {
					return err
				}
			}
			if failed {
				return console.ErrSaid
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "also try the clouds of this configuration, from here")
	return cmd
}

func (a *app) printCheck(c doctor.Check) {
	fmt.Fprintf(a.Out, "%-4s  %-13s %s\n", c.Status, c.Name, output.Plain(c.Text))
	if c.Next != "" {
		fmt.Fprintf(a.Out, "%20s%s\n", "→ ", output.Plain(c.Next))
	}
}
