// Package console is what the commands of the command line have in common: where
// they write, which server they speak to, how they read what was typed, how they
// ask for consent, and how they fail.
package console

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/sesame-access/sesame/internal/api/client"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/cli/connect"
	"github.com/sesame-access/sesame/internal/cli/output"
	"github.com/sesame-access/sesame/internal/errkind"
)

// A Console is one run of the program.
type Console struct {
	In       io.Reader
	Out, Err io.Writer
	Machine  connect.Machine

	// Flags and Format are known once the command line was read.
	Flags  connect.Flags
	Format output.Format

	stays string // see Stays
}

// Client returns a client of the server that the command is for. The role is
// the one that the command plays in a demo.
func (c *Console) Client(ctx context.Context, role authz.Role) (*client.Client, connect.Target, error) {
	t, err := connect.Resolve(ctx, c.Flags, c.Machine, role)
	if err != nil {
		return nil, t, err
	}
	cl, err := connect.Client(ctx, t, "sesame/"+Version())
	return cl, t, err
}

// Show writes v as JSON, or calls table to write it for people.
func (c *Console) Show(v any, table func() error) error {
	if c.Format == output.JSON {
		return output.WriteJSON(c.Out, v)
	}
	return table()
}

// Pairs writes names and values below each other.
func (c *Console) Pairs(rows [][]string) error {
	width := 0
	for _, r := range rows {
		width = max(width, utf8.RuneCountInString(r[0]))
	}
	for _, r := range rows {
		if _, err := fmt.Fprintf(c.Out, "%-*s  %s\n", width, r[0], output.Plain(r[1])); err != nil {
			return fmt.Errorf("write: %w", err)
		}
	}
	return nil
}

// Live returns the line that says what is going on, if somebody looks.
func (c *Console) Live() *output.Live { return output.NewLive(c.Err, IsTerminal(c.Err)) }

// IsTerminal reports whether v is a terminal.
func IsTerminal(v any) bool {
	f, ok := v.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Pause waits; it is false when ctx ended first.
func Pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// Now is this moment in the user's zone.
func Now() time.Time { return time.Now() }

// Exact writes an instant to the second, with its zone.
func Exact(t time.Time) string { return t.In(Now().Location()).Format(time.RFC3339) }

// Version is what the build says that this program is.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}

// The headings of the help.
const (
	GettingIn = "use"
	Ruling    = "rule"
	Looking   = "look"
	Running   = "run"
)

// Group puts commands under a heading of the help.
func Group(id string, list ...*cobra.Command) []*cobra.Command {
	for _, c := range list {
		c.GroupID = id
	}
	return list
}

// ShowHelp is what a command does that only has others below it.
func ShowHelp(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return errkind.New(errkind.Invalid, "%s has no command %s", cmd.CommandPath(), errkind.Quote(args[0]))
	}
	return cmd.Help()
}
