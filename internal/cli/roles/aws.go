package roles

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sesame-access/sesame/internal/cli/console"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/aws/role"
)

// An allowance is what one role may do.
type allowance struct {
	Role    role.Role       `json:"role"`
	Purpose string          `json:"purpose"`
	Policy  json.RawMessage `json:"policy"`
}

func (a commands) awsCommand() *cobra.Command {
	installation := ""
	cmd := &cobra.Command{
		Use:   "aws [ROLE]",
		Short: "The IAM policies of the roles in AWS",
		Long: `Aws prints the IAM policy of a role, as IAM takes it. Without a role it lists
them; one identity may have several. What opens and what closes can touch nothing
but groups of Sesame's own, which carry the tag "sesame". With --installation it
is those of one installation alone: the server says its name when it starts.`,
		Example: `  sesame role aws
  sesame role aws reader > reader.json
  sesame role aws opener --installation prod | aws iam create-policy --policy-name sesame-opener --policy-document file:///dev/stdin`,
		Args:      console.Takes(0, 1, "at most one role, such as reader"),
		ValidArgs: names(),
		RunE: func(_ *cobra.Command, args []string) error {
			if installation != "" && !firewall.ValidName(installation) {
				return errkind.Bad("--installation", installation, "the name of an installation, as its server says it")
			}
			all := allowances(installation)
			if len(args) == 0 {
				return a.Show(all, func() error {
					for _, x := range all {
						fmt.Fprintf(a.Out, "%-7s %s\n", x.Role, x.Purpose)
					}
					return nil
				})
			}
			for _, x := range all {
				if string(x.Role) == args[0] {
					return a.Show(x, func() error {
						_, err := a.Out.Write(role.Policy(x.Role, installation))
						return err
					})
				}
			}
			return errkind.Bad("role", args[0], "one of "+strings.Join(names(), ", "))
		},
	}
	cmd.Flags().StringVar(&installation, "installation", "", "the installation whose groups these are; any of them")
	return cmd
}

func names() []string {
	var out []string
	for _, r := range role.All() {
		out = append(out, string(r))
	}
	return out
}

// allowances returns what every role may do, from the least to the most.
func allowances(installation string) []allowance {
	purpose := map[role.Role]string{
		role.Reader: "reads instances, networks and rules; for planning, and for a server that only looks",
		role.Closer: "takes rules out of Sesame's own groups; all that a sweep needs besides reading",
		role.Opener: "adds rules to Sesame's own groups",
		role.Locker: "makes these groups, puts them on, and takes out and gives back foreign rules",
	}
	var out []allowance
	for _, r := range role.All() {
		out = append(out, allowance{Role: r, Purpose: purpose[r], Policy: role.Policy(r, installation)})
	}
	return out
}
