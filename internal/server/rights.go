package server

import (
	"context"
	"net/http"
	"slices"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/api/rights"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/authz/accesspolicy"
	"github.com/sesame-access/sesame/internal/authz/role"
	"github.com/sesame-access/sesame/internal/authz/trial"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/server/front"
	"github.com/sesame-access/sesame/internal/store"
)

// rightRoutes are what administrators use to say who may do what.
func (s *Server) rightRoutes() []route {
	unassign := change(http.MethodPost, "/v1/roles/unassign", "unassign-role",
		"Take a role back; grants that lose their right by it end", manages, http.StatusNoContent, takes(s.unassign))
	unassign.ends = true
	put := change(http.MethodPut, "/v1/access-policies/{policy}", "put-access-policy",
		"Save an access policy", manages, http.StatusOK, takes(s.putAccessPolicy))
	put.query = []front.Param{front.DryRunParam()}
	return []route{
		get("/v1/roles", "list-roles", "Who has which role where", manages, nil, reads(s.listRoles)),
		change(http.MethodPost, "/v1/roles", "assign-role", "Give a role to a principal or a group", manages, http.StatusCreated, takes(s.assign)),
		unassign,
		get("/v1/role-definitions", "list-role-definitions", "What each role allows", manages, nil, reads(s.listDefinitions)),
		get("/v1/access-policies", "list-access-policies", "The access policies", manages, nil, reads(s.listAccessPolicies)),
		get("/v1/access-policies/{policy}", "get-access-policy", "One access policy", manages, nil, reads(s.getAccessPolicy)),
		put,
		change(http.MethodDelete, "/v1/access-policies/{policy}", "delete-access-policy",
			"Delete an access policy", manages, http.StatusNoContent, reads(s.dropAccessPolicy)),
	}
}

// access returns the roles and access policies as they are now.
func (s *Server) access(ctx context.Context) (authz.Rules, error) {
	rules, err := s.Store.Rules(ctx)
	return rules.Access, err
}

func (s *Server) listRoles(ctx context.Context, _ *call) (api.Page[rights.Assignment], error) {
	rules, err := s.access(ctx)
	return api.PageFrom(rules.Assignments, "", rights.AssignmentOf), err
}

func (s *Server) assign(ctx context.Context, c *call, in rights.Assignment) (rights.Assignment, error) {
	a, err := in.Domain()
	if err != nil {
		return in, err
	}
	return rights.AssignmentOf(a), s.Broker.Assign(ctx, c.Caller, a)
}

func (s *Server) unassign(ctx context.Context, c *call, in rights.Assignment) (struct{}, error) {
	a, err := in.Domain()
	if err != nil {
		return struct{}{}, err
	}
	return struct{}{}, s.Broker.Unassign(ctx, c.Caller, a)
}

func (s *Server) listDefinitions(ctx context.Context, _ *call) (api.Page[rights.Definition], error) {
	rules, err := s.access(ctx)
	return api.PageFrom(slices.Concat(role.BuiltIn(), rules.Definitions), "", rights.DefinitionOf), err
}

func (s *Server) listAccessPolicies(ctx context.Context, _ *call) (api.Page[rights.AccessPolicy], error) {
	rules, err := s.access(ctx)
	return api.PageFrom(rules.Policies, "", rights.AccessPolicyOf), err
}

func (s *Server) getAccessPolicy(ctx context.Context, c *call) (rights.AccessPolicy, error) {
	rules, err := s.access(ctx)
	if err != nil {
		return rights.AccessPolicy{}, err
	}
	name := c.path("policy")
	for _, p := range rules.Policies {
		if p.Name == name {
			return rights.AccessPolicyOf(p), nil
		}
	}
	return rights.AccessPolicy{}, errkind.New(errkind.NotFound, "there is no access policy %s", errkind.Quote(name))
}

// putAccessPolicy saves a policy or, in a dry run, shows who gains or loses what.
func (s *Server) putAccessPolicy(ctx context.Context, c *call, in rights.NewAccessPolicy) (rights.AccessPolicyChange, error) {
	d := accesspolicy.Document{Name: c.path("policy"), Version: in.Version, Text: in.Text}
	reader, err := accesspolicy.NewReader()
	if err != nil {
		return rights.AccessPolicyChange{}, err
	}
	if _, err := reader.Read(d); err != nil {
		return rights.AccessPolicyChange{}, err
	}
	before, err := s.access(ctx)
	if err != nil {
		return rights.AccessPolicyChange{}, err
	}
	change := store.RoleChange{Policies: []accesspolicy.Document{d}}
	var on []authz.Target
	for _, vm := range s.Fleet.VMs() {
		on = append(on, s.Broker.Target(vm.ID))
	}
	diff, whole := trial.Diff(before, change.Apply(before), on)
	if !c.query.Flag("dry_run") {
		d, err = s.Broker.SaveAccessPolicy(ctx, c.Caller, d)
	}
	return rights.AccessPolicyChange{Policy: rights.AccessPolicyOf(d), Diff: rights.DiffOf(diff), Whole: whole}, err
}

func (s *Server) dropAccessPolicy(ctx context.Context, c *call) (struct{}, error) {
	return struct{}{}, s.Broker.DropAccessPolicy(ctx, c.Caller, c.path("policy"))
}
