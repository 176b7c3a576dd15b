package sight_test

import (
	"testing"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/firewall"
	reconciled "github.com/sesame-access/sesame/internal/reconcile/sight"
	"github.com/sesame-access/sesame/internal/server/sight"
)

// What is wrong with a door on any of its firewalls is said of the door, and
// nothing of other doors is.
func TestDoorStateOverAllFirewalls(t *testing.T) {
	d := firewall.Door{VM: "host://web-1", Protocol: firewall.TCP, Port: 22}
	other := d
	other.Port = 80
	got := sight.Sight{}.DoorState(access.Lock{Door: d}, []reconciled.DoorState{
		{Door: other, Exposed: "somebody else's", Unproven: "somebody else's"},
		{Door: d, Locked: true, Obstacles: []string{"rule 7"}},
		{Door: d, Locked: true, Unproven: "hub: not read"},
	})
	if !got.Locked || got.Exposed != "" || got.Unproven != "hub: not read" || len(got.Obstacles) != 1 {
		t.Errorf("%+v", got)
	}
}
