package server

import (
	"context"
	"strings"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/api/vote"
	"github.com/sesame-access/sesame/internal/broker"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/server/sight"
	"github.com/sesame-access/sesame/internal/store"
)

func (s *Server) request(ctx context.Context, c *call, in api.Ask) (api.Request, error) {
	key, err := idempotencyKey(c)
	if err != nil {
		return api.Request{}, err
	}
	asked, err := in.Parse(c.now)
	if err != nil {
		return api.Request{}, err
	}
	v, err := s.sight(ctx, c)
	if err != nil {
		return api.Request{}, err
	}
	vm, err := s.find(v, asked.VM)
	if err != nil {
		return api.Request{}, err
	}
	ask := broker.Ask{
		VM: string(vm.ID), Ports: portsOf(asked.Ports), Also: nil, Sources: asked.Sources, Duration: asked.Duration,
		Until: asked.Until, Start: asked.Start, Reason: asked.Reason, Ticket: asked.Ticket, Glass: asked.Glass,
		Supersede: asked.Supersede, IdempotencyKey: key,
	}
	for _, t := range asked.Also {
		if vm, err = s.find(v, t.VM); err != nil {
			return api.Request{}, err
		}
		ask.Also = append(ask.Also, broker.Target{VM: string(vm.ID), Ports: portsOf(t.Ports)})
	}
	answer, err := s.Broker.Request(ctx, c.Caller, ask)
	return s.answerOf(answer, err)
}

func portsOf(ports []api.AskedPort) []broker.Port {
	var out []broker.Port
	for _, p := range ports {
		out = append(out, broker.Port{Number: p.Number, Protocol: p.Protocol})
	}
	return out
}

// answerOf returns what came of a request as it goes over the wire.
func (s *Server) answerOf(a broker.Answer, err error) (api.Request, error) {
	if err != nil {
		return api.Request{}, err
	}
	out := vote.RequestIn(a.Case, s.Clocks())
	for _, g := range a.Grants {
		out.Grants = append(out.Grants, api.GrantIn(g.Grant, g.State, g.Pending))
	}
	return out, nil
}

// idempotencyKey reads the key that makes a request safe to repeat.
func idempotencyKey(c *call) (string, error) {
	const most = 128
	values := c.request.Header.Values(api.KeyHeader)
	if len(values) == 0 {
		return "", nil
	}
	plain := func(r rune) bool { return r <= ' ' || r > '~' }
	if key := values[0]; len(values) == 1 && key != "" && len(key) <= most && strings.IndexFunc(key, plain) < 0 {
		return key, nil
	}
	return "", errkind.Bad(api.KeyHeader, strings.Join(values, ", "), "one key of 1 to 128 printable ASCII characters without blanks")
}

func (s *Server) listRequests(ctx context.Context, c *call) (api.Page[api.Request], error) {
	v, err := s.sight(ctx, c)
	if err != nil {
		return api.Page[api.Request]{}, err
	}
	f := store.RequestFilter{VMs: nil, Principal: c.query.Principal(c.Principal), Page: store.Page{}}
	if f.Page, err = c.query.Page(); err != nil {
		return api.Page[api.Request]{}, err
	}
	if f.VMs, err = s.listed(c, v, f.Principal); err != nil {
		return api.Page[api.Request]{}, err
	}
	if c.query.Text("state") == "waiting" {
		return s.listWaiting(ctx, f)
	}
	list, next, err := s.Store.Requests(ctx, f)
	if err != nil {
		return api.Page[api.Request]{}, err
	}
	now := s.Clocks()
	return api.PageFrom(list, next, func(r store.Request) api.Request { return vote.RequestIn(r.Case(), now) }), nil
}

// listed returns the VMs that a list of what principal asked for is about. What
// is the caller's own is shown whatever has become of their roles.
func (s *Server) listed(c *call, v sight.Sight, principal access.Principal) ([]firewall.VMID, error) {
	if principal.Is(c.Principal) {
		v.All, v.VMs = true, nil
	}
	return s.among(v, c.query)
}

