package server

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/api/strict"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/authn"
	"github.com/sesame-access/sesame/internal/authn/session"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/authz/scope"
	"github.com/sesame-access/sesame/internal/broker"
	"github.com/sesame-access/sesame/internal/config"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/fleet"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/memory"
	"github.com/sesame-access/sesame/internal/server/front"
	"github.com/sesame-access/sesame/internal/signin"
	"github.com/sesame-access/sesame/internal/store"
)

const (
	web = firewall.VMID("host://web-1")
	db  = firewall.VMID("host://db-1")
)

// house is a whole Sesame but for its process: the real broker, fleet and store
// over simulated firewalls, with a server in front.
type house struct {
	t      *testing.T
	store  *store.Store
	broker *broker.Broker
	fleet  *fleet.Fleet
	world  *memory.World
	server *Server
	http   *httptest.Server
	log    *lockedBuffer
	tokens map[string]string // by name
	stop   context.CancelFunc
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// build starts a house with the VMs web-1 and db-1, both with port 22 locked, and
// tokens of an admin, a requester and a viewer of all VMs, and of a requester and
// a viewer of web-1 alone.
func build(t *testing.T, adjust ...func(*Config)) *house {
	t.Helper()
	h := assemble(t, adjust...)
	h.http = httptest.NewServer(h.server.handler)
	t.Cleanup(h.http.Close)
	h.furnish()
	return h
}

// assemble is build without what is in the house and without a network: then the
// handler is called directly. In a bubble it has to be, because its time stands
// still while a network is waited for.
func assemble(t *testing.T, adjust ...func(*Config)) *house {
	t.Helper()
	h := &house{t: t, log: &lockedBuffer{}, tokens: map[string]string{}}
	began := time.Now()
	clocks := func() access.Reading {
		return access.Reading{Wall: time.Now().UTC(), Boot: time.Since(began), BootID: "test"}
	}
	log := slog.New(slog.NewJSONHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	if h.store, err = store.Open(t.Context(), filepath.Join(t.TempDir(), "sesame.db")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.store.Close() })
	h.world = memory.NewWorld(firewall.Keyring{
		Instance: h.store.Instance(), Keys: []firewall.MarkKey{{ID: "a", Secret: bytes.Repeat([]byte("k"), 32)}},
	})
	for _, id := range []firewall.VMID{web, db} {
		fw := firewall.ID("fw-" + id.Name())
		h.world.Add(memory.Config{ID: fw, Dialect: memory.Keyed})
		h.world.AddVM(inventory.VM{
			ID: id, Name: id.Name(), Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")},
			Paths: []inventory.Path{{Name: "lan", Hops: []inventory.Hop{{Firewall: fw}}}},
		})
	}
	h.fleet = fleet.New(fleet.Config{
		Book: h.store, Providers: []provider.Provider{h.world}, Clocks: clocks, Resync: time.Minute, Log: log,
	})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { h.fleet.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	h.stop = cancel
	newID := func(prefix string) string {
		var b [access.IDBytes]byte
		_, _ = rand.Read(b[:])
		return access.NewID(prefix, b)
	}
	h.broker = broker.New(broker.Config{Ledger: h.store, Enforcer: h.fleet, Clocks: clocks, NewID: newID, Log: log})
	secret, public, err := audit.NewKey(rand.Reader, "sesame.test/"+h.store.Instance())
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		Broker: h.broker, Fleet: h.fleet, Store: h.store, Clocks: clocks,
		LogKey: LogKey{Origin: "sesame.test/" + h.store.Instance(), Secret: secret, Public: public},
		Desk:   signin.New(signin.Config{Store: h.store, Sessions: session.Limits{Absolute: time.Hour, Idle: time.Hour}, URL: "https://sesame.example.org", Clocks: clocks, NewID: newID, Log: log}),
		Names:  []string{"127.0.0.1", "::1", "sesame.example.org"}, Limits: config.Default().Limits,
		UID: 4_000_000, Version: "test", Log: log,
	}
	cfg.Limits.Rate = 1_000_000
	for _, f := range adjust {
		f(&cfg)
	}
	if h.server, err = New(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	return h
}

// furnish makes the tokens and the policies.
func (h *house) furnish() {
	h.t.Helper()
	root := broker.Caller{Identity: access.Identity{Principal: authn.LocalAdmin()}}
	must(h.t, h.store.Save(h.t.Context(), store.Change{
		Roles:   store.RoleChange{Assign: []authz.Assignment{{Principal: authn.LocalAdmin(), Role: authz.Admin, Scope: scope.All}}},
		Records: []audit.Record{{Kind: audit.Started, Time: firewall.Instant(time.Now())}},
	}))
	for _, n := range []broker.NewToken{
		{Name: "admin", Role: authz.Admin},
		{Name: "requester", Role: authz.Requester},
		{Name: "viewer", Role: authz.Viewer},
		{Name: "web-requester", Role: authz.Requester, VMs: []firewall.VMID{web}},
		{Name: "web-approver", Role: authz.Approver, VMs: []firewall.VMID{web}, Person: broker.NewPerson},
		{Name: "web-viewer", Role: authz.Viewer, VMs: []firewall.VMID{web}},
	} {
		secret, _, err := h.broker.CreateToken(h.t.Context(), root, n)
		must(h.t, err)
		h.tokens[n.Name] = secret
	}
	h.eventually(func() bool { return len(h.fleet.VMs()) == 2 })
	for _, vm := range []firewall.VMID{web, db} {
		h.ok("admin", "PUT", "/v1/policies/"+vm.Name()+"-ssh", policyText(vm))
	}
	// The locks are written behind the answers.
	h.eventually(func() bool {
		anybody := netip.MustParseAddr("198.51.100.7")
		return !slices.ContainsFunc([]firewall.VMID{web, db}, func(vm firewall.VMID) bool {
			return h.world.Admits(firewall.Door{VM: vm, Protocol: firewall.TCP, Port: 22}, anybody)
		})
	})
}

func policyText(vm firewall.VMID) string {
	return "name: " + vm.Name() + "-ssh\nvms: [" + string(vm) + "]\nports: [{port: 22, max: 2h, sources: [198.51.100.0/24, 127.0.0.0/8]}]\n"
}

// reply is an answer with its body read.
type reply struct {
	*http.Response
	code int
	body string
}

// problem reads the body as a problem.
func (r reply) problem(t *testing.T) api.Problem {
	t.Helper()
	if got := r.Header.Get("Content-Type"); got != api.ProblemType {
		t.Fatalf("%d with Content-Type %q, want a problem: %s", r.StatusCode, got, r.body)
	}
	var p api.Problem
	if err := decode([]byte(r.body), &p); err != nil {
		t.Fatalf("decode problem: %v\n%s", err, r.body)
	}
	if p.Status != r.StatusCode || p.Type == "" || p.Title == "" || p.Detail == "" || p.RequestID == "" {
		t.Fatalf("incomplete problem with status %d: %s", r.StatusCode, r.body)
	}
	return p
}

// newRequest makes a request of the token called as; none for "".
func (h *house) newRequest(as, method, path, body string) *http.Request {
	h.t.Helper()
	base := "https://localhost"
	if h.http != nil {
		base = h.http.URL
	}
	req, err := http.NewRequestWithContext(h.t.Context(), method, base+path, strings.NewReader(body))
	must(h.t, err)
	req.RemoteAddr = "192.0.2.77:1234" // for a direct call
	if as != "" {
		req.Header.Set("Authorization", "Bearer "+h.tokens[as])
	}
	if body != "" {
		req.Header.Set("Content-Type", front.JSON)
		if strings.HasPrefix(path, "/v1/policies/") && !strings.HasPrefix(body, "{") {
			req.Header.Set("Content-Type", front.YAML)
		}
	}
	return req
}

func (h *house) send(req *http.Request) reply {
	h.t.Helper()
	var resp *http.Response
	if h.http == nil {
		out := httptest.NewRecorder()
		h.server.handler.ServeHTTP(out, req)
		resp = out.Result()
	} else {
		var err error
		resp, err = h.http.Client().Do(req)
		must(h.t, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(h.t, err)
	return reply{Response: resp, code: resp.StatusCode, body: string(body)}
}

func (h *house) call(as, method, path, body string) reply {
	h.t.Helper()
	return h.send(h.newRequest(as, method, path, body))
}

// ok calls and expects a 2xx.
func (h *house) ok(as, method, path, body string) reply {
	h.t.Helper()
	r := h.call(as, method, path, body)
	if r.StatusCode/100 != 2 {
		h.t.Fatalf("%s %s as %s: %d %s", method, path, as, r.StatusCode, r.body)
	}
	return r
}

// decode reads an answer in which nothing may be that is not known.
func decode(text []byte, v any) error {
	return strict.Read(text, v, strict.Leniency{Unknown: false, Empty: true})
}

// read calls and reads the answer as a T.
func read[T any](h *house, as, method, path, body string) T {
	h.t.Helper()
	var out T
	r := h.ok(as, method, path, body)
	if err := decode([]byte(r.body), &out); err != nil {
		h.t.Fatalf("%s %s: %v\n%s", method, path, err, r.body)
	}
	return out
}

// size is how many records the log has: nothing changed if it is the same.
func (h *house) size() int64 {
	h.t.Helper()
	tree, err := h.store.Tree(h.t.Context())
	must(h.t, err)
	return tree.N
}

func (h *house) eventually(ok func() bool) {
	h.t.Helper()
	for range 2000 {
		if ok() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	h.t.Fatal("it never came about")
}

// quiet waits until the log has not grown for a while, so that what passes
// record behind is not taken for the doing of a request.
func (h *house) quiet() {
	h.t.Helper()
	last, since := h.size(), time.Now()
	h.eventually(func() bool {
		if n := h.size(); n != last {
			last, since = n, time.Now()
		}
		return time.Since(since) > 100*time.Millisecond
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
