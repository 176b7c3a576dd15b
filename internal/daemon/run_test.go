package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/api/client"
	"github.com/sesame-access/sesame/internal/api/rights"
	"github.com/sesame-access/sesame/internal/config"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/memory"
)

// A house is a daemon with one VM behind a firewall that closes nothing by
// itself, so that closing is the daemon's doing.
type house struct {
	t       *testing.T
	cfg     config.Config
	keys    firewall.Keyring
	world   *memory.World
	ahead   time.Duration // of the daemon's clocks
	running chan Running
	options Options // more than the usual ones
}

func newHouse(t *testing.T) *house {
	t.Helper()
	dir, err := os.MkdirTemp("", "sesame") //nolint:usetesting // a socket needs a short path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.MustParseAddrPort(l.Addr().String())
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, cfg: config.Default(), running: make(chan Running, 1)}
	h.cfg.Listen = []netip.AddrPort{addr}
	h.cfg.Socket, h.cfg.StateDir = filepath.Join(dir, "s"), filepath.Join(dir, "state")
	if err := makeStateDir(h.cfg.StateDir); err != nil {
		t.Fatal(err)
	}
	if h.keys, _, err = ensureMarks(h.cfg.StateDir, "test"); err != nil {
		t.Fatal(err)
	}
	h.world = memory.NewWorld(h.keys)
	h.world.Add(memory.Config{ID: "fw", Dialect: memory.Numbered})
	h.world.AddVM(inventory.VM{
		ID: firewall.HostVM("web-1"), Name: "web-1",
		Paths: []inventory.Path{{Name: "p", Hops: []inventory.Hop{{Firewall: "fw"}}}},
	})
	return h
}

func (h *house) door() firewall.Door {
	return firewall.Door{VM: firewall.HostVM("web-1"), Protocol: firewall.TCP, Port: 22}
}

// start runs the daemon until stop.
func (h *house) start() (stop func()) {
	h.t.Helper()
	machine, err := MachineClocks()
	if err != nil {
		h.t.Fatal(err)
	}
	d, err := New(h.cfg, Options{
		NewMarks: h.options.NewMarks,
		Log:      slog.New(slog.NewTextHandler(h.t.Output(), nil)), Version: "test",
		Clocks:    func() access.Reading { return machine().Add(h.ahead) },
		Providers: func(firewall.Keyring) []provider.Provider { return []provider.Provider{h.world} },
		Ready:     func(r Running) { h.running <- r },
	})
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(h.t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	return func() {
		h.t.Helper()
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				h.t.Errorf("the daemon ended: %v", err)
			}
		case <-time.After(30 * time.Second):
			h.t.Error("the daemon does not end")
		}
		if _, err := os.Lstat(h.cfg.Socket); err == nil {
			h.t.Error("the local socket is left behind")
		}
	}
}

func (h *house) awaitReady() Running {
	h.t.Helper()
	select {
	case r := <-h.running:
		return r
	case <-time.After(20 * time.Second):
		h.t.Fatal("the daemon is not ready")
		return Running{}
	}
}

// get asks the local socket.
func (h *house) get(path string) (int, string) {
	h.t.Helper()
	c := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", h.cfg.Socket)
		},
	}}
	req, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func (h *house) eventually(what string, is func() bool) {
	h.t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			h.t.Fatalf("not in time: %s", what)
		}
	}
}

