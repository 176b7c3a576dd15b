// Package rule says who may use a route at all, and what for. What they may do or
// see there is decided by the broker, VM by VM, and by sight.
package rule

import (
	"net/http"
	"strings"

	"github.com/sesame-access/sesame/internal/authz"
)

// A Rule says who may use a route at all.
type Rule uint8

// The rules.
const (
	Unruled   Rule = iota // nobody said; a test refuses such a route
	Public                // anybody, without a token
	Known                 // any caller who is known; each sees and does what their roles allow
	ViewsAll              // who may view all VMs
	ClosesAll             // who may close anybody's grant on all VMs
	Manages               // who may manage the server
)

// Action returns what a caller must be allowed to do on all VMs.
func (r Rule) Action() authz.Action {
	switch r {
	case ViewsAll:
		return authz.View
	case ClosesAll:
		return authz.Close
	case Manages:
		return authz.Manage
	case Unruled, Public, Known:
	}
	return ""
}

// String says who may use a route, for the document.
func (r Rule) String() string {
	switch r {
	case Public:
		return "Anybody, without a token."
	case Known:
		return "Whoever is known; each sees and does what their roles allow."
	case ViewsAll:
		return "Whoever may view all VMs."
	case ClosesAll:
		return "Whoever may close grants on all VMs."
	case Manages:
		return "Whoever may manage the server."
	case Unruled:
	}
	return "Nobody."
}

// Uses says what a token's scope must hold for a route; empty for nothing. A route
// that it does not know opens something, so that a scope is never too wide for it.
func (r Rule) Uses(method, path string) authz.Action {
	switch {
	case r == Public, path == "/v1/session":
		return ""
	case r.Action() != "":
		return r.Action()
	case method == http.MethodGet:
		return authz.View
	case path == "/v1/disable":
		return authz.Disable
	case strings.HasPrefix(path, "/v1/policies"):
		return authz.Enable
	case strings.HasPrefix(path, "/v1/requests/") && !strings.HasSuffix(path, "/cancel"):
		return authz.Approve // or deny, or review
	}
	return authz.Request
}
