package proof_test

import (
	"net/netip"
	"testing"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/reach/proof"
)

var (
	door   = firewall.Door{VM: "host://web-1", Protocol: firewall.TCP, Port: 22}
	office = netip.MustParsePrefix("203.0.113.0/24")
	home   = netip.MustParsePrefix("203.0.113.7/32")
)

func layer(id firewall.ID, rules ...firewall.LayerRule) firewall.Layer {
	return firewall.Layer{Firewall: id, Rules: rules}
}

func rule(name string, a firewall.Action, from ...netip.Prefix) firewall.LayerRule {
	return firewall.LayerRule{Name: name, Action: a, Last: 65535, From: from}
}

func TestLock(t *testing.T) {
	one := inventory.VM{ID: door.VM, Paths: []inventory.Path{{Name: "lan", Hops: []inventory.Hop{{Firewall: "fw"}}}}}
	behind := one
	behind.Paths = []inventory.Path{{Name: "lan", Hops: []inventory.Hop{{Firewall: "hub"}, {Firewall: "fw"}}}}
	beside := one
	beside.Paths = []inventory.Path{one.Paths[0], {Name: "wan", Hops: []inventory.Hop{{Firewall: "hub"}}}}
	want := firewall.Want{Door: door, Locked: true, Open: []firewall.Opening{{From: home}}}
	for name, tt := range map[string]struct {
		vm                inventory.VM
		rules             []firewall.LayerRule
		exposed, unproven string
	}{
		"only who is wanted":                {one, []firewall.LayerRule{rule("old", firewall.Allow, home)}, "", ""},
		"more than is wanted":               {one, []firewall.LayerRule{rule("old", firewall.Allow, office)}, "203.0.113.0-203.0.113.6, 203.0.113.8-203.0.113.255 can reach it (by fw: old)", ""},
		"nobody knows":                      {one, []firewall.LayerRule{rule("tag", firewall.Unknown, office)}, "", "fw: tag (perhaps 203.0.113.0-203.0.113.6, 203.0.113.8-203.0.113.255 can reach it)"},
		"nobody knows of whoever is wanted": {one, []firewall.LayerRule{rule("tag", firewall.Unknown, home)}, "", ""},
		"both": {
			one,
			[]firewall.LayerRule{rule("old", firewall.Allow, office), rule("tag", firewall.Unknown, netip.MustParsePrefix("::/0"))},
			"203.0.113.0-203.0.113.6, 203.0.113.8-203.0.113.255 can reach it (by fw: old)", "fw: tag (perhaps ::/0 can reach it)",
		},
		"unread, and the lock behind it": {behind, nil, "", ""},
		"unread, on another way":         {beside, nil, "", "hub: not read (perhaps 0.0.0.0-203.0.113.6, 203.0.113.8-255.255.255.255, ::/0 can reach it)"},
	} {
		t.Run(name, func(t *testing.T) {
			exposed, unproven := proof.Lock(want, tt.vm, map[firewall.ID]firewall.Layer{"fw": layer("fw", tt.rules...)})
			if exposed != tt.exposed || unproven != tt.unproven {
				t.Errorf("exposed %q, unproven %q; want %q, %q", exposed, unproven, tt.exposed, tt.unproven)
			}
		})
	}
}

func TestOpening(t *testing.T) {
	v := inventory.VM{ID: door.VM, Paths: []inventory.Path{{Name: "lan", Hops: []inventory.Hop{{Firewall: "hub"}, {Firewall: "fw"}}}}}
	layers := map[firewall.ID]firewall.Layer{"fw": layer("fw", rule("grant", firewall.Allow, home))}
	if got := proof.Opening(v, layers, door, []netip.Prefix{home}); got != "hub: not read" {
		t.Errorf("unread: %q", got)
	}
	if got := proof.Opening(v, layers, door, []netip.Prefix{netip.MustParsePrefix("203.0.113.8/32")}); got != "" {
		t.Errorf("closed: %q", got)
	}
	layers["hub"] = firewall.Layer{Firewall: "hub", Default: firewall.Allow}
	if got := proof.Opening(v, layers, door, []netip.Prefix{home}); got != "" {
		t.Errorf("open: %q", got)
	}
}
