// Package server is the face of Sesame on the network: /v1 over TLS and over the
// local socket, with the Azure face of package arm on the same listeners.
//
// It decides nothing. A request is read strictly, its caller is made known, and
// one method of the broker, the fleet or the store answers it; see routes.go for
// all of them and handle.go for the one way that every request takes. Closing
// never depends on anything here.
//
// What a caller may not see does not exist for them: a VM without a role that
// may view it, and everything about it, is not found. Their own requests and
// grants everybody sees.
package server

//go:generate go test -run=TestOpenAPIIsFresh -update

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/authn"
	"github.com/sesame-access/sesame/internal/authn/oidc"
	"github.com/sesame-access/sesame/internal/broker"
	"github.com/sesame-access/sesame/internal/config"
	"github.com/sesame-access/sesame/internal/fleet"
	"github.com/sesame-access/sesame/internal/server/arm"
	"github.com/sesame-access/sesame/internal/server/auditlog"
	"github.com/sesame-access/sesame/internal/server/front"
	"github.com/sesame-access/sesame/internal/server/metrics"
	"github.com/sesame-access/sesame/internal/signin"
	"github.com/sesame-access/sesame/internal/store"
)

// Config is what a Server is made of.
type Config struct {
	Broker *broker.Broker
	Fleet  *fleet.Fleet
	Store  *store.Store
	// Clocks reads every clock there is.
	Clocks func() access.Reading
	// Instance is the name of the installation, which our marks carry.
	Instance string
	// LogKey is the key of the audit log; LogBreak says why the log must not be
	// signed, and may be nil.
	LogKey   LogKey
	LogBreak func() error
	// Names are what the server may be called: the names of its certificate.
	Names []string
	// Desk is where people sign in, nil for nowhere; Issuers whom it and tokens are
	// believed from; and Identity what the configuration says about both.
	Desk     *signin.Desk
	Issuers  []*oidc.Issuer
	Identity config.Identity
	// Proxies are believed about whom they forward for.
	Proxies []netip.Prefix
	// UID is the user that the server runs as.
	UID     uint32
	Limits  config.Limits
	Version string
	Log     *slog.Logger
}

// A LogKey is the key of the audit log.
type LogKey = auditlog.Key

// A Server answers /v1.
type Server struct {
	Config
	authn   *authn.Authenticator
	rates   *authn.Limiter
	streams chan struct{} // one slot for each event stream
	log     auditlog.Log
	metrics *metrics.Metrics
	front   *front.Front
	openapi []byte
	handler http.Handler
	// stopping is done when the server's life is; that ends the streams, too.
	stopping context.Context //nolint:containedctx // the life of the server, not of a call
}

// rateBurst is how much of a minute's requests may come at once.
const rateBurst = 4

// New returns a server that is ready to serve until life is done.
func New(life context.Context, cfg Config) (*Server, error) {
	if cfg.Desk == nil {
		cfg.Desk = signin.New(signin.Config{Store: cfg.Store, Clocks: cfg.Clocks, Log: cfg.Log})
	}
	s := &Server{
		Config:  cfg,
		authn:   nil,
		rates:   authn.NewLimiter(cfg.Limits.Rate, max(cfg.Limits.Rate/rateBurst, 1)),
		streams: make(chan struct{}, cfg.Limits.Streams),
		log:     auditlog.Log{Store: cfg.Store, Key: cfg.LogKey, Break: cfg.LogBreak},
		metrics: metrics.New(metrics.Config{Store: cfg.Store, Fleet: cfg.Fleet, Clocks: cfg.Clocks, Version: cfg.Version}),
		front:   nil, openapi: nil, handler: nil, stopping: life,
	}
	s.authn = s.newAuthn()
	s.front = front.New(front.Config{Names: cfg.Names, Limits: cfg.Limits, Observe: s.metrics.Observe, Log: cfg.Log})
	routes := s.faces()
	var err error
	if s.openapi, err = front.Document(routes); err != nil {
		return nil, err
	}
	s.handler = s.front.Handler(routes, arm.New(arm.Config{
		Broker: cfg.Broker, Fleet: cfg.Fleet, Store: cfg.Store, Clocks: cfg.Clocks, Instance: cfg.Instance,
		Authenticate: s.known, Admit: s.admit, Rates: s.rates, Body: s.front.Body,
	}))
	return s, nil
}

// Serve serves on every listener until the server's life is done or a listener
// fails, and lets the requests under way finish. It closes the listeners.
func (s *Server) Serve(listeners ...net.Listener) error {
	watching, stopWatching := context.WithCancel(s.stopping)
	var watch sync.WaitGroup
	watch.Go(func() { s.metrics.WatchClosings(watching) })
	err := s.front.Serve(s.stopping, s.handler, listeners...)
	stopWatching()
	watch.Wait()
	return err
}

// newAuthn returns what says who is asking, with no failures on its books.
func (s *Server) newAuthn() *authn.Authenticator {
	return authn.New(authn.Config{
		Book: signin.Book{Store: s.Store, Log: s.Log}, Sessions: s.Desk.Sessions, Issuers: s.Issuers,
		Groups: signin.Groups(s.Identity.Groups), Proxies: s.Proxies, UID: s.UID,
	})
}

// known says who sent r.
func (s *Server) known(r *http.Request) (authn.Caller, error) {
	return s.authn.Authenticate(r, s.Clocks().Wall)
}
