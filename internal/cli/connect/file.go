package connect

import (
	"context"
	"errors"
	"io/fs"
	"net/url"
	"path"
	"strings"

	"github.com/sesame-access/sesame/internal/cli/input"
	"github.com/sesame-access/sesame/internal/document"
	"github.com/sesame-access/sesame/internal/errkind"
)

// readFile reads the client's configuration, a document with the keys
//
//	server: https://sesame.example.org:8443
//	ca: /etc/sesame/ca.crt
//	token_file: /etc/sesame/token
//	socket: /run/sesame/sesame.sock   # instead of server
//
// all of which may be left out. A file that does not exist says nothing.
func readFile(ctx context.Context, file string) (Target, error) {
	if file == "" {
		return Target{}, nil
	}
	text, err := input.ReadFile(ctx, file)
	if errors.Is(err, fs.ErrNotExist) {
		return Target{}, nil
	}
	if err != nil {
		return Target{}, errkind.Wrap(errkind.Invalid, err, "%s cannot be read: %s", file, reason(err))
	}
	t, err := parseFile(ctx, file, text)
	if err != nil {
		return Target{}, errkind.Wrap(errkind.Invalid, err, "%s: %s", file, errkind.Public(err))
	}
	return t, nil
}

func parseFile(ctx context.Context, file string, text []byte) (Target, error) {
	tokenFile := ""
	t, err := document.Read(text, func(root document.Value) Target {
		m := root.Map("server", "ca", "token_file", "socket")
		server := func(s string) (string, error) { return s, checkURL("server", s) }
		tokenFile = document.Text(m.Get("token_file"), "", parsePath)
		if !m.Get("server").Missing() && !m.Get("socket").Missing() {
			m.Get("socket").Fail(errkind.New(errkind.Invalid, "server and socket name two servers; keep one of them"))
		}
		return Target{
			Source: file, Demo: "", Token: "", TokenSource: "",
			URL:    document.Text(m.Get("server"), "", server),
			CA:     document.Text(m.Get("ca"), "", parsePath),
			Socket: document.Text(m.Get("socket"), "", parsePath),
		}
	})
	if err != nil || tokenFile == "" {
		return t, err
	}
	t.TokenSource = tokenFile
	t.Token, err = readToken(ctx, tokenFile)
	return t, err
}

func parsePath(s string) (string, error) {
	if !path.IsAbs(s) || path.Clean(s) != s || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' }) {
		return "", errkind.Bad("path", s, "an absolute path, without .., doubled or trailing slashes")
	}
	return s, nil
}

// Host returns the name or address of the target's server; empty for a socket.
func (t Target) Host() string {
	u, err := url.Parse(t.URL)
	if err != nil {
		return ""
	}
	return u.Hostname()
}
