package requester

import (
	"cmp"

	"github.com/spf13/cobra"

	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/cli/console"
)

func (a commands) whoamiCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "whoami",
		Short:   "Who the server takes you for, and where it sees you",
		Example: "  sesame whoami",
		Args:    console.Takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, target, err := a.Client(cmd.Context(), authz.Requester)
			if err != nil {
				return err
			}
			w, err := c.Whoami(cmd.Context())
			if err != nil {
				return err
			}
			return a.Show(w, func() error {
				return a.Pairs([][]string{
					{"you are", w.Principal.String() + " (" + w.Principal.Issuer + ")"},
					{"roles", cmp.Or(console.RoleNames(w.Roles), "none")},
					{"seen from", cmp.Or(w.Address, "the local socket")},
					{"server", target.String() + " (" + target.Source + ")"},
					{"instance", w.Server.Instance + ", version " + w.Server.Version},
				})
			})
		},
	}
}
