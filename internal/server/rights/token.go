package rights

import (
	"context"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/api"
	wire "github.com/sesame-access/sesame/internal/api/rights"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/broker"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/store"
)

// Issued returns every token, without its secret.
func (f Face) Issued(ctx context.Context) (api.Page[wire.Token], error) {
	rules, err := f.Rules(ctx)
	if err != nil {
		return api.Page[wire.Token]{}, err
	}
	tokens, err := f.Tokens(ctx)
	if err != nil {
		return api.Page[wire.Token]{}, errkind.Wrap(errkind.Unavailable, err, "the tokens cannot be read now")
	}
	return api.PageFrom(tokens, "", func(t store.Token) wire.Token { return tokenOf(t, rules.Access.Assignments) }), nil
}

// tokenOf returns t, and what its principal may do, as they go over the wire.
func tokenOf(t store.Token, assignments []authz.Assignment) wire.Token {
	return wire.Token{
		ID: t.ID, Principal: api.PrincipalOf(t.Principal), Person: t.Person, Code: t.Code, Scope: t.Scope,
		Roles:   api.RolesOf(assignments, access.Identity{Principal: t.Principal}),
		Created: api.TimeOf(t.Created), Expires: api.TimeOf(t.Expires), Revoked: api.TimeOf(t.Revoked),
	}
}

// Issue makes a token; find says which VM of those that the caller sees a name means.
func (f Face) Issue(ctx context.Context, caller broker.Caller, in wire.NewToken, find func(string) (firewall.VMID, error)) (wire.CreatedToken, error) {
	role, lifetime, err := in.Parse()
	if err != nil {
		return wire.CreatedToken{}, err
	}
	vms, err := in.FindVMs(find)
	if err != nil {
		return wire.CreatedToken{}, err
	}
	n := broker.NewToken{Name: in.Name, Role: role, VMs: vms, Scope: in.Scope, Lifetime: lifetime, Person: in.Person}
	secret, t, err := f.Broker.CreateToken(ctx, caller, n)
	if err != nil {
		return wire.CreatedToken{}, err
	}
	rules, err := f.Rules(ctx)
	return wire.CreatedToken{Token: tokenOf(t, rules.Access.Assignments), Secret: secret}, err
}
