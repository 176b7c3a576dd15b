package server

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/api"
	wire "github.com/sesame-access/sesame/internal/api/identity"
	"github.com/sesame-access/sesame/internal/authn"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/server/front"
	"github.com/sesame-access/sesame/internal/server/login"
)

// identityRoutes are about who is asking: the pages and calls of signing in, and
// what administrators do about persons.
func (s *Server) identityRoutes() []route {
	p := login.Pages{Config: login.Config{
		Desk: s.Desk, Authn: func() *authn.Authenticator { return s.authn }, Client: s.clientOf, Now: func() time.Time { return s.Clocks().Wall },
	}}
	return []route{
		webpage(http.MethodGet, "/login", "sign-in", "Sign in with a browser", login.Params(),
			func(c *call, w *front.Recorder) error { return p.Start(w, c.request, c.query) }),
		webpage(http.MethodGet, "/callback", "callback", "Where identity providers send people back to", nil,
			func(c *call, w *front.Recorder) error { return p.Callback(w, c.request) }),
		webpage(http.MethodGet, "/login/first", "first-administrator", "The link of the first administrator",
			[]front.Param{{Name: "key", Doc: "what makes the link good", Required: true}},
			func(c *call, w *front.Recorder) error { return p.First(w, c.query) }),
		webpage(http.MethodPost, "/login/first", "take-first-administrator", "Use that link up", nil,
			func(c *call, w *front.Recorder) error { return p.TakeFirst(w, c.request, c.body) }),
		webpage(http.MethodGet, "/logout", "sign-out-page", "Sign out with a browser", nil,
			func(c *call, w *front.Recorder) error { return p.Leave(w, c.request) }),
		webpage(http.MethodPost, "/logout", "sign-out", "End the session of the browser", nil,
			func(c *call, w *front.Recorder) error { return p.Left(w, c.request, c.body) }),
		get("/v1/sign-in", "list-sign-ins", "Where one can sign in", public, nil,
			reads(func(context.Context, *call) (wire.SignIns, error) { return p.Issuers(), nil })),
		change(http.MethodPost, "/v1/sign-in/device", "start-device", "Begin to sign in on another device", public, http.StatusOK,
			takes(func(ctx context.Context, c *call, in wire.StartDevice) (wire.Device, error) {
				return p.StartDevice(ctx, c.Addr, in)
			})),
		change(http.MethodPost, "/v1/sign-in/session", "fetch-session", "Fetch the session of a sign-in", public, http.StatusOK,
			takes(func(ctx context.Context, c *call, in wire.FetchSession) (wire.SignedIn, error) {
				return p.Fetch(ctx, c.Addr, in)
			})),
		change(http.MethodDelete, "/v1/session", "end-session", "Sign out", known, http.StatusNoContent,
			reads(func(ctx context.Context, c *call) (struct{}, error) {
				return struct{}{}, s.Desk.Out(ctx, c.Principal, c.session, c.Addr)
			})),
		get("/v1/identities", "list-identities", "Everybody who is known, and who is the same person", manages, nil,
			reads(func(ctx context.Context, _ *call) (api.Page[wire.Identity], error) { return p.List(ctx) })),
		change(http.MethodPost, "/v1/identities/link", "link-identity", "Make an identity a person", manages, http.StatusOK,
			takes(func(ctx context.Context, c *call, in wire.Link) (wire.Identity, error) {
				return p.Link(ctx, authn.Caller{Identity: c.Identity, Addr: c.Addr}, in)
			})),
		change(http.MethodPost, "/v1/identities/unlink", "unlink-identity", "Take a link back", manages, http.StatusNoContent,
			takes(func(ctx context.Context, c *call, in wire.Unlink) (struct{}, error) {
				return p.Unlink(ctx, authn.Caller{Identity: c.Identity, Addr: c.Addr}, in)
			})),
	}
}

// webpage is a route for browsers.
func webpage(method, path, id, summary string, query []front.Param, serve func(*call, *front.Recorder) error) route {
	rt := get(path, id, summary, public, query, streams(func(_ context.Context, c *call, w *front.Recorder) error { return serve(c, w) }))
	rt.method, rt.answers, rt.loose = method, front.HTML, path == "/callback"
	if method == http.MethodPost {
		rt.media = []string{front.Form}
	}
	return rt
}

// clientOf returns the address that r comes from; invalid for the local socket.
func (s *Server) clientOf(r *http.Request) (netip.Addr, error) {
	if authn.Local(r.Context()) {
		return netip.Addr{}, nil
	}
	return authn.Proxies(s.Proxies).Client(r)
}

// admit refuses what the caller's token is not for, and opens nothing for somebody
// who proved themselves too long ago. What ends access takes no new proof.
func (s *Server) admit(who authn.Caller, uses authz.Action, ends bool) error {
	if len(who.Scope) > 0 && uses != "" && !slices.Contains(who.Scope, string(uses)) {
		return errkind.New(errkind.Denied, "this token is for %s only, and this needs %s; use another token", strings.Join(who.Scope, ", "), uses)
	}
	fresh := s.Identity.Fresh
	if fresh == 0 || uses != authz.Request || ends || who.Session == "" && who.Issuer == authn.LocalAdmin().Issuer {
		return nil
	}
	if age := s.Clocks().Wall.Sub(who.At); age > fresh {
		return errkind.New(errkind.Unauthenticated, "to open something you must have signed in within %s; sign in again with `sesame login --again`", fresh)
	}
	return nil
}
