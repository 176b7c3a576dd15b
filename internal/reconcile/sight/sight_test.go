package sight_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/reconcile/sight"
)

func door(port uint16) firewall.Door {
	return firewall.Door{VM: "host://web-1", Protocol: firewall.TCP, Port: port}
}

// Each door is counted once, by the worst that is true of it anywhere.
func TestCount(t *testing.T) {
	exempt := provider.Owned{Kind: provider.OwnedOpening}
	granted := exempt
	granted.Opening.Grants = "g1"
	granted.Opening.Until = granted.Opening.Until.AddDate(2026, 0, 0)
	s := sight.New()
	s.Note("a", sight.Pass{Doors: []sight.DoorState{
		{Door: door(1), Locked: true},
		{Door: door(2), Locked: true, Openings: []provider.Owned{exempt}},
		{Door: door(3), Locked: true, Openings: []provider.Owned{exempt, granted}},
		{Door: door(4)},
		{Door: door(5), Locked: true},
		{Door: door(6), Locked: true, Obstacles: []string{"rule 7"}},
		{Door: door(7), Locked: true, Exposed: "rule 7"},
		{Door: door(8), Locked: true, Unproven: "hub"},
		{Door: door(9), Locked: true, Unproven: "hub", Obstacles: []string{"rule 9"}},
		{Door: door(10), Unproven: "hub"}, // its lock is what is missing
	}})
	s.Note("b", sight.Pass{Doors: []sight.DoorState{
		{Door: door(1), Locked: true},
		{Door: door(8), Locked: true, Exposed: "rule 8", Obstacles: []string{"rule 8"}},
	}})
	known := []firewall.Door{door(1), door(2), door(3), door(4), door(6), door(7), door(8), door(9), door(10)}
	want := map[sight.Standing]int{
		sight.Locked: 2, sight.Open: 1, sight.Unlocked: 2, sight.Orphan: 1, sight.Obstructed: 1, sight.Unproven: 1, sight.Exposed: 2,
	}
	if diff := cmp.Diff(want, s.Count(known)); diff != "" {
		t.Errorf("standings (-want +got):\n%s", diff)
	}
	s.Note("b", sight.Pass{Failing: "down"}) // what it said of its doors stands
	want[sight.Failing], want[sight.Locked], want[sight.Exposed] = 2, 1, 1
	if diff := cmp.Diff(want, s.Count(known)); diff != "" {
		t.Errorf("when a firewall fails (-want +got):\n%s", diff)
	}
	s.Note("b", sight.Pass{Late: true})
	if ok, failed := s.Passes(); ok != 2 || failed != 1 {
		t.Errorf("%d passes succeeded and %d failed, want 2 and 1: one that came late is neither", ok, failed)
	}
}
