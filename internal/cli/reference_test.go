package cli

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sesame-access/sesame/internal/cli/console"
)

var update = flag.Bool("update", false, "write docs/reference/cli.md anew")

// TestReferenceIsFresh compares the page about the command line with what the
// commands say about themselves.
func TestReferenceIsFresh(t *testing.T) {
	page := filepath.Join("..", "..", "docs", "reference", "cli.md")
	want := reference((&app{}).root())
	if *update {
		if err := os.MkdirAll(filepath.Dir(page), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(page, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("docs/reference/cli.md is not what the commands say (%v); run: go test ./internal/cli -run Reference -update", err)
	}
}

// reference returns the page.
func reference(root *cobra.Command) []byte {
	var b bytes.Buffer
	b.WriteString("# The command line\n\n" +
		"This page is made from the commands themselves: `go test ./internal/cli -run Reference -update`.\n\n" +
		"Results go to standard output, as a table or with `-o json` as the API's own objects. What is going on goes to\n" +
		"standard error. Flags may stand before or behind the arguments.\n\n")
	b.WriteString("| command | what it does |\n|---|---|\n")
	for _, c := range runnable(root) {
		fmt.Fprintf(&b, "| [`%s`](#%s) | %s |\n", c.CommandPath(), anchor(c.CommandPath()), c.Short)
	}
	b.WriteString("\n## Exit codes\n\n| code | meaning |\n|---|---|\n")
	for _, c := range exitCodes() {
		fmt.Fprintf(&b, "| %d | %s |\n", c.code, c.meaning)
	}
	b.WriteString("\n## Which server\n\n" +
		"The first of these that names a server is used: `--server` or `--socket`, `SESAME_URL`, the file\n" +
		"`~/.config/sesame/client.yaml`, root's local socket `/run/sesame/sesame.sock`, a demo that runs on this machine.\n" +
		"The file has the keys `server`, `ca`, `token_file` and `socket`. Its token is never shown to a server that was named\n" +
		"elsewhere. `sesame doctor` says which was chosen.\n\n" +
		"## Flags of every command\n\n")
	flags(&b, root.PersistentFlags())
	for _, c := range runnable(root) {
		fmt.Fprintf(&b, "\n## %s\n\n", c.CommandPath())
		text := c.Long
		if text == "" {
			text = c.Short + "."
		}
		fmt.Fprintf(&b, "%s\n\n```text\n%s\n```\n", text, c.UseLine())
		if len(c.Aliases) > 0 {
			fmt.Fprintf(&b, "\nAlso called `%s`.\n", strings.Join(c.Aliases, "`, `"))
		}
		if c.HasAvailableLocalFlags() && c.LocalNonPersistentFlags().HasAvailableFlags() {
			b.WriteString("\n")
			flags(&b, c.LocalNonPersistentFlags())
		}
		if c.Example != "" {
			fmt.Fprintf(&b, "\n```sh\n%s\n```\n", unindented(c.Example))
		}
	}
	return b.Bytes()
}

// runnable returns every command that does something itself, in order.
func runnable(c *cobra.Command) (all []*cobra.Command) {
	for _, sub := range c.Commands() {
		switch {
		case sub.HasSubCommands():
			all = append(all, runnable(sub)...)
		case sub.Runnable():
			all = append(all, sub)
		}
	}
	return all
}

func flags(b *bytes.Buffer, f *pflag.FlagSet) {
	b.WriteString("| flag | |\n|---|---|\n")
	f.VisitAll(func(x *pflag.Flag) {
		if x.Name == "help" {
			return
		}
		name := "`--" + x.Name + "`"
		if x.Shorthand != "" {
			name = "`-" + x.Shorthand + "`, " + name
		}
		fmt.Fprintf(b, "| %s | %s |\n", name, strings.ReplaceAll(x.Usage, "|", "\\|"))
	})
}

func anchor(path string) string { return strings.ReplaceAll(path, " ", "-") }

// unindented takes the two blanks away that examples begin with.
func unindented(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.TrimPrefix(lines[i], "  ")
	}
	return strings.Join(lines, "\n")
}

// TestEveryCommandExplainsItself holds every command to the same rules.
func TestEveryCommandExplainsItself(t *testing.T) {
	a := &app{Console: console.Console{}}
	all := runnable(a.root())
	if len(all) < 25 {
		t.Fatalf("there are only %d commands", len(all))
	}
	for _, c := range all {
		path := c.CommandPath()
		if c.Short == "" || strings.HasSuffix(c.Short, ".") || len(c.Short) > 80 {
			t.Errorf("%s: the short text is %q", path, c.Short)
		}
		if c.Example == "" || !strings.Contains(c.Example, path) {
			t.Errorf("%s has no example of itself", path)
		}
		if c.Args == nil {
			t.Errorf("%s does not say which arguments it takes", path)
		}
		for line := range strings.Lines(c.Long) {
			if len(line) > 82 {
				t.Errorf("%s: a line of the long text is %d bytes: %s", path, len(line), line)
			}
		}
	}
	codes := map[int]bool{}
	for _, c := range exitCodes() {
		if codes[c.code] || c.meaning == "" {
			t.Errorf("the code %d is there twice, or means nothing", c.code)
		}
		codes[c.code] = true
	}
}
