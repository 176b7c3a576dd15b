package server

import (
	"context"
	"slices"

	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/server/front"
	"github.com/sesame-access/sesame/internal/server/sight"
)

// sight returns what c may view by the rules as they are now.
func (s *Server) sight(ctx context.Context, c *call) (sight.Sight, error) {
	rules, err := s.Store.Rules(ctx)
	if err != nil {
		return sight.Sight{}, errkind.Wrap(errkind.Unavailable, err, "the rules cannot be read, so nothing can be shown; closing goes on")
	}
	return sight.Of(rules, c.Identity, s.Fleet.VMs(), s.Broker.Target), nil
}

// visible returns the machines of the inventory that v sees.
func (s *Server) visible(v sight.Sight) []inventory.VM {
	return slices.DeleteFunc(s.Fleet.VMs(), func(x inventory.VM) bool { return !v.Sees(x.ID) })
}

// find returns the VM that name means, among those that v sees.
func (s *Server) find(v sight.Sight, name string) (inventory.VM, error) {
	return inventory.Find(s.visible(v), name)
}

// among returns the VMs that a list is to be about: the one that the query
// names, or all that v sees; nil for all there are.
func (s *Server) among(v sight.Sight, q front.Query) ([]firewall.VMID, error) {
	name := q.Text("vm")
	if name == "" {
		return v.VMs, nil
	}
	// One that the inventory does not name any more still has a past.
	if id, err := firewall.ParseVMID(name); err == nil && v.Sees(id) {
		return []firewall.VMID{id}, nil
	}
	vm, err := s.find(v, name)
	return []firewall.VMID{vm.ID}, err
}
