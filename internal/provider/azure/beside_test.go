package azure_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/broker"
	"github.com/sesame-access/sesame/internal/cloudsim/arm"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/fault"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/rp"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/policy"
	"github.com/sesame-access/sesame/internal/simtest"
)

// A machine behind two groups is locked in that of its interface, opened in both,
// and closed in one while the other cannot be read.
func TestTwoGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGround(t, arm.Config{Config: rp.Config{Latency: time.Second}}, 1, everything()...)
		atSubnet, err := g.sim.Builder("rg").NSG("subnet-nsg", everything()[:5]...)
		if err != nil {
			t.Fatal(err)
		}
		if err := g.sim.Put(g.sim.Builder("rg").ID("virtualNetworks", "net")+"/subnets/default", `{"name":"default","properties":{
			"addressPrefixes":["10.0.0.0/16","fd00::/64"],"networkSecurityGroup":{"id":"`+atSubnet+`"}}}`); err != nil {
			t.Fatal(err)
		}
		g.provider.Surveyor = g.estate(t)
		vms, err := g.provider.Inventory(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		both := slices.DeleteFunc(vms[0].Firewalls(), func(id firewall.ID) bool { return !strings.Contains(string(id), "/networksecuritygroups/") })
		if len(both) != 2 {
			t.Fatalf("it is behind %v", vms[0].Firewalls())
		}
		first := g.nsg
		pass := func(want firewall.Wants) {
			t.Helper()
			for range 4 {
				for _, g.nsg = range both {
					if p, err := g.pass(t.Context(), want); err != nil {
						t.Logf("%v\n%v", err, p)
					}
				}
				time.Sleep(10 * time.Second)
			}
			g.nsg = first
		}
		ours := func(id, word string) int {
			text, err := g.sim.Document(id)
			if err != nil {
				t.Fatal(err)
			}
			return strings.Count(string(text), `"name":"sesame-main-`+word)
		}
		pass(locked(g.ssh, 2))
		if ours(g.named, "lock") != 2 || ours(atSubnet, "lock") != 0 || ours(g.named, "open") != 2 || ours(atSubnet, "open") != 2 {
			t.Errorf("the interface has %d locks and %d openings, the subnet %d and %d", ours(g.named, "lock"), ours(g.named, "open"), ours(atSubnet, "lock"), ours(atSubnet, "open"))
		}
		if !g.gets(t, g.ssh, 1) || g.gets(t, g.ssh, 9) {
			t.Error("not who should get in does")
		}
		for _, id := range both {
			s, err := g.provider.Observe(t.Context(), id, nil)
			if w, ok := s.Shown().Of(g.ssh); err != nil || !ok || !w.Locked || len(w.Open) != 2 {
				t.Errorf("%s shows %+v, %v", id, w, err)
			}
		}
		g.sim.Inject(fault.Fault{Kind: fault.Refuse, Status: 403, ID: g.named, Method: http.MethodGet})
		pass(locked(g.ssh, 0))
		if ours(atSubnet, "open") != 0 || ours(g.named, "open") != 2 || ours(atSubnet, "lock") != 0 {
			t.Errorf("the subnet has %d openings and %d locks, the interface %d openings", ours(atSubnet, "open"), ours(atSubnet, "lock"), ours(g.named, "open"))
		}
		g.sim.Heal()
		pass(nil)
		if ours(g.named, "")+ours(atSubnet, "") != 0 || !g.gets(t, g.ssh, 9) {
			t.Error("something is left")
		}
	})
}

// Whoever enables a port is told first that another installation has it.
func TestEnableNamesOthers(t *testing.T) {
	template := filepath.Join(t.TempDir(), "template.db")
	if err := simtest.Template(t.Context(), template); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "sesame.db")
	synctest.Test(t, func(t *testing.T) {
		s := subscribe(t, template, path, arm.Config{}, 1, 2)
		for i, port := range []string{"3389", "5985"} {
			rule := `{"name":"sesame-b-lock-x-` + port + `-tcp-0","properties":{"access":"Deny","direction":"Inbound","protocol":"Tcp","priority":` + fmt.Sprint(1000+i) + `,
				"sourceAddressPrefix":"*","sourcePortRange":"*","destinationAddressPrefix":"` + s.machines[0].address.String() + `","destinationPortRange":"` + port + `"}}`
			if err := s.sim.Put(s.sim.Builder("rg").ID("networkSecurityGroups", "nsg-0")+"/securityRules/sesame-b-lock-x-"+port+"-tcp-0", rule); err != nil {
				t.Fatal(err)
			}
		}
		p := policy.Policy{Name: "rdp", Ports: []policy.Port{{Port: 3389, Protocol: firewall.TCP, Max: time.Hour}}, VMs: []firewall.VMID{s.machines[0].id, s.machines[1].id}}
		root := broker.Caller{Identity: access.Identity{Principal: simtest.Root()}}
		shown, err := s.Broker().PreviewEnable(t.Context(), root, p.WithDefaults())
		if err != nil {
			t.Fatal(err)
		}
		if len(shown.Others) != 1 || shown.Others[0].Door.Port != 3389 || !strings.HasPrefix(shown.Others[0].Wrong, "installation b has locked it (rule sesame-b-lock-x-3389") {
			t.Errorf("it names %+v", shown.Others)
		}
		if shown, err = s.Broker().Plan(t.Context(), root); err != nil || len(shown.Others) != 0 {
			t.Errorf("what is to be written anyhow names %+v, %v", shown.Others, err)
		}
	})
}
