package admin

import (
	"strings"
	"testing"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/cli/console"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
)

// A door that was not read back locked is an error, and it says why.
func TestNotLocked(t *testing.T) {
	web := firewall.HostVM("web-1")
	ssh := firewall.Door{VM: web, Port: 22, Protocol: firewall.TCP}
	dns := firewall.Door{VM: web, Port: 53, Protocol: firewall.UDP}
	state := func(d api.DoorState) []api.VM {
		d.Port, d.Protocol = 22, "tcp"
		return []api.VM{{ID: "host://db-1", Doors: []api.DoorState{{Port: 22, Protocol: "tcp", Locked: true}}}, {ID: string(web), Doors: []api.DoorState{d}}}
	}
	for name, c := range map[string]struct {
		vms  []api.VM
		door firewall.Door
		why  string // empty when it is locked
	}{
		"locked":           {state(api.DoorState{Locked: true}), ssh, ""},
		"no VM":            {nil, ssh, "the server does not show the VM"},
		"another port":     {state(api.DoorState{Locked: true}), dns, "the server does not show the lock"},
		"nothing is known": {state(api.DoorState{}), ssh, "the firewall has not shown it"},
		"failing":          {state(api.DoorState{Failing: "no permission"}), ssh, "no permission"},
		"in the way":       {state(api.DoorState{Obstacles: []string{"rule 7"}, Exposed: "anybody, by rule 7"}), ssh, "rule 7, exposed: anybody, by rule 7"},
		"unread":           {[]api.VM{{ID: string(web), Missing: []string{"nsg-1"}, Doors: []api.DoorState{{Port: 22, Protocol: "tcp"}}}}, ssh, "cannot be read: nsg-1"},
	} {
		t.Run(name, func(t *testing.T) {
			left := stillUnlocked(c.vms, []firewall.Door{c.door})
			if c.why == "" {
				if len(left) != 0 {
					t.Errorf("it is locked, but %+v", left)
				}
				return
			}
			if len(left) != 1 || left[0].why != c.why {
				t.Fatalf("%+v, want %q", left, c.why)
			}
			err := notLocked("ssh", 3, left)
			if errkind.Of(err) != errkind.Unavailable || !strings.Contains(errkind.Public(err), "policy ssh is saved (version 3), but web-1:") ||
				!strings.HasSuffix(errkind.Public(err), c.why) || console.HintOf(err) == "" {
				t.Errorf("%v, hint %q", err, console.HintOf(err))
			}
		})
	}
}
