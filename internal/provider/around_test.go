package provider_test

import (
	"testing"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/reach"
	"github.com/sesame-access/sesame/internal/reach/proof"
)

// TestAround: what stands beside a firewall is in the way of those behind it, and
// of nobody else, and a door that it shuts is not exposed.
func TestAround(t *testing.T) {
	behind := func(vm firewall.VMID, id firewall.ID) inventory.VM {
		return inventory.VM{ID: vm, Paths: []inventory.Path{{Hops: []inventory.Hop{{Firewall: id}}}}}
	}
	open := func(id firewall.ID) firewall.Layer { return firewall.Layer{Firewall: id, Default: firewall.Allow} }
	given := []inventory.VM{behind("host://a", "a"), behind("host://b", "b")}
	seen := map[firewall.ID]provider.Snapshot{
		"a": {Firewall: "a", Layer: open("a"), Beside: firewall.Layer{Firewall: "other", Rules: []firewall.LayerRule{{Name: "no", Action: firewall.Deny, First: 22, Last: 22}}, Default: firewall.Allow}},
		"b": {Firewall: "b", Layer: open("b")},
	}
	vms, layers := provider.Around(given, seen)
	if len(given[0].Paths[0].Hops) != 1 || len(layers) != 3 {
		t.Fatalf("%v, %v", given, layers)
	}
	for i, want := range map[int]string{0: "closed other: no", 1: "open b: default"} {
		d := firewall.Door{VM: vms[i].ID, Protocol: firewall.TCP, Port: 22}
		set := reach.VM(vms[i], layers, d)
		for x := range set.All() {
			if got := x.Verdict.String() + " " + x.By(); got != want {
				t.Errorf("%s is %s, want %s", d, got, want)
			}
		}
		if got, _ := proof.Lock(firewall.Want{Door: d, Locked: true}, vms[i], layers); (got == "") != (i == 0) {
			t.Errorf("%s is exposed: %q", d, got)
		}
	}
	if same, _ := provider.Around(given, map[firewall.ID]provider.Snapshot{"b": seen["b"]}); &same[0] != &given[0] {
		t.Error("nothing is beside, and the machines are copied")
	}
}
