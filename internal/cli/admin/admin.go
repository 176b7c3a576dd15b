// Package admin holds the commands of people who rule: they need the rights of
// an administrator.
package admin

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
		console.Group(console.Ruling, a.enableCommand(), a.disableCommand(), a.policyCommand(), a.tokenCommand()),
		console.Group(console.Looking, a.auditCommand())...,
	)
}
