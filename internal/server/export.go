package server

import (
	"context"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/errkind"
)

// exportTerraform says what Terraform has to know about a VM or a firewall.
func (s *Server) exportTerraform(ctx context.Context, c *call) (api.Terraform, error) {
	v, err := s.sight(ctx, c)
	if err != nil {
		return api.Terraform{}, err
	}
	of := c.query.Text("of")
	part := of
	vm, err := s.find(v, of)
	switch {
	case err == nil:
		part = string(vm.ID)
	case errkind.Of(err) != errkind.NotFound: // several VMs are called so
		return api.Terraform{}, err
	}
	found, err := s.Fleet.Export(ctx, part)
	switch {
	case err != nil:
		return api.Terraform{}, errkind.Wrap(errkind.Unavailable, err, "what stands at %s cannot be read now", errkind.Quote(of))
	case len(found) == 0 && vm.ID != "":
		return api.Terraform{}, errkind.New(errkind.Conflict, "Sesame writes no firewall of %s that Terraform writes, too; there is nothing to say", vm.Name)
	case len(found) == 0:
		return api.Terraform{}, errkind.New(errkind.NotFound, "there is no VM, security group or network security group %s that Sesame reads; `sesame vms` lists the VMs", errkind.Quote(of))
	}
	out := api.Terraform{Snippets: []api.Snippet{}}
	for _, x := range found {
		out.Snippets = append(out.Snippets, api.Snippet{Firewall: string(x.Firewall), Resource: x.Resource, ID: x.ID, HCL: x.HCL})
	}
	return out, nil
}
