package requester

import (
	"testing"

	"github.com/sesame-access/sesame/internal/api"
)

// Of several things that are true of a door, the worst is said.
func TestDoorState(t *testing.T) {
	for want, d := range map[string]api.DoorState{
		"locked":                                   {Locked: true},
		"locked, obstructed: rule 7":               {Locked: true, Obstacles: []string{"rule 7"}},
		"locked, path unverified: hub: not read":   {Locked: true, Obstacles: []string{"rule 7"}, Unproven: "hub: not read"},
		"locking":                                  {Unproven: "hub: not read"},
		"not locked by this server: a wall":        {Obstacles: []string{"a wall"}, Unproven: "hub: not read"},
		"unknown: no permission":                   {Locked: true, Unproven: "hub: not read", Failing: "no permission"},
		"EXPOSED: anybody can reach it (by allow)": {Locked: true, Unproven: "hub: not read", Exposed: "anybody can reach it (by allow)"},
	} {
		if got := doorState(d); got != want {
			t.Errorf("%+v: %q, want %q", d, got, want)
		}
	}
}
