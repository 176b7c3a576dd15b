package plan_test

import (
	"net/netip"
	"testing"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/plan"
)

func TestExposed(t *testing.T) {
	door := firewall.Door{VM: "host://web-1", Protocol: firewall.TCP, Port: 22}
	vm := inventory.VM{ID: door.VM, Paths: []inventory.Path{{Name: "lan", Hops: []inventory.Hop{{Firewall: "fw"}}}}}
	office, home := netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("203.0.113.7/32")
	want := firewall.Want{Door: door, Locked: true, Open: []firewall.Opening{{From: home}}}
	for name, tt := range map[string]struct {
		action firewall.Action
		from   netip.Prefix
		says   string
	}{
		"only who is wanted":  {firewall.Allow, home, ""},
		"more than is wanted": {firewall.Allow, office, "203.0.113.0-203.0.113.6, 203.0.113.8-203.0.113.255 can reach it (by fw: old)"},
		"nobody knows":        {firewall.Unknown, office, ""},
	} {
		t.Run(name, func(t *testing.T) {
			layers := map[firewall.ID]firewall.Layer{"fw": {Firewall: "fw", Rules: []firewall.LayerRule{
				{Name: "old", Action: tt.action, Last: 65535, From: []netip.Prefix{tt.from}},
			}}}
			if got := plan.Exposed(want, vm, layers); got != tt.says {
				t.Errorf("%q, want %q", got, tt.says)
			}
		})
	}
}
