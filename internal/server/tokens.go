package server

import (
	"context"

	"github.com/sesame-access/sesame/internal/api"
	wire "github.com/sesame-access/sesame/internal/api/rights"
	"github.com/sesame-access/sesame/internal/api/vote"
	"github.com/sesame-access/sesame/internal/firewall"
)

func (s *Server) listTokens(ctx context.Context, _ *call) (api.Page[wire.Token], error) {
	return s.rights().Issued(ctx)
}

func (s *Server) createToken(ctx context.Context, c *call, in wire.NewToken) (wire.CreatedToken, error) {
	v, err := s.sight(ctx, c)
	if err != nil {
		return wire.CreatedToken{}, err
	}
	return s.rights().Issue(ctx, c.Caller, in, func(name string) (firewall.VMID, error) {
		vm, err := s.find(v, name)
		return vm.ID, err
	})
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
