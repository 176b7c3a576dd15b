package broker_test

import (
	"net/netip"
	"testing"

	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/authz/scope"
	"github.com/sesame-access/sesame/internal/broker"
	"github.com/sesame-access/sesame/internal/broker/consent"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/policy"
	"github.com/sesame-access/sesame/internal/provider/memory"
	"github.com/sesame-access/sesame/internal/store"
)

// TestConsentIsExact: what was agreed to is what was shown, by somebody who may
// change every VM that loses something; anything else changes nothing.
func TestConsentIsExact(t *testing.T) {
	in(t, func(t *testing.T, b bench) {
		sg := b.world.Add(memory.Config{ID: "sg", Dialect: memory.Union})
		for _, name := range []string{"web-1", "web-2"} {
			v := machine(name)
			v.Paths[0].Hops[0].Firewall = "sg"
			b.world.AddVM(v)
		}
		put := func(name, from string) {
			t.Helper()
			if err := sg.Put(memory.Rule{Name: name, Action: firewall.Allow, Last: 65535, From: []netip.Prefix{netip.MustParsePrefix(from)}}); err != nil {
				t.Fatal(err)
			}
		}
		put("everything", "10.0.0.0/8")
		b.Kill()
		b.Start(b.ctx)
		<-b.Fleet().Known()
		rdp := policy.Policy{Name: "rdp", VMs: []firewall.VMID{door(22).VM}, Ports: []policy.Port{{Port: 3389}}}.WithDefaults()
		limited := root()
		limited.Subject = "web-1-admin"
		err := b.Store().Save(b.ctx, store.Change{
			Roles: store.RoleChange{Assign: []authz.Assignment{{Principal: limited.Principal, Role: authz.Admin, Scope: scope.OfVM(door(22).VM)}}}, Records: []audit.Record{{Kind: audit.Started}},
		})
		if err != nil {
			t.Fatal(err)
		}
		shown, err := b.Broker().PreviewEnable(b.ctx, root(), rdp)
		if err != nil || len(shown.Losses) == 0 {
			t.Fatalf("%v, %v", shown.Losses, err)
		}
		agreed := broker.Agreed{Losses: consent.Fingerprint(shown.Losses)}
		_, err = b.Broker().Enable(b.ctx, limited, rdp, agreed)
		wants(t, err, errkind.Denied, "from VMs that")
		_, err = b.Broker().Enable(b.ctx, root(), rdp, broker.Agreed{})
		wants(t, err, errkind.Conflict, "--accept-losses")
		put("more", "172.16.0.0/12")
		_, err = b.Broker().Enable(b.ctx, root(), rdp, agreed)
		wants(t, err, errkind.Conflict, "not what was agreed to any more")
		sg.Remove("more")
		if _, err = b.Broker().Enable(b.ctx, root(), rdp, agreed); err != nil {
			t.Fatal(err)
		}
	})
}
