package admin

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/api/rights"
	"github.com/sesame-access/sesame/internal/api/vote"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/cli/console"
	"github.com/sesame-access/sesame/internal/cli/output"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
)

func (a commands) tokenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Who may call the server, and as what",
		Long: `A token says who calls. The first one is made by root on the server's machine,
over its local socket: sudo sesame token create NAME --role admin`,
		Example: `  sudo sesame token create ana --role admin
  sesame token create ci --role requester --vm build-1 --for 720h > ci.token
  sesame token revoke t-0123456789abcdef`,
		RunE: console.ShowHelp,
	}
	cmd.AddCommand(a.tokenCreateCommand(), a.tokenListCommand(), a.tokenRevokeCommand(), a.tokenCodesCommand())
	return cmd
}

func (a commands) tokenCreateCommand() *cobra.Command {
	var n rights.NewToken
	cmd := &cobra.Command{
		Use:   "create NAME --role ROLE",
		Short: "Make a token; it is shown this once",
		Long: `Create makes a token for a person or a program and gives it a role: a viewer
sees, an approver agrees to what others ask for, a requester opens, an admin
rules. Only people approve, so an approver's token says whose it is. The role
lasts as long as the token. A name has one good token at most; to change a role,
revoke the token and make another. The token alone goes to standard output, and
it cannot be shown again.`,
		Example: `  sesame token create ana --role requester
  sesame token create ci --role requester --vm build-1 --for 720h > ci.token`,
		Args: console.Takes(1, 1, "the name of who is to use it, such as ana"),
		RunE: func(cmd *cobra.Command, args []string) error {
			n.Name = args[0]
			if n.Role == "" {
				return errkind.New(errkind.Invalid, `--role is missing; it is "viewer", "approver", "requester" or "admin"`)
			}
			return a.createToken(cmd.Context(), n)
		},
	}
	cmd.Flags().StringVar(&n.Role, "role", "", `"viewer", "approver", "requester" or "admin"`)
	cmd.Flags().StringArrayVar(&n.VMs, "vm", nil, "only for this VM; may be given again")
	cmd.Flags().StringArrayVar(&n.Scope, "scope", nil, `only for this, such as "view" or "request"; may be given again`)
	cmd.Flags().StringVar(&n.Lifetime, "for", "", "how long it is good, such as 720h; until it is revoked if left out")
	cmd.Flags().StringVar(&n.Person, "person", "", `whose it is: "new", or the id of a person who has another name already; only people approve`)
	return cmd
}

func (a commands) createToken(ctx context.Context, n rights.NewToken) error {
	if _, err := firewall.ParseName("name", n.Name); err != nil {
		return err
	}
	if _, err := authz.ParseRole(n.Role); err != nil {
		return errkind.At("--role", err)
	}
	if n.Lifetime != "" {
		if _, err := access.ParseSpan("--for", n.Lifetime, rights.MinLifetime, rights.MaxLifetime); err != nil {
			return err
		}
	}
	for _, vm := range n.VMs {
		if err := console.CheckVM(vm); err != nil {
			return errkind.At("--vm", err)
		}
	}
	c, _, err := a.Client(ctx, authz.Admin)
	if err != nil {
		return err
	}
	a.Stays("a token may have been made; `sesame token list` shows it, `sesame token revoke` ends it")
	t, err := c.CreateToken(ctx, n)
	if err != nil {
		return err
	}
	return a.Show(t, func() error {
		fmt.Fprintf(a.Err, "token %s for %s, %s; it is shown this once:\n", t.Token.ID, t.Token.Principal, console.RoleNames(t.Token.Roles))
		fmt.Fprintln(a.Out, t.Secret)
		return nil
	})
}

func (a commands) tokenListCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "Every token, without its secret",
		Example: "  sesame token list",
		Args:    console.Takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, _, err := a.Client(cmd.Context(), authz.Admin)
			if err != nil {
				return err
			}
			tokens, err := c.Tokens(cmd.Context())
			if err != nil {
				return err
			}
			return a.Show(api.PageOf(tokens, ""), func() error {
				var rows [][]string
				for _, t := range tokens {
					rows = append(rows, []string{t.ID, t.Principal.String(), console.RoleNames(t.Roles), output.Clock(t.Created.Time, console.Now()), tokenState(t, console.Now())})
				}
				return output.WriteTable(a.Out, "There is no token.", []string{"TOKEN", "WHO", "ROLES", "CREATED", "STATE"}, rows)
			})
		},
	}
}

// tokenState says how a token stands.
func tokenState(t rights.Token, now time.Time) string {
	switch {
	case !t.Revoked.IsZero():
		return "revoked " + output.Clock(t.Revoked.Time, now)
	case t.Expires.IsZero():
		return "good"
	case !now.Before(t.Expires.Time):
		return "expired " + output.Clock(t.Expires.Time, now)
	}
	return "until " + output.Clock(t.Expires.Time, now)
}

func (a commands) tokenRevokeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "revoke TOKEN",
		Short: "End a token now",
		Long: `Revoke ends a token by its id, as the list shows it, takes back the roles that
it brought, and closes what was opened with them.`,
		Example: "  sesame token revoke t-0123456789abcdef",
		Args:    console.Takes(1, 1, "the id of a token"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := access.ParseID("token", "t-", args[0]); err != nil {
				return err
			}
			c, _, err := a.Client(cmd.Context(), authz.Admin)
			if err != nil {
				return err
			}
			a.Stays("the token may have been revoked; `sesame token list` shows it")
			if err := c.RevokeToken(cmd.Context(), args[0]); err != nil {
				return err
			}
			return a.Show(struct {
				Revoked string `json:"revoked"`
			}{args[0]}, func() error {
				fmt.Fprintf(a.Out, "token %s is revoked; its roles and grants have ended\n", args[0])
				return nil
			})
		},
	}
}

func (a commands) tokenCodesCommand() *cobra.Command {
	n := vote.NewCodes{Count: 1}
	cmd := &cobra.Command{
		Use:   "codes ISSUER#SUBJECT",
		Short: "Make codes for emergencies; they are shown this once",
		Long: `Codes makes secrets that stand for somebody whom a policy names for emergencies.
Each is good for one emergency, without any other login: print them, and lock
them away. What was not used ends by itself; sesame token revoke ends it before.`,
		Example: `  sesame token codes local#dora --count 5 > codes.txt
  SESAME_TOKEN=CODE sesame open db-1 --break-glass --reason "the login is down"`,
		Args: console.Takes(1, 1, "whose they are, such as local#dora"),
		RunE: func(cmd *cobra.Command, args []string) error {
			n.Principal = args[0]
			if _, _, _, err := n.Parse(); err != nil {
				return err
			}
			c, _, err := a.Client(cmd.Context(), authz.Admin)
			if err != nil {
				return err
			}
			codes, err := c.CreateCodes(cmd.Context(), n)
			if err != nil {
				return err
			}
			return a.Show(codes, func() error {
				for _, code := range codes.Codes {
					fmt.Fprintln(a.Out, code)
				}
				return nil
			})
		},
	}
	cmd.Flags().IntVarP(&n.Count, "count", "n", 1, "how many, 1 to 10")
	cmd.Flags().StringVar(&n.Lifetime, "for", "", "how long they are good, such as 720h")
	return cmd
}