func (s *Server) getRequest(ctx context.Context, c *call) (api.Request, error) {
	id, err := access.ParseID("request", access.RequestPrefix, c.path("request"))
	if err != nil {
		return api.Request{}, err
	}
	v, err := s.sight(ctx, c)
	if err != nil {
		return api.Request{}, err
	}
	r, err := s.Store.Request(ctx, id)
	if err != nil && errkind.Of(err) != errkind.NotFound {
		return api.Request{}, err
	}
	mine := r.Principal.Is(c.Principal)
	for _, d := range r.Doors {
		mine = mine || v.Sees(d.VM)
	}
	if err != nil || !mine {
		return api.Request{}, errkind.New(errkind.NotFound, "there is no request %s that you may see; `sesame requests` lists those", errkind.Quote(id))
	}
	grants, _, err := s.Store.Grants(ctx, store.GrantFilter{Request: id, Page: store.Page{Limit: access.MaxDoors, Cursor: ""}})
	if err != nil {
		return api.Request{}, err
	}
	now := s.Clocks()
	out := vote.RequestIn(r.Case(), now)
	for _, g := range grants {
		out.Grants = append(out.Grants, api.GrantOf(s.Fleet.Current(g), now))
	}
	return out, nil
}

func (s *Server) listGrants(ctx context.Context, c *call) (api.Page[api.Grant], error) {
	v, err := s.sight(ctx, c)
	if err != nil {
		return api.Page[api.Grant]{}, err
	}
	f := store.GrantFilter{
		VMs: nil, Principal: c.query.Principal(c.Principal), Request: "", Which: store.All, Page: store.Page{},
	}
	switch c.query.Text("state") {
	case "pending":
		f.Which = store.Pending
	case "done":
		f.Which = store.Done
	}
	if f.Page, err = c.query.Page(); err != nil {
		return api.Page[api.Grant]{}, err
	}
	if f.VMs, err = s.listed(c, v, f.Principal); err != nil {
		return api.Page[api.Grant]{}, err
	}
	list, next, err := s.Store.Grants(ctx, f)
	if err != nil {
		return api.Page[api.Grant]{}, err
	}
	now := s.Clocks()
	return api.PageFrom(list, next, func(g access.Grant) api.Grant { return api.GrantOf(s.Fleet.Current(g), now) }), nil
}

func (s *Server) getGrant(ctx context.Context, c *call) (api.Grant, error) {
	id, err := access.ParseID("grant", access.GrantPrefix, c.path("grant"))
	if err != nil {
		return api.Grant{}, err
	}
	v, err := s.sight(ctx, c)
	if err != nil {
		return api.Grant{}, err
	}
	g, err := s.Store.Grant(ctx, id)
	if err != nil && errkind.Of(err) != errkind.NotFound {
		return api.Grant{}, err
	}
	if err != nil || !g.Principal.Is(c.Principal) && !v.Sees(g.Door.VM) {
		return api.Grant{}, errkind.New(errkind.NotFound, "there is no grant %s that you may see; `sesame requests` lists those", errkind.Quote(id))
	}
	return api.GrantOf(s.Fleet.Current(g), s.Clocks()), nil
}

func (s *Server) closeGrant(ctx context.Context, c *call) (api.Grant, error) {
	g, err := s.Broker.Close(ctx, c.Caller, c.path("grant"))
	return standing(g, err)
}

func (s *Server) extendGrant(ctx context.Context, c *call, in api.Extend) (api.Grant, error) {
	d, err := in.Parse()
	if err != nil {
		return api.Grant{}, err
	}
	g, err := s.Broker.Extend(ctx, c.Caller, c.path("grant"), d)
	return standing(g, err)
}

func standing(g broker.Standing, err error) (api.Grant, error) {
	if err != nil {
		return api.Grant{}, err
	}
	return api.GrantIn(g.Grant, g.State, g.Pending), nil
}
