package authz

import (
	"slices"

	"github.com/sesame-access/sesame/internal/authz/role"
)

// Action is what somebody wants to do.
type Action string

// The actions. An access policy is asked about the first three.
const (
	Request Action = "request" // ask for, extend or close one's own grant
	Skip    Action = "skipApproval"
	Approve Action = "approve" // what others ask for

	View    Action = "view"
	Close   Action = "close"   // close anybody's grant
	Enable  Action = "enable"  // change policies and add locks
	Disable Action = "disable" // end locks
	Manage  Action = "manage"  // tokens, roles, the server itself
)

// Actions returns every action that roles give. To go without approval, no role
// gives: an access policy does.
func Actions() []Action { return []Action{View, Request, Approve, Close, Enable, Disable, Manage} }

// circumstantial reports whether it depends on more than who, what and where.
func (a Action) circumstantial() bool { return a == Request || a == Skip || a == Approve }

// own returns Sesame's operation that a role must allow for a.
func (a Action) own() role.Operation {
	switch a {
	case View:
		return role.View
	case Request:
		return role.Request
	case Approve:
		return role.Approve
	case Close:
		return role.Close
	case Enable:
		return role.Enable
	case Disable:
		return role.Disable
	case Manage:
		return role.Manage
	case Skip:
	}
	return ""
}

// azure returns the sets of Azure's operations any one of which, if a role allows
// all of it, gives a as well: whoever may do it there may do it here. To request is
// to initiate, as in Azure, where nothing else is checked. Seeing a VM is enough to
// see how its ports stand: the role for requests that Microsoft documents cannot
// read the policies themselves. Approving and managing Azure does not know.
func (a Action) azure() [][]role.Operation {
	switch a {
	case View:
		return [][]role.Operation{{role.JITRead}, {role.VMRead}}
	case Request:
		return [][]role.Operation{{role.JITInitiate}}
	case Close:
		return [][]role.Operation{{role.JITWrite}, {role.JITDelete}}
	case Enable:
		return [][]role.Operation{{role.JITWrite, role.VMWrite}}
	case Disable:
		return [][]role.Operation{{role.JITDelete, role.VMWrite}}
	case Approve, Manage, Skip:
	}
	return nil
}

// given reports whether what allows does gives a.
func (a Action) given(allows func(role.Operation) bool) bool {
	if op := a.own(); op != "" && allows(op) {
		return true
	}
	return slices.ContainsFunc(a.azure(), func(set []role.Operation) bool {
		return !slices.ContainsFunc(set, func(op role.Operation) bool { return !allows(op) })
	})
}

// taken reports whether what denies does takes a: Sesame's own operation for it, or
// something of every set of Azure's that gives it.
func (a Action) taken(denies func(role.Operation) bool) bool {
	if op := a.own(); op != "" && denies(op) {
		return true
	}
	sets := a.azure()
	return len(sets) > 0 && !slices.ContainsFunc(sets, func(set []role.Operation) bool { return !slices.ContainsFunc(set, denies) })
}

// Gives returns what a role gives whoever has it.
func Gives(d role.Definition) (out []Action) {
	for _, a := range Actions() {
		if a.given(d.Allows) {
			out = append(out, a)
		}
	}
	return out
}
