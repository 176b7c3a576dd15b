package server

import (
	"context"
	"slices"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/server/front"
	"github.com/sesame-access/sesame/internal/store"
)

// sight is what one caller may view: all VMs, or those of their roles. A VM that
// is in no inventory any more can still be seen by whoever has a role on it.
type sight struct {
	all   bool
	vms   []firewall.VMID // sorted; never nil unless all
	rules store.Rules
}

// sight returns what c may view by the rules as they are now.
func (s *Server) sight(ctx context.Context, c *call) (sight, error) {
	rules, err := s.Store.Rules(ctx)
	if err != nil {
		return sight{}, errkind.Wrap(errkind.Unavailable, err, "the rules cannot be read, so nothing can be shown; closing goes on")
	}
	return sightOf(rules, c.Principal), nil
}

func sightOf(rules store.Rules, p access.Principal) sight {
	out := sight{all: authz.May(rules.Assignments, p, authz.View, "").Allow, vms: []firewall.VMID{}, rules: rules}
	if out.all {
		out.vms = nil
		return out
	}
	for _, a := range rules.Assignments {
		if a.VM != "" && authz.May(rules.Assignments, p, authz.View, a.VM).Allow {
			out.vms = append(out.vms, a.VM)
		}
	}
	slices.Sort(out.vms)
	out.vms = slices.Compact(out.vms)
	return out
}

// sees reports whether vm may be viewed.
func (v sight) sees(vm firewall.VMID) bool {
	if v.all {
		return true
	}
	_, ok := slices.BinarySearch(v.vms, vm)
	return ok
}

// visible returns the machines of the inventory that v sees.
func (s *Server) visible(v sight) []inventory.VM {
	return slices.DeleteFunc(s.Fleet.VMs(), func(x inventory.VM) bool { return !v.sees(x.ID) })
}

// find returns the VM that name means, among those that v sees.
func (s *Server) find(v sight, name string) (inventory.VM, error) {
	return inventory.Find(s.visible(v), name)
}

// among returns the VMs that a list is to be about: the one that the query
// names, or all that v sees; nil for all there are.
func (s *Server) among(v sight, q front.Query) ([]firewall.VMID, error) {
	name := q.Text("vm")
	if name == "" {
		return v.vms, nil
	}
	// One that the inventory does not name any more still has a past.
	if id, err := firewall.ParseVMID(name); err == nil && v.sees(id) {
		return []firewall.VMID{id}, nil
	}
	vm, err := s.find(v, name)
	return []firewall.VMID{vm.ID}, err
}
