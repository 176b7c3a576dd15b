package server

import (
	"context"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/authn"
	"github.com/sesame-access/sesame/internal/broker"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/server/front"
)

// A call is one request of a caller who is known.
type call struct {
	broker.Caller
	request *http.Request
	query   front.Query
	body    []byte
	session string // the id of the caller's session; empty for none
	now     time.Time
}

// path returns the part of the path that a route calls name.
func (c *call) path(name string) string { return c.request.PathValue(name) }

// An endpoint is what answers a route: serve with a value, or stream by itself.
type endpoint struct {
	in, out reflect.Type // of the JSON that goes in and comes out; nil for none
	media   []string     // what the body may be; none for no body
	serve   func(ctx context.Context, c *call, body []byte) (any, error)
	stream  func(ctx context.Context, c *call, w *front.Recorder) error
}

// reads is an endpoint without a body.
func reads[Out any](f func(context.Context, *call) (Out, error)) endpoint {
	return endpoint{
		in: nil, out: reflect.TypeFor[Out](), media: nil, stream: nil,
		serve: func(ctx context.Context, c *call, _ []byte) (any, error) { return f(ctx, c) },
	}
}

// takes is an endpoint that is sent an In as JSON.
func takes[In, Out any](f func(context.Context, *call, In) (Out, error)) endpoint {
	return endpoint{
		in: reflect.TypeFor[In](), out: reflect.TypeFor[Out](), media: []string{front.JSON}, stream: nil,
		serve: func(ctx context.Context, c *call, body []byte) (any, error) {
			var in In
			if err := api.DecodeAsked(body, &in); err != nil {
				return nil, err
			}
			return f(ctx, c, in)
		},
	}
}

// takesDocument is an endpoint that is sent an In as a document, JSON or YAML,
// which it reads itself.
func takesDocument[In, Out any](f func(context.Context, *call, []byte) (Out, error)) endpoint {
	return endpoint{
		in: reflect.TypeFor[In](), out: reflect.TypeFor[Out](), media: []string{front.JSON, front.YAML}, stream: nil,
		serve: func(ctx context.Context, c *call, body []byte) (any, error) { return f(ctx, c, body) },
	}
}

// streams is an endpoint that writes its answer itself.
func streams(f func(context.Context, *call, *front.Recorder) error) endpoint {
	return endpoint{in: nil, out: nil, media: nil, serve: nil, stream: f}
}

// callTime bounds one call; it is longer than an answer waits for firewalls.
const callTime = broker.SettleTime + 10*time.Second

// answer is the way of every request: who asks, whether they may at all, what
// they ask, the answer.
func (s *Server) answer(w *front.Recorder, r *http.Request, rt route) error {
	c, err := s.caller(w, r, rt)
	if err != nil {
		return err
	}
	if !rt.loose {
		if c.query, err = front.ParseQuery(r.URL.RawQuery, rt.query); err != nil {
			return err
		}
	}
	if c.body, err = s.front.Body(w, r, rt.media); err != nil {
		return err
	}
	if rt.stream != nil {
		return rt.stream(r.Context(), c, w)
	}
	ctx, cancel := context.WithTimeout(r.Context(), callTime)
	defer cancel()
	out, err := rt.serve(ctx, c, c.body)
	if err != nil {
		return err
	}
	if rt.status == http.StatusNoContent {
		w.WriteHeader(rt.status)
		return nil
	}
	return front.WriteJSON(w, front.JSON, rt.status, out)
}

// caller says who sent r and whether they may use the route at all.
func (s *Server) caller(w *front.Recorder, r *http.Request, rt route) (*call, error) {
	c := &call{Caller: broker.Caller{}, request: r, query: front.Query{}, body: nil, session: "", now: s.Clocks().Wall}
	if rt.may == public {
		var err error
		c.Addr, err = s.clientOf(r)
		return c, err
	}
	who, err := s.authn.Authenticate(r, c.now)
	if err != nil {
		return nil, err
	}
	w.Caller(who)
	c.Caller, c.session = broker.Caller{Identity: who.Identity, Addr: who.Addr, Code: who.Code}, who.Session
	if who.Code != "" && !slices.Contains([]string{"request-access", "whoami", "get-vm"}, rt.id) {
		return nil, errkind.New(errkind.Denied, "this code is good for asking for access in an emergency, once, and for nothing else")
	}
	if err := s.admit(who, rt.may.Uses(rt.method, rt.path), rt.ends); err != nil {
		return nil, err
	}
	// Ending access is never held up because somebody asked too much before.
	if !rt.ends && !s.rates.Allow(who.Issuer+"#"+who.Subject, c.now) {
		return nil, errkind.New(errkind.Exhausted, "more than %d requests a minute; wait a little", s.Limits.Rate)
	}
	if action := rt.may.Action(); action != "" {
		if err := s.Broker.May(r.Context(), c.Caller, strings.ReplaceAll(rt.id, "-", " "), action, ""); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// reauthenticate says whether the sender of c is still known: their token may
// have ended since.
func (s *Server) reauthenticate(c *call) error {
	if authn.Local(c.request.Context()) && c.request.Header.Get("Authorization") == "" {
		return nil
	}
	_, err := s.authn.Authenticate(c.request, s.Clocks().Wall)
	return err
}
