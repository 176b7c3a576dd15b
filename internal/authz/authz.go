// Package authz decides who may do what, with reasons.
//
// Today three roles, each for all VMs or for one, and the JIT policies answer
// every question. The full model of access policies will stand behind the same
// two functions, May and Decide: they take everything that matters as
// arguments, look at every rule even after one has allowed, and default to no.
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
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
)

// Role is what a principal may do.
type Role string

// The roles. Each may see what the first may, and the last may do everything.
const (
	Viewer    Role = "viewer"    // see VMs, grants and activity
	Approver  Role = "approver"  // also approve and deny what others ask for, and close it
	Requester Role = "requester" // also ask for access, and close and extend their own grants
	Admin     Role = "admin"     // also enable, disable, close anything, manage tokens
)

// Roles returns every role, the least first.
func Roles() []Role { return []Role{Viewer, Approver, Requester, Admin} }

// ParseRole reads the name of a role.
func ParseRole(s string) (Role, error) {
	if r := Role(s); slices.Contains(Roles(), r) {
		return r, nil
	}
	return "", errkind.Bad("role", s, `"viewer", "approver", "requester" or "admin"`)
}

// May reports whether somebody with role r may do a, on the VMs that the role
// is assigned for. An unknown role may do nothing, and nobody may do what is
// not an action.
func (r Role) May(a Action) bool {
	switch a {
	case View:
		return slices.Contains(Roles(), r)
	case Request:
		return r == Requester || r == Admin
	case Approve, Close:
		return r == Approver || r == Admin
	case Enable, Disable, Manage:
		return r == Admin
	}
	return false
}

// An Assignment gives a role to a principal.
type Assignment struct {
	Principal access.Principal
	Role      Role
	// VM limits the role to one VM; empty means all.
	VM firewall.VMID
}

// String returns a as reasons name it: "assignment requester on all VMs".
func (a Assignment) String() string {
	return fmt.Sprintf("assignment %s on %s", a.Role, cmp.Or(string(a.VM), "all VMs"))
}

// CompareAssignments orders assignments by principal, role and VM.
func CompareAssignments(a, b Assignment) int {
	return cmp.Or(
		cmp.Compare(a.Principal.Issuer, b.Principal.Issuer),
		cmp.Compare(a.Principal.Subject, b.Principal.Subject),
		cmp.Compare(a.Role, b.Role),
		cmp.Compare(a.VM, b.VM),
	)
}

// Action is what somebody wants to do.
type Action string

// The actions.
const (
	View    Action = "view"
	Request Action = "request" // ask for, extend or close one's own grant
	Approve Action = "approve" // agree to what somebody else asks for, or deny it
	Close   Action = "close"   // close anybody's grant
	Enable  Action = "enable"  // change policies and add locks
	Disable Action = "disable" // end locks
	Manage  Action = "manage"  // tokens, roles, the server itself
)

// May decides whether p may do a to vm. An empty vm stands for what is not about
// one VM, such as the whole of the activity: only a role on all VMs allows that.
// Roles are assigned to an issuer and a subject; what a principal is displayed
// as decides nothing.
func May(assignments []Assignment, p access.Principal, a Action, vm firewall.VMID) access.Decision {
	var d access.Decision
	for _, x := range own(assignments, p) {
		switch {
		case !x.Role.May(a):
			d.Not = append(d.Not, fmt.Sprintf("%s: does not include %s", x, a))
		case x.VM != "" && x.VM != vm:
			d.Not = append(d.Not, fmt.Sprintf("%s: does not cover %s", x, cmp.Or(string(vm), "all VMs")))
		default:
			d.By = append(d.By, x.String())
		}
	}
	d.Allow = len(d.By) > 0
	if len(d.By)+len(d.Not) == 0 {
		d.Not = []string{"no role is assigned; an administrator assigns one"}
	}
	return d
}

// own returns the assignments of p in a fixed order, each once. A principal
// without an issuer or a subject is nobody, and nothing is assigned to nobody.
func own(assignments []Assignment, p access.Principal) []Assignment {
	var out []Assignment
	for _, x := range assignments {
		if x.Principal.Is(p) && p.Issuer != "" && p.Subject != "" {
			// What the principal is displayed as does not tell two assignments apart.
			x.Principal = p
			out = append(out, x)
		}
	}
	slices.SortFunc(out, CompareAssignments)
	return slices.Compact(out)
}
