// Package cli is the command line of Sesame: one command a file, each a client
// of /v1 but for those that are about this machine.
//
// Whatever is typed goes through the one parser of its kind before anything is
// sent. Results go to standard output, as a table or as the API's own objects;
// what is going on goes to standard error, and only to a terminal. Errors say
// what was asked, what is true and, on a line of its own, what to do next.
package cli

import (
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sesame-access/sesame/internal/cli/admin"
	"github.com/sesame-access/sesame/internal/cli/approver"
	"github.com/sesame-access/sesame/internal/cli/connect"
	"github.com/sesame-access/sesame/internal/cli/console"
	"github.com/sesame-access/sesame/internal/cli/identity"
	"github.com/sesame-access/sesame/internal/cli/output"
	"github.com/sesame-access/sesame/internal/cli/requester"
	"github.com/sesame-access/sesame/internal/cli/roles"
	"github.com/sesame-access/sesame/internal/cli/scan"
	"github.com/sesame-access/sesame/internal/config"
	"github.com/sesame-access/sesame/internal/errkind"
)

// Main runs the command line args, without the program's name, until it is done
// or ctx is, and returns the code to exit with.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{started: false, Console: console.Console{
		In: stdin, Out: stdout, Err: stderr, Machine: thisMachine(), Flags: connect.Flags{}, Format: output.Table,
	}}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if !a.started && asksForJSON(args) {
		a.Format = output.JSON
	}
	return a.finish(ctx, cmd, err)
}

// An app is one run of the program: a console, and the commands that are about
// this machine.
type app struct {
	console.Console
	started bool // the command line was understood
}

// thisMachine returns where the program runs.
func thisMachine() connect.Machine {
	m := connect.Machine{
		Getenv: os.Getenv, UID: os.Geteuid(), File: "", Socket: config.Default().Socket,
		DemoDirs: []string{"/run/sesame-demo", filepath.Join(os.TempDir(), "sesame-demo-"+strconv.Itoa(os.Geteuid()))},
	}
	if home, err := os.UserHomeDir(); err == nil {
		m.File = filepath.Join(cmp.Or(os.Getenv("XDG_CONFIG_HOME"), filepath.Join(home, ".config")), "sesame", "client.yaml")
	}
	return m
}

// root returns the program's command.
func (a *app) root() *cobra.Command {
	var format string
	root := &cobra.Command{
		Use:   "sesame",
		Short: "Ports that open for the person who asks, and always close again",
		Long: `Sesame keeps the management ports of virtual machines closed. It opens one for
the person who asks, from where they ask, for as long as they need, and it
always closes it again.`,
		Example: `  sudo sesame demo                       play with it on this machine
  sesame vms                             what there is
  sesame open web-1 --for 30m            let me in, from here, for half an hour
  sesame activity -f                     what is going on`,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			a.started = true
			var err error
			if a.Format, err = output.ParseFormat(format); err != nil {
				return err
			}
			return console.NotEmpty(cmd.Flags())
		},
		RunE: console.ShowHelp,
	}
	f := root.PersistentFlags()
	f.StringVarP(&format, "output", "o", string(output.Table), `how to write results: "table" or "json"`)
	f.StringVar(&a.Flags.Server, "server", "", "the server's address, such as https://sesame.example.org:8443 (SESAME_URL)")
	f.StringVar(&a.Flags.CA, "ca", "", "PEM file of the authority that the server's certificate comes from (SESAME_CA)")
	f.StringVar(&a.Flags.TokenFile, "token-file", "", "file with your token (SESAME_TOKEN_FILE, or the token itself in SESAME_TOKEN)")
	f.StringVar(&a.Flags.Socket, "socket", "", "the server's local socket, for root on its machine")
	f.StringVar(&a.Flags.As, "as", "", `in a demo, who to be: "viewer", "approver", "requester" or "admin"`)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return flagError(err) })
	root.AddGroup(
		&cobra.Group{ID: console.GettingIn, Title: "Getting in:"},
		&cobra.Group{ID: console.Ruling, Title: "Ruling:"},
		&cobra.Group{ID: console.Looking, Title: "Looking:"},
		&cobra.Group{ID: console.Running, Title: "Running:"},
	)
	a.addCommands(root)
	// Made before the command line is read: otherwise what stands behind --help
	// is taken for its value.
	root.InitDefaultHelpFlag()
	root.SetHelpCommandGroupID(console.Looking)
	root.CompletionOptions.DisableDefaultCmd = true // there is our own
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	a.complete(root)
	return root
}

// flagError says what is wrong with a flag without the parser's own words.
func flagError(err error) error {
	if bad, ok := errors.AsType[*pflag.InvalidValueError](err); ok && bad.GetFlag().Value.Type() == "int" {
		return errkind.Bad("--"+bad.GetFlag().Name, bad.GetValue(), "a whole number")
	}
	return errkind.Wrap(errkind.Invalid, err, "%v", err)
}

// addCommands adds every command to its group.
func (a *app) addCommands(root *cobra.Command) {
	root.AddCommand(requester.Commands(&a.Console)...)
	root.AddCommand(approver.Commands(&a.Console)...)
	root.AddCommand(identity.Commands(&a.Console)...)
	root.AddCommand(admin.Commands(&a.Console)...)
	root.AddCommand(console.Group(console.Looking, a.doctorCommand(), scan.Command(&a.Console, readConfig))...)
	root.AddCommand(console.Group(console.Running, a.demoCommand(), a.simulateCommand(), roles.Command(&a.Console, readConfig), roles.AccessPolicy(&a.Console), a.serveCommand(), a.sweepCommand(), a.configCommand(), a.completionCommand(), a.versionCommand())...)
	root.AddCommand(exitCodesTopic())
}
