package roles

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/api/rights"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/cli/console"
	"github.com/sesame-access/sesame/internal/cli/output"
	"github.com/sesame-access/sesame/internal/errkind"
)

func (a commands) listCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "Who has which role where",
		Example: "  sesame role list",
		Args:    console.Takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, _, err := a.Client(cmd.Context(), authz.Admin)
			if err != nil {
				return err
			}
			list, err := c.Roles(cmd.Context())
			if err != nil {
				return err
			}
			return a.Show(api.PageOf(list, ""), func() error {
				var rows [][]string
				for _, x := range list {
					who, note := x.Principal, ""
					if x.Group != "" {
						who = "group " + x.Group
					}
					if x.Eligible {
						note = "eligible only"
					}
					rows = append(rows, []string{who, x.Role, x.Scope, output.Dash(strings.TrimSpace(note + " " + x.Condition))})
				}
				return output.WriteTable(a.Out, "Nobody has a role.", []string{"WHO", "ROLE", "SCOPE", "CONDITION"}, rows)
			})
		},
	}
}

func (a commands) showCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show [ROLE]",
		Short: "What roles let people do here",
		Example: `  sesame role show
  sesame role show requester`,
		Args: console.Takes(0, 1, "at most one role, such as requester"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, _, err := a.Client(cmd.Context(), authz.Admin)
			if err != nil {
				return err
			}
			list, err := c.RoleDefinitions(cmd.Context())
			if err != nil {
				return err
			}
			if len(args) == 0 {
				return a.Show(api.PageOf(list, ""), func() error {
					var rows [][]string
					for _, d := range list {
						rows = append(rows, []string{d.Name, output.Dash(strings.Join(d.Gives, ", ")), d.Description})
					}
					return output.WriteTable(a.Out, "", []string{"ROLE", "GIVES", "DESCRIPTION"}, rows)
				})
			}
			for _, d := range list {
				if d.Name == args[0] {
					return a.Show(d, func() error {
						fmt.Fprintf(a.Out, "%s: %s\ngives: %s\n", d.Name, d.Description, output.Dash(strings.Join(d.Gives, ", ")))
						for _, p := range d.Permissions {
							fmt.Fprintf(a.Out, "actions:\n  %s\n", strings.Join(p.Actions, "\n  "))
							if len(p.NotActions) > 0 {
								fmt.Fprintf(a.Out, "but not:\n  %s\n", strings.Join(p.NotActions, "\n  "))
							}
						}
						return nil
					})
				}
			}
			return errkind.New(errkind.NotFound, "there is no role %s; `sesame role show` lists them", errkind.Quote(args[0]))
		},
	}
}

// assignment registers what names an assignment.
func assignment(cmd *cobra.Command, x *rights.Assignment) {
	cmd.Flags().StringVar(&x.Principal, "principal", "", "who, as ISSUER#SUBJECT, such as local#ana")
	cmd.Flags().StringVar(&x.Group, "group", "", "which group, as ISSUER#GROUP")
	cmd.Flags().StringVar(&x.Scope, "scope", "", "where, such as /, host://web-1 or a subscription; the role holds below it, too")
	cmd.Flags().StringVar(&x.Condition, "condition", "", "a condition of Azure's, version 2.0")
}

func (a commands) assignCommand() *cobra.Command {
	var x rights.Assignment
	cmd := &cobra.Command{
		Use:   "assign ROLE",
		Short: "Give a role to a principal or a group",
		Long: `Assign gives a role at a scope, and everywhere below it: to one principal, or to
everybody in a group. ` + "`sesame role show`" + ` says what each role gives.`,
		Example: `  sesame role assign requester --principal local#ana --scope host://web-1
  sesame role assign approver --group https://idp.example.com#leads --scope /`,
		Args: console.Takes(1, 1, "a role, such as requester"),
		RunE: func(cmd *cobra.Command, args []string) error {
			x.Role = args[0]
			if _, err := x.Domain(); err != nil {
				return err
			}
			c, _, err := a.Client(cmd.Context(), authz.Admin)
			if err != nil {
				return err
			}
			a.Stays("the role may have been given; `sesame role list` shows it")
			given, err := c.AssignRole(cmd.Context(), x)
			if err != nil {
				return err
			}
			return a.Show(given, func() error {
				fmt.Fprintf(a.Out, "%s has the role %s at %s\n", given.Principal+given.Group, given.Role, given.Scope)
				return nil
			})
		},
	}
	assignment(cmd, &x)
	return cmd
}

func (a commands) unassignCommand() *cobra.Command {
	var x rights.Assignment
	cmd := &cobra.Command{
		Use:   "unassign ROLE",
		Short: "Take a role back",
		Long: `Unassign takes back exactly what was assigned, as ` + "`sesame role list`" + ` shows it.
Grants that nothing else gives a right to end at once.`,
		Example: "  sesame role unassign requester --principal local#ana --scope host://web-1",
		Args:    console.Takes(1, 1, "a role, such as requester"),
		RunE: func(cmd *cobra.Command, args []string) error {
			x.Role = args[0]
			if _, err := x.Domain(); err != nil {
				return err
			}
			c, _, err := a.Client(cmd.Context(), authz.Admin)
			if err != nil {
				return err
			}
			a.Stays("the role may have been taken back; `sesame role list` shows it")
			if err := c.UnassignRole(cmd.Context(), x); err != nil {
				return err
			}
			return a.Show(x, func() error {
				fmt.Fprintf(a.Out, "%s has the role %s at %s no more\n", x.Principal+x.Group, x.Role, x.Scope)
				return nil
			})
		},
	}
	assignment(cmd, &x)
	cmd.Flags().BoolVar(&x.Eligible, "eligible", false, "one that is eligible only")
	return cmd
}
