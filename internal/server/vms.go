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
	"github.com/sesame-access/sesame/internal/reconcile"
)

func (s *Server) whoami(ctx context.Context, c *call) (api.Whoami, error) {
	v, err := s.sight(ctx, c)
	if err != nil {
		return api.Whoami{}, err
	}
	out := api.Whoami{
		Principal: api.PrincipalOf(c.Principal), Address: "", Roles: api.RolesOf(v.rules.Assignments, c.Principal),
		Server: api.Server{Instance: s.Store.Instance(), Version: s.Version, Time: api.TimeOf(c.now)},
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
func (s *Server) vm(c *call, v sight, x inventory.VM, live map[firewall.Door]int) api.VM {
	out := api.VMOf(x)
	states := s.Fleet.Doors(x.ID)
	may := authz.May(v.rules.Assignments, c.Principal, authz.Request, x.ID).Allow
	for _, l := range slices.Concat(v.rules.Locks, s.Fleet.Orphans(x.ID, v.rules.Locks)) {
		if l.Door.VM != x.ID {
			continue
		}
		d := doorState(v, l, states)
		d.Grants = live[l.Door]
		d.MayRequest = may && d.Policy != ""
		out.Doors = append(out.Doors, d)
	}
	return out
}

// doorState returns how the door of l stands, over all firewalls on its way: it
// is locked when all of them that show it say so, and what is wrong on any of
// them is said.
func doorState(v sight, l access.Lock, states []reconcile.DoorState) api.DoorState {
	out := api.DoorStateOf(l)
	out.Policy = ""
	for _, p := range v.rules.Policies {
		if port, ok := p.PortOf(l.Door); ok {
			out.Policy, out.Max = p.Name, access.FormatDuration(port.Max)
		}
	}
	for i, x := range slices.DeleteFunc(slices.Clone(states), func(x reconcile.DoorState) bool { return x.Door != l.Door }) {
		read := api.TimeOf(x.Read)
		if i == 0 {
			out.Locked, out.Read = x.Locked, read
		}
		out.Locked = out.Locked && x.Locked
		if read.Before(out.Read.Time) {
			out.Read = read
		}
		if out.Exposed == "" {
			out.Exposed = x.Exposed
		}
		if out.Failing == "" {
			out.Failing = x.Failing
		}
		out.Obstacles = append(out.Obstacles, x.Obstacles...)
	}
	return out
}
