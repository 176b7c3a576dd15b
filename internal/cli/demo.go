package cli

import (
	"github.com/spf13/cobra"

	"github.com/sesame-access/sesame/internal/cli/console"
	"github.com/sesame-access/sesame/internal/demo"
)

func (a *app) demoCommand() *cobra.Command {
	var o demo.Options
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Play with Sesame on this machine",
		Long: `Demo builds three throw-away VMs on this machine, each with a real OpenSSH
server, protects them with the real kernel firewall, and says what to try. It
needs root and Linux for that; elsewhere it plays the same over a simulated
firewall, and says so. It removes everything it made when it ends:
after the story with --play, at Ctrl-C without.

While it runs, the other commands find it by themselves.`,
		Example: `  sudo sesame demo
  sudo sesame demo --play
  sudo sesame demo --env-file /tmp/sesame.env`,
		Args: console.Takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Out, o.Err = a.Out, a.Err
			a.Stays("what the demo made is removed")
			return demo.Run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.Play, "play", false, "act the story out, check every claim, and end")
	f.BoolVar(&o.Memory, "memory", false, "over the simulated firewall, even where the real one could be had")
	f.StringVar(&o.EnvFile, "env-file", "", "when everything is ready, write address and tokens to this file, for scripts")
	return cmd
}
