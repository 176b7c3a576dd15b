package client

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/api/rights"
	"github.com/sesame-access/sesame/internal/errkind"
)

// serve starts a TLS server that answers with h, and a client that pins it.
func serve(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	srv := httptest.NewTLSServer(h)
	t.Cleanup(srv.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	c, err := New(Config{URL: srv.URL, CA: ca, Token: "sesame_x"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdle)
	return c
}

func fail(w http.ResponseWriter, err error) {
	p := api.ProblemOf(err)
	text, _ := api.Encode(p)
	w.Header().Set("Content-Type", api.ProblemType)
	w.WriteHeader(p.Status)
	_, _ = w.Write(text)
}

func unavailable() error { return errkind.New(errkind.Unavailable, "not now") }

func TestOnlyWhatIsHarmlessIsTriedAgain(t *testing.T) {
	var calls []string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		calls = append(calls, r.Method+" "+r.Header.Get(api.KeyHeader))
		if len(calls)%tries != 0 {
			fail(w, unavailable())
			return
		}
		_, _ = w.Write([]byte("{}"))
	})
	ctx := t.Context()
	if _, err := c.Request(ctx, api.Ask{}, ""); err != nil {
		t.Error(err)
	}
	if len(calls) != tries || len(calls[0]) < len("POST ")+20 || len(slices.Compact(slices.Clone(calls))) != 1 {
		t.Errorf("a request was sent as %q", calls)
	}
	calls = nil
	if _, err := c.Request(ctx, api.Ask{}, "mine"); err != nil || calls[0] != "POST mine" {
		t.Errorf("%q, %v", calls, err)
	}
	for name, f := range map[string]func() error{
		"extend": func() error { _, err := c.Extend(ctx, "g", api.Extend{}); return err },
		"create": func() error { _, err := c.CreateToken(ctx, rights.NewToken{}); return err },
		"revoke": func() error { return c.RevokeToken(ctx, "t") },
		"drop":   func() error { return c.DropPolicy(ctx, "p") },
	} {
		calls = nil
		if err := f(); errkind.Of(err) != errkind.Unavailable || len(calls) != 1 {
			t.Errorf("%s was sent %d times: %v", name, len(calls), err)
		}
	}
}

func TestErrors(t *testing.T) {
	var answer http.HandlerFunc
	c := serve(t, func(w http.ResponseWriter, r *http.Request) { answer(w, r) })
	for name, x := range map[string]struct {
		answer http.HandlerFunc
		kind   errkind.Kind
		says   string
	}{
		"problem": {func(w http.ResponseWriter, _ *http.Request) { fail(w, errkind.Bad("port", "x", "a port")) }, errkind.Invalid, "port: "},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://evil.example/", http.StatusFound)
		}, errkind.Internal, "302"},
		"html":    {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<h1>no", http.StatusForbidden) }, errkind.Denied, "403"},
		"garbage": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<h1>")) }, errkind.Internal, "cannot be read"},
		"twice":   {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"id":"a","id":"b"}`)) }, errkind.Internal, "cannot be read"},
		"cut": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("{"))
		}, errkind.Unavailable, "broke off"},
	} {
		answer = x.answer
		_, err := c.Grant(t.Context(), "g")
		if errkind.Of(err) != x.kind || !strings.Contains(fmt.Sprint(err), x.says) {
			t.Errorf("%s: %s %v", name, errkind.Of(err), err)
		}
	}
	answer = func(w http.ResponseWriter, _ *http.Request) { fail(w, errkind.Bad("port", "x", "a port")) }
	if _, err := c.Grant(t.Context(), "g"); errkind.FieldOf(err).Name != "port" {
		t.Errorf("the field is lost: %v", err)
	}
}

func TestNewerServersMaySayMore(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"ready":true,"mood":{"good":true}}`))
	})
	if h, err := c.Health(t.Context()); err != nil || !h.Ready {
		t.Errorf("%+v, %v", h, err)
	}
}

