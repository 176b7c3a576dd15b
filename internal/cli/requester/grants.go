package requester

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/api/client"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/cli/console"
	"github.com/sesame-access/sesame/internal/cli/output"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
)

func (a commands) closeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "close GRANT|VM[:PORT]...",
		Short: "Close what is open, now",
		Long: `Close ends grants before their time and waits until the ports were read back
closed. A VM stands for all of your own grants there. Connections that are
established stay, unless the policy says that they are cut.`,
		Example: `  sesame close g-0123456789abcdef
  sesame close web-1`,
		Args: console.Takes(1, access.MaxDoors, "the id of a grant, or a VM"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.eachGrant(cmd.Context(), args, func(ctx context.Context, c *client.Client, id string) (api.Grant, error) {
				a.Stays("Sesame goes on closing what it was asked to; `sesame requests` shows how it stands")
				return c.Close(ctx, id)
			})
		},
	}
}

func (a commands) extendCommand() *cobra.Command {
	var duration string
	cmd := &cobra.Command{
		Use:   "extend GRANT|VM[:PORT] --for TIME",
		Short: "Keep a port open for longer",
		Long: `Extend moves the end of a grant of yours to a time from now. It is decided
anew: in all, the grant lasts no longer than the policy lets one last.`,
		Example: `  sesame extend web-1 --for 1h
  sesame extend g-0123456789abcdef --for 30m`,
		Args: console.Takes(1, 1, "the id of a grant, or a VM"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if duration == "" {
				return errkind.New(errkind.Invalid, "--for is missing; say how long from now, such as --for 1h")
			}
			if _, err := access.ParseDuration("--for", duration); err != nil {
				return err
			}
			return a.eachGrant(cmd.Context(), args, func(ctx context.Context, c *client.Client, id string) (api.Grant, error) {
				a.Stays("the grant may have been extended; `sesame requests` shows it")
				g, err := c.Extend(ctx, id, api.Extend{Duration: duration})
				if errkind.Of(err) == errkind.Denied {
					err = console.Hint(err, "--for counts from now, the limit of a policy from the start of the grant")
				}
				return g, err
			})
		},
	}
	cmd.Flags().StringVar(&duration, "for", "", "how long from now, such as 1h")
	return cmd
}

// eachGrant does something to every grant that args name, and shows what came
// of it.
func (a commands) eachGrant(ctx context.Context, args []string, do func(context.Context, *client.Client, string) (api.Grant, error)) error {
	for _, arg := range args {
		if _, err := access.ParseID("grant", access.GrantPrefix, arg); err == nil {
			continue
		}
		vm, port := console.SplitDoor(arg)
		slip := strings.HasPrefix(vm, access.GrantPrefix) && !firewall.ValidName(vm) // of somebody who typed a grant
		if console.CheckVM(vm) != nil || slip {
			return errkind.Bad("grant", arg, "the id of a grant such as g-0123456789abcdef, or a VM such as web-1")
		}
		if _, err := console.ParsePorts(port); err != nil {
			return err
		}
	}
	c, _, err := a.Client(ctx, authz.Requester)
	if err != nil {
		return err
	}
	var ids []string
	for _, arg := range args {
		found, err := grantsOf(ctx, c, arg)
		if err != nil {
			return err
		}
		ids = append(ids, found...)
	}
	live := a.Live()
	defer live.Clear()
	var grants []api.Grant
	for _, id := range slices.Compact(ids) {
		live.Show(id + " …")
		g, err := do(ctx, c, id)
		if err != nil {
			return err
		}
		grants = append(grants, g)
	}
	live.Clear()
	return a.Show(api.PageOf(grants, ""), func() error {
		for _, g := range grants {
			fmt.Fprintln(a.Out, stands(g))
		}
		return nil
	})
}

// stands says in a sentence how g stands.
func stands(g api.Grant) string {
	switch access.State(g.State) {
	case access.Closed:
		return fmt.Sprintf("%s is closed, read back at %s (%s)", g.Door, output.Clock(g.Closed.Time, console.Now()), g.ID)
	case access.Closing, access.Overdue:
		return fmt.Sprintf("%s is %s: not read back closed yet, still trying (%s)", g.Door, g.State, g.ID)
	case access.Scheduled, access.Opening, access.Open:
	}
	text := fmt.Sprintf("%s is %s for %s until %s (%s)", g.Door, g.State, strings.Join(g.Sources, ", "), output.Until(g.Deadline.Time, console.Now()), g.ID)
	if g.Pending != "" {
		text += ", but " + output.Plain(g.Pending)
	}
	return text
}

// grantsOf returns the ids that arg stands for: itself, or those of the caller's
// grants at a VM that are not over.
func grantsOf(ctx context.Context, c *client.Client, arg string) ([]string, error) {
	if strings.HasPrefix(arg, access.GrantPrefix) && !strings.Contains(arg, ":") {
		if _, err := access.ParseID("grant", access.GrantPrefix, arg); err == nil {
			return []string{arg}, nil
		}
	}
	vm, port := console.SplitDoor(arg)
	ports, err := console.ParsePorts(port)
	if err != nil {
		return nil, err
	}
	who, err := c.Whoami(ctx)
	if err != nil {
		return nil, err
	}
	page, err := c.Grants(ctx, client.List{VM: vm, State: "pending", Limit: 1000})
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, g := range page.Items {
		here := len(ports) == 0 || slices.Contains(ports, api.Port{Port: g.Door.Port, Protocol: g.Door.Protocol})
		state := access.State(g.State)
		live := state == access.Scheduled || state == access.Opening || state == access.Open
		if here && live && g.Principal.Domain().Is(who.Principal.Domain()) {
			ids = append(ids, g.ID)
		}
	}
	if len(ids) == 0 {
		return nil, console.Hint(errkind.New(errkind.NotFound, "%s has no grant at %s", who.Principal, arg), "`sesame requests` lists what is open")
	}
	return ids, nil
}
