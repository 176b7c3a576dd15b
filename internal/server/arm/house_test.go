package arm_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"io"
	"log/slog"
	"net"
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
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/authn"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/authz/scope"
	"github.com/sesame-access/sesame/internal/broker"
	"github.com/sesame-access/sesame/internal/config"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/fleet"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/policy"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/memory"
	"github.com/sesame-access/sesame/internal/server"
	"github.com/sesame-access/sesame/internal/store"
)

// zero is the time of a house whose clocks are right.
var zero time.Time

// machine is a VM of a house.
type machine struct{ id, region string }

func vm(group, name string) string {
	return "/subscriptions/" + sub + "/resourceGroups/" + group + "/providers/Microsoft.Compute/virtualMachines/" + name
}

// house is a whole Sesame over simulated firewalls, on the network, over TLS.
type house struct {
	t      testing.TB
	world  *memory.World
	store  *store.Store
	broker *broker.Broker
	client *http.Client
	url    string
	log    *logs
	tokens map[string]string
}

// logs are what the server has to say.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// build starts a house with these VMs, and a token for each of the roles over all
// VMs. Its clocks are ahead of the truth by as much as it takes to be at the given
// time, if it is not zero.
func build(t testing.TB, at time.Time, vms ...machine) *house {
	t.Helper()
	began := time.Now()
	ahead := time.Duration(0)
	if !at.IsZero() {
		ahead = at.Sub(began)
	}
	clocks := func() access.Reading {
		return access.Reading{Wall: time.Now().Add(ahead).UTC(), Boot: time.Since(began), BootID: "test"}
	}
	h := &house{t: t, log: &logs{}, tokens: map[string]string{}}
	log := slog.New(slog.NewJSONHandler(h.log, nil))
	var err error
	h.store, err = store.Open(t.Context(), filepath.Join(t.TempDir(), "sesame.db"))
	must(t, err)
	t.Cleanup(func() { _ = h.store.Close() })
	h.world = memory.NewWorld(firewall.Keyring{
		Instance: h.store.Instance(), Keys: []firewall.MarkKey{{ID: "a", Secret: bytes.Repeat([]byte("k"), 32)}},
	})
	for _, m := range vms {
		h.add(m)
	}
	f := fleet.New(fleet.Config{Book: h.store, Providers: []provider.Provider{h.world}, Clocks: clocks, Resync: time.Minute, Log: log})
	life, end := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { f.Run(life) })
	t.Cleanup(func() { end(); running.Wait() })
	newID := func(prefix string) string {
		var b [access.IDBytes]byte
		_, _ = rand.Read(b[:])
		return access.NewID(prefix, b)
	}
	h.broker = broker.New(broker.Config{Ledger: h.store, Enforcer: f, Clocks: clocks, NewID: newID, Log: log})
	secret, public, err := audit.NewKey(rand.Reader, "sesame.test/"+h.store.Instance())
	must(t, err)
	cfg := server.Config{
		Broker: h.broker, Fleet: f, Store: h.store, Clocks: clocks, Instance: h.store.Instance(),
		LogKey: server.LogKey{Origin: "sesame.test/" + h.store.Instance(), Secret: secret, Public: public},
		Names:  []string{"127.0.0.1", "localhost"}, Limits: config.Default().Limits, Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, UID: 4_000_000, Version: "test", Log: log,
	}
	cfg.Limits.Rate = 10_000_000
	srv, err := server.New(life, cfg)
	must(t, err)
	h.listen(srv, &running)
	h.settle(f, len(vms))
	return h
}

// listen serves on a port of its own.
func (h *house) listen(srv *server.Server, running *sync.WaitGroup) {
	h.t.Helper()
	certified := httptest.NewTLSServer(http.NotFoundHandler())
	h.client = certified.Client()
	h.t.Cleanup(h.client.CloseIdleConnections)
	l, err := new(net.ListenConfig).Listen(h.t.Context(), "tcp", "127.0.0.1:0")
	must(h.t, err)
	h.url = "https://" + l.Addr().String()
	cert := certified.TLS.Clone()
	certified.Close()
	running.Go(func() { _ = srv.Serve(tls.NewListener(l, cert)) })
}

// settle waits for the inventory and makes the tokens.
func (h *house) settle(f *fleet.Fleet, machines int) {
	h.t.Helper()
	h.eventually(func() bool { return len(f.VMs()) == machines })
	root := authz.Assignment{Principal: authn.LocalAdmin(), Role: authz.Admin, Scope: scope.All}
	must(h.t, h.store.Save(h.t.Context(), store.Change{
		Roles: store.RoleChange{Assign: []authz.Assignment{root}}, Records: []audit.Record{{Kind: audit.Started, Time: firewall.Instant(time.Now())}},
	}))
	for _, r := range authz.Roles() {
		h.token(string(r), r)
	}
}

