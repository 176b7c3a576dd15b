// Package approver holds the commands of people who decide about what others ask
// for: they need the right to approve. Taking back what one asked for oneself is here,
// too.
//
// Whoever approves is shown first what it is, and approves exactly that: the digest of
// what was shown goes with the approval, and the server refuses it for anything else.
package approver

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/access/approval"
	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/api/vote"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/cli/console"
	"github.com/sesame-access/sesame/internal/cli/output"
)

// commands are those of this package, on one console.
type commands struct{ *console.Console }

// Commands returns the commands.
func Commands(c *console.Console) []*cobra.Command {
	a := commands{c}
	return console.Group(console.GettingIn,
		a.approveCommand(),
		a.sayCommand(approval.Deny, "Say no to what somebody asks for", `Deny ends a request that waits for approval. Nobody can approve it any more; it
can be asked for anew.`, authz.Approver),
		a.sayCommand(approval.Cancel, "Take back what you asked for", `Cancel takes back a request of yours that waits for approval. What was granted
is closed with sesame close.`, authz.Requester),
		a.sayCommand(approval.Review, "Note that you have looked at an emergency", `Review notes that somebody other than its requester has looked at an emergency
that broke glass. Until then there is no next one for the same person.`, authz.Approver),
	)
}

func (a commands) approveCommand() *cobra.Command {
	var comment string
	var yes bool
	cmd := &cobra.Command{
		Use:   "approve REQUEST",
		Short: "Agree to what somebody asks for",
		Long: `Approve shows a request that waits for approval and, when you say so, agrees to
exactly that. The last approval that is wanted opens the port, and the time that
was asked for begins. Nobody approves their own request, and only people approve.`,
		Example: `  sesame requests --waiting
  sesame approve r-0123456789abcdef
  sesame approve r-0123456789abcdef --yes --comment "as discussed"`,
		Args: console.Takes(1, 1, "the id of a request, such as r-0123456789abcdef"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.approve(cmd.Context(), args[0], comment, yes) },
	}
	cmd.Flags().StringVar(&comment, "comment", "", "what you want to say about it; it goes into the audit log")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

func (a commands) approve(ctx context.Context, id, comment string, yes bool) error {
	if err := check(id, comment); err != nil {
		return err
	}
	if err := a.Possible(console.Consent{Yes: yes}); err != nil {
		return err
	}
	c, _, err := a.Client(ctx, authz.Approver)
	if err != nil {
		return err
	}
	r, err := c.RequestByID(ctx, id)
	if err != nil {
		return err
	}
	var digest string
	if r.Approval != nil {
		digest = r.Approval.Digest
	}
	if !yes {
		fmt.Fprint(a.Err, text(r))
		if err := a.Ask(ctx, "Approve this?"); err != nil {
			return err
		}
	}
	a.Stays("it may have been approved; `sesame requests %s` shows it", id)
	after, err := c.Approve(ctx, id, vote.Approve{Digest: digest, Comment: comment})
	if err != nil {
		return err
	}
	return a.show(after)
}

func (a commands) sayCommand(choice approval.Choice, short, long string, role authz.Role) *cobra.Command {
	var comment string
	cmd := &cobra.Command{
		Use:     string(choice) + " REQUEST",
		Short:   short,
		Long:    long,
		Example: "  sesame " + string(choice) + ` r-0123456789abcdef --comment "not before the release"`,
		Args:    console.Takes(1, 1, "the id of a request, such as r-0123456789abcdef"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := check(args[0], comment); err != nil {
				return err
			}
			c, _, err := a.Client(cmd.Context(), role)
			if err != nil {
				return err
			}
			a.Stays("it may have been done; `sesame requests %s` shows it", args[0])
			after, err := c.Say(cmd.Context(), args[0], string(choice), vote.Comment{Comment: comment})
			if err != nil {
				return err
			}
			return a.show(after)
		},
	}
	cmd.Flags().StringVar(&comment, "comment", "", "what you want to say about it; it goes into the audit log")
	return cmd
}

func check(id, comment string) error {
	if _, err := access.ParseID("request", access.RequestPrefix, id); err != nil {
		return err
	}
	_, err := access.ParseReason("--comment", comment)
	return err
}

// show says how a request stands now.
func (a commands) show(r api.Request) error {
	return a.Show(r, func() error {
		fmt.Fprintf(a.Out, "%s is %s", r.ID, r.Approval.State)
		if r.Approval.Why != "" {
			fmt.Fprintf(a.Out, ": %s", output.Plain(r.Approval.Why))
		}
		fmt.Fprintln(a.Out)
		for _, g := range r.Grants {
			fmt.Fprintf(a.Out, "%s is %s for %s until %s (%s)\n", g.Door, g.State, strings.Join(g.Sources, ", "), output.Until(g.Deadline.Time, console.Now()), g.ID)
		}
		return nil
	})
}

// text is what somebody approves, for people to read.
func text(r api.Request) string {
	doors := make([]string, len(r.Doors))
	for i, d := range r.Doors {
		doors[i] = d.String()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s asks for %s\n  from     %s\n  for      %s\n", output.Plain(r.Principal.String()), strings.Join(doors, ", "), strings.Join(r.Sources, ", "), r.Duration)
	if !r.Start.IsZero() {
		fmt.Fprintf(&b, "  start    %s\n", console.Exact(r.Start.Time))
	}
	if !r.Until.IsZero() {
		fmt.Fprintf(&b, "  until    %s\n", console.Exact(r.Until.Time))
	}
	fmt.Fprintf(&b, "  reason   %s\n  ticket   %s\n", output.Plain(output.Dash(r.Reason)), output.Plain(output.Dash(r.Ticket)))
	if r.Approval != nil {
		fmt.Fprintf(&b, "  state    %s, %s\n", r.Approval.State, output.Plain(r.Approval.Why))
	}
	return b.String()
}
