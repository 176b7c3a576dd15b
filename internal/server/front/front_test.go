package front

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/authn"
	"github.com/sesame-access/sesame/internal/config"
	"github.com/sesame-access/sesame/internal/errkind"
)

// notes are what is logged or observed. Some of it comes after the answer, from
// the connection's own goroutine.
type notes struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (n *notes) Write(b []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.Write(b)
}

func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.String()
}

// stand serves routes and keeps what is logged and, a line each, observed.
func stand(t *testing.T, routes ...Route) (srv *httptest.Server, log, seen *notes) {
	t.Helper()
	log, seen = &notes{}, &notes{}
	f := New(Config{
		Names: []string{"127.0.0.1"}, Limits: config.Default().Limits, Log: slog.New(slog.NewJSONHandler(log, nil)),
		Observe: func(route, method string, status int, _ time.Duration) {
			fmt.Fprintln(seen, route, method, http.StatusText(status))
		},
	})
	srv = httptest.NewServer(f.Handler(routes))
	t.Cleanup(srv.Close)
	return srv, log, seen
}

func route(path string, serve func(w *Recorder, r *http.Request) error) Route {
	return Route{Method: http.MethodGet, Path: path, ID: path, Status: http.StatusOK, Answers: JSON, Serve: serve}
}

func fetch(t *testing.T, url string) (int, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

// P-06: a panic ends the request and nothing else, and tells the caller nothing.
// An error that comes too late breaks the answer off, so that nobody takes half
// of it for the whole.
func TestPanicsAndLateErrors(t *testing.T) {
	srv, log, seen := stand(t,
		route("/boom", func(*Recorder, *http.Request) error { panic("secret of the house") }),
		route("/late", func(w *Recorder, _ *http.Request) error {
			_, _ = w.Write([]byte("half"))
			return errkind.New(errkind.Unavailable, "the rest is gone")
		}),
		route("/latepanic", func(w *Recorder, _ *http.Request) error {
			_, _ = w.Write([]byte("half"))
			panic("too late")
		}),
		route("/fine", func(w *Recorder, _ *http.Request) error { return WriteJSON(w, JSON, 200, api.Health{Ready: true}) }),
	)
	status, body, err := fetch(t, srv.URL+"/boom")
	var p api.Problem
	if err != nil || status != 500 || strings.Contains(body, "secret") || api.DecodeAnswer([]byte(body), &p) != nil || p.RequestID == "" {
		t.Errorf("%d %s %v", status, body, err)
	}
	if !strings.Contains(log.String(), "secret of the house") || !strings.Contains(log.String(), "front_test.go") || !strings.Contains(log.String(), p.RequestID) {
		t.Errorf("the log does not say what happened where: %s", log)
	}
	for _, path := range []string{"/late", "/latepanic"} {
		if status, body, err := fetch(t, srv.URL+path); err == nil {
			t.Errorf("%s: half an answer looks whole: %d %s", path, status, body)
		}
	}
	if status, _, err := fetch(t, srv.URL+"/fine"); err != nil || status != 200 {
		t.Errorf("afterwards: %d %v", status, err)
	}
	srv.Close() // when everything was observed
	for _, line := range []string{"/boom GET Internal Server Error\n", "/late GET OK\n", "/latepanic GET OK\n", "/fine GET OK\n"} {
		if !strings.Contains(seen.String(), line) {
			t.Errorf("observed without %q:\n%s", line, seen)
		}
	}
}

func TestStaleSocketIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	first, err := ListenSocket(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ListenSocket(t.Context(), path); errkind.Of(err) != errkind.Unavailable {
		t.Errorf("a second server: %v", err)
	}
	if err := first.(*socket).limited.Close(); err != nil { // dies and leaves the socket
		t.Fatal(err)
	}
	next, err := ListenSocket(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if err := next.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is left behind: %v", err)
	}
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ListenSocket(t.Context(), path); err == nil {
		t.Error("a file was replaced")
	}
}

// Every type of a problem leads to a heading of the page that explains them.
func TestProblemsAreExplained(t *testing.T) {
	page, err := os.ReadFile("../../../docs/reference/problems.md")
	if err != nil {
		t.Fatal(err)
	}
	var types []string
	for _, k := range []errkind.Kind{
		errkind.Internal, errkind.Invalid, errkind.Unauthenticated, errkind.Denied, errkind.NotFound,
		errkind.Conflict, errkind.Exhausted, errkind.Unavailable,
	} {
		types = append(types, api.ProblemOf(errkind.New(k, "x")).Type)
	}
	for _, err := range []error{unsupported(""), tooLargeBody(1), misdirected(""), crossOrigin(), noMethod("", nil)} {
		types = append(types, err.(*protocolError).Type) //nolint:errorlint // as they are made
	}
	for _, x := range types {
		_, name, _ := strings.Cut(x, "#")
		if !strings.Contains(string(page), "\n## "+name+"\n") {
			t.Errorf("%s leads nowhere", x)
		}
	}
}

func FuzzParseQuery(f *testing.F) {
	f.Add("limit=5&cursor=x&kind=a")
	f.Add("vm=%ff&vm=;a")
	params := append(PageParams(), Param{Name: "vm"}, Param{Name: "kind", Many: true, OneOf: []string{"a", "b"}}, Param{Name: "principal"})
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := ParseQuery(raw, params)
		if err != nil {
			if errkind.Of(err) != errkind.Invalid {
				t.Fatalf("%q: %v", raw, err)
			}
			return
		}
		for name, values := range q.values {
			if len(values) == 0 || values[0] == "" || len(values[0]) > api.MaxParam || name == "kind" && values[0] != "a" && values[0] != "b" {
				t.Fatalf("%q gives %q=%q", raw, name, values)
			}
		}
		if p, err := q.Page(); err == nil && (p.Limit < 0 || p.Limit > 1000) {
			t.Fatalf("%q gives limit %d", raw, p.Limit)
		}
		if at, err := q.Instant("vm", time.Unix(1e9, 0)); err == nil && !at.IsZero() && at.Location() != time.UTC {
			t.Fatalf("%q gives %v", raw, at)
		}
		_ = q.Principal(authn.LocalAdmin())
	})
}

func FuzzHostOf(f *testing.F) {
	for _, s := range []string{"localhost:1", "[::1]:8443", "::1", "EXAMPLE.org", "a:b:c", "[", "]:", "localhost:80:90"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, host string) {
		name := strings.TrimPrefix(strings.ToLower(host), "[")
		if got := hostOf(host); got == "localhost" && !strings.HasPrefix(name, "localhost:") && name != "localhost" && name != "localhost]" {
			t.Fatalf("%q is taken for localhost", host)
		}
	})
}
