package roles

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/cli/console"
	"github.com/sesame-access/sesame/internal/cli/output"
	"github.com/sesame-access/sesame/internal/config"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/provider/azure/role"
)

func (a commands) azureCommand() *cobra.Command {
	var file string
	var names []string
	for _, r := range role.All() {
		names = append(names, string(r))
	}
	cmd := &cobra.Command{
		Use:   "azure [ROLE]",
		Short: "The custom roles that Sesame needs in Azure",
		Long: `Azure writes the definition of a custom role, as "az role definition create"
takes it, for the subscriptions and the management group that the configuration
names. Without ROLE it lists the four, with what Azure cannot keep each from:
whoever may write a security rule may write every one.`,
		Example: `  sesame role azure
  sesame role azure opener --config sesame.yaml >opener.json && az role definition create --role-definition @opener.json`,
		Args:      console.Takes(0, 1, "nothing, or a role: "+strings.Join(names, ", ")),
		ValidArgs: names,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && !slices.Contains(names, args[0]) {
				return errkind.Bad("ROLE", args[0], `"`+strings.Join(names, `" or "`)+`"`)
			}
			cfg, err := a.read(cmd.Context(), file)
			if err != nil {
				return err
			}
			if len(args) == 0 && a.Format == output.Table {
				return a.printAzure(cfg.Azure)
			}
			scopes, err := scopesOf(cfg.Azure)
			if err != nil {
				return err
			}
			use := useOf(cfg.Azure)
			if len(args) == 1 {
				_, err := a.Out.Write(role.Definition(role.Role(args[0]), use, scopes...))
				return err
			}
			var all []json.RawMessage
			for _, r := range role.All() {
				all = append(all, role.Definition(r, use, scopes...))
			}
			return output.WriteJSON(a.Out, api.PageOf(all, ""))
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "the configuration that names what is protected")
	return cmd
}

// useOf returns what the configuration wants of the identities.
func useOf(cfg config.Azure) role.Use {
	return role.Use{Groups: len(cfg.ManagementGroups) > 0, OwnGroups: cfg.OwnGroups}
}

// scopesOf returns where the roles are to be assigned.
func scopesOf(cfg config.Azure) ([]string, error) {
	if !cfg.Any() {
		return nil, console.Hint(errkind.New(errkind.Invalid, "the configuration names nothing of Azure, so there is no scope for a role"),
			"write `azure: {subscriptions: [ID]}` into a file, and name it with --config")
	}
	if n := len(cfg.ManagementGroups); n > 1 {
		return nil, console.Hint(errkind.New(errkind.Invalid, "the configuration names %d management groups, and Azure takes one for a custom role", n),
			"name one above them, or let a configuration with each of them alone make the roles")
	}
	var out []string
	for _, id := range cfg.Subscriptions {
		out = append(out, "/subscriptions/"+id)
	}
	for _, name := range cfg.ManagementGroups {
		out = append(out, "/providers/Microsoft.Management/managementGroups/"+name)
	}
	return out, nil
}

// printAzure lists the roles for people.
func (a commands) printAzure(cfg config.Azure) error {
	for i, r := range role.All() {
		if i > 0 {
			fmt.Fprintln(a.Out)
		}
		fmt.Fprintf(a.Out, "%s: %s\n", r, r.Duty())
		if x := r.Excess(); x != "" {
			fmt.Fprintf(a.Out, "  Azure cannot tell apart: it %s\n", x)
		}
		for _, action := range role.Actions(r, useOf(cfg)) {
			fmt.Fprintf(a.Out, "  %s\n", action)
		}
	}
	return nil
}