// A proxy of the environment would hide the caller's address; a server that is
// pinned is reached directly.
func TestNoProxyIsUsed(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	t.Setenv("https_proxy", "http://127.0.0.1:1")
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.EscapedPath() != "/v1/vms/host:%2F%2Fweb-1" {
			t.Errorf("path %q", r.URL.EscapedPath())
		}
		_, _ = w.Write([]byte("{}"))
	})
	if _, err := c.VM(t.Context(), "host://web-1"); err != nil {
		t.Error(err)
	}
	// The environment's proxy is never asked about loopback, so look.
	if tr, ok := c.http.Transport.(*http.Transport); !ok || tr.Proxy != nil {
		t.Error("the client has a proxy")
	}
}

func TestNobodyThere(t *testing.T) {
	for name, cfg := range map[string]Config{
		"url":    {URL: "https://127.0.0.1:1"},
		"socket": {Socket: "/nonexistent/sesame.sock"},
	} {
		c, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Whoami(t.Context()); errkind.Of(err) != errkind.Unavailable || !strings.Contains(errkind.Public(err), "sesame serve") {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c, err := New(Config{URL: "https://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Whoami(ctx); err == nil || errkind.Of(err) != errkind.Internal {
		t.Errorf("cancelled: %v", err)
	}
}

func TestBadConfig(t *testing.T) {
	for _, url := range []string{"", "127.0.0.1:8443", "http://127.0.0.1:8443", "https://", "https://u:p@h", "https://h/path", "https://h?x", "https://h#x", "ftp://h", "https://h\n"} {
		if _, err := New(Config{URL: url}); errkind.FieldOf(err).Name != "url" {
			t.Errorf("%q: %v", url, err)
		}
	}
	if _, err := New(Config{URL: "https://h", CA: []byte("not PEM")}); errkind.Of(err) != errkind.Invalid {
		t.Errorf("CA: %v", err)
	}
}

// A stream that breaks off is taken up where it was: every record once, in order.
func TestFollowResumes(t *testing.T) {
	const records = 10
	var mu sync.Mutex
	var resumed []string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		resumed = append(resumed, r.Header.Get("Last-Event-ID"))
		mu.Unlock()
		after, _ := strconv.Atoi(r.Header.Get("Last-Event-ID"))
		if after >= records-1 {
			w.Header().Set("Content-Type", "text/event-stream")
			text, _ := api.Encode(api.ProblemOf(errkind.New(errkind.Denied, "no longer")))
			fmt.Fprintf(w, "event: end\ndata: %s\n", text)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, ": hello\n\nevent: place\nid: %d\ndata: {\"index\":%d}\n\n", after, after)
		// The one before is sent again, and the connection is lost in the middle
		// of the third.
		for i := max(after, 0); i < min(after+3, records); i++ {
			fmt.Fprintf(w, "id: %d\nevent: record\ndata: {\"index\":%d,\ndata: \"kind\":\"x\",\"time\":\"2030-01-01T00:00:00.000Z\"}\n\n", i, i)
		}
		fmt.Fprintf(w, "id: 99\nevent: record\ndata: {\"index\":99,\"ki")
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var seen []int64
	err := c.Follow(ctx, Filter{}, -1, func(r api.Record) { seen = append(seen, r.Index) })
	if errkind.Of(err) != errkind.Denied {
		t.Errorf("ended with %v", err)
	}
	for i, index := range seen {
		if int64(i) != index {
			t.Fatalf("saw %v", seen)
		}
	}
	if len(seen) != records || resumed[0] != "-1" || resumed[1] != "1" {
		t.Errorf("saw %v, resumed behind %q", seen, resumed)
	}
}

// Who shows a certificate of somebody else is asked once: what is trusted does
// not change by asking again.
func TestSomebodyElsesCertificate(t *testing.T) {
	var conns atomic.Int32
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	srv.StartTLS()
	defer srv.Close()
	c, err := New(Config{URL: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]func() error{
		"ask":    func() error { _, err := c.Whoami(t.Context()); return err },
		"follow": func() error { return c.Follow(t.Context(), Filter{}, -1, func(api.Record) {}) },
	} {
		conns.Store(0)
		err := f()
		srv.CloseClientConnections()
		if errkind.Of(err) != errkind.Unavailable || !strings.Contains(errkind.Public(err), "it shows a certificate for example.com") || conns.Load() != 1 {
			t.Errorf("%s: %d connections, %v", name, conns.Load(), err)
		}
	}
}
