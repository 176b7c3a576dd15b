package requester

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/api/client"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/cli/console"
	"github.com/sesame-access/sesame/internal/cli/output"
	"github.com/sesame-access/sesame/internal/errkind"
)

func (a commands) activityCommand() *cobra.Command {
	var f client.Filter
	var follow bool
	var since string
	cmd := &cobra.Command{
		Use:   "activity",
		Short: "What happened, and what is going on",
		Long: `Activity is the audit log as people read it, the latest last. With -f it goes on
with whatever happens next, until Ctrl-C; the connection may break off meanwhile.`,
		Example: `  sesame activity -n 20
  sesame activity --vm web-1 --kind grant.opened --kind grant.closed
  sesame activity --since 2h
  sesame activity -f -o json`,
		Args: console.Takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.Principal != "" {
				if err := console.CheckWho("--who", f.Principal); err != nil {
					return err
				}
			}
			if err := console.CheckLimit(f.Limit); err != nil {
				return err
			}
			if f.VM != "" {
				if err := console.CheckVM(f.VM); err != nil {
					return errkind.At("--vm", err)
				}
			}
			if err := checkText(f.Text); err != nil {
				return err
			}
			if since != "" {
				var err error
				if f.Since, err = parseSince(since, console.Now()); err != nil {
					return err
				}
			}
			return a.activity(cmd.Context(), f, follow)
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&follow, "follow", "f", false, "go on with what happens next")
	flags.IntVarP(&f.Limit, "limit", "n", 50, "how many records at most, 1 to 1000")
	flags.StringVar(&f.VM, "vm", "", "only about this VM")
	flags.StringVar(&f.Principal, "who", "", "only of or about this principal")
	flags.StringArrayVar(&f.Kinds, "kind", nil, "only of this kind, such as grant.opened; may be given again")
	flags.StringVar(&f.Grant, "grant", "", "only about the grant with this id")
	flags.StringVar(&f.Text, "text", "", "only what has this text in it")
	flags.StringVar(&since, "since", "", "only from then on: an instant, or how long ago, such as 2h")
	return cmd
}

// checkText refuses what cannot be looked for.
func checkText(s string) error {
	if len(s) > api.MaxParam || !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
		return errkind.Bad("--text", s, fmt.Sprintf("text of at most %d bytes", api.MaxParam))
	}
	return nil
}

// parseSince reads an instant, or how long ago it was.
func parseSince(s string, now time.Time) (time.Time, error) {
	const longest = 10 * 366 * 24 * time.Hour
	if ago, err := access.ParseSpan("--since", s, time.Second, longest); err == nil {
		return now.Add(-ago), nil
	}
	t, err := access.ParseTime("--since", s, now)
	if err != nil {
		return t, errkind.Bad("--since", s, "an instant such as 2030-01-31T14:00:00Z, or how long ago, such as 2h or 30m")
	}
	return t, nil
}

func (a commands) activity(ctx context.Context, f client.Filter, follow bool) error {
	c, _, err := a.Client(ctx, authz.Viewer)
	if err != nil {
		return err
	}
	page, err := c.Activity(ctx, f)
	if err != nil {
		return err
	}
	slices.Reverse(page.Items)
	if !follow {
		return a.Show(page, func() error {
			if len(page.Items) == 0 {
				fmt.Fprintln(a.Out, "Nothing has happened that you may see.")
			}
			for _, r := range page.Items {
				a.printRecord(r)
			}
			return nil
		})
	}
	after := int64(-1)
	each := func(r api.Record) {
		after = r.Index
		if a.Format == output.JSON {
			_ = output.WriteJSONLine(a.Out, r) // who does not listen any more ends the command
			return
		}
		a.printRecord(r)
	}
	for _, r := range page.Items {
		each(r)
	}
	f.Limit = 0 // a stream has no end
	if err := c.Follow(ctx, f, after, each); err != nil {
		return err
	}
	return errors.Join(console.ErrInterrupted, console.ErrSaid) // it has no other end, and left nothing undone
}

// printRecord writes one record on one line.
func (a commands) printRecord(r api.Record) {
	fmt.Fprintln(a.Out, output.RecordLine(r, console.Now()))
}
