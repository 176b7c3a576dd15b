package server

import (
	"context"
	"slices"

	"github.com/sesame-access/sesame/internal/access/approval"
	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/api/vote"
	"github.com/sesame-access/sesame/internal/broker"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/store"
)

// voteRoutes are what people decide with about what others ask for.
func (s *Server) voteRoutes() []route {
	says := func(choice approval.Choice, id, summary string) route {
		return change("POST", "/v1/requests/{request}/"+string(choice), id, summary, known, 200,
			takes(func(ctx context.Context, c *call, in vote.Comment) (api.Request, error) {
				comment, err := in.Parse()
				if err != nil {
					return api.Request{}, err
				}
				return s.vote(ctx, c, broker.Say{Choice: choice, Comment: comment})
			}))
	}
	cancel := says(approval.Cancel, "cancel-request", "Take back a request of yours that waits")
	cancel.ends = true
	deny := says(approval.Deny, "deny-request", "Deny a request that waits for approval")
	deny.ends = true
	return []route{
		change("POST", "/v1/requests/{request}/approve", "approve-request",
			"Approve a request as you have seen it", known, 200, takes(s.approve)),
		deny, cancel,
		change("POST", "/v1/codes", "create-codes",
			"Make codes, each good for one emergency; they are shown this once", manages, 201, takes(s.createCodes)),
		says(approval.Review, "review-request", "Note that you have looked at an emergency"),
	}
}

func (s *Server) approve(ctx context.Context, c *call, in vote.Approve) (api.Request, error) {
	digest, comment, err := in.Parse()
	if err != nil {
		return api.Request{}, err
	}
	return s.vote(ctx, c, broker.Say{Choice: approval.Approve, Comment: comment, Digest: digest})
}

func (s *Server) vote(ctx context.Context, c *call, say broker.Say) (api.Request, error) {
	answer, err := s.Broker.Vote(ctx, c.Caller, c.path("request"), say)
	return s.answerOf(answer, err)
}

// listWaiting returns what waits for approval now and what f chooses of it, in one
// page: there is never much of it.
func (s *Server) listWaiting(ctx context.Context, f store.RequestFilter) (api.Page[api.Request], error) {
	list, err := s.Store.Waiting(ctx)
	if err != nil {
		return api.Page[api.Request]{}, err
	}
	now := s.Clocks()
	list = slices.DeleteFunc(list, func(r store.Request) bool {
		other := f.Principal.Subject != "" && !r.Principal.Is(f.Principal)
		among := f.VMs == nil || slices.ContainsFunc(r.Doors, func(d firewall.Door) bool { return slices.Contains(f.VMs, d.VM) })
		return other || !among || r.Case().StateAt(now) != approval.Pending
	})
	slices.SortFunc(list, func(a, b store.Request) int { return b.Asked.Compare(a.Asked) })
	return api.PageFrom(list, "", func(r store.Request) api.Request { return vote.RequestIn(r.Case(), now) }), nil
}
