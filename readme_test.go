package sesame_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestReadmeCommandsParse runs every `sesame …` line in the README's fenced
// blocks with --help put in, so that the command and its flags are checked and
// nothing is done.
func TestReadmeCommandsParse(t *testing.T) {
	tr := repository(t)
	lines, problems := commandLines(tr)
	none(t, problems)
	if !tr.has("internal/cli") {
		t.Log("there is no command line to check against yet")
		return
	}
	if len(lines) == 0 {
		t.Fatal("README.md shows no sesame command")
	}
	binary := filepath.Join(t.TempDir(), "sesame")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./cmd/sesame").CombinedOutput(); err != nil {
		t.Fatalf("build sesame: %v\n%s", err, out)
	}
	for _, where := range slices.Sorted(maps.Keys(lines)) {
		if err := askHelp(t.Context(), binary, lines[where]); err != nil {
			t.Errorf("%s: sesame %s: %v", where, strings.Join(lines[where], " "), err)
		}
	}
	for _, wrong := range [][]string{{"no-such-command"}, {"open", "web-1", "--no-such-flag"}} {
		if askHelp(t.Context(), binary, wrong) == nil {
			t.Errorf("sesame %s --help succeeds, so this test cannot fail", strings.Join(wrong, " "))
		}
	}
}

// askHelp runs a command line with --help put in right after the command's
// name, where it is ours even if what follows is for another program. A group
// of commands lists what it has; there the next word has to be one of them.
func askHelp(ctx context.Context, binary string, args []string) error {
	run := func(args ...string) (string, error) {
		cmd := exec.CommandContext(ctx, binary, args...)
		cmd.Env = append(os.Environ(), "HOME="+filepath.Dir(binary))
		out, err := cmd.CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("%w\n%s", err, out)
		}
		return string(out), nil
	}
	name := 1 // how many words the command's name has
	for ; name < len(args); name++ {
		out, err := run(append(slices.Clone(args[:name]), "--help")...)
		if err != nil {
			return err
		}
		_, group, ok := strings.Cut(out, "Available Commands:")
		if !ok || strings.HasPrefix(args[name], "-") {
			break
		}
		if !regexp.MustCompile(`(?m)^  ` + regexp.QuoteMeta(args[name]) + `\b`).MatchString(group) {
			return fmt.Errorf("sesame %s has no %s", strings.Join(args[:name], " "), args[name])
		}
	}
	_, err := run(slices.Concat(args[:name], []string{"--help"}, args[name:])...)
	return err
}

var (
	assignment = regexp.MustCompile(`^[A-Z_][A-Z0-9_]*=`)
	prompt     = regexp.MustCompile(`^(\S*[@:~]\S*)?[$#]$`)
	endOfWords = regexp.MustCompile(`^([|&;<>#]|\d?>)`)
)

// commandLines returns the arguments of every sesame command in the fenced
// blocks of README.md, by place. A block that is not a script is a transcript,
// where commands follow a prompt.
func commandLines(tr *tree) (lines map[string][]string, problems []string) {
	pages, _ := tr.pages()
	i := slices.IndexFunc(pages, func(pg page) bool { return pg.path == "README.md" })
	if i < 0 {
		return nil, []string{"README.md does not exist"}
	}
	lines = map[string][]string{}
	for _, f := range pages[i].fences {
		for n, line := range f.lines {
			words := strings.Fields(line)
			if !slices.Contains([]string{"sh", "shell", "bash"}, f.language) {
				if len(words) == 0 || !prompt.MatchString(words[0]) {
					continue // output
				}
				words = words[1:]
			}
			for len(words) > 0 && (words[0] == "sudo" || words[0] == "exec" || assignment.MatchString(words[0])) {
				words = words[1:]
			}
			if len(words) == 0 || path.Base(words[0]) != "sesame" {
				continue
			}
			if end := slices.IndexFunc(words, endOfWords.MatchString); end >= 0 {
				words = words[:end]
			}
			lines[fmt.Sprintf("README.md:%d", f.first+n)] = words[1:]
		}
	}
	return lines, nil
}

func TestReadmeCommandsAreFound(t *testing.T) {
	tr := plant(t, "README.md", "Say `sesame no`.\n"+
		"```sh\n./bin/sesame open web-1 --for 2m | cat # x\nsudo A=b sesame demo --play\n# sesame comments\nscripts/test\n```\n"+
		"```console\n$ sesame close 7\nsesame says no\n# sesame sweep >log\nana@laptop:~$ sesame ssh web-1\n```\n")
	lines, problems := commandLines(tr)
	none(t, problems)
	got := fmt.Sprint(lines)
	if want := "map[README.md:11:[sweep] README.md:12:[ssh web-1] README.md:3:[open web-1 --for 2m] README.md:4:[demo --play] README.md:9:[close 7]]"; got != want {
		t.Errorf("commands in the README:\n%s\nwant\n%s", got, want)
	}
	_, problems = commandLines(plant(t, "LICENSE", ""))
	found(t, problems, "README.md does not exist")
}