func TestClosingWaitsForNoDatabase(t *testing.T) {
	h := newHouse(t)
	guest := netip.MustParseAddr("203.0.113.7")
	// An opening that is past its deadline by the daemon's clocks.
	want := firewall.Wants{{Door: h.door(), Locked: true, Cut: false, Open: []firewall.Opening{{
		From: netip.PrefixFrom(guest, 32), Until: firewall.Instant(time.Now().Add(time.Hour)), Grants: "g-0123456789abcdef",
	}}}}
	s, err := h.world.Observe(t.Context(), "fw", nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := h.world.Compile(s, want, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.world.Apply(t.Context(), s, p); err != nil {
		t.Fatal(err)
	}
	if !h.world.Admits(h.door(), guest) {
		t.Fatal("the opening is not open to begin with")
	}
	h.ahead = 2 * time.Hour
	database := filepath.Join(h.cfg.StateDir, databaseFile)
	if err := os.WriteFile(database, []byte(strings.Repeat("this is no database\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}

	stop := h.start()
	h.eventually("the door is closed", func() bool { return !h.world.Admits(h.door(), guest) })
	h.eventually("the daemon says why it is not ready", func() bool {
		code, text := h.get("/readyz")
		return code == http.StatusServiceUnavailable && strings.Contains(text, "the database cannot be opened; closing goes on")
	})
	if code, text := h.get("/healthz"); code != http.StatusOK {
		t.Errorf("/healthz: %d %s", code, text)
	}
	if code, text := h.get("/v1/vms"); code != http.StatusServiceUnavailable || !strings.Contains(text, "closing goes on") {
		t.Errorf("/v1/vms: %d %s", code, text)
	}
	// The lock stays, and a closing daemon ends as any other.
	if s, err := h.world.Observe(t.Context(), "fw", nil); err != nil || len(s.Shown()) != 1 || !s.Shown()[0].Locked {
		t.Errorf("the lock is gone: %v, %v", s.Shown(), err)
	}
	stop()

	// Once the database is there, all is served, in the same process. The clocks
	// have to agree with the firewall's again: it is not ready otherwise.
	h.ahead = 0
	stop = h.start()
	defer func() { stop() }()
	h.eventually("the daemon stands by", func() bool { code, _ := h.get("/readyz"); return code == http.StatusServiceUnavailable })
	if err := os.Remove(database); err != nil {
		t.Fatal(err)
	}
	h.awaitReady()
	h.eventually("the daemon is ready", func() bool { code, _ := h.get("/readyz"); return code == http.StatusOK })
}

func TestFirstStartAndRestart(t *testing.T) {
	h := newHouse(t)
	stop := h.start()
	r := h.awaitReady()
	if r.First == "" || r.URL != "https://"+h.cfg.Listen[0].String() || r.CA != filepath.Join(h.cfg.StateDir, "ca.crt") {
		t.Errorf("running: %+v", r)
	}
	c, err := client.New(client.Config{Socket: h.cfg.Socket})
	if err != nil {
		t.Fatal(err)
	}
	token, err := c.CreateToken(t.Context(), rights.NewToken{Name: "ana", Role: "admin"})
	if err != nil {
		t.Fatal(err)
	}
	doc := []byte(`{"name": "web", "vms": ["host://web-1"], "ports": [{"port": 22, "sources": ["127.0.0.1"]}]}`)
	if _, err := c.PutPolicy(t.Context(), "web", doc, false); err != nil {
		t.Fatal(err)
	}
	ask := api.Ask{VM: "web-1", Ports: []api.Port{{Port: 22}}, Sources: []string{"127.0.0.1"}, Duration: "1h"}
	req, err := c.Request(t.Context(), ask, "")
	if err != nil {
		t.Fatal(err)
	}
	if len(req.Grants) != 1 || req.Grants[0].State != string(access.Open) {
		t.Fatalf("the request's grants: %+v", req.Grants)
	}
	c.CloseIdle()
	stop()
	if !h.world.Admits(h.door(), netip.MustParseAddr("127.0.0.1")) {
		t.Error("stopping closed the door before its time")
	}
	for _, name := range []string{"sesame.db", "marks.key", "audit.key", "audit.checkpoint", "ca.crt", "ca.key"} {
		info, err := os.Stat(filepath.Join(h.cfg.StateDir, name))
		if err != nil || name != "ca.crt" && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}

	stop = h.start()
	defer func() { stop() }()
	if r := h.awaitReady(); r.First != "" {
		t.Error("after a restart nobody has a token")
	}
	ca, err := os.ReadFile(r.CA)
	if err != nil {
		t.Fatal(err)
	}
	remote, err := client.New(client.Config{URL: r.URL, CA: ca, Token: token.Secret})
	if err != nil {
		t.Fatal(err)
	}
	defer remote.CloseIdle()
	g, err := remote.Close(t.Context(), req.Grants[0].ID)
	if err != nil || g.State != string(access.Closed) {
		t.Fatalf("after the restart the grant is %+v, %v", g, err)
	}
	if h.world.Admits(h.door(), netip.MustParseAddr("127.0.0.1")) {
		t.Error("the door is open after it was closed")
	}
}

func TestADatabaseThatWasPutBackIsNotReady(t *testing.T) {
	h := newHouse(t)
	stop := h.start()
	h.awaitReady()
	stop()
	if err := os.Remove(filepath.Join(h.cfg.StateDir, databaseFile)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"-wal", "-shm"} {
		_ = os.Remove(filepath.Join(h.cfg.StateDir, databaseFile+name))
	}
	stop = h.start()
	defer func() { stop() }()
	h.awaitReady()
	h.eventually("the break is seen", func() bool {
		code, text := h.get("/readyz")
		return code == http.StatusServiceUnavailable && strings.Contains(text, "put back or rewritten")
	})
	code, text := h.get("/v1/audit/checkpoint")
	var p api.Problem
	if err := json.Unmarshal([]byte(text), &p); err != nil || code != http.StatusConflict || !strings.Contains(p.Detail, "audit.checkpoint") {
		t.Errorf("a broken log is signed: %d %s", code, text)
	}
	h.eventually("the break is recorded", func() bool {
		_, text := h.get("/v1/activity?kind=log.broken")
		return strings.Contains(text, "put back or rewritten")
	})
}

func TestTwoDaemonsDoNotShareASocket(t *testing.T) {
	h := newHouse(t)
	stop := h.start()
	defer func() { stop() }()
	h.awaitReady()
	d, err := New(h.cfg, Options{Log: slog.New(slog.DiscardHandler), Providers: func(firewall.Keyring) []provider.Provider { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := d.Run(ctx); err == nil || ctx.Err() != nil {
		t.Errorf("the second daemon: %v", err)
	}
}

// A database that is lost, and even the keys after it, change nobody's name: what
// the firewalls show stays ours.
func TestTheInstallationKeepsItsName(t *testing.T) {
	h := newHouse(t)
	stop := h.start()
	h.awaitReady()
	stop()
	keys, err := ReadMarks(h.cfg.StateDir)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(h.cfg.StateDir, databaseFile+"*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("the database is %q, %v", files, err)
	}
	for _, f := range files {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
	stop = h.start()
	h.awaitReady()
	stop()
	if err := os.Remove(filepath.Join(h.cfg.StateDir, marksFile)); err != nil {
		t.Fatal(err)
	}
	h.options.NewMarks = true
	stop = h.start()
	h.awaitReady()
	stop()
	renewed, err := ReadMarks(h.cfg.StateDir)
	if err != nil || renewed.Instance != keys.Instance || slices.EqualFunc(renewed.Keys, keys.Keys, func(a, b firewall.MarkKey) bool { return a.ID == b.ID }) {
		t.Errorf("the installation was %s and is %s, %v", keys.Instance, renewed.Instance, err)
	}
}

// Keys that are gone are not made anew behind anybody's back.
func TestLostMarksAreAnErrorAtStart(t *testing.T) {
	h := newHouse(t)
	stop := h.start()
	h.awaitReady()
	stop()
	path := filepath.Join(h.cfg.StateDir, marksFile)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	d, err := New(h.cfg, Options{
		Log:       slog.New(slog.DiscardHandler),
		Providers: func(firewall.Keyring) []provider.Provider { return []provider.Provider{h.world} },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err = d.Run(ctx)
	if errkind.Of(err) != errkind.Conflict || !strings.Contains(errkind.Public(err), "start once with --new-marks") {
		t.Errorf("without the keys it ends with %v", err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the keys were made anew: %v", err)
	}
	h.options.NewMarks = true
	stop = h.start()
	h.awaitReady()
	stop()
	if _, err := ReadMarks(h.cfg.StateDir); err != nil {
		t.Error(err)
	}
}
