// Package requester holds the commands of people who get in and who look: they
// need the rights of a requester, or of a viewer.
package requester

import (
	"github.com/spf13/cobra"

	"github.com/sesame-access/sesame/internal/cli/console"
)

// commands are those of this package, on one console.
type commands struct{ *console.Console }

// Commands returns the commands.
func Commands(c *console.Console) []*cobra.Command {
	a := commands{c}
	return append(
		console.Group(console.GettingIn, a.vmsCommand(), a.openCommand(), a.extendCommand(), a.closeCommand(), a.requestsCommand(), a.whoamiCommand()),
		console.Group(console.Looking, a.planCommand(), a.explainCommand(), a.activityCommand())...,
	)
}
