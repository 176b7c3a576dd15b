package api

import (
	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/authz"
)

// Whoami says who the server takes the caller for.
type Whoami struct {
	Principal Principal `json:"principal"`
	Address   string    `json:"address,omitzero" doc:"Where your packets come from; absent for the local socket."`
	Roles     []Role    `json:"roles" doc:"What you may do."`
	Server    Server    `json:"server"`
}

// Server says which server answers.
type Server struct {
	Instance string `json:"instance" doc:"The random name of this installation."`
	Version  string `json:"version"`
	Time     Time   `json:"time"`
}

// A Role is what a principal may do, on one VM, on all, or wherever a scope says.
type Role struct {
	Role  string `json:"role" doc:"Such as viewer, requester, approver or admin."`
	VM    string `json:"vm,omitzero" doc:"The id of the VM that the role is for; absent where it is for more."`
	Scope string `json:"scope" doc:"Where the role holds: / for everything."`
	Group string `json:"group,omitzero" doc:"The group that has the role."`
}

// RolesOf returns the roles of who, and of groups of theirs, as they go over the
// wire.
func RolesOf(assignments []authz.Assignment, who access.Identity) []Role {
	out := []Role{}
	for _, a := range assignments {
		if a.Group == "" && a.Principal.Is(who.Principal) || a.Group != "" && who.In(a.Group) {
			vm, _ := a.Scope.VM()
			out = append(out, Role{Role: string(a.Role), VM: string(vm), Scope: string(a.Scope), Group: a.Group})
		}
	}
	return out
}

// A Sweep asks to close what is past its deadline.
type Sweep struct {
	DryRun bool `json:"dry_run,omitzero" doc:"Only show what would be closed."`
}

// A Swept answers a Sweep.
type Swept struct {
	Closings []Change `json:"closings" doc:"What is or would be closed: what no live grant justifies."`
	Done     bool     `json:"done" doc:"False for a dry run, and while firewalls are still being written."`
}

// Health says whether the server can do its work.
type Health struct {
	Ready   bool     `json:"ready"`
	Reasons []string `json:"reasons,omitempty" doc:"What is in the way."`
}
