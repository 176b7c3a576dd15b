package requester

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/access/approval"
	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/api/client"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/cli/console"
	"github.com/sesame-access/sesame/internal/cli/output"
	"github.com/sesame-access/sesame/internal/errkind"
)

func (a commands) requestsCommand() *cobra.Command {
	var l client.List
	var all, waiting bool
	cmd := &cobra.Command{
		Use:     "requests [ID]",
		Aliases: []string{"grants"},
		Short:   "Who asked for what, and how it stands",
		Long: `Requests lists the grants that are not closed yet, newest first; with --all the
requests, with what became of them, denied ones too. With the id of a request
or a grant it shows that one with everything that led to the decision.`,
		Example: `  sesame requests
  sesame requests --waiting
  sesame requests --all --vm web-1
  sesame requests r-0123456789abcdef`,
		Args: console.Takes(0, 1, "nothing, or the id of a request or a grant"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if l.VM != "" {
				if err := console.CheckVM(l.VM); err != nil {
					return errkind.At("--vm", err)
				}
			}
			if l.Principal != "" {
				if err := console.CheckWho("--who", l.Principal); err != nil {
					return err
				}
			}
			if err := console.CheckLimit(l.Limit); err != nil {
				return err
			}
			switch {
			case len(args) == 1:
				return a.request(cmd.Context(), args[0])
			case waiting:
				l.State = "waiting"
				return a.allRequests(cmd.Context(), l)
			case all:
				return a.allRequests(cmd.Context(), l)
			}
			l.State = "pending"
			return a.pendingGrants(cmd.Context(), l)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&all, "all", "a", false, "also what is closed or was denied")
	f.BoolVarP(&waiting, "waiting", "w", false, "those that others have to agree to")
	f.StringVar(&l.VM, "vm", "", "only at this VM")
	f.StringVar(&l.Principal, "who", "", "only of this principal")
	f.IntVarP(&l.Limit, "limit", "n", 100, "how many at most, 1 to 1000")
	return cmd
}

// pendingGrants lists what is open, about to be, or still closing.
func (a commands) pendingGrants(ctx context.Context, l client.List) error {
	c, _, err := a.Client(ctx, authz.Requester)
	if err != nil {
		return err
	}
	page, err := c.Grants(ctx, l)
	if err != nil {
		return err
	}
	return a.Show(page, func() error {
		var rows [][]string
		for _, g := range page.Items {
			rows = append(rows, grantRow(g))
		}
		return output.WriteTable(a.Out, "Nothing is open, and nobody is waiting.", grantHeads(), rows)
	})
}

func grantHeads() []string {
	return []string{"GRANT", "STATE", "DOOR", "FOR", "WHO", "ENDS", "REASON"}
}

func grantRow(g api.Grant) []string {
	state := g.State
	if g.Pending != "" {
		state += ": " + g.Pending
	}
	return []string{
		g.ID, state, g.Door.String(), strings.Join(g.Sources, " "), g.Principal.String(),
		output.Until(g.Deadline.Time, console.Now()), output.Dash(g.Reason),
	}
}

// allRequests lists everything that was asked for.
func (a commands) allRequests(ctx context.Context, l client.List) error {
	c, _, err := a.Client(ctx, authz.Requester)
	if err != nil {
		return err
	}
	page, err := c.Requests(ctx, l)
	if err != nil {
		return err
	}
	return a.Show(page, func() error {
		var rows [][]string
		for _, r := range page.Items {
			rows = append(rows, []string{
				r.ID, outcome(r), doorNames(r.Doors), strings.Join(r.Sources, " "), r.Principal.String(),
				output.Clock(r.Asked.Time, console.Now()), r.Duration, output.Dash(r.Reason),
			})
		}
		heads := []string{"REQUEST", "STATE", "DOORS", "FOR", "WHO", "ASKED", "TIME", "REASON"}
		return output.WriteTable(a.Out, none(l), heads, rows)
	})
}

// none says that there is nothing to list.
func none(l client.List) string {
	if l.State != "" {
		return "Nothing waits for approval."
	}
	return "Nobody has asked for anything yet."
}

// outcome says what became of r: "denied", or the states of its grants.
func outcome(r api.Request) string {
	if !r.Decision.Allow {
		return "denied"
	}
	if a := r.Approval; a != nil && a.State != string(approval.Approved) {
		return cmp.Or(a.State+": "+a.Why, a.State)
	}
	var states []string
	for _, g := range r.Grants {
		states = append(states, g.State)
	}
	return cmp.Or(strings.Join(states, " "), "granted")
}

func doorNames(doors []api.Door) string {
	names := make([]string, len(doors))
	for i, d := range doors {
		names[i] = d.String()
	}
	return strings.Join(names, " ")
}

// request shows one request, or the one of a grant.
func (a commands) request(ctx context.Context, id string) error {
	_, notGrant := access.ParseID("id", access.GrantPrefix, id)
	_, notRequest := access.ParseID("id", access.RequestPrefix, id)
	if notGrant != nil && notRequest != nil {
		return errkind.Bad("id", id, "the id of a request or a grant, such as r-0123456789abcdef")
	}
	c, _, err := a.Client(ctx, authz.Requester)
	if err != nil {
		return err
	}
	if notGrant == nil {
		g, err := c.Grant(ctx, id)
		if err != nil {
			return err
		}
		id = g.Request
	}
	r, err := c.RequestByID(ctx, id)
	if err != nil {
		return err
	}
	return a.Show(r, func() error { return a.printRequest(r) })
}

func (a commands) printRequest(r api.Request) error {
	rows := [][]string{
		{"request", r.ID},
		{"who", r.Principal.String() + ", " + cmp.Or(r.Caller, "over the local socket")},
		{"doors", doorNames(r.Doors)},
		{"for", strings.Join(r.Sources, " ")},
		{"asked", console.Exact(r.Asked.Time)},
		{"time", r.Duration},
		{"reason", output.Dash(r.Reason)},
		{"state", outcome(r)},
	}
	if r.Ticket != "" {
		rows = append(rows, []string{"ticket", r.Ticket})
	}
	if a := r.Approval; a != nil && a.Digest != "" {
		rows = append(rows, []string{"lapses", console.Exact(a.Lapses.Time)}, []string{"digest", a.Digest})
	}
	if a := r.Approval; a != nil {
		for _, v := range a.Votes {
			rows = append(rows, []string{v.Choice, strings.TrimSpace(fmt.Sprintf("%s %s %s", v.By, v.Stage, v.Comment))})
		}
	}
	for _, why := range r.Decision.By {
		rows = append(rows, []string{"allowed by", why})
	}
	for _, why := range r.Decision.Not {
		rows = append(rows, []string{"not by", why})
	}
	for _, g := range r.Grants {
		rows = append(rows, []string{"grant", stands(g)})
		if g.Pending != "" {
			rows = append(rows, []string{"", "not open yet: " + g.Pending})
		}
	}
	return a.Pairs(rows)
}
