package server

import (
	"context"
	"net/http"

	"github.com/sesame-access/sesame/internal/api"
	wire "github.com/sesame-access/sesame/internal/api/rights"
	"github.com/sesame-access/sesame/internal/server/front"
	"github.com/sesame-access/sesame/internal/server/rights"
)

// rights answers who may do what.
func (s *Server) rights() rights.Face {
	return rights.Face{Broker: s.Broker, Rules: s.Store.Rules, Tokens: s.Store.Tokens, VMs: s.Fleet.VMs}
}

// rightRoutes are what administrators use to say who may do what.
func (s *Server) rightRoutes() []route {
	f := s.rights()
	unassign := change(http.MethodPost, "/v1/roles/unassign", "unassign-role",
		"Take a role back; grants that lose their right by it end", manages, http.StatusNoContent,
		takes(func(ctx context.Context, c *call, in wire.Assignment) (struct{}, error) {
			return f.Unassign(ctx, c.Caller, in)
		}))
	unassign.ends = true
	put := change(http.MethodPut, "/v1/access-policies/{policy}", "put-access-policy", "Save an access policy", manages, http.StatusOK,
		takes(func(ctx context.Context, c *call, in wire.NewAccessPolicy) (wire.AccessPolicyChange, error) {
			return f.Put(ctx, c.Caller, c.path("policy"), in, c.query.Flag("dry_run"))
		}))
	put.query = []front.Param{front.DryRunParam()}
	return []route{
		get("/v1/roles", "list-roles", "Who has which role where", manages, nil,
			reads(func(ctx context.Context, _ *call) (api.Page[wire.Assignment], error) { return f.Roles(ctx) })),
		change(http.MethodPost, "/v1/roles", "assign-role", "Give a role to a principal or a group", manages, http.StatusCreated,
			takes(func(ctx context.Context, c *call, in wire.Assignment) (wire.Assignment, error) {
				return f.Assign(ctx, c.Caller, in)
			})),
		unassign,
		get("/v1/role-definitions", "list-role-definitions", "What each role allows", manages, nil,
			reads(func(ctx context.Context, _ *call) (api.Page[wire.Definition], error) { return f.Definitions(ctx) })),
		get("/v1/access-policies", "list-access-policies", "The access policies", manages, nil,
			reads(func(ctx context.Context, _ *call) (api.Page[wire.AccessPolicy], error) { return f.Policies(ctx) })),
		get("/v1/access-policies/{policy}", "get-access-policy", "One access policy", manages, nil,
			reads(func(ctx context.Context, c *call) (wire.AccessPolicy, error) { return f.Policy(ctx, c.path("policy")) })),
		put,
		change(http.MethodDelete, "/v1/access-policies/{policy}", "delete-access-policy", "Delete an access policy", manages, http.StatusNoContent,
			reads(func(ctx context.Context, c *call) (struct{}, error) {
				return struct{}{}, s.Broker.DropAccessPolicy(ctx, c.Caller, c.path("policy"))
			})),
	}
}
