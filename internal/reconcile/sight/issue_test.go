package sight_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/reconcile/sight"
)

// What is sent counts from when it was due, and what is sent early is not late.
func TestIssued(t *testing.T) {
	at := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	const ms = time.Millisecond
	grants := []access.Grant{
		{ID: "asked", Created: at.Add(-40 * ms), Start: at.Add(-time.Hour)},
		{ID: "planned", Created: at.Add(-time.Hour), Start: at.Add(-150 * ms)},
		{ID: "again", Created: at.Add(-time.Hour), Opened: at.Add(-time.Minute)},
		{ID: "over", Deadline: access.Deadline{Wall: at.Add(time.Hour)}, Ended: access.Ending{At: at.Add(-3 * ms)}},
	}
	of := func(op plan.Op, id string, until time.Duration) plan.Change {
		return plan.Change{Op: op, Opening: firewall.Opening{Grants: firewall.HoldersOf(id), Until: at.Add(until)}}
	}
	s := sight.New()
	s.Sends(plan.Plan{Changes: []plan.Change{
		of(plan.Open, "asked", time.Hour), of(plan.Open, "planned", time.Hour), of(plan.Open, "again", time.Hour), of(plan.Lock, "asked", time.Hour),
		of(plan.Close, "over", time.Hour), of(plan.Close, "nobody knows", -10*time.Minute), of(plan.Close, "nobody knows", time.Second),
		{Op: plan.Close}, // what lapsed without a mark
	}}, grants, at)
	opens, closes := s.Issued()
	short := func(i sight.Issued) []uint64 {
		return []uint64{i.Within[ms], i.Within[5*ms], i.Within[50*ms], i.Within[200*ms], i.Within[5*time.Minute], i.Count}
	}
	if diff := cmp.Diff([][]uint64{{0, 0, 1, 2, 2, 2}, {1, 2, 2, 2, 2, 3}}, [][]uint64{short(opens), short(closes)}); diff != "" {
		t.Error(diff)
	}
	if opens.Sum != 190*ms || closes.Sum != 10*time.Minute+3*ms {
		t.Errorf("all openings took %v, all closings %v", opens.Sum, closes.Sum)
	}
}
