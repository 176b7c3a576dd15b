package demo

import (
	"fmt"
	"strings"

	"github.com/sesame-access/sesame/internal/authz"
)

// An env says what a script, or the command line, needs to use the demo.
type env struct {
	url       string
	ca        string // path of a PEM file
	sshConfig string // path; empty where there is nothing to log in to
	tokens    map[authz.Role]string
}

// The people of the demo, one for each role; their initials are those of the
// roles.
func people() []struct {
	name string
	role authz.Role
} {
	return []struct {
		name string
		role authz.Role
	}{{"ada", authz.Admin}, {"rosa", authz.Requester}, {"vito", authz.Viewer}}
}

// text returns e as assignments that a shell can read, one a line:
//
//	set -a; . FILE; set +a
func (e env) text() string {
	var b strings.Builder
	assign := func(name, value string) { fmt.Fprintf(&b, "%s=%s\n", name, quote(value)) }
	assign("SESAME_URL", e.url)
	assign("SESAME_CA", e.ca)
	for _, p := range people() {
		assign("SESAME_TOKEN_"+strings.ToUpper(string(p.role)), e.tokens[p.role])
	}
	if e.sshConfig != "" {
		assign("SESAME_SSH_CONFIG", e.sshConfig)
	}
	return b.String()
}

// quote returns s as one word of a shell, whatever is in it.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// word is quote only where s needs it.
func word(s string) string {
	plain := func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:@%+=,-", r)
	}
	if s == "" || strings.ContainsFunc(s, plain) {
		return quote(s)
	}
	return s
}
