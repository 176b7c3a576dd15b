// Package role says what a role allows, in the terms of Azure's role-based access
// control: a definition lists patterns of operations, and patterns of those to
// leave out again.
//
// # Matching
//
// An operation is a path such as
// Microsoft.Security/locations/jitNetworkAccessPolicies/initiate/action; letters
// are alike in upper and lower case. In a pattern a star stands for any text, also
// for none and also across slashes, and everything else for itself: */read is every
// operation that ends in /read, and a/*/read is not a/read. A permission allows what
// one of its Actions matches and none of its NotActions does. NotActions take away
// within their permission only; they deny nothing that another role allows.
// (Microsoft Learn, "Understand Azure role definitions"; 2026-11.)
//
// # Sesame's own operations
//
// They are named Sesame/… and stand beside Azure's in the same lists. Azure's owner
// has them not: a star at the beginning of a pattern stands for nothing of Sesame's.
// Who may approve or manage here was told so in Sesame's own words.
package role

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/authz/scope"
	"github.com/sesame-access/sesame/internal/errkind"
)

// An Operation is something that can be done, as Azure names it.
type Operation string

// The operations that Sesame asks about.
const (
	JITRead     Operation = "Microsoft.Security/locations/jitNetworkAccessPolicies/read"
	JITWrite    Operation = "Microsoft.Security/locations/jitNetworkAccessPolicies/write"
	JITDelete   Operation = "Microsoft.Security/locations/jitNetworkAccessPolicies/delete"
	JITInitiate Operation = "Microsoft.Security/locations/jitNetworkAccessPolicies/initiate/action"
	VMRead      Operation = "Microsoft.Compute/virtualMachines/read"
	VMWrite     Operation = "Microsoft.Compute/virtualMachines/write"

	View    Operation = "Sesame/vms/read"
	Request Operation = "Sesame/vms/request/action"
	Approve Operation = "Sesame/vms/approve/action"
	Close   Operation = "Sesame/vms/close/action"
	Enable  Operation = "Sesame/vms/enable/action"
	Disable Operation = "Sesame/vms/disable/action"
	Manage  Operation = "Sesame/manage/action"
)

// own starts the names of Sesame's operations.
const own = "sesame/"

// A Permission allows what Actions match and NotActions do not.
type Permission struct {
	Actions, NotActions []string
}

// Allows reports whether p allows op.
func (p Permission) Allows(op Operation) bool {
	matches := func(pattern string) bool { return Matches(pattern, op) }
	return slices.ContainsFunc(p.Actions, matches) && !slices.ContainsFunc(p.NotActions, matches)
}

// A Definition is a role.
type Definition struct {
	// Name is what assignments say; see ParseName. Two definitions whose names
	// differ in case only are the same.
	Name        string
	Description string
	// ID is Azure's GUID of the role; empty for Sesame's own.
	ID string
	// Permissions add up.
	Permissions []Permission
	// Scopes are where the role may be assigned, and below; sorted. A definition
	// without any can be assigned nowhere.
	Scopes []scope.Scope
	// BuiltIn definitions cannot be changed.
	BuiltIn bool
}

// Allows reports whether d allows op.
func (d Definition) Allows(op Operation) bool {
	return slices.ContainsFunc(d.Permissions, func(p Permission) bool { return p.Allows(op) })
}

// AssignableAt reports whether d may be assigned at s.
func (d Definition) AssignableAt(tree scope.Tree, s scope.Scope) bool {
	return slices.ContainsFunc(d.Scopes, func(outer scope.Scope) bool { return tree.Contains(outer, s) })
}

// Matches reports whether pattern matches op.
func Matches(pattern string, op Operation) bool {
	p, o := strings.ToLower(pattern), strings.ToLower(string(op))
	if strings.HasPrefix(o, own) && !strings.HasPrefix(p, own) {
		return false
	}
	first, rest, starred := strings.Cut(p, "*")
	o, ok := strings.CutPrefix(o, first)
	if !ok || !starred {
		return ok && o == ""
	}
	for {
		part, more, again := strings.Cut(rest, "*")
		if !again {
			return strings.HasSuffix(o, part)
		}
		// The first place that fits leaves the most for what follows.
		i := strings.Index(o, part)
		if i < 0 {
			return false
		}
		o, rest = o[i+len(part):], more
	}
}

// The limits of a definition. (Azure: a name of up to 128 characters; 2026-11.)
const (
	MaxName     = 128
	MaxPatterns = 2_048
	MaxPattern  = 512
)

const (
	wantName    = "a name of 1 to 128 printable ASCII characters that does not start or end with a space"
	wantPattern = "an operation such as Microsoft.Compute/virtualMachines/read, or */read"
)

// ParseName reads the name of a role.
func ParseName(s string) (string, error) {
	odd := func(r rune) bool { return r < ' ' || r > '~' }
	if s == "" || len(s) > MaxName || strings.TrimSpace(s) != s || strings.ContainsFunc(s, odd) {
		return "", errkind.Bad("role", s, wantName)
	}
	return s, nil
}

// Is reports whether name names d.
func (d Definition) Is(name string) bool { return strings.EqualFold(d.Name, name) }

// Validate reports the first thing that keeps d from being a definition, as an
// error of kind errkind.Invalid with its field.
func (d Definition) Validate() error {
	if _, err := ParseName(d.Name); err != nil {
		return errkind.At("name", err)
	}
	if len(d.Permissions) == 0 {
		return errkind.Wrong("permissions", "", "a list of at least one permission", "none is named; a role without permissions allows nothing")
	}
	n := 0
	for i, p := range d.Permissions {
		for _, list := range []struct {
			name     string
			patterns []string
		}{{"actions", p.Actions}, {"notActions", p.NotActions}} {
			for j, pattern := range list.patterns {
				if n++; n > MaxPatterns || !validPattern(pattern) {
					return errkind.Bad(fmt.Sprintf("permissions[%d].%s[%d]", i, list.name, j), pattern, wantPattern)
				}
			}
		}
	}
	for i, s := range d.Scopes {
		if parsed, err := scope.Parse(string(s)); err != nil || parsed != s {
			return errkind.Bad(fmt.Sprintf("scopes[%d]", i), string(s), "a scope in its canonical form")
		}
	}
	if len(d.Scopes) == 0 {
		return errkind.Wrong("scopes", "", "a list of at least one scope", "none is named; name / to assign the role anywhere")
	}
	return nil
}

func validPattern(s string) bool {
	odd := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("*./-_", r))
	}
	return s != "" && len(s) <= MaxPattern && !strings.ContainsFunc(s, odd) && !strings.Contains(s, "//")
}
