package azure_test

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	sdkarm "github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"

	"github.com/sesame-access/sesame/internal/cloudsim/arm"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/fault"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/rp"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/provider/azure"
	"github.com/sesame-access/sesame/internal/provider/azure/estate"
)

// bare takes the group away from in front of all machines, and returns the interface
// of the first. Its document knows things that nobody here does.
func (g *ground) bare(t *testing.T) (nic string) {
	t.Helper()
	for _, m := range g.machines {
		nic, _, _ = strings.Cut(m.configs[0], "/ipConfigurations/")
		text, err := g.sim.Document(nic)
		if err != nil {
			t.Fatal(err)
		}
		document := strings.Replace(string(text), `"networkSecurityGroup":{"id":"`+g.named+`"}`, `"zzz": [ {"x" :1} ]`, 1)
		if document == string(text) {
			t.Fatalf("%s has no group: %s", nic, text)
		}
		if err := g.sim.Put(nic, document); err != nil {
			t.Fatal(err)
		}
	}
	nic, _, _ = strings.Cut(g.machines[0].configs[0], "/ipConfigurations/")
	return nic
}

// owning makes the provider one that may make groups, and returns the machine's.
func (g *ground) owning(t *testing.T) []firewall.ID {
	t.Helper()
	r, err := estate.New(estate.Config{
		Credential: token(g.sim.Token()), Options: sdkarm.ClientOptions{ClientOptions: options(g)}, Subscriptions: []string{arm.SubscriptionID}, Instance: keys.Instance, OwnGroups: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	g.provider.Surveyor = azure.Estate{Reader: r}
	vms, err := g.provider.Inventory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(vms, func(v inventory.VM) bool { return v.ID == g.ssh.VM })
	return vms[at].Firewalls()
}

// A machine without any group gets one with its first lock, in front of which nothing
// else changes, and has none when its last lock has gone; in every state in between
// who was let in still is, but for the port.
func TestOwnGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGround(t, arm.Config{Config: rp.Config{Latency: time.Second}}, 1)
		nic := g.bare(t)
		before, err := g.sim.Document(nic)
		if err != nil {
			t.Fatal(err)
		}
		walls := g.owning(t)
		if len(walls) != 1 || !strings.HasSuffix(string(walls[0]), "/networksecuritygroups/sesame-main-nic-nic-0") {
			t.Fatalf("it is behind %v", walls)
		}
		g.nsg = walls[0]
		if n := len(g.calls(func(s sent) bool { return s.method == http.MethodPut || s.method == http.MethodDelete })); n != 0 {
			t.Errorf("looking writes %d times", n)
		}
		everywhere := func(when string, d firewall.Door, from string, want bool) {
			t.Helper()
			if got := g.admits(g.now(t), d, netip.MustParseAddr(from)); got != want {
				t.Errorf("%s: %s gets to port %d: %v", when, from, d.Port, got)
			}
		}
		for i, want := range []firewall.Wants{locked(g.ssh, 0), locked(g.ssh, 2), locked(g.ssh, 1)} {
			for range 2 {
				if p, err := g.pass(t.Context(), want); err != nil {
					t.Fatalf("%d: %v\n%v", i, err, p)
				}
			}
			if p, err := g.pass(t.Context(), want); err != nil || !p.Empty() {
				t.Errorf("%d: once more is\n%v, %v", i, p, err)
			}
			everywhere("locked", g.ssh, "198.51.100.9", false)
			everywhere("locked", g.ssh, "10.0.9.9", false)
			everywhere("locked", g.ssh, "203.0.113.0", i > 0)
			everywhere("locked", g.rdp, "198.51.100.9", true)
			if i == 0 {
				if _, err := g.provider.Inventory(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, w := range g.past {
			if !g.admits(w, g.rdp, netip.MustParseAddr("198.51.100.9")) {
				t.Error("in between somebody lost another port")
			}
		}
		if p, err := g.pass(t.Context(), nil); err != nil {
			t.Fatalf("%v\n%v", err, p)
		}
		everywhere("given back", g.ssh, "198.51.100.9", true)
		after, err := g.sim.Document(nic)
		if err != nil || plain(string(after)) != plain(string(before)) {
			t.Errorf("the interface was\n%s\nand is\n%s\n%v", before, after, err)
		}
		if text, err := g.sim.Document(string(g.nsg)); err == nil {
			t.Errorf("the group is still there: %s", text)
		}
	})
}

// plain is a document without its entity tags.
func plain(document string) string {
	parts := strings.Split(document, `"etag":"`)
	for i := 1; i < len(parts); i++ {
		_, parts[i], _ = strings.Cut(parts[i], `"`)
	}
	return strings.Join(parts, "")
}

// What Azure cannot promise is not done, and says why.
func TestOwnGroupIsRefused(t *testing.T) {
	for name, x := range map[string]struct {
		config rp.Config
		change func(t *testing.T, g *ground, nic string)
		want   string
	}{
		"stale writes are taken": {rp.Config{IgnoreIfMatch: true}, nil, "is not refused, and could undo"},
		"a group of that name is somebody else's": {rp.Config{}, func(t *testing.T, g *ground, _ string) {
			t.Helper()
			if _, err := g.sim.Builder("rg").NSG("sesame-main-nic-nic-0", everything()...); err != nil {
				t.Fatal(err)
			}
		}, "with the rule web of somebody else's"},
		"the interface has a group by now": {rp.Config{}, func(t *testing.T, g *ground, nic string) {
			t.Helper()
			text, err := g.sim.Document(nic)
			if err != nil {
				t.Fatal(err)
			}
			if err := g.sim.Put(nic, strings.Replace(string(text), `"zzz"`, `"networkSecurityGroup":{"id":"`+g.named+`"},"zzz"`, 1)); err != nil {
				t.Fatal(err)
			}
		}, "by now"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGround(t, arm.Config{Config: x.config}, 1)
				nic := g.bare(t)
				g.nsg = g.owning(t)[0]
				if x.change != nil {
					x.change(t, g, nic)
				}
				if _, err := g.pass(t.Context(), locked(g.ssh, 0)); err == nil || !strings.Contains(err.Error(), x.want) {
					t.Errorf("it is %v", err)
				}
				if n := len(g.calls(func(s sent) bool {
					return s.write() && s.path == nic && s.status/100 == 2 && s.method == http.MethodPut
				})); n != 0 {
					t.Errorf("the interface was written %d times", n)
				}
			})
		})
	}
}

