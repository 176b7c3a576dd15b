package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/sesame-access/sesame/internal/authz"
)

// A program is this program's command line, as the people of the demo use it:
// in processes of their own, against the demo's server and no other.
type program struct {
	path string
	env  env
	home string // instead of the user's own, which may name another server
}

// typed is what to type in another terminal to run this program.
func typed(path string) string {
	const name = "sesame"
	found, err := exec.LookPath(name)
	text := word(path)
	if err == nil && sameFile(found, path) {
		text = name
	}
	// The demo of root is for root: whoever came by sudo goes by sudo again.
	if os.Geteuid() == 0 && os.Getenv("SUDO_USER") != "" {
		text = "sudo " + text
	}
	return text
}

func sameFile(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

// A result is what came of a command.
type result struct {
	out  string // what a person sees
	code int
}

// run runs a command line in a role.
func (p program) run(ctx context.Context, role authz.Role, args ...string) (result, error) {
	cmd := exec.CommandContext(ctx, p.path, args...) //nolint:gosec // it is this program
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); !strings.HasPrefix(name, "SESAME_") && name != "HOME" && !strings.HasPrefix(name, "XDG_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "HOME="+p.home, "SESAME_URL="+p.env.url, "SESAME_CA="+p.env.ca,
		"SESAME_TOKEN="+p.env.tokens[role], "SESAME_SSH_CONFIG="+p.env.sshConfig)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if ctx.Err() != nil { // it was ended with us, whatever it says
		return result{}, fmt.Errorf("run sesame %s: %w", strings.Join(args, " "), ctx.Err())
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Exited() {
		return result{out.String(), exit.ExitCode()}, nil
	}
	if err != nil {
		return result{}, fmt.Errorf("run sesame %s: %w", strings.Join(args, " "), err)
	}
	return result{out.String(), 0}, nil
}

// commandLine is args as they are typed.
func commandLine(args []string) string {
	words := []string{"sesame"}
	for _, a := range args {
		if strings.ContainsAny(a, " ") && !strings.ContainsAny(a, `"$\!`+"`") {
			words = append(words, `"`+a+`"`)
			continue
		}
		words = append(words, word(a))
	}
	return strings.Join(words, " ")
}
