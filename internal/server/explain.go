package server

import (
	"context"
	"slices"
	"time"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/reach/sentence"
	"github.com/sesame-access/sesame/internal/server/front"
	"github.com/sesame-access/sesame/internal/server/sight"
)

func (s *Server) explain(ctx context.Context, c *call) (api.Explanation, error) {
	v, err := s.sight(ctx, c)
	if err != nil {
		return api.Explanation{}, err
	}
	d, err := s.door(v, c.query)
	if err != nil {
		return api.Explanation{}, err
	}
	// The source is read before anything is asked of a firewall.
	source := c.query.Text("source")
	prefix, err := firewall.ParseSource(source)
	if source != "" && err != nil {
		return api.Explanation{}, err
	}
	set, err := s.Fleet.Explain(ctx, d)
	if err != nil {
		return api.Explanation{}, errkind.Wrap(errkind.Unavailable, err, "%s cannot be explained now", d)
	}
	out := api.Explanation{Door: api.DoorOf(d), Says: sentence.Of(set, d), Lock: nil, Reach: api.ReachOf(set), Source: nil, Grants: nil}
	if source != "" {
		a := api.AnswerOf(set, prefix)
		out.Source = &a
	}
	pending, err := s.Store.Pending(ctx)
	if err != nil {
		return api.Explanation{}, errkind.Wrap(errkind.Unavailable, err, "the grants cannot be read now")
	}
	now := s.Clocks()
	for _, g := range pending {
		if g.Door == d {
			out.Grants = append(out.Grants, api.GrantOf(s.Fleet.Current(g), now))
		}
	}
	for _, l := range slices.Concat(v.Rules.Locks, s.Fleet.Orphans(d.VM, v.Rules.Locks)) {
		if l.Door == d {
			state := v.DoorState(l, s.Fleet.Doors(d.VM))
			state.Grants = len(out.Grants)
			out.Lock = &state
		}
	}
	return out, nil
}

// door reads the door that a query is about, of a VM that v sees.
func (s *Server) door(v sight.Sight, q front.Query) (firewall.Door, error) {
	port, err := firewall.ParsePort(q.Text("port"))
	if err != nil {
		return firewall.Door{}, err
	}
	protocol := firewall.TCP
	if p := q.Text("protocol"); p != "" {
		if protocol, err = firewall.ParseProtocol(p); err != nil {
			return firewall.Door{}, err
		}
	}
	vm, err := s.find(v, q.Text("vm"))
	return firewall.Door{VM: vm.ID, Protocol: protocol, Port: port}, err
}

// How long a sweep waits for the firewalls, and how often it looks.
const (
	sweepTime  = 10 * time.Second
	sweepEvery = 250 * time.Millisecond
)

// sweep shows what no live grant justifies and asks for a full pass, which
// closes it. The pass would have come anyway; a sweep does not wait for it.
func (s *Server) sweep(ctx context.Context, c *call, in api.Sweep) (api.Swept, error) {
	closings, err := s.closings(ctx, c)
	if err != nil || in.DryRun {
		return api.Swept{Closings: closings, Done: false}, err
	}
	s.Fleet.Wake("sweep by " + c.String())
	ctx, cancel := context.WithTimeout(ctx, sweepTime)
	defer cancel()
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for left := closings; len(left) > 0; {
		select {
		case <-ctx.Done():
			return api.Swept{Closings: closings, Done: false}, nil
		case <-ticker.C:
		}
		if left, err = s.closings(ctx, c); err != nil {
			return api.Swept{Closings: closings, Done: false}, nil // the pass goes on; only looking failed
		}
	}
	return api.Swept{Closings: closings, Done: true}, nil
}

// closings returns what the next pass would close.
func (s *Server) closings(ctx context.Context, c *call) ([]api.Change, error) {
	preview, err := s.Broker.Plan(ctx, c.Caller)
	if err != nil {
		return nil, err
	}
	out := []api.Change{}
	for _, p := range preview.Plans {
		for _, x := range api.ChangesOf(p) {
			if x.Op == plan.Close.String() {
				out = append(out, x)
			}
		}
	}
	return out, nil
}
