package api

import (
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
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

// A NewToken says what a token is for.
type NewToken struct {
	Name     string   `json:"name" doc:"The local principal that the token stands for."`
	Role     string   `json:"role" enum:"viewer,approver,requester,admin"`
	VMs      []string `json:"vms,omitempty" doc:"Ids or names of the VMs that the role is for; absent for all."`
	Scope    []string `json:"scope,omitempty" doc:"What the token may be used for, such as view and request; absent for all that the role allows."`
	Lifetime string   `json:"lifetime,omitzero" doc:"Such as 720h; absent for until it is revoked."`
	Person   string   `json:"person,omitzero" doc:"Whose it is: the id of a person, or new; absent for a program. Only people approve."`
}

// The bounds of a token's lifetime.
const (
	MinLifetime = time.Minute
	MaxLifetime = 10 * 366 * 24 * time.Hour
)

// Parse reads n but for its VMs, which only an inventory can find.
func (n NewToken) Parse() (role authz.Role, lifetime time.Duration, err error) {
	if _, err = firewall.ParseName("name", n.Name); err != nil {
		return "", 0, err
	}
	if role, err = authz.ParseRole(n.Role); err != nil {
		return "", 0, err
	}
	for i, s := range n.Scope {
		if !role.May(authz.Action(s)) {
			return "", 0, errkind.At(place("scope", i), errkind.Bad("scope", s, "something that the role "+n.Role+" allows, such as view"))
		}
	}
	if n.Lifetime != "" {
		lifetime, err = access.ParseSpan("lifetime", n.Lifetime, MinLifetime, MaxLifetime)
	}
	return role, lifetime, err
}

// A Token is a secret that stands for a principal; the secret is not in it.
type Token struct {
	ID        string    `json:"id"`
	Principal Principal `json:"principal"`
	Person    string    `json:"person,omitzero" doc:"Whose it is; absent for a program's."`
	Code      bool      `json:"code,omitzero" doc:"It is good for one emergency, and for nothing else."`
	Roles     []Role    `json:"roles"`
	Scope     []string  `json:"scope,omitempty" doc:"What it may be used for; absent for all that the roles allow."`
	Created   Time      `json:"created"`
	Expires   Time      `json:"expires,omitzero" doc:"Absent for never."`
	Revoked   Time      `json:"revoked,omitzero"`
}

// A CreatedToken is a token with its secret, which is shown this once.
type CreatedToken struct {
	Token  Token  `json:"token"`
	Secret string `json:"secret"`
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

// FindVMs reads the VMs of n with find, which knows the inventory.
func (n NewToken) FindVMs(find func(string) (firewall.VMID, error)) ([]firewall.VMID, error) {
	var out []firewall.VMID
	for i, s := range n.VMs {
		id, err := find(s)
		if err != nil {
			return nil, errkind.At(place("vms", i), err)
		}
		out = append(out, id)
	}
	return out, nil
}