// token makes a token of a role on some VMs; on all if none is named.
func (h *house) token(name string, role authz.Role, vms ...string) {
	h.t.Helper()
	n := broker.NewToken{Name: name, Role: role}
	for _, vm := range vms {
		id, err := firewall.ParseVMID(vm)
		must(h.t, err)
		n.VMs = append(n.VMs, id)
	}
	secret, _, err := h.broker.CreateToken(h.t.Context(), broker.Caller{Identity: access.Identity{Principal: authn.LocalAdmin()}}, n)
	must(h.t, err)
	h.tokens[name] = secret
}

// approvals says for every policy in force who has to agree.
func (h *house) approvals(stage string) {
	h.t.Helper()
	rules, err := h.store.Rules(h.t.Context())
	must(h.t, err)
	for _, p := range rules.Policies {
		p.Approvals, p.Within = []policy.Approval{{Stage: stage, Count: 1}}, time.Hour
		_, err := h.broker.Enable(h.t.Context(), broker.Caller{Identity: access.Identity{Principal: authn.LocalAdmin()}}, p, broker.Agreed{})
		must(h.t, err)
	}
}

// scoped makes a token of a role on all VMs that is only for one thing.
func (h *house) scoped(name string, role authz.Role, uses authz.Action) {
	h.t.Helper()
	n := broker.NewToken{Name: name, Role: role, Scope: []string{string(uses)}}
	secret, _, err := h.broker.CreateToken(h.t.Context(), broker.Caller{Identity: access.Identity{Principal: authn.LocalAdmin()}}, n)
	must(h.t, err)
	h.tokens[name] = secret
}

// add adds a VM behind a firewall of its own.
func (h *house) add(m machine) {
	h.t.Helper()
	id, err := firewall.ParseVMID(m.id)
	must(h.t, err)
	group := m.id[:strings.Index(m.id, "/providers/")]
	fw := firewall.ID(group + "/providers/Microsoft.Network/networkSecurityGroups/" + id.Name())
	h.world.Add(memory.Config{ID: fw, Dialect: memory.Keyed})
	addr := netip.MustParseAddr("10.0.0.4")
	h.world.AddVM(inventory.VM{
		ID: id, Name: m.id[strings.LastIndexByte(m.id, '/')+1:], Spelled: m.id, Region: m.region, System: "Linux", State: "running",
		Addresses:  []netip.Addr{addr},
		Interfaces: []inventory.Interface{{ID: group + "/providers/Microsoft.Network/networkInterfaces/" + id.Name() + "-nic", Group: string(fw), Addresses: []netip.Addr{addr}}},
		Paths:      []inventory.Path{{Name: "internet", Hops: []inventory.Hop{{Firewall: fw}}}},
	})
}

// admits reports whether a source gets through to a port of a VM.
func (h *house) admits(id string, port uint16, from string) bool {
	h.t.Helper()
	vm, err := firewall.ParseVMID(id)
	must(h.t, err)
	return h.world.Admits(firewall.Door{VM: vm, Protocol: firewall.TCP, Port: port}, netip.MustParseAddr(from))
}

func (h *house) eventually(ok func() bool) {
	h.t.Helper()
	for range 4000 {
		if ok() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	h.t.Fatal("it never came about")
}

// reply is an answer with its body read.
type reply struct {
	status int
	header http.Header
	body   string
}

// json returns the body.
func (r reply) json(t testing.TB) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(r.body), &v); err != nil {
		t.Fatalf("%d %s: %v", r.status, r.body, err)
	}
	return v
}

// code returns the code of an error, whose form it checks.
func (r reply) code(t testing.TB) string {
	t.Helper()
	e, ok := r.json(t)["error"].(map[string]any)
	if !ok || e["message"] == "" || r.header.Get("X-Ms-Request-Id") == "" || r.header.Get("Content-Type") != "application/json; charset=utf-8" {
		t.Fatalf("%d is no error of Azure's: %v %s", r.status, r.header, r.body)
	}
	return e["code"].(string)
}

// call sends a request as somebody; extra are headers and their values.
func (h *house) call(as, method, path, body string, extra ...string) reply {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), method, h.url+path, strings.NewReader(body))
	must(h.t, err)
	if as != "" {
		req.Header.Set("Authorization", "Bearer "+h.tokens[as])
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json; charset=utf-8")
	}
	for pair := range slices.Chunk(extra, 2) {
		req.Header.Set(pair[0], pair[1])
	}
	resp, err := h.client.Do(req)
	must(h.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(h.t, err)
	return reply{status: resp.StatusCode, header: resp.Header, body: string(text)}
}
