package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/config"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/provider/memory"
	"github.com/sesame-access/sesame/internal/server"
	"github.com/sesame-access/sesame/internal/simtest"
)

// A cloud is Sesame in front of two machines, web-1 and db-1, that wear one group:
// a firewall that cannot deny.
type cloud struct {
	t      *testing.T
	world  *memory.World
	socket string
}

func newCloud(t *testing.T) cloud {
	t.Helper()
	c := cloud{t: t, world: memory.NewWorld(firewall.Keyring{Instance: "cloud", Keys: []firewall.MarkKey{{ID: "k1", Secret: []byte("0123456789abcdef")}}})}
	group := c.world.Add(memory.Config{ID: "sg", Dialect: memory.Union})
	for _, name := range []string{"web-1", "db-1"} {
		c.world.AddVM(inventory.VM{
			ID: firewall.HostVM(name), Name: name, Paths: []inventory.Path{{Name: "eth0", Hops: []inventory.Hop{{Firewall: "sg"}}}},
			Proposed: map[string][]inventory.Proposal{"web-1": {
				{Kind: inventory.Probe, Name: "lb-health", Protocol: firewall.TCP, Port: 22, From: []netip.Prefix{netip.MustParsePrefix("192.0.2.10/32")}},
				{Kind: inventory.Backup, Name: "vault", From: []netip.Prefix{netip.MustParsePrefix("192.0.2.32/28")}},
			}}[name],
		})
	}
	for _, r := range []memory.Rule{
		{Name: "everything", Action: firewall.Allow, First: 0, Last: 65535, From: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}},
		{Name: "old-ssh", Action: firewall.Allow, VM: firewall.HostVM("web-1"), Protocol: firewall.TCP, First: 22, Last: 22, From: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}},
	} {
		c.must(group.Put(r))
	}
	dir, err := os.MkdirTemp("", "sesame") //nolint:usetesting // a socket needs a short path
	c.must(err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	c.must(simtest.Template(ctx, filepath.Join(dir, "template.db")))
	clocks := simtest.NewClocks()
	i, err := simtest.Install(ctx, filepath.Join(dir, "template.db"), filepath.Join(dir, "sesame.db"), clocks, c.world)
	c.must(err)
	i.Start(ctx)
	<-i.Fleet().Known()
	secret, public, err := audit.NewKey(rand.Reader, "sesame.test/cloud")
	c.must(err)
	srv, err := server.New(ctx, server.Config{
		Broker: i.Broker(), Fleet: i.Fleet(), Store: i.Store(), Clocks: clocks.Read,
		LogKey: server.LogKey{Origin: "sesame.test/cloud", Secret: secret, Public: public}, Limits: config.Default().Limits,
		UID: uint32(os.Getuid()), Version: "test", Log: slog.New(slog.DiscardHandler),
	})
	c.must(err)
	c.socket = filepath.Join(dir, "s")
	l, err := new(net.ListenConfig).Listen(ctx, "unix", c.socket)
	c.must(err)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	t.Cleanup(func() {
		cancel()
		<-served
		_ = i.Close()
	})
	return c
}

func (c cloud) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// run runs a command, which must exit with code and say all of the texts.
func (c cloud) run(args string, code int, says ...string) {
	c.t.Helper()
	var out bytes.Buffer
	if got := Main(c.t.Context(), append(strings.Fields(args), "--socket", c.socket), strings.NewReader(""), &out, &out); got != code {
		c.t.Fatalf("sesame %s exited with %d, want %d:\n%s", args, got, code, &out)
	}
	for _, text := range says {
		if !strings.Contains(out.String(), text) {
			c.t.Errorf("sesame %s does not say %q:\n%s", args, text, &out)
		}
	}
}

// admits fails unless the address gets in to the port of web-1, or does not, soon.
func (c cloud) admits(port uint16, from string, want bool) {
	c.t.Helper()
	d := firewall.Door{VM: firewall.HostVM("web-1"), Protocol: firewall.TCP, Port: port}
	for end := time.Now().Add(10 * time.Second); c.world.Admits(d, netip.MustParseAddr(from)) != want; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			c.t.Fatalf("%s at %v is admitted: %t\n%v", from, d, !want, c.world)
		}
	}
}

// TestConsentFromTheCommandLine goes from what is typed to the firewall and back:
// what a lock takes from others, whom it locks out who cannot ask, and what comes
// back with its end is listed, and done only when that is said.
func TestConsentFromTheCommandLine(t *testing.T) {
	c := newCloud(t)
	const conflict = 5
	c.run("enable web-1 --dry-run", 0,
		"Proposed as exempt", "probe lb-health of web-1: --exempt 192.0.2.10\n", "backup vault of web-1: --exempt 192.0.2.32/28\n",
		"Lost with these locks", "every protocol of db-1 but 1, tcp, udp, 58 is lost to 10.0.0.0/8")
	c.run("enable web-1 --dry-run --output json", 0, `"proposed":`, `"agree":`, `"losses":`)
	c.run("enable web-1 --yes --accept-losses", conflict, "the probe lb-health of a load balancer asks web-1 from 192.0.2.10", "--exempt-proposed")
	c.run("enable web-1 --yes --exempt 192.0.2.10", conflict, "take away more than their own ports", "--accept-losses")
	c.run("policy list", 0, "There is no policy")
	c.admits(22, "203.0.113.7", true)

	c.run("enable web-1 --yes --exempt-proposed --accept-losses", 0, "web-1:22/tcp is just-in-time now")
	for from, want := range map[string]bool{"203.0.113.7": false, "10.1.1.1": false, "192.0.2.10": true, "192.0.2.33": true} {
		c.admits(22, from, want)
	}
	c.admits(23, "10.1.1.1", true)
	c.run("activity --kind lock.accepted", 0, "every protocol of db-1 but")

	c.run("disable web-1 --dry-run", 0, "Displaced rules that come back:",
		"old-ssh on sg: web-1: 22/tcp from 0.0.0.0/0; out for ", "under a new id; only with --restore-open: it is open to the Internet",
		"everything on sg: all ports, every protocol from 10.0.0.0/8;")
	c.run("disable web-1 --yes", conflict, "these rules would come back: old-ssh on sg", "--restore-open")
	c.admits(22, "203.0.113.7", false)
	c.run("disable web-1 --yes --restore-open", 0, "web-1:22/tcp is not just-in-time any more")
	c.admits(22, "203.0.113.7", true)
	c.admits(22, "10.1.1.1", true)
}
