package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/sesame-access/sesame/internal/cli/console"
	"github.com/sesame-access/sesame/internal/config"
	"github.com/sesame-access/sesame/internal/daemon"
)

func (a *app) serveCommand() *cobra.Command {
	var file string
	var o override
	var newMarks bool
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the daemon",
		Long: `Serve runs the daemon until it gets SIGINT or SIGTERM: it keeps the firewalls as
the policies and the grants want them, and answers the API. Ports that are open
when it ends close at their time all the same.

At its first start it makes its database, its keys and a certificate authority
in the state directory.`,
		Example: `  sudo sesame serve
  sesame serve --config sesame.yaml --state-dir state --listen 127.0.0.1:9443`,
		Args: console.Takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := readConfig(cmd.Context(), file)
			if err != nil {
				return err
			}
			o.socket = a.Flags.Socket
			if cfg, err = o.over(cfg); err != nil {
				return err
			}
			return a.serve(cmd.Context(), cfg, newMarks)
		},
	}
	f := cmd.Flags()
	f.StringVar(&file, "config", "", "the configuration ("+defaultConfig+")")
	f.StringVar(&o.stateDir, "state-dir", "", "the directory of database, keys and certificates, over the configuration")
	f.BoolVar(&newMarks, "new-marks", false, "make new keys of the marks where they are gone: marks of before cannot be verified any more")
	f.StringArrayVar(&o.listen, "listen", nil, "an address and port to listen on, over the configuration; may be given again")
	return cmd
}

func (a *app) serve(ctx context.Context, cfg config.Config, newMarks bool) error {
	d, err := daemon.New(cfg, daemon.Options{
		Log: newLog(a.Err, cfg.Log), Clocks: nil, Providers: nil, NewMarks: newMarks, Version: console.Version(),
		NotifySocket: a.Machine.Getenv("NOTIFY_SOCKET"),
		Ready: func(r daemon.Running) {
			if r.First != "" {
				fmt.Fprintf(a.Err, firstText, r.First, r.CA)
			}
		},
	})
	if err != nil {
		return err
	}
	if a.Machine.Getenv("GOGC") == "" {
		// What is alive is small: collecting garbage often would cost more time
		// than the memory is worth.
		debug.SetGCPercent(roomForGarbage)
	}
	return d.Run(ctx)
}

// firstText is what the terminal shows at the first start.
const firstText = `
Nobody has a token yet, and nobody has signed in. This link makes whoever opens it
the administrator, once and within the hour:

  %s

Or make the first token on this machine, as root:

  sudo sesame token create NAME --role admin

Clients trust the authority in %s.

`

// roomForGarbage is in percent of what is alive.
const roomForGarbage = 400

// newLog returns the log that the configuration asks for.
func newLog(w io.Writer, cfg config.Log) *slog.Logger {
	level := map[string]slog.Level{
		config.LevelDebug: slog.LevelDebug, config.LevelInfo: slog.LevelInfo,
		config.LevelWarn: slog.LevelWarn, config.LevelError: slog.LevelError,
	}[cfg.Level]
	o := &slog.HandlerOptions{AddSource: false, Level: level, ReplaceAttr: nil}
	if cfg.Format == config.FormatJSON {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}
