// Package program is this program's command line as the people of the demo use it,
// and what a script needs to use it as they do.
package program

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

// A Program is this program's command line, as the people of the demo use it:
// in processes of their own, against the demo's server and no other.
type Program struct {
	Path string
	Env  Env
	Home string // instead of the user's own, which may name another server
}

// Typed is what to type in another terminal to run this program.
func Typed(path string) string {
	const name = "sesame"
	found, err := exec.LookPath(name)
	text := Word(path)
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

// A Result is what came of a command.
type Result struct {
	Out  string // what a person sees
	Code int
}

// Run runs a command line in a role.
func (p Program) Run(ctx context.Context, role authz.Role, args ...string) (Result, error) {
	cmd := exec.CommandContext(ctx, p.Path, args...) //nolint:gosec // it is this program
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); !strings.HasPrefix(name, "SESAME_") && name != "HOME" && !strings.HasPrefix(name, "XDG_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "HOME="+p.Home, "SESAME_URL="+p.Env.URL, "SESAME_CA="+p.Env.CA,
		"SESAME_TOKEN="+p.Env.Tokens[role], "SESAME_SSH_CONFIG="+p.Env.SSHConfig)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if ctx.Err() != nil { // it was ended with us, whatever it says
		return Result{}, fmt.Errorf("run sesame %s: %w", strings.Join(args, " "), ctx.Err())
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Exited() {
		return Result{out.String(), exit.ExitCode()}, nil
	}
	if err != nil {
		return Result{}, fmt.Errorf("run sesame %s: %w", strings.Join(args, " "), err)
	}
	return Result{out.String(), 0}, nil
}

// CommandLine is args as they are typed.
func CommandLine(args []string) string {
	words := []string{"sesame"}
	for _, a := range args {
		if strings.ContainsAny(a, " ") && !strings.ContainsAny(a, `"$\!`+"`") {
			words = append(words, `"`+a+`"`)
			continue
		}
		words = append(words, Word(a))
	}
	return strings.Join(words, " ")
}
