// Package authz decides who may do what, with reasons.
//
// Three kinds of rules answer every question: role assignments, which give what a
// role allows at a scope and below; deny assignments, which take from it; and access
// policies, which permit or forbid asking, going without approval, and approving,
// under conditions. All of them are compiled into one Engine, so that one trace
// explains every answer. A question is answered with no unless some rule permits it;
// whatever forbids wins; and what cannot be evaluated is a no. (JIT policies, of
// package policy, say what may be asked for at all, whoever asks; Decide looks at
// both.)
//
// Nothing here takes away closing: who may close somebody's grant says a role, and
// neither a deny assignment nor an access policy is asked.
//
// A decision names what allowed it in By and everything that did not in Not,
// allowed or denied; both lists are in a fixed order. That text goes into the
// audit log, into the answer to the requester and onto the page that explains
// a decision.
package authz

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/authz/engine"
	"github.com/sesame-access/sesame/internal/authz/role"
	"github.com/sesame-access/sesame/internal/authz/scope"
	"github.com/sesame-access/sesame/internal/errkind"
)

// Role is the name of a role; its definition says what it allows.
type Role string

// Sesame's own roles.
const (
	Viewer    Role = role.Viewer    // see VMs, grants and activity
	Approver  Role = role.Approver  // also approve and deny what others ask for, and close it
	Requester Role = role.Requester // also ask for access, and close and extend their own grants
	Admin     Role = role.Admin     // also enable, disable, close anything, manage tokens and roles
)

// Roles returns Sesame's own roles, the least first: each may see what the first may,
// and the last may do everything.
func Roles() []Role { return []Role{Viewer, Approver, Requester, Admin} }

// ParseRole reads the name of one of Sesame's own roles.
func ParseRole(s string) (Role, error) {
	if r := Role(s); slices.Contains(Roles(), r) {
		return r, nil
	}
	return "", errkind.Bad("role", s, `"viewer", "approver", "requester" or "admin"`)
}

// An Assignment gives a role to a principal or to a group, at a scope and below.
type Assignment struct {
	// Principal is who has the role; the zero Principal where it is a group's.
	Principal access.Principal
	// Group is the group that has it, as ISSUER#GROUP; empty where it is a
	// principal's.
	Group string
	Role  Role
	// Scope is where; the empty Scope is nowhere.
	Scope scope.Scope
	// Condition limits what the role gives; see package condition. Empty for none.
	Condition string
	// Eligible says that the role has to be activated elsewhere first, as Azure's
	// Privileged Identity Management has it. It gives nothing until then.
	Eligible bool
}

// String returns a as reasons name it: "assignment requester on all VMs".
func (a Assignment) String() string {
	s := fmt.Sprintf("assignment %s on %s", a.Role, a.Scope)
	if a.Group != "" {
		s = fmt.Sprintf("assignment %s of group %s on %s", a.Role, a.Group, a.Scope)
	}
	if a.Condition != "" {
		s += " under a condition"
	}
	return s
}

// CompareAssignments orders assignments by principal, group, role, scope and
// condition. What a principal is displayed as does not tell two apart.
func CompareAssignments(a, b Assignment) int {
	return cmp.Or(
		cmp.Compare(a.Principal.Issuer, b.Principal.Issuer),
		cmp.Compare(a.Principal.Subject, b.Principal.Subject),
		cmp.Compare(a.Group, b.Group),
		cmp.Compare(a.Role, b.Role),
		cmp.Compare(a.Scope, b.Scope),
		cmp.Compare(a.Condition, b.Condition),
		compareBool(a.Eligible, b.Eligible),
	)
}

// compareBool orders false before true: an assignment that counts before the
// same one that does not.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// A Holder is whom a deny assignment takes from, or spares.
type Holder = engine.Holder

// A Deny takes away what roles give, from holders, at a scope and below: a deny
// assignment of Azure. (Microsoft Learn, "Understand Azure deny assignments";
// 2026-11.)
type Deny struct {
	Name string
	// From are who; none means everybody.
	From        []Holder
	Except      []Holder
	Permissions []role.Permission // what their Actions match and their NotActions do not
	Scope       scope.Scope
	// Exactly says that nothing below the scope is meant.
	Exactly bool
	// Condition limits what is denied. Where nobody can tell, it is denied.
	Condition string
}

// String returns d as reasons name it.
func (d Deny) String() string { return fmt.Sprintf("deny assignment %s on %s", d.Name, d.Scope) }
