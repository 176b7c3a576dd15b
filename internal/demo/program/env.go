package program

import (
	"fmt"
	"strings"

	"github.com/sesame-access/sesame/internal/authz"
)

// An Env says what a script, or the command line, needs to use the demo.
type Env struct {
	URL       string
	CA        string // path of a PEM file
	SSHConfig string // path; empty where there is nothing to log in to
	Tokens    map[authz.Role]string
}

// People are those of the demo, one for each role; their initials are those of the
// roles.
func People() []struct {
	Name string
	Role authz.Role
} {
	return []struct {
		Name string
		Role authz.Role
	}{{"ada", authz.Admin}, {"april", authz.Approver}, {"rosa", authz.Requester}, {"vito", authz.Viewer}}
}

// Text returns e as assignments that a shell can read, one a line:
//
//	set -a; . FILE; set +a
func (e Env) Text() string {
	var b strings.Builder
	assign := func(name, value string) { fmt.Fprintf(&b, "%s=%s\n", name, quote(value)) }
	assign("SESAME_URL", e.URL)
	assign("SESAME_CA", e.CA)
	for _, p := range People() {
		assign("SESAME_TOKEN_"+strings.ToUpper(string(p.Role)), e.Tokens[p.Role])
	}
	// What clients of Azure read: where Resource Manager is, and a managed identity,
	// Rosa's; who takes another token for the secret is somebody else.
	assign("SESAME_TOKEN_AUDITOR", e.Tokens[authz.Viewer])
	assign("SESAME_ARM_ENDPOINT", e.URL)
	assign("MSI_ENDPOINT", e.URL+"/msi/token")
	assign("MSI_SECRET", e.Tokens[authz.Requester])
	assign("APPSETTING_WEBSITE_SITE_NAME", "sesame-demo") // az sends the secret only where it believes to be in App Service
	if e.SSHConfig != "" {
		assign("SESAME_SSH_CONFIG", e.SSHConfig)
	}
	return b.String()
}

// quote returns s as one word of a shell, whatever is in it.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// Word is quote only where s needs it.
func Word(s string) string {
	plain := func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:@%+=,-", r)
	}
	if s == "" || strings.ContainsFunc(s, plain) {
		return quote(s)
	}
	return s
}
