package admin

import (
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/cli/console"
)

func (a commands) exportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write down what other tools have to know",
		RunE:  console.ShowHelp,
	}
	cmd.AddCommand(a.exportTerraformCommand())
	return cmd
}

func (a commands) exportTerraformCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "terraform VM|GROUP",
		Short: "What Terraform has to know to live beside Sesame",
		Long: `Terraform takes what Sesame writes for drift, and undoes it with its next apply;
Sesame notices and does it again. This prints what ends that, for a VM or for one
security group or network security group: what code has to ignore, and the rules
of others in the group, each as a resource of its own with the import that makes
it Terraform's. Nothing of Sesame's own is in it, and rules that a lock has taken
out are named in comments only.

The firewalls are read anew, and nothing is changed. Merge what it prints into
the code that you have, look at ` + "`terraform plan`" + `, and apply.`,
		Example: `  sesame export terraform web-1 > sesame.tf
  sesame export terraform sg-0123456789abcdef0
  sesame export terraform /subscriptions/…/networkSecurityGroups/web-1-nsg -o json`,
		Args: console.Takes(1, 1, "one VM, such as web-1, or the id of one group"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, _, err := a.Client(cmd.Context(), authz.Admin)
			if err != nil {
				return err
			}
			t, err := c.ExportTerraform(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.Show(t, func() error {
				texts := make([]string, len(t.Snippets))
				for i, s := range t.Snippets {
					texts[i] = s.HCL
				}
				_, err := io.WriteString(a.Out, strings.Join(texts, "\n"))
				return err
			})
		},
	}
}
