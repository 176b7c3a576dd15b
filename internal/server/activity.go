package server

import (
	"context"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/server/follow"
	"github.com/sesame-access/sesame/internal/server/front"
	"github.com/sesame-access/sesame/internal/server/sight"
	"github.com/sesame-access/sesame/internal/store"
)

func (s *Server) listActivity(ctx context.Context, c *call) (api.Page[api.Record], error) {
	v, err := s.sight(ctx, c)
	if err != nil {
		return api.Page[api.Record]{}, err
	}
	f, err := s.activityFilter(c, v)
	if err != nil {
		return api.Page[api.Record]{}, err
	}
	if f.Page, err = c.query.Page(); err != nil {
		return api.Page[api.Record]{}, err
	}
	list, next, err := s.Store.Activity(ctx, f)
	if err != nil {
		return api.Page[api.Record]{}, err
	}
	return api.PageFrom(list, next, follow.RecordOf), nil
}

// activityFilter reads the filter of c, cut down to what v sees. Records about
// no VM are for those who may view all.
func (s *Server) activityFilter(c *call, v sight.Sight) (store.ActivityFilter, error) {
	f := store.ActivityFilter{Principal: c.query.Principal(c.Principal), Text: c.query.Text("q")}
	for _, k := range c.query.Texts("kind") {
		f.Kinds = append(f.Kinds, audit.Kind(k))
	}
	var err error
	if f.VMs, err = s.among(v, c.query); err != nil {
		return f, err
	}
	if f.Request, err = c.query.ID("request", access.RequestPrefix); err != nil {
		return f, err
	}
	if f.Grant, err = c.query.ID("grant", access.GrantPrefix); err != nil {
		return f, err
	}
	if f.Since, err = c.query.Instant("since", c.now); err != nil {
		return f, err
	}
	f.Until, err = c.query.Instant("until", c.now)
	return f, err
}

// followActivity streams the activity until the reader goes, the server stops,
// or the reader's right to see it ends, of which the last event tells them.
func (s *Server) followActivity(ctx context.Context, c *call, w *front.Recorder) error {
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		return errkind.New(errkind.Exhausted, "%d streams are open, as many as there may be; try again later, or read /v1/activity", cap(s.streams))
	}
	f := follow.Follower{
		Feed: s.Store, Stopping: s.stopping.Done(),
		Known: func() error { return s.reauthenticate(c) },
		Filter: func(rules store.Rules) (store.ActivityFilter, error) {
			v := sight.Of(rules, c.Identity, s.Fleet.VMs(), s.Broker.Target)
			if !v.All && len(v.VMs) == 0 {
				return store.ActivityFilter{}, errkind.New(errkind.Denied, "%s may not see the activity of any VM; ask an administrator for a role", c.Caller)
			}
			return s.activityFilter(c, v)
		},
	}
	return f.Run(ctx, w, c.request)
}
