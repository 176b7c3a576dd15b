// Package connect finds the server that a command is for, and what to show it.
//
// The first of these that names a server is used:
//
//  1. the flags --server or --socket, over the environment's SESAME_URL;
//  2. the client's configuration file, ~/.config/sesame/client.yaml;
//  3. root's local socket, where there is one and the caller is root;
//  4. a demo that runs on this machine.
//
// Flags and environment are about this one call, so they mix: --ca with
// SESAME_TOKEN, say. What the file says is about the file's server. A token from
// the file is never shown to a server that was named elsewhere; one from a flag
// or the environment is shown to whatever server is used. Without a token, the
// session is used that `sesame login` left for that very server.
package connect

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"strings"

	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/cli/input"
	"github.com/sesame-access/sesame/internal/errkind"
)

// Flags are what the command line says about the server.
type Flags struct {
	Server, CA, TokenFile, Socket string
	// As is the role to play in a demo; empty for the command's own.
	As string
}

// A Machine is where the command runs.
type Machine struct {
	Getenv func(string) string
	UID    int
	// File is the path of the client's configuration.
	File string
	// Socket is the local socket of root's server.
	Socket string
	// DemoDirs are where a demo may have put its files.
	DemoDirs []string
}

// A Target is a server, and how to speak to it.
type Target struct {
	// Source says in words where the server's name comes from.
	Source string
	// Socket is the path of a local socket; then the rest is empty.
	Socket string
	URL    string
	// CA is the path of the PEM file of the authority that the server's
	// certificate must come from; empty for the system's authorities.
	CA    string
	Token string
	// TokenSource says in words where the token comes from; empty without one.
	TokenSource string
	// Demo is the directory of the demo whose server it is; empty otherwise.
	Demo string
}

// String names the server.
func (t Target) String() string { return cmp.Or(t.Socket, t.URL) }

// ErrNoServer is returned when nothing names a server.
var ErrNoServer = errkind.New(errkind.Unavailable,
	"no server is known: there is no --server or --socket, no SESAME_URL, no client.yaml, no local socket that you may use and no demo that runs here")

// Resolve returns the server to use. The role is the one that the command plays
// in a demo unless f.As says another.
func Resolve(ctx context.Context, f Flags, m Machine, role authz.Role) (Target, error) {
	if f.As != "" {
		as, err := authz.ParseRole(f.As)
		if err != nil {
			return Target{}, errkind.At("--as", err)
		}
		role = as
	}
	t, err := resolve(ctx, f, m, role)
	if err != nil {
		return Target{}, err
	}
	if f.As != "" && t.Demo == "" {
		return Target{}, errkind.New(errkind.Invalid, "--as is for a demo; the server here is %s, and who you are there its token says", t)
	}
	if t.URL != "" {
		if err := checkURL(t.Source, t.URL); err != nil {
			return Target{}, err
		}
	}
	return withSession(ctx, t, m)
}

func resolve(ctx context.Context, f Flags, m Machine, role authz.Role) (Target, error) {
	call, err := ofCall(ctx, f, m)
	if err != nil || call.String() != "" {
		return call, err
	}
	file, err := readFile(ctx, m.File)
	if err != nil {
		return Target{}, err
	}
	if file.String() != "" {
		return override(file, call), nil
	}
	if m.UID == 0 && isSocket(m.Socket) {
		return Target{Source: "root's local socket", Socket: m.Socket, URL: "", CA: "", Token: "", TokenSource: "", Demo: ""}, nil
	}
	for _, dir := range m.DemoDirs {
		t, err := demoIn(ctx, dir, m.UID, role)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return Target{}, err
		}
		return override(t, call), nil
	}
	return Target{}, ErrNoServer
}

// ofCall returns what flags and environment say.
func ofCall(ctx context.Context, f Flags, m Machine) (Target, error) {
	if f.Server != "" && f.Socket != "" {
		return Target{}, errkind.New(errkind.Invalid, "--server and --socket name two servers; give one of them")
	}
	t := Target{Source: "--server", Socket: "", URL: f.Server, CA: cmp.Or(f.CA, m.Getenv("SESAME_CA")), Token: "", TokenSource: "", Demo: ""}
	if f.Socket != "" {
		return Target{Source: "--socket", Socket: f.Socket, URL: "", CA: "", Token: "", TokenSource: "", Demo: ""}, nil
	}
	if t.URL == "" {
		t.Source, t.URL = "SESAME_URL", m.Getenv("SESAME_URL")
	}
	file, token := m.Getenv("SESAME_TOKEN_FILE"), m.Getenv("SESAME_TOKEN")
	var err error
	switch {
	case f.TokenFile != "":
		t.TokenSource = "--token-file " + f.TokenFile
		t.Token, err = readToken(ctx, f.TokenFile)
	case token != "":
		t.TokenSource = "SESAME_TOKEN"
		t.Token, err = checkToken(t.TokenSource, token)
	case file != "":
		t.TokenSource = "SESAME_TOKEN_FILE " + file
		t.Token, err = readToken(ctx, file)
	}
	return t, err
}

// override puts over t what the call says about it.
func override(t, call Target) Target {
	t.CA = cmp.Or(call.CA, t.CA)
	if call.Token != "" {
		t.Token, t.TokenSource = call.Token, call.TokenSource
	}
	return t
}

func isSocket(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode()&fs.ModeSocket != 0
}

// readToken reads the one line of a token's file.
func readToken(ctx context.Context, path string) (string, error) {
	text, err := input.ReadFile(ctx, path)
	if err != nil {
		return "", errkind.Wrap(errkind.Invalid, err, "the token in %s cannot be read: %s", path, reason(err))
	}
	return checkToken(path, strings.TrimSpace(string(text)))
}

// checkToken refuses what cannot be a token before it is sent anywhere. The
// text is never part of the message.
func checkToken(where, token string) (string, error) {
	const longest = 4096
	if token == "" || len(token) > longest || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", errkind.New(errkind.Invalid, "%s holds no token: it must be one line without blanks, as `sesame token create` printed it", where)
	}
	return token, nil
}

// checkURL refuses what is not the base of a server's addresses.
func checkURL(source, s string) error {
	u, err := url.Parse(s)
	ok := err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil &&
		(u.Path == "" || u.Path == "/") && u.RawQuery == "" && u.Fragment == ""
	if !ok {
		return errkind.Bad(source, s, "the address of a server, such as https://sesame.example.org:8443")
	}
	return nil
}

// reason returns why a file cannot be read, without its path.
func reason(err error) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err.Error()
	}
	return err.Error()
}
