package server

import (
	"context"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/api/vote"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/broker"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/store"
)

func (s *Server) listTokens(ctx context.Context, _ *call) (api.Page[api.Token], error) {
	rules, err := s.Store.Rules(ctx)
	if err != nil {
		return api.Page[api.Token]{}, err
	}
	tokens, err := s.Store.Tokens(ctx)
	if err != nil {
		return api.Page[api.Token]{}, errkind.Wrap(errkind.Unavailable, err, "the tokens cannot be read now")
	}
	return api.PageFrom(tokens, "", func(t store.Token) api.Token { return tokenOf(t, rules.Access.Assignments) }), nil
}

// tokenOf returns t, and what its principal may do, as they go over the wire.
func tokenOf(t store.Token, assignments []authz.Assignment) api.Token {
	return api.Token{
		ID: t.ID, Principal: api.PrincipalOf(t.Principal), Person: t.Person, Code: t.Code, Scope: t.Scope,
		Roles:   api.RolesOf(assignments, access.Identity{Principal: t.Principal}),
		Created: api.TimeOf(t.Created), Expires: api.TimeOf(t.Expires), Revoked: api.TimeOf(t.Revoked),
	}
}

func (s *Server) createToken(ctx context.Context, c *call, in api.NewToken) (api.CreatedToken, error) {
	role, lifetime, err := in.Parse()
	if err != nil {
		return api.CreatedToken{}, err
	}
	v, err := s.sight(ctx, c)
	if err != nil {
		return api.CreatedToken{}, err
	}
	vms, err := in.FindVMs(func(name string) (firewall.VMID, error) {
		vm, err := s.find(v, name)
		return vm.ID, err
	})
	if err != nil {
		return api.CreatedToken{}, err
	}
	secret, t, err := s.Broker.CreateToken(ctx, c.Caller, broker.NewToken{Name: in.Name, Role: role, VMs: vms, Scope: in.Scope, Lifetime: lifetime, Person: in.Person})
	if err != nil {
		return api.CreatedToken{}, err
	}
	rules, err := s.Store.Rules(ctx)
	if err != nil {
		return api.CreatedToken{}, err
	}
	return api.CreatedToken{Token: tokenOf(t, rules.Access.Assignments), Secret: secret}, nil
}

func (s *Server) createCodes(ctx context.Context, c *call, in vote.NewCodes) (vote.Codes, error) {
	who, count, lifetime, err := in.Parse()
	if err != nil {
		return vote.Codes{}, err
	}
	codes, err := s.Broker.CreateCodes(ctx, c.Caller, who, count, lifetime)
	return vote.Codes{Codes: codes}, err
}

func (s *Server) revokeToken(ctx context.Context, c *call) (struct{}, error) {
	return struct{}{}, s.Broker.RevokeToken(ctx, c.Caller, c.path("token"))
}
