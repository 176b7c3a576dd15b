// Package requester holds the commands of people who get in and who look: they
// need the rights of a requester, or of a viewer.
//
// A door is named as VM or VM:PORT, or by --port; without a port the VM's one
// just-in-time port is meant, or 22 among several. A grant is named by its id, or
// by its VM, which stands for all of the caller's own that are live there.
//
// Nothing is called open, or closed, before the server has read it back so. Open
// waits for that, and says what is in the way when it does not come. What was
// granted lasts until its deadline whether or not this program goes on: ending it
// leaves the server's work as it is, and says how that can be seen or undone.
// Commands that look change nothing.
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
