// Package admin holds the commands of people who rule: they need the rights of
// an administrator.
//
// Whatever changes who gets in goes the same way. What was typed is checked here,
// before anything is sent. The server is asked in a dry run what the change comes
// to, and that is shown: who loses access and who gains it, with the rules that
// decide. Then a person at the terminal is asked, unless --yes was said; --dry-run
// ends here; and where nobody is at a terminal one of the two is needed. Only then
// is the change sent, and nothing is called locked before it was read back so.
//
// What cannot be had again, such as a token's secret, goes to standard output
// alone. The audit log is verified here and not by the server that wrote it.
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
		console.Group(console.Looking, a.auditCommand(), a.exportCommand())...,
	)
}
