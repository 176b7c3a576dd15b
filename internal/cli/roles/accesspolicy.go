package roles

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/api/rights"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/authz/accesspolicy"
	"github.com/sesame-access/sesame/internal/authz/engine"
	"github.com/sesame-access/sesame/internal/cli/console"
	"github.com/sesame-access/sesame/internal/cli/input"
	"github.com/sesame-access/sesame/internal/cli/output"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
)

// AccessPolicy returns the command for access policies.
func AccessPolicy(c *console.Console) *cobra.Command {
	a := commands{c, nil}
	cmd := &cobra.Command{
		Use:   "access-policy",
		Short: "Who may ask, skip approval and approve, under which conditions",
		Long: `An access policy is written in Cedar: it permits or forbids asking for access,
going without approval, and approving, by who, where, when, from where and how
long. A forbid wins over every permit and every role. (A JIT policy, ` + "`sesame policy`" + `,
says what may be asked for at all, whoever asks.)`,
		Example: `  sesame access-policy schema
  sesame access-policy diff nights nights.cedar
  sesame access-policy apply nights nights.cedar`,
		RunE: console.ShowHelp,
	}
	cmd.AddCommand(a.accessListCommand(), a.accessShowCommand(), a.accessPutCommand(true), a.accessPutCommand(false), a.accessDeleteCommand(), a.accessSchemaCommand())
	return cmd
}

func (a commands) accessListCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "Every access policy",
		Example: "  sesame access-policy list",
		Args:    console.Takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, _, err := a.Client(cmd.Context(), authz.Admin)
			if err != nil {
				return err
			}
			list, err := c.AccessPolicies(cmd.Context())
			if err != nil {
				return err
			}
			return a.Show(api.PageOf(list, ""), func() error {
				var rows [][]string
				for _, p := range list {
					rows = append(rows, []string{p.Name, fmt.Sprint(p.Version)})
				}
				return output.WriteTable(a.Out, "There is no access policy; roles alone decide.", []string{"ACCESS POLICY", "VERSION"}, rows)
			})
		},
	}
}

func (a commands) accessShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show NAME",
		Short:   "One access policy, as the file that makes it",
		Example: "  sesame access-policy show nights > nights.cedar",
		Args:    console.Takes(1, 1, "the name of an access policy"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := firewall.ParseName("access policy", args[0]); err != nil {
				return err
			}
			c, _, err := a.Client(cmd.Context(), authz.Admin)
			if err != nil {
				return err
			}
			p, err := c.AccessPolicy(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.Show(p, func() error {
				_, err := fmt.Fprint(a.Out, p.Text)
				return err
			})
		},
	}
}

// accessPutCommand is apply or, without saving anything, diff.
func (a commands) accessPutCommand(dry bool) *cobra.Command {
	var version int64
	cmd := &cobra.Command{
		Use:   "apply NAME FILE",
		Short: "Put an access policy from a file into force",
		Long: `Apply checks a file against the schema and puts it into force at once. Grants
that nobody may have any more end. Who gains or loses what is shown beforehand by
` + "`sesame access-policy diff`" + `.`,
		Example: "  sesame access-policy apply nights nights.cedar",
		Args:    console.Takes(2, 2, "a name, and a file, or - for standard input"),
		RunE: func(cmd *cobra.Command, args []string) error {
			change, err := a.putAccess(cmd.Context(), args[0], args[1], version, dry)
			if err != nil {
				return err
			}
			return a.Show(change, func() error { return a.printAccess(change, dry) })
		},
	}
	if dry {
		cmd.Use, cmd.Short = "diff NAME FILE", "Who would gain or lose what by an access policy"
		cmd.Long = `Diff checks a file against the schema and shows whose possibilities it would
change, for everybody whom roles and access policies name. What depends on
circumstances, such as the hour, counts as possible.`
		cmd.Example = "  sesame access-policy diff nights nights.cedar"
	} else {
		cmd.Flags().Int64Var(&version, "from-version", 0, "the version that the file was made from; refused when another one is in force")
	}
	return cmd
}

func (a commands) putAccess(ctx context.Context, name, file string, version int64, dry bool) (rights.AccessPolicyChange, error) {
	text, err := input.ReadFile(ctx, file)
	if file == "-" {
		text, err = input.ReadAll(ctx, a.In)
	}
	if err != nil {
		return rights.AccessPolicyChange{}, errkind.Wrap(errkind.Invalid, err, "%s cannot be read: %v", file, err)
	}
	reader, err := accesspolicy.NewReader()
	if err != nil {
		return rights.AccessPolicyChange{}, err
	}
	if _, err := reader.Read(accesspolicy.Document{Name: name, Version: version, Text: string(text)}); err != nil {
		return rights.AccessPolicyChange{}, errkind.Wrap(errkind.Invalid, err, "%s: %s", file, errkind.Public(err))
	}
	c, _, err := a.Client(ctx, authz.Admin)
	if err != nil {
		return rights.AccessPolicyChange{}, err
	}
	return c.PutAccessPolicy(ctx, name, rights.NewAccessPolicy{Text: string(text), Version: version}, dry)
}

func (a commands) printAccess(change rights.AccessPolicyChange, dry bool) error {
	for _, d := range change.Diff {
		verb := "loses"
		if d.Gains {
			verb = "gains"
		}
		fmt.Fprintf(a.Out, "%s %s %s on %s\n", d.Who, verb, d.Action, firewall.VMID(d.VM).Name())
	}
	switch {
	case !change.Whole:
		fmt.Fprintln(a.Out, "and perhaps more: there is too much to compare all of it")
	case len(change.Diff) == 0:
		fmt.Fprintln(a.Out, "nobody gains or loses a possibility")
	}
	if !dry {
		fmt.Fprintf(a.Out, "access policy %s is in force, version %d\n", change.Policy.Name, change.Policy.Version)
	}
	return nil
}

func (a commands) accessDeleteCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:     "delete NAME",
		Short:   "Delete an access policy; what it forbade is forbidden no more",
		Example: "  sesame access-policy delete nights --yes",
		Args:    console.Takes(1, 1, "the name of an access policy"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := firewall.ParseName("access policy", args[0]); err != nil {
				return err
			}
			if err := a.Possible(console.Consent{Yes: yes, DryRun: false}); err != nil {
				return err
			}
			c, _, err := a.Client(cmd.Context(), authz.Admin)
			if err != nil {
				return err
			}
			if !yes {
				if err := a.Ask(cmd.Context(), "Delete access policy "+args[0]+"? What it forbids is forbidden no more."); err != nil {
					return err
				}
			}
			a.Stays("access policy %s may have been deleted; `sesame access-policy list` shows it", args[0])
			if err := c.DropAccessPolicy(cmd.Context(), args[0]); err != nil {
				return err
			}
			return a.Show(struct {
				Deleted string `json:"deleted"`
			}{args[0]}, func() error {
				fmt.Fprintf(a.Out, "access policy %s is deleted\n", args[0])
				return nil
			})
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do it without asking")
	return cmd
}

func (a commands) accessSchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "schema",
		Short:   "What an access policy may ask about",
		Example: "  sesame access-policy schema",
		Args:    console.Takes(0, 0, "nothing"),
		RunE: func(*cobra.Command, []string) error {
			return a.Show(struct {
				Schema string `json:"schema"`
			}{engine.Schema()}, func() error {
				_, err := fmt.Fprint(a.Out, engine.Schema())
				return err
			})
		},
	}
}
