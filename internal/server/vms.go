package server

import (
	"context"
	"slices"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/server/sight"
)

func (s *Server) whoami(ctx context.Context, c *call) (api.Whoami, error) {
	v, err := s.sight(ctx, c)
	if err != nil {
		return api.Whoami{}, err
	}
	out := api.Whoami{
		Principal: api.PrincipalOf(c.Principal), Address: "", Roles: api.RolesOf(v.Rules.Access.Assignments, c.Identity),
		Server: api.Server{Instance: s.Instance, Version: s.Version, Time: api.TimeOf(c.now)},
	}
	if c.Addr.IsValid() {
		out.Address = c.Addr.String()
	}
	return out, nil
}

func (s *Server) listVMs(ctx context.Context, c *call) (api.Page[api.VM], error) {
	v, err := s.sight(ctx, c)
	if err != nil {
		return api.Page[api.VM]{}, err
	}
	live, err := s.liveGrants(ctx)
	if err != nil {
		return api.Page[api.VM]{}, err
	}
	return api.PageFrom(s.visible(v), "", func(x inventory.VM) api.VM { return s.vm(c, v, x, live) }), nil
}

func (s *Server) getVM(ctx context.Context, c *call) (api.VM, error) {
	v, err := s.sight(ctx, c)
	if err != nil {
		return api.VM{}, err
	}
	x, err := s.find(v, c.path("vm"))
	if err != nil {
		return api.VM{}, err
	}
	live, err := s.liveGrants(ctx)
	if err != nil {
		return api.VM{}, err
	}
	return s.vm(c, v, x, live), nil
}

// liveGrants counts the live grants of every door.
func (s *Server) liveGrants(ctx context.Context) (map[firewall.Door]int, error) {
	pending, err := s.Store.Pending(ctx)
	if err != nil {
		return nil, errkind.Wrap(errkind.Unavailable, err, "the grants cannot be read now; they close by themselves")
	}
	now := s.Clocks()
	out := map[firewall.Door]int{}
	for _, g := range pending {
		if g.Live(now) {
			out[g.Door]++
		}
	}
	return out, nil
}

// vm returns x with its doors as they are locked and as they were read back.
func (s *Server) vm(c *call, v sight.Sight, x inventory.VM, live map[firewall.Door]int) api.VM {
	out := api.VMOf(x)
	states := s.Fleet.Doors(x.ID)
	may := v.Rules.Engine.Allows(c.Identity, authz.Request, s.Broker.Target(x.ID))
	for _, l := range slices.Concat(v.Rules.Locks, s.Fleet.Orphans(x.ID, v.Rules.Locks)) {
		if l.Door.VM != x.ID {
			continue
		}
		d := v.DoorState(l, states)
		d.Grants = live[l.Door]
		d.MayRequest = may && d.Policy != ""
		out.Doors = append(out.Doors, d)
	}
	for _, x := range states {
		if d := api.DoorStateOf(access.Lock{Door: x.Door}); !x.Locked && len(x.Obstacles) > 0 && !out.Has(d.Port, d.Protocol) {
			d.Obstacles, d.Read = x.Obstacles, api.TimeOf(x.Read)
			out.Doors = append(out.Doors, d) // nobody's here, and yet something stands in it: another installation's lock
		}
	}
	return out
}
