package cli

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sesame-access/sesame/internal/api/client"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/cli/console"
	"github.com/sesame-access/sesame/internal/cli/output"
	"github.com/sesame-access/sesame/internal/errkind"
)

func (a *app) completionCommand() *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Have your shell complete what you type",
		Long: `Completion writes a script that teaches a shell to complete sesame's commands,
flags and their values. The names of VMs and policies come from the server, as
far as you may see them; where none answers, nothing is offered.

The shells are bash, zsh, fish and powershell.`,
		Example: `  sesame completion bash > /etc/bash_completion.d/sesame
  sesame completion zsh > "${fpath[1]}/_sesame"
  sesame completion fish > ~/.config/fish/completions/sesame.fish`,
		Args:      console.Takes(1, 1, "a shell: "+strings.Join(shells, ", ")),
		ValidArgs: shells,
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(a.Out, true)
			case "zsh":
				return root.GenZshCompletion(a.Out)
			case "fish":
				return root.GenFishCompletion(a.Out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(a.Out)
			}
			return errkind.Bad("SHELL", args[0], `"bash", "zsh", "fish" or "powershell"`)
		},
	}
}

// complete teaches c and all commands below it what can stand where: behind a
// flag by the flag's name, elsewhere by the word in the command's usage line.
// What has no rule is free text, for which nothing is offered.
func (a *app) complete(c *cobra.Command) {
	flag := func(f *pflag.Flag) {
		if offer := a.behind(f.Name); offer != nil {
			if err := c.RegisterFlagCompletionFunc(f.Name, offer); err != nil {
				panic(err) // each flag is met once, at the command that it is of
			}
		}
	}
	c.Flags().VisitAll(flag) // of the root also those that every command has
	if c.ValidArgs == nil {
		c.ValidArgsFunction = a.argument
	}
	for _, sub := range c.Commands() {
		a.complete(sub)
	}
}

// behind returns what offers values of a flag; nil where its text is free.
func (a *app) behind(flag string) cobra.CompletionFunc {
	switch flag {
	case "vm":
		return a.vms
	case "role", "as":
		return cobra.FixedCompletions(names(authz.Roles()), cobra.ShellCompDirectiveNoFileComp)
	case "kind":
		return cobra.FixedCompletions(names(audit.Kinds()), cobra.ShellCompDirectiveNoFileComp)
	case "output":
		return cobra.FixedCompletions(names([]output.Format{output.Table, output.JSON}), cobra.ShellCompDirectiveNoFileComp)
	case "ca", "token-file", "socket", "config", "env-file", "earlier":
		return cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault)
	case "state-dir":
		return cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs)
	}
	return nil
}

func names[S ~string](list []S) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = string(s)
	}
	return out
}

// argument offers what can stand as the next argument of a command.
func (a *app) argument(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	switch word := wordAt(cmd.Use, len(args)); {
	case strings.Contains(word, "VM"):
		return a.vms(cmd, args, begun)
	case strings.Contains(word, "FILE"):
		return nil, cobra.ShellCompDirectiveDefault
	case word == "NAME" && cmd.Parent().Name() == "policy":
		return a.policies(cmd, args, begun)
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}

// wordAt returns the word of a usage line that stands for argument number n;
// empty where there can be none.
func wordAt(use string, n int) string {
	words := strings.Fields(use)[1:]
	for i, w := range words {
		switch {
		case strings.HasPrefix(w, "-"):
			return ""
		case i == n || strings.HasSuffix(w, "..."):
			return w
		}
	}
	return ""
}

// vms offers the VMs that the caller may see.
func (a *app) vms(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	return a.fromServer(cmd, authz.Requester, begun, func(ctx context.Context, c *client.Client) (found []string, err error) {
		vms, err := c.VMs(ctx)
		named := map[string]int{}
		for _, vm := range vms {
			named[vm.Name]++
		}
		for _, vm := range vms {
			if named[vm.Name] == 1 {
				found = append(found, vm.Name)
			} else {
				found = append(found, vm.ID) // a name that several have means none of them
			}
		}
		return found, err
	})
}

// policies offers the policies that the caller may see.
func (a *app) policies(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	return a.fromServer(cmd, authz.Admin, begun, func(ctx context.Context, c *client.Client) (found []string, err error) {
		policies, err := c.Policies(ctx)
		for _, p := range policies {
			found = append(found, p.Policy.Name)
		}
		return found, err
	})
}

// fromServer offers what the server knows. Somebody is in the middle of a line,
// so there is little time, and whatever goes wrong offers nothing.
func (a *app) fromServer(cmd *cobra.Command, role authz.Role, begun string, ask func(context.Context, *client.Client) ([]string, error)) ([]string, cobra.ShellCompDirective) {
	const patience = 2 * time.Second
	ctx, cancel := context.WithTimeout(cmd.Context(), patience)
	defer cancel()
	c, _, err := a.Client(ctx, role)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	found, err := ask(ctx, c)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	found = slices.DeleteFunc(found, func(s string) bool { return !strings.HasPrefix(s, begun) })
	return found, cobra.ShellCompDirectiveNoFileComp
}
