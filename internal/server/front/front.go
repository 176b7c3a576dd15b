// Package front is what stands between a connection and a handler of /v1:
// listening and its limits, what holds for every request and every answer,
// bodies, query strings, event streams, and the OpenAPI document.
//
// It knows HTTP and nothing of what is asked. Whatever goes wrong is answered
// with a problem (RFC 9457), a panic included: the request fails, the process
// lives. A route is data: the same value makes the handler and its page in the
// OpenAPI document. Only huma's model of OpenAPI and of schemas is used for
// that, not its runtime: reading, judging and answering is ours, so that every
// face has the same parsers and the same errors.
package front

import (
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/config"
)

// The media types of what goes in and out.
const (
	JSON   = "application/json"
	YAML   = "application/yaml"
	Events = "text/event-stream"
	Lines  = "application/x-ndjson"
	Form   = "application/x-www-form-urlencoded"
	HTML   = "text/html; charset=utf-8"
	Text   = "text/plain; version=0.0.4; charset=utf-8"
)

// A Route is one operation of the API.
type Route struct {
	Method, Path string
	ID, Summary  string
	// Who says for the document who may use the route; Public that no token is
	// needed.
	Who    string
	Public bool
	Query  []Param
	Keyed  bool // takes an idempotency key
	// In and Out are the types of the JSON that goes in and comes out; nil for
	// none. Takes are the media types of the body; none for no body.
	In, Out reflect.Type
	Takes   []string
	Status  int    // of success
	Answers string // the media type of the answer
	// Serve answers a request or returns why not.
	Serve func(w *Recorder, r *http.Request) error
}

// A Face answers the paths that are its own, by its own rules and in its own form.
type Face interface {
	// Owns reports whether a request is the face's, by its path alone.
	Owns(r *http.Request) bool
	// Serve answers a request or returns why not.
	Serve(w *Recorder, r *http.Request) error
	// Refuse writes an error, which is p among the problems.
	Refuse(w *Recorder, r *http.Request, err error, p api.Problem)
}

// Config is what a Front is made of.
type Config struct {
	// Names are what the server may be called in the Host header. Others are
	// refused, so that a page elsewhere cannot reach it by pointing its own name
	// here. The local socket takes any.
	Names  []string
	Limits config.Limits
	// Observe is told of every answer: the path of its route and the method,
	// both empty for none, its status, and how long it took.
	Observe func(route, method string, status int, took time.Duration)
	Log     *slog.Logger
}

// A Front answers requests with routes.
type Front struct {
	Config
	names   map[string]bool
	origins *http.CrossOriginProtection
}

// New returns a front.
func New(cfg Config) *Front {
	f := &Front{Config: cfg, names: map[string]bool{"localhost": true}, origins: http.NewCrossOriginProtection()}
	for _, n := range cfg.Names {
		f.names[strings.ToLower(n)] = true
	}
	return f
}

// Handler returns everything that the routes and the faces answer, and problems for
// the rest.
func (f *Front) Handler(routes []Route, faces ...Face) http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern, route, method string, serve func(w *Recorder, r *http.Request) error) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			rec := recorderOf(w)
			rec.route, rec.method = route, method
			if err := serve(rec, r); err != nil {
				rec.fail(r, err)
			}
		})
	}
	methods := map[string][]string{}
	for _, rt := range routes {
		handle(rt.Method+" "+rt.Path, rt.Path, rt.Method, rt.Serve)
		methods[rt.Path] = append(methods[rt.Path], rt.Method)
	}
	for path, allowed := range methods {
		slices.Sort(allowed)
		handle(path, "", "", func(_ *Recorder, r *http.Request) error { return noMethod(r.Method, allowed) })
	}
	handle("/", "", "", func(_ *Recorder, r *http.Request) error { return noPath(r.URL.EscapedPath()) })
	return f.middleware(faces, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := recorderOf(w)
		if rec.face == nil {
			mux.ServeHTTP(w, r)
			return
		}
		if err := rec.face.Serve(rec, r); err != nil {
			rec.fail(r, err)
		}
	}))
}
