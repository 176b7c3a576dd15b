package connect

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/cli/input"
	"github.com/sesame-access/sesame/internal/errkind"
)

// DemoEnvFile is the file in a demo's directory that says where its server is:
// assignments that a shell can read, of SESAME_URL, SESAME_CA and one
// SESAME_TOKEN_ROLE for every role.
const DemoEnvFile = "env"

// demoIn returns the server of the demo that runs in dir, with the token of the
// given role. The error is fs.ErrNotExist when no demo does. A directory that
// somebody else could have made is not believed: it would tell us to show
// tokens to their server.
func demoIn(ctx context.Context, dir string, uid int, role authz.Role) (Target, error) {
	info, err := os.Lstat(dir)
	if err != nil {
		return Target{}, fs.ErrNotExist
	}
	if !private(info, uid) {
		return Target{}, errkind.New(errkind.Conflict, "%s looks like a demo's directory, but it is not yours or root's alone; name the server with --server, or remove the directory", dir)
	}
	text, err := input.ReadFile(ctx, filepath.Join(dir, DemoEnvFile))
	if ctx.Err() != nil {
		return Target{}, ctx.Err()
	}
	if err != nil {
		return Target{}, fs.ErrNotExist // the demo of root, or one that is about to start
	}
	env, err := parseEnv(string(text))
	if err != nil {
		return Target{}, errkind.Wrap(errkind.Invalid, err, "%s: %v", filepath.Join(dir, DemoEnvFile), err)
	}
	name := "SESAME_TOKEN_" + strings.ToUpper(string(role))
	if env["SESAME_URL"] == "" || env["SESAME_CA"] == "" || env[name] == "" {
		return Target{}, errkind.New(errkind.Invalid, "%s does not name SESAME_URL, SESAME_CA and %s", filepath.Join(dir, DemoEnvFile), name)
	}
	return Target{
		Source: "the demo in " + dir, Socket: "", URL: env["SESAME_URL"], CA: env["SESAME_CA"],
		Token: env[name], TokenSource: "the demo's " + string(role), Demo: dir,
	}, nil
}

// parseEnv reads assignments as a shell would, but nothing that a shell would
// act on: NAME=VALUE a line, the value plain or in single quotes.
func parseEnv(text string) (map[string]string, error) {
	env := map[string]string{}
	line := 0
	for l := range strings.Lines(text) {
		line++
		l = strings.TrimSuffix(l, "\n")
		if l == "" || strings.HasPrefix(l, "#") {
			continue
		}
		name, quoted, ok := strings.Cut(strings.TrimPrefix(l, "export "), "=")
		value, plain := unquote(quoted)
		if !ok || name == "" || strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "" || !plain {
			return nil, fmt.Errorf("line %d is not NAME=VALUE with the value plain or in single quotes", line)
		}
		env[name] = value
	}
	return env, nil
}

// unquote reads a shell word made of plain characters, single-quoted pieces and
// escaped quotes.
func unquote(s string) (string, bool) {
	var b strings.Builder
	for s != "" {
		switch {
		case strings.HasPrefix(s, "'"):
			inside, rest, closed := strings.Cut(s[1:], "'")
			if !closed {
				return "", false
			}
			b.WriteString(inside)
			s = rest
		case strings.HasPrefix(s, `\'`):
			b.WriteByte('\'')
			s = s[2:]
		case strings.Contains(plainInShell, s[:1]):
			b.WriteByte(s[0])
			s = s[1:]
		default:
			return "", false
		}
	}
	return b.String(), true
}

const plainInShell = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:@%+=,-[]"
