package roles

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/sesame-access/sesame/internal/cli/console"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/provider/azure/role"
)

// requesterCommand writes the role of people, not of an identity of Sesame's.
func (a commands) requesterCommand() *cobra.Command {
	var file string
	var scopes []string
	cmd := &cobra.Command{
		Use:   "azure-requester",
		Short: "The least role in Azure that lets people ask for access there",
		Long: `Azure-requester writes the definition of a custom role, as "az role definition
create" takes it, that lets people ask Azure's own just-in-time access for
ports, and nothing else: what Microsoft's script Set-JitLeastPrivilegedRole
makes, with the actions that its documentation asks for and the script leaves
out.`,
		Example: `  sesame role azure-requester --scope /subscriptions/00000000-0000-0000-0000-000000000000
  sesame role azure-requester --config sesame.yaml >requester.json && az role definition create --role-definition @requester.json`,
		Args: console.Takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, s := range scopes {
				if !strings.HasPrefix(s, "/") {
					return errkind.Bad("--scope", s, "the id of a subscription or a resource group, such as /subscriptions/00000000-0000-0000-0000-000000000000")
				}
			}
			if len(scopes) == 0 {
				cfg, err := a.read(cmd.Context(), file)
				if err != nil {
					return err
				}
				if scopes, err = scopesOf(cfg.Azure); err != nil {
					return err
				}
			}
			_, err := a.Out.Write(role.RequesterDefinition(scopes...))
			return err
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "the configuration that names what is protected")
	cmd.Flags().StringSliceVar(&scopes, "scope", nil, "where the role can be assigned, instead of what the configuration names")
	return cmd
}
