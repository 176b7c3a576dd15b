package server

import (
	"context"
	"slices"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/broker"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
)

func (s *Server) listPolicies(ctx context.Context, c *call) (api.Page[api.SavedPolicy], error) {
	v, err := s.sight(ctx, c)
	if err != nil {
		return api.Page[api.SavedPolicy]{}, err
	}
	var out []api.SavedPolicy
	for _, p := range v.Rules.Policies {
		if shown, ok := v.Policy(p); ok {
			out = append(out, api.SavedPolicyOf(shown, len(p.VMs)-len(shown.VMs)))
		}
	}
	return api.PageOf(out, ""), nil
}

func (s *Server) getPolicy(ctx context.Context, c *call) (api.SavedPolicy, error) {
	v, err := s.sight(ctx, c)
	if err != nil {
		return api.SavedPolicy{}, err
	}
	name := c.path("policy")
	for _, p := range v.Rules.Policies {
		if shown, ok := v.Policy(p); ok && p.Name == name {
			return api.SavedPolicyOf(shown, len(p.VMs)-len(shown.VMs)), nil
		}
	}
	return api.SavedPolicy{}, errkind.New(errkind.NotFound, "there is no policy %s that you may see", errkind.Quote(name))
}

func (s *Server) putPolicy(ctx context.Context, c *call, body []byte) (api.PolicyChange, error) {
	p, err := api.ParsePolicy(c.path("policy"), body)
	if err != nil {
		return api.PolicyChange{}, err
	}
	v, err := s.sight(ctx, c)
	if err != nil {
		return api.PolicyChange{}, err
	}
	for _, vm := range p.VMs {
		if _, err := s.find(v, string(vm)); err != nil {
			return api.PolicyChange{}, err
		}
	}
	if c.query.Flag("dry_run") {
		preview, err := s.Broker.PreviewEnable(ctx, c.Caller, p)
		out := api.PolicyTrial(v.Rules.Policies, p, v.Preview(preview, s.Fleet.VMs(), c.now))
		out.Preview.Proposed = v.Proposed(s.Fleet.VMs(), p)
		return out, err
	}
	saved, err := s.Broker.Enable(ctx, c.Caller, p, broker.Agreed{Losses: c.query.Text("accept_losses")})
	return api.PolicyChange{Policy: api.PolicyOf(saved), Version: saved.Version, Changes: nil, Preview: nil}, err
}

func (s *Server) dropPolicy(ctx context.Context, c *call) (struct{}, error) {
	if _, err := s.getPolicy(ctx, c); err != nil {
		return struct{}{}, err
	}
	return struct{}{}, s.Broker.DropPolicy(ctx, c.Caller, c.path("policy"))
}

// disable shows whom it gives a door back to before it does: what cannot be
// shown is not done.
func (s *Server) disable(ctx context.Context, c *call, in api.Disable) (api.Disabled, error) {
	ports, err := in.Parse()
	if err != nil {
		return api.Disabled{}, err
	}
	v, err := s.sight(ctx, c)
	if err != nil {
		return api.Disabled{}, err
	}
	vm, err := s.find(v, in.VM)
	if err != nil {
		return api.Disabled{}, err
	}
	var doors []firewall.Door
	for _, p := range ports {
		doors = append(doors, firewall.Door{VM: vm.ID, Protocol: p.Protocol, Port: p.Number})
	}
	slices.SortFunc(doors, firewall.CompareDoors)
	doors = slices.Compact(doors)
	preview, err := s.Broker.PreviewDisable(ctx, c.Caller, doors)
	if err != nil {
		return api.Disabled{}, err
	}
	out := api.Disabled{Doors: api.DoorsOf(doors), Preview: v.Preview(preview, s.Fleet.VMs(), c.now), Done: false}
	if in.DryRun {
		return out, nil
	}
	out.Done = true
	return out, s.Broker.Disable(ctx, c.Caller, doors, broker.Agreed{Restore: in.Restore})
}

func (s *Server) plan(ctx context.Context, c *call) (api.Preview, error) {
	v, err := s.sight(ctx, c)
	if err != nil {
		return api.Preview{}, err
	}
	p, err := s.Broker.Plan(ctx, c.Caller)
	return v.Preview(p, s.Fleet.VMs(), c.now), err
}
