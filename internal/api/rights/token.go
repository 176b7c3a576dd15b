package rights

import (
	"fmt"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
)

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
			return "", 0, errkind.At(fmt.Sprintf("scope[%d]", i), errkind.Bad("scope", s, "something that the role "+n.Role+" allows, such as view"))
		}
	}
	if n.Lifetime != "" {
		lifetime, err = access.ParseSpan("lifetime", n.Lifetime, MinLifetime, MaxLifetime)
	}
	return role, lifetime, err
}

// A Token is a secret that stands for a principal; the secret is not in it.
type Token struct {
	ID        string        `json:"id"`
	Principal api.Principal `json:"principal"`
	Person    string        `json:"person,omitzero" doc:"Whose it is; absent for a program's."`
	Code      bool          `json:"code,omitzero" doc:"It is good for one emergency, and for nothing else."`
	Roles     []api.Role    `json:"roles"`
	Scope     []string      `json:"scope,omitempty" doc:"What it may be used for; absent for all that the roles allow."`
	Created   api.Time      `json:"created"`
	Expires   api.Time      `json:"expires,omitzero" doc:"Absent for never."`
	Revoked   api.Time      `json:"revoked,omitzero"`
}

// A CreatedToken is a token with its secret, which is shown this once.
type CreatedToken struct {
	Token  Token  `json:"token"`
	Secret string `json:"secret"`
}

// FindVMs reads the VMs of n with find, which knows the inventory.
func (n NewToken) FindVMs(find func(string) (firewall.VMID, error)) ([]firewall.VMID, error) {
	var out []firewall.VMID
	for i, s := range n.VMs {
		id, err := find(s)
		if err != nil {
			return nil, errkind.At(fmt.Sprintf("vms[%d]", i), err)
		}
		out = append(out, id)
	}
	return out, nil
}
