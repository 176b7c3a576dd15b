package plan_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/plan"
)

var (
	agendaDoor  = firewall.Door{VM: firewall.HostVM("web-1"), Protocol: firewall.TCP, Port: 22}
	agendaStart = access.Reading{Wall: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Boot: time.Hour, BootID: "b"}
)

// agendaGrant starts after in and lasts for long.
func agendaGrant(id string, in, long time.Duration) access.Grant {
	start := agendaStart.Wall.Add(in)
	return access.Grant{
		ID: id, Door: agendaDoor, Sources: []netip.Prefix{netip.MustParsePrefix("203.0.113.7/32")},
		Created: agendaStart.Wall, Start: start, Deadline: access.DeadlineAt(start.Add(long), agendaStart),
	}
}

func agendaKeys(g access.Grant) []firewall.Key {
	return []firewall.Key{{Door: g.Door, From: g.Sources[0]}}
}

// An agenda that is asked again each time something is due comes to an end, and
// names each moment: start, deadline less the lead, and deadline.
func TestAgenda(t *testing.T) {
	for name, x := range map[string]struct {
		in, long, lead time.Duration
		want           []time.Duration
	}{
		"now":                   {0, time.Hour, 0, []time.Duration{time.Hour}},
		"later":                 {time.Minute, time.Hour, 0, []time.Duration{time.Minute, time.Hour + time.Minute}},
		"slow firewall":         {0, time.Hour, 10 * time.Second, []time.Duration{time.Hour - 10*time.Second, time.Hour}},
		"shorter than the lead": {0, 5 * time.Second, 10 * time.Second, []time.Duration{5 * time.Second}},
		"over":                  {0, -time.Second, 10 * time.Second, nil},
	} {
		t.Run(name, func(t *testing.T) {
			grants := []access.Grant{agendaGrant("g", x.in, x.long)}
			var a plan.Agenda
			var got []time.Duration
			now := agendaStart
			for range 10 {
				// As a loop does: whatever is due is looked at, and the book said anew.
				a = plan.Agenda{}
				a.Add(grants, agendaKeys, x.lead, now)
				in, ok := a.Next(now)
				if !ok {
					break
				}
				if in <= 0 {
					t.Fatalf("due at once, again, at %s", now.Boot-agendaStart.Boot)
				}
				now = now.Add(in)
				if keys := a.Due(now); len(keys) == 0 {
					t.Fatalf("nothing is due at %s", now.Boot-agendaStart.Boot)
				}
				got = append(got, now.Boot-agendaStart.Boot)
			}
			if diff := cmp.Diff(x.want, got); diff != "" {
				t.Errorf("due (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAgendaBelievesTheClockThatIsFurthestAlong(t *testing.T) {
	var a plan.Agenda
	a.Add([]access.Grant{agendaGrant("g", 0, time.Hour)}, agendaKeys, 0, agendaStart)
	now := agendaStart.Add(time.Hour)
	now.Wall = now.Wall.Add(-24 * time.Hour) // set back
	if keys := a.Due(now); len(keys) != 1 {
		t.Errorf("%d keys are due by the time since boot, want 1", len(keys))
	}
}

func TestRemembered(t *testing.T) {
	vms := []inventory.VM{{ID: agendaDoor.VM, Paths: []inventory.Path{{Hops: []inventory.Hop{{Firewall: "fw"}}}}}}
	from := func(s string) netip.Prefix { return netip.MustParsePrefix(s) }
	later := firewall.Instant(agendaStart.Wall.Add(time.Hour))
	opening := func(s string) firewall.Opening { return firewall.Opening{From: from(s), Until: later, Grants: "g"} }
	exempt := firewall.Opening{From: from("192.0.2.1/32"), Until: time.Time{}, Grants: ""}
	lock := access.Lock{Door: agendaDoor, Exempt: []netip.Prefix{exempt.From}}
	ended := agendaGrant("g", 0, time.Hour)
	ended.Ended = access.Ending{At: agendaStart.Wall, By: access.System(), Why: access.ClosedByUser}
	live := agendaGrant("h", 0, time.Hour)
	lapsed := opening("203.0.113.7/32")
	lapsed.Until = firewall.Instant(agendaStart.Wall)

	for name, x := range map[string]struct {
		shown  firewall.Wants
		locks  []access.Lock
		grants []access.Grant
		want   firewall.Wants
	}{
		"what nobody knows stays until its mark lapses": {
			shown: firewall.Wants{{Door: agendaDoor, Locked: true, Open: []firewall.Opening{opening("203.0.113.7/32")}}},
			want:  firewall.Wants{{Door: agendaDoor, Locked: true, Open: []firewall.Opening{opening("203.0.113.7/32")}}},
		},
		"what has lapsed goes": {
			shown: firewall.Wants{{Door: agendaDoor, Locked: true, Open: []firewall.Opening{exempt, lapsed}}},
			want:  firewall.Wants{{Door: agendaDoor, Locked: true, Open: []firewall.Opening{exempt}}},
		},
		"what is known to have ended goes": {
			shown:  firewall.Wants{{Door: agendaDoor, Locked: true, Open: []firewall.Opening{opening("203.0.113.7/32"), opening("203.0.113.8/32")}}},
			grants: []access.Grant{ended},
			want:   firewall.Wants{{Door: agendaDoor, Locked: true, Open: []firewall.Opening{opening("203.0.113.8/32")}}},
		},
		"what somebody still needs stays": {
			shown:  firewall.Wants{{Door: agendaDoor, Locked: true, Open: []firewall.Opening{opening("203.0.113.7/32")}}},
			grants: []access.Grant{ended, live},
			want:   firewall.Wants{{Door: agendaDoor, Locked: true, Open: []firewall.Opening{opening("203.0.113.7/32")}}},
		},
		"a known lock is put back with its exempt sources, and nothing opens": {
			shown:  nil,
			locks:  []access.Lock{lock},
			grants: []access.Grant{live},
			want:   firewall.Wants{{Door: agendaDoor, Locked: true, Open: []firewall.Opening{exempt}}},
		},
		"a lock is put back over openings that are there": {
			shown: firewall.Wants{{Door: agendaDoor, Locked: false, Open: []firewall.Opening{opening("203.0.113.7/32")}}},
			locks: []access.Lock{lock},
			want:  firewall.Wants{{Door: agendaDoor, Locked: true, Open: []firewall.Opening{exempt, opening("203.0.113.7/32")}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := plan.Remembered(x.shown, "fw", vms, x.locks, x.grants, agendaStart)
			got.Sort()
			x.want.Sort()
			same := cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
			if diff := cmp.Diff(x.want, got, same); diff != "" {
				t.Errorf("remembered (-want +got):\n%s", diff)
			}
		})
	}
}
