// Package roles holds the commands that say who may do what: which roles people and
// programs have here, the access policies, and what each of Sesame's own identities
// in a cloud has to be allowed, as the cloud's own tool takes it.
package roles

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/sesame-access/sesame/internal/cli/console"
	"github.com/sesame-access/sesame/internal/config"
)

// A ReadConfig reads a configuration file; the usual one if file is empty.
type ReadConfig func(ctx context.Context, file string) (config.Config, error)

// commands are those of this package, on one console.
type commands struct {
	*console.Console

	read ReadConfig
}

// Command returns the command, with one below it for each cloud.
func Command(c *console.Console, read ReadConfig) *cobra.Command {
	a := commands{c, read}
	cmd := &cobra.Command{
		Use:   "role",
		Short: "Who has which role, and what Sesame's identities in a cloud need",
		Long: `List, show, assign and unassign are about people and programs: who may see, ask,
approve and manage here.

Aws and azure write down what each of Sesame's four identities in a cloud has to be
allowed: a reader looks, an opener opens, a closer closes, a locker locks. It is
least privilege as far as the cloud can tell these apart, and says where it
cannot. Azure-requester is for people, who ask Azure itself. These speak to nobody.`,
		RunE: console.ShowHelp,
	}
	cmd.AddCommand(a.listCommand(), a.showCommand(), a.assignCommand(), a.unassignCommand(), a.awsCommand(), a.azureCommand(), a.requesterCommand())
	return cmd
}
