package front

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"path"
	"runtime/debug"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/authn"
	"github.com/sesame-access/sesame/internal/errkind"
)

// A Recorder is a ResponseWriter that remembers what was answered, for the log
// and the metrics.
type Recorder struct {
	http.ResponseWriter
	id      string
	route   string // the path of the route, not of the request; empty for none
	method  string // of the route
	caller  authn.Caller
	face    Face // whose path it is; nil for a route's
	status  int
	bytes   int64
	failure error
}

// recorderOf returns the recorder that the middleware gave to every handler.
func recorderOf(w http.ResponseWriter) *Recorder {
	rec, ok := w.(*Recorder)
	if !ok {
		panic("server: a handler without the middleware")
	}
	return rec
}

// WriteHeader remembers the status.
func (w *Recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write remembers how much was written.
func (w *Recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// Caller notes who is answered, for the log.
func (w *Recorder) Caller(c authn.Caller) { w.caller = c }

// ID returns the id of the request, which the log has, too.
func (w *Recorder) ID() string { return w.id }

// Route notes which route of a face answers, for the metrics.
func (w *Recorder) Route(method, route string) { w.method, w.route = method, route }

// Unwrap is for http.ResponseController.
func (w *Recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// middleware is around every request: what holds for all of them, whether they
// find a route or not.
func (f *Front) middleware(faces []Face, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		rec := &Recorder{
			ResponseWriter: w, id: rand.Text(), route: "", method: "", caller: authn.Caller{}, face: nil, status: 0, bytes: 0, failure: nil,
		}
		for _, face := range faces {
			if face.Owns(r) {
				rec.face = face
			}
		}
		deadlines(rec)
		headers(rec)
		defer func() {
			broken := recover()
			if broken != nil && broken != http.ErrAbortHandler { //nolint:errorlint // the one value that stands for it
				broken = f.panicked(rec, r, broken)
			}
			took := time.Since(began)
			f.Observe(rec.route, rec.method, rec.status, took)
			f.logAccess(rec, r, took)
			if broken != nil {
				panic(http.ErrAbortHandler) // so that half an answer is not taken for the whole
			}
		}()
		if err := f.admit(r, rec.face != nil); err != nil {
			rec.fail(r, err)
			return
		}
		next.ServeHTTP(rec, r)
	})
}

// How long a request may take to be read, and its answer to be written. Streams
// move their deadline along.
const (
	readTime  = 30 * time.Second
	writeTime = time.Minute
)

func deadlines(w http.ResponseWriter) {
	ctl := http.NewResponseController(w)
	// Neither can fail on a connection of our own server.
	_ = ctl.SetReadDeadline(time.Now().Add(readTime))
	_ = ctl.SetWriteDeadline(time.Now().Add(writeTime))
}

func headers(w *Recorder) {
	h := w.Header()
	h.Set(api.RequestIDHeader, w.id)
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
}

// admit refuses what must not even be looked at: a name that is not ours, a path
// that two readers could read differently, a page of another origin.
func (f *Front) admit(r *http.Request, ofFace bool) error {
	if !authn.Local(r.Context()) && !f.names[hostOf(r.Host)] {
		return misdirected(r.Host)
	}
	if p := r.URL.EscapedPath(); p != path.Clean(p) && !(ofFace && strings.TrimSuffix(p, "/") == path.Clean(p)) {
		return noPath(p)
	}
	if err := f.origins.Check(r); err != nil {
		return crossOrigin()
	}
	return nil
}

// hostOf returns the name in a Host header: in lower case, without its port; an
// address in its one spelling.
func hostOf(host string) string {
	if a, err := netip.ParseAddrPort(host); err == nil {
		return a.Addr().String()
	}
	name := host
	if colon := strings.LastIndexByte(host, ':'); colon >= 0 && !strings.HasSuffix(host, "]") {
		name = host[:colon]
	}
	name = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	if a, err := netip.ParseAddr(name); err == nil {
		return a.String()
	}
	return strings.ToLower(name)
}

// panicked ends a request whose handler panicked: with a problem or, when
// something was written already, with what it returns, to panic with again.
func (f *Front) panicked(w *Recorder, r *http.Request, value any) any {
	f.Log.LogAttrs(r.Context(), slog.LevelError, "panic in a handler",
		slog.String("request_id", w.id), slog.String("route", w.route),
		slog.String("panic", fmt.Sprint(value)), slog.String("stack", string(debug.Stack())))
	if w.status != 0 {
		return value
	}
	w.fail(r, errkind.New(errkind.Internal, "panic: %v", value))
	return nil
}

// logAccess writes one line about a request. What the caller wrote is quoted by
// the log itself; neither headers nor the query are in it.
func (f *Front) logAccess(w *Recorder, r *http.Request, took time.Duration) {
	attrs := []slog.Attr{
		slog.String("request_id", w.id), slog.String("method", clipped(r.Method)),
		slog.String("path", clipped(r.URL.EscapedPath())), slog.Int("status", w.status),
		slog.Int64("bytes", w.bytes), slog.Duration("took", took),
	}
	if w.caller.Subject != "" {
		attrs = append(attrs, slog.String("principal", w.caller.Issuer+"#"+w.caller.Subject))
	}
	if w.caller.Addr.IsValid() {
		attrs = append(attrs, slog.String("address", w.caller.Addr.String()))
	}
	level := slog.LevelDebug
	if w.failure != nil {
		level = slog.LevelInfo
		attrs = append(attrs, slog.Any("error", w.failure))
	}
	if w.status >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	f.Log.LogAttrs(context.WithoutCancel(r.Context()), level, "request", attrs...)
}

// clipped bounds what a line of the log can hold of a caller's text.
func clipped(s string) string {
	const most = 200
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
