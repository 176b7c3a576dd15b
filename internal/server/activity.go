package server

import (
	"context"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/errkind"
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
	return api.PageFrom(list, next, recordOf), nil
}

func recordOf(e store.Entry) api.Record { return api.RecordOf(e.Index, e.Record, e.Erased) }

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

// heartbeat is how often a stream says that it is alive, and the longest time
// that it goes on after its reader lost the right to it.
const heartbeat = 15 * time.Second

// follower is one event stream.
type follower struct {
	server  *Server
	call    *call
	out     front.Stream
	after   int64 // the last index that was looked at
	said    int64 // the last index that the reader was told
	version int64 // of the rules that filter was made by
	filter  store.ActivityFilter
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
	f := &follower{server: s, call: c, out: front.Stream{}, after: 0, said: 0, version: 0, filter: store.ActivityFilter{}}
	if err := f.begin(ctx); err != nil {
		return err
	}
	f.out = w.Stream()
	if err := f.run(ctx); err != nil && ctx.Err() == nil {
		f.out.End(err)
	}
	return nil
}

// begin reads what is asked for, and where the stream is to go on.
func (f *follower) begin(ctx context.Context) error {
	if err := f.look(ctx); err != nil {
		return err
	}
	tree, err := f.server.Store.Tree(ctx)
	if err != nil {
		return err
	}
	f.after = tree.N - 1
	last, said, err := front.LastEventID(f.call.request)
	if said {
		f.after = min(last, f.after)
	}
	return err
}

// run sends what comes until something ends it.
func (f *follower) run(ctx context.Context) error {
	if err := f.place(); err != nil {
		return err
	}
	ticker := time.NewTicker(heartbeat)
	defer ticker.Stop()
	for {
		changed := f.server.Store.Changed()
		if err := f.look(ctx); err != nil {
			return err
		}
		if err := f.send(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-f.server.stopping.Done():
			return errkind.New(errkind.Unavailable, "the server stops; connect again")
		case <-changed:
		case <-ticker.C:
			if err := f.beat(); err != nil {
				return err
			}
		}
	}
}

// look decides anew what the reader may see when the rules have changed, which
// they do whenever a role or a token ends.
func (f *follower) look(ctx context.Context) error {
	rules, err := f.server.Store.Rules(ctx)
	if err != nil {
		return errkind.Wrap(errkind.Unavailable, err, "the rules cannot be read, so nothing can be shown; closing goes on")
	}
	if rules.Version == f.version {
		return nil
	}
	if f.version != 0 {
		if err := f.server.reauthenticate(f.call); err != nil {
			return err
		}
	}
	v := sight.Of(rules, f.call.Identity, f.server.Fleet.VMs(), f.server.Broker.Target)
	if !v.All && len(v.VMs) == 0 {
		return errkind.New(errkind.Denied, "%s may not see the activity of any VM; ask an administrator for a role", f.call.Caller)
	}
	f.version = rules.Version
	f.filter, err = f.server.activityFilter(f.call, v)
	return err
}

// send sends every record that there is by now.
func (f *follower) send(ctx context.Context) error {
	for {
		entries, after, err := f.server.Store.Next(ctx, f.filter, f.after)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := f.out.Event(api.RecordEvent, e.Index, recordOf(e)); err != nil {
				return err
			}
			f.said = e.Index
		}
		if f.after = after; len(entries) == 0 {
			return nil
		}
	}
}

// beat shows that the stream is alive, how far it has come, and that its reader
// is still known: a token can expire without a change of the rules.
func (f *follower) beat() error {
	if err := f.server.reauthenticate(f.call); err != nil {
		return err
	}
	if f.said != f.after {
		return f.place()
	}
	return f.out.Beat()
}

// place tells the reader how far the stream has come.
func (f *follower) place() error {
	f.said = f.after
	return f.out.Event(api.PlaceEvent, f.after, api.Place{Index: f.after})
}
