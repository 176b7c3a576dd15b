package requester

import (
	"github.com/spf13/cobra"

	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/cli/console"
)

func (a commands) planCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "plan",
		Short: "What would be written to the firewalls next",
		Long: `Plan reads every firewall anew and shows what Sesame would write to make it show
what it must, and why. When all is as it should be there is nothing. It changes
nothing.`,
		Example: "  sesame plan",
		Args:    console.Takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, _, err := a.Client(cmd.Context(), authz.Requester)
			if err != nil {
				return err
			}
			p, err := c.Plan(cmd.Context())
			if err != nil {
				return err
			}
			return a.Show(p, func() error { return console.PrintPreview(a.Out, p) })
		},
	}
}
