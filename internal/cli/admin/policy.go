package admin

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/cli/console"
	"github.com/sesame-access/sesame/internal/cli/input"
	"github.com/sesame-access/sesame/internal/cli/output"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/policy"
)

func (a commands) policyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Which ports are just-in-time, from where, and for how long",
		Long: `A policy says which ports of which VMs are just-in-time, from which sources they
may be asked for, and for how long at most. To change one, write it to a file,
edit that, and apply it.`,
		Example: `  sesame policy list
  sesame policy show web-1 > web-1.yaml
  sesame policy apply web-1.yaml`,
		RunE: console.ShowHelp,
	}
	cmd.AddCommand(a.policyListCommand(), a.policyShowCommand(), a.policyApplyCommand(), a.policyDeleteCommand())
	return cmd
}

func (a commands) policyListCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "Every policy",
		Example: "  sesame policy list",
		Args:    console.Takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, _, err := a.Client(cmd.Context(), authz.Admin)
			if err != nil {
				return err
			}
			policies, err := c.Policies(cmd.Context())
			if err != nil {
				return err
			}
			return a.Show(api.PageOf(policies, ""), func() error { return a.printPolicies(policies) })
		},
	}
}

func (a commands) printPolicies(policies []api.SavedPolicy) error {
	var rows [][]string
	for _, p := range policies {
		ports, vms := make([]string, len(p.Policy.Ports)), make([]string, len(p.Policy.VMs))
		for i, x := range p.Policy.Ports {
			ports[i] = console.PortName(api.Port{Port: x.Port, Protocol: x.Protocol}) + " max " + x.Max
		}
		for i, vm := range p.Policy.VMs {
			vms[i] = firewall.VMID(vm).Name()
		}
		what := strings.Join(ports, ", ")
		if p.Damaged != "" {
			what = "DAMAGED: " + p.Damaged
		}
		rows = append(rows, []string{p.Policy.Name, fmt.Sprint(p.Version), strings.Join(vms, " "), what, output.Dash(strings.Join(p.Policy.Exempt, " "))})
	}
	return output.WriteTable(a.Out, "There is no policy; `sesame enable VM` makes one.", []string{"POLICY", "VERSION", "VMS", "PORTS", "EXEMPT"}, rows)
}

func (a commands) policyShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show NAME",
		Short:   "One policy, as the file that makes it",
		Example: "  sesame policy show web-1 > web-1.yaml",
		Args:    console.Takes(1, 1, "the name of a policy"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := firewall.ParseName("policy", args[0]); err != nil {
				return err
			}
			c, _, err := a.Client(cmd.Context(), authz.Admin)
			if err != nil {
				return err
			}
			saved, err := c.Policy(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.Show(saved, func() error {
				p, err := saved.Policy.Domain()
				if err != nil {
					return err
				}
				if n := saved.Hidden; n > 0 {
					fmt.Fprintf(a.Out, "# and %s that you may not view, so that you cannot change it\n", output.Count(n, "VM"))
				}
				fmt.Fprintf(a.Out, "%s", policy.Format(p))
				return nil
			})
		},
	}
}

func (a commands) policyApplyCommand() *cobra.Command {
	var how terms
	cmd := &cobra.Command{
		Use:   "apply FILE",
		Short: "Put a policy from a file into force",
		Long: `Apply reads a policy from a file, or from standard input when FILE is -, shows
what it would change, and asks for your consent. A file with a version, as
` + "`sesame policy show`" + ` prints it, is refused when another one is in force by now.
Ports that an earlier version had and this one has not lose their grants, and
stay locked until somebody disables them.`,
		Example: `  sesame policy apply web-1.yaml --dry-run
  sesame policy apply web-1.yaml --yes`,
		Args: console.Takes(1, 1, "a file, or - for standard input"),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := a.readDocument(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			p, err := policy.Parse(text)
			if err != nil {
				return errkind.Wrap(errkind.Invalid, err, "%s: %s", args[0], errkind.Public(err))
			}
			c, _, err := a.Client(cmd.Context(), authz.Admin)
			if err != nil {
				return err
			}
			return a.putPolicy(cmd.Context(), c, p, how)
		},
	}
	cmd.Flags().BoolVar(&how.losses, "accept-losses", false, "agree to what is lost with the locks beyond their ports, as shown")
	how.Register(cmd.Flags())
	return cmd
}

// readDocument reads a file, or standard input for "-".
func (a commands) readDocument(ctx context.Context, file string) ([]byte, error) {
	if file == "-" {
		text, err := input.ReadAll(ctx, a.In)
		if err != nil {
			return nil, errkind.Wrap(errkind.Invalid, err, "standard input cannot be read: %v", err)
		}
		return text, nil
	}
	text, err := input.ReadFile(ctx, file)
	if err != nil {
		return nil, errkind.Wrap(errkind.Invalid, err, "the file cannot be read: %v", err)
	}
	return text, nil
}

func (a commands) policyDeleteCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "delete NAME",
		Short: "Delete a policy; its locks stay",
		Long: `Delete ends the grants of a policy, and nobody can ask for its ports any more.
The ports stay locked: ` + "`sesame disable`" + ` gives them back.`,
		Example: "  sesame policy delete web-1 --yes",
		Args:    console.Takes(1, 1, "the name of a policy"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := firewall.ParseName("policy", args[0]); err != nil {
				return err
			}
			how := console.Consent{Yes: yes, DryRun: false}
			if err := a.Possible(how); err != nil {
				return err
			}
			c, _, err := a.Client(cmd.Context(), authz.Admin)
			if err != nil {
				return err
			}
			if !yes {
				if err := a.Ask(cmd.Context(), "End the grants of policy "+args[0]+" and delete it? Its ports stay locked."); err != nil {
					return err
				}
			}
			a.Stays("policy %s may have been deleted; `sesame policy list` shows it", args[0])
			if err := c.DropPolicy(cmd.Context(), args[0]); err != nil {
				return err
			}
			return a.Show(struct {
				Deleted string `json:"deleted"`
			}{args[0]}, func() error {
				fmt.Fprintf(a.Out, "policy %s is deleted; its ports stay locked\n", args[0])
				return nil
			})
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do it without asking")
	return cmd
}
