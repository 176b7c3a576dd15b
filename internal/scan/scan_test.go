package scan_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/posture"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/scan"
)

var errDown = errors.New("down")

// A cloud has machines behind firewalls of which some cannot be read.
type cloud struct {
	name      string
	vms       []inventory.VM
	err       error
	firewalls map[firewall.ID]provider.Snapshot
}

func (c cloud) Name() string { return c.name }

func (c cloud) Inventory(context.Context) ([]inventory.VM, error) { return c.vms, c.err }

func (c cloud) Observe(_ context.Context, fw firewall.ID, _ []firewall.Key) (provider.Snapshot, error) {
	s, ok := c.firewalls[fw]
	if !ok {
		return s, errDown
	}
	return s, nil
}

func behind(id firewall.VMID, fw firewall.ID) inventory.VM {
	return inventory.VM{ID: id, Name: id.Name(), Paths: []inventory.Path{{Name: "eth0", Hops: []inventory.Hop{{Firewall: fw}}}}}
}

// verdicts judges what was seen, by VM, about port 22.
func verdicts(seen scan.Seen) map[firewall.VMID]posture.Verdict {
	out := map[firewall.VMID]posture.Verdict{}
	for f := range posture.Judge(seen.Estate, posture.Defaults(), time.Now()) {
		if f.Check.OfPort() && f.Port.Number == 22 {
			out[f.VM] = f.Verdict
		}
	}
	return out
}

func TestLook(t *testing.T) {
	home := netip.MustParsePrefix("198.51.100.0/24")
	door := firewall.Door{VM: "host://locked", Protocol: firewall.TCP, Port: 22}
	allow := firewall.LayerRule{Name: "a", Action: firewall.Allow, Last: 65535, From: []netip.Prefix{home}}
	one := cloud{
		name: "one", vms: []inventory.VM{behind("host://locked", "f1"), behind("host://open", "f2"), behind("host://unread", "f3"), behind("host://beside", "f4")},
		firewalls: map[firewall.ID]provider.Snapshot{
			"f1": {Firewall: "f1", Layer: firewall.Layer{Firewall: "f1", Rules: []firewall.LayerRule{allow}}, Owned: []provider.Owned{
				{Kind: provider.OwnedLock, Door: door},
				{Kind: provider.OwnedLock, Door: door}, // on its other interface
				{Kind: provider.OwnedOpening, Door: door, Opening: firewall.Opening{From: home}, Mark: firewall.MarkGood},
			}},
			"f2": {Firewall: "f2", Layer: firewall.Layer{Firewall: "f2", Rules: []firewall.LayerRule{allow}}, Owned: []provider.Owned{
				{Kind: provider.OwnedOpening, Door: firewall.Door{VM: "host://open", Protocol: firewall.TCP, Port: 22}, Opening: firewall.Opening{From: home}, Mark: firewall.MarkBroken},
			}},
			"f4": {Firewall: "f4", Layer: firewall.Layer{Firewall: "f4", Rules: []firewall.LayerRule{allow}}, Beside: firewall.Layer{Firewall: "theirs"}},
		},
	}
	var last scan.Progress
	calls := 0
	seen, err := scan.Look(t.Context(), []scan.Source{one, cloud{name: "two", err: errDown}}, func(p scan.Progress) { last, calls = p, calls+1 })
	if err != nil {
		t.Fatal(err)
	}
	want := map[firewall.VMID]posture.Verdict{"host://locked": posture.Healthy, "host://open": posture.Unhealthy, "host://unread": posture.Unknown, "host://beside": posture.NotApplicable}
	for vm, v := range verdicts(seen) {
		if v != want[vm] {
			t.Errorf("%s is %s, want %s", vm, v, want[vm])
		}
	}
	if len(seen.Claims) != 1 || len(seen.Claims[0].Ports) != 1 || len(seen.Openings) != 1 {
		t.Errorf("claims %+v, openings %+v", seen.Claims, seen.Openings)
	}
	if names := []string{seen.Unread[0].Name, seen.Unread[1].Name}; len(seen.Unread) != 2 || !slices.Equal(names, []string{"f3", "two"}) {
		t.Errorf("unread %v", seen.Unread)
	}
	if (last != scan.Progress{Clouds: 2, OfClouds: 2, Firewalls: 4, OfFirewalls: 4, VMs: 4}) || calls < 6 {
		t.Errorf("told %d times, at last %+v", calls, last)
	}
	if !slices.IsSorted(inventory.IDs(seen.VMs)) {
		t.Error("machines are in no order")
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := scan.Look(ctx, []scan.Source{cloud{name: "one"}}, func(scan.Progress) {}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