// What was begun is finished by a later pass: the group, which stands in front of nobody
// yet, and the way back.
func TestOwnGroupHalfMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGround(t, arm.Config{}, 1)
		nic := g.bare(t)
		g.nsg = g.owning(t)[0]
		pass := func(want firewall.Wants, method string, id string) {
			t.Helper()
			g.sim.Inject(fault.Fault{Kind: fault.Refuse, Status: 503, Method: method, ID: id})
			if _, err := g.pass(t.Context(), want); err == nil {
				t.Error("it is done in spite of everything")
			}
			g.sim.Heal()
			if _, err := g.pass(t.Context(), want); err != nil {
				t.Error(err)
			}
		}
		pass(locked(g.ssh, 2), http.MethodPut, nic)
		if !g.gets(t, g.ssh, 1) || g.gets(t, g.ssh, 9) {
			t.Error("not who should get in does")
		}
		pass(nil, http.MethodDelete, string(g.nsg))
		if !g.gets(t, g.ssh, 9) {
			t.Error("the port is not given back")
		}
	})
}

// Where a group that lets everything pass could open a machine there is none.
func TestNoOwnGroup(t *testing.T) {
	g := newGround(t, arm.Config{}, 1)
	nic := g.bare(t)
	public, err := g.sim.Builder("rg").PublicIP("pip", "20.1.2.3", "Standard")
	if err != nil {
		t.Fatal(err)
	}
	text, err := g.sim.Document(nic)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.sim.Put(nic, strings.Replace(string(text), `"privateIPAddress"`, `"publicIPAddress":{"id":"`+public+`"},"privateIPAddress"`, 1)); err != nil {
		t.Fatal(err)
	}
	for _, id := range g.owning(t) {
		if strings.Contains(string(id), "sesame-main") {
			t.Errorf("behind a standard address there could be %s", id)
		}
	}
}
