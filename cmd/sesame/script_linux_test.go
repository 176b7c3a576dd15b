package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sesame-access/sesame/internal/api/client"
	"github.com/sesame-access/sesame/internal/api/rights"
	"github.com/sesame-access/sesame/internal/config"
	"github.com/sesame-access/sesame/internal/daemon"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/memory"
)

var update = flag.Bool("update", false, "write the scripts' golden files anew")

// TestScripts plays testdata/script/*.txtar: this program in processes of their
// own, against a daemon in this one whose firewalls are simulated. The scripts
// have these commands more:
//
//	serve-memory          starts the daemon; SESAME_URL, SESAME_CA, and in
//	                      SESAME_TOKEN the requester's token say where it is, and
//	                      ADMIN, REQUESTER and VIEWER hold the tokens
//	exits CODE ARG...     runs sesame and checks the code that it exits with
//	until PATTERN ARG...  runs sesame until its output matches; what was read back
//	                      is recorded a moment after it is answered
//	mask FROM TO          copies a file, or stdout or stderr, with ids, times and
//	                      all else that is never the same replaced by a word
func TestScripts(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.Symlink(self, filepath.Join(bin, "sesame")); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", bin+string(os.PathListSeparator)+e.Getenv("PATH"))
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("TZ", "UTC")
			e.Values["t"] = t
			return nil
		},
		Condition: func(c string) (bool, error) {
			switch c {
			case "root":
				return os.Geteuid() == 0, nil
			case "alone": // no server and no demo of this machine's own
				_, socket := os.Lstat(config.Default().Socket)
				_, dir := os.Lstat("/run/sesame-demo")
				return socket != nil && dir != nil, nil
			}
			if path, ok := strings.CutPrefix(c, "exists:"); ok {
				_, err := os.Lstat(path)
				return err == nil, nil
			}
			return false, fmt.Errorf("there is no condition %q", c)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serve-memory": serveMemory,
			"exits":        exits,
			"until":        runUntil,
			"mask":         mask,
		},
	})
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec("sesame", args[1:]...); err != nil {
		var e *exec.ExitError
		if !errors.As(err, &e) {
			ts.Fatalf("run sesame: %v", err)
		}
		got = e.ExitCode()
	}
	if got != want {
		ts.Fatalf("sesame %s exited with %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

func runUntil(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until PATTERN ARG...")
	}
	pattern := regexp.MustCompile("(?m)" + args[0])
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if err := ts.Exec("sesame", args[1:]...); err == nil && pattern.MatchString(ts.ReadFile("stdout")) {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("sesame %s never shows %s", strings.Join(args[1:], " "), args[0])
		}
	}
}

func mask(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: mask FROM TO")
	}
	text := ts.ReadFile(args[0])
	text = strings.ReplaceAll(text, ts.Getenv("WORK"), "WORK")
	for _, m := range []struct{ what, with string }{
		{`\b([grt])-[0-9a-hjkmnp-tv-z]{16}\b`, "$1-ID"},
		{`sesame_[A-Za-z0-9_-]{43}`, "SECRET"},
		{`sesame/[0-9a-z]{12}\+[0-9a-f]{8}\+[A-Za-z0-9+/=]+`, "KEY"},
		{`[A-Za-z0-9+/]{43}=`, "HASH"},
		{`sesame-[0-9a-z]{12}-`, "sesame-INSTANCE-"},
		{`instance [ ]*[0-9a-z]{12}`, "instance NAME"},
		{`"instance": "[0-9a-z]{12}"`, `"instance": "NAME"`},
		{`127\.0\.0\.1:\d+`, "127.0.0.1:PORT"},
		{`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`, "INSTANT"},
		{`(\d{4}-\d\d-\d\d )?\b\d\d:\d\d:\d\d\b`, "TIME"},
		{`\(in [0-9hms]+\)`, "(in TIME)"},
		{`\b[0-9.]+(µs|ms|s)\b`, "TOOK"},
		{`, start to open TOOK`, ""}, // said only where it took a while
		{`(\S) {3,}`, "$1  "},        // columns are as wide as what was masked
	} {
		text = regexp.MustCompile(m.what).ReplaceAllString(text, m.with)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(text), 0o600))
}

// serveMemory starts a daemon, and ends it with the script.
func serveMemory(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: serve-memory")
	}
	t := ts.Value("t").(*testing.T)
	dir, err := os.MkdirTemp("", "sesame") // short, for the socket
	ts.Check(err)
	cfg := config.Default()
	cfg.Listen = []netip.AddrPort{freePort(ts)}
	cfg.Socket, cfg.StateDir = filepath.Join(dir, "s"), filepath.Join(dir, "state")
	cfg.Limits.Rate = 100_000
	ready := make(chan daemon.Running, 1)
	d, err := daemon.New(cfg, daemon.Options{
		Log: slog.New(slog.DiscardHandler), Providers: simulated, Version: "test",
		Ready: func(r daemon.Running) { ready <- r },
	})
	ts.Check(err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	ts.Defer(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the daemon ended: %v", err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	var r daemon.Running
	select {
	case r = <-ready:
	case err := <-ended:
		ended <- err
		ts.Fatalf("the daemon ended: %v", err)
	case <-time.After(20 * time.Second):
		ts.Fatalf("the daemon was not ready in time")
	}
	if r.First == "" {
		ts.Fatalf("a new daemon prints no link for its first administrator")
	}
	admin, err := client.New(client.Config{Socket: cfg.Socket})
	ts.Check(err)
	for _, role := range []string{"viewer", "admin", "requester"} {
		token, err := admin.CreateToken(t.Context(), rights.NewToken{Name: role, Role: role})
		ts.Check(err)
		ts.Setenv(strings.ToUpper(role), token.Secret)
		ts.Setenv("SESAME_TOKEN", token.Secret)
	}
	ts.Setenv("SESAME_URL", r.URL)
	ts.Setenv("SESAME_CA", r.CA)
	ts.Setenv("SOCKET", cfg.Socket)
}

// freePort returns a port that nobody listens on.
func freePort(ts *testscript.TestScript) netip.AddrPort {
	a, err := freeLoopback(context.Background())
	ts.Check(err)
	return a
}

func freeLoopback(ctx context.Context) (netip.AddrPort, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer l.Close()
	return netip.ParseAddrPort(l.Addr().String())
}

// simulated makes three VMs, each behind a firewall of another kind.
func simulated(keys firewall.Keyring) []provider.Provider {
	w := memory.NewWorld(keys)
	addr := netip.MustParseAddr("192.0.2.11")
	for _, vm := range []struct {
		name    string
		dialect memory.Dialect
	}{{"web-1", memory.Keyed}, {"db-1", memory.Numbered}, {"build-1", memory.Union}} {
		id := firewall.ID("memory://" + vm.name)
		w.Add(memory.Config{ID: id, Dialect: vm.dialect, VirtualNetwork: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
		w.AddVM(inventory.VM{
			ID: firewall.HostVM(vm.name), Name: vm.name, Addresses: []netip.Addr{addr},
			Paths: []inventory.Path{{Name: "simulated", Hops: []inventory.Hop{{Firewall: id}}}},
		})
		addr = addr.Next()
	}
	return []provider.Provider{w}
}
