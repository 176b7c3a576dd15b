package plan_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
)

func TestSweepTakesWhatIsPastItsDeadline(t *testing.T) {
	now := time.Date(2030, 1, 31, 14, 0, 0, 0, time.UTC)
	door := firewall.Door{VM: "host://web-1", Protocol: firewall.TCP, Port: 22}
	other := firewall.Door{VM: "host://web-1", Protocol: firewall.TCP, Port: 3389}
	source := netip.MustParsePrefix
	opening := func(from string, until time.Time) firewall.Opening {
		return firewall.Opening{From: source(from), Until: until, Grants: "g-1"}
	}
	exempt := firewall.Opening{From: source("192.0.2.1/32"), Until: time.Time{}, Grants: ""}
	long := opening("198.51.100.1/32", now.Add(-time.Hour))
	atGrace := opening("198.51.100.2/32", now.Add(-plan.SweepGrace))
	inGrace := opening("198.51.100.3/32", now.Add(-plan.SweepGrace+time.Millisecond))
	live := opening("198.51.100.4/32", now.Add(time.Hour))
	shown := firewall.Wants{
		{Door: door, Locked: true, Cut: true, Open: []firewall.Opening{exempt, long, atGrace, inGrace, live}},
		{Door: other, Locked: false, Cut: false, Open: []firewall.Opening{live}},
	}
	broken := firewall.Key{Door: other, From: source("203.0.113.9/32")}

	for _, tt := range []struct {
		name string
		now  access.Reading
		keep []firewall.Opening
		gone []firewall.Key
	}{
		{
			"the wall clock",
			access.Reading{Wall: now},
			[]firewall.Opening{exempt, inGrace, live},
			[]firewall.Key{{Door: door, From: long.From}, {Door: door, From: atGrace.From}, broken},
		},
		{
			"a firewall's clock that is ahead",
			access.Reading{Wall: now, Third: now.Add(2 * time.Hour)},
			[]firewall.Opening{exempt},
			[]firewall.Key{
				{Door: door, From: long.From},
				{Door: door, From: atGrace.From},
				{Door: door, From: inGrace.From},
				{Door: door, From: live.From},
				{Door: other, From: live.From},
				broken,
			},
		},
		{
			"a firewall's clock that is behind",
			access.Reading{Wall: now, Third: now.Add(-time.Hour)},
			[]firewall.Opening{exempt, inGrace, live},
			[]firewall.Key{{Door: door, From: long.From}, {Door: door, From: atGrace.From}, broken},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := plan.SweepOf(shown, []firewall.Key{broken, broken}, tt.now)
			opts := cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
			if diff := cmp.Diff(tt.gone, s.Doomed, opts); diff != "" {
				t.Errorf("doomed (-want +got):\n%s", diff)
			}
			want, ok := s.Want.Of(door)
			if diff := cmp.Diff(firewall.Want{Door: door, Locked: true, Cut: true, Open: tt.keep}, want, opts); !ok || diff != "" {
				t.Errorf("what stays (-want +got):\n%s", diff)
			}
			if w, ok := s.Want.Of(other); !ok || w.Locked {
				t.Errorf("the other door became %v", w)
			}
		})
	}
	if len(shown[0].Open) != 5 {
		t.Error("the argument was changed")
	}
}

func TestSweepWritesOnlyItsCloses(t *testing.T) {
	door := firewall.Door{VM: "host://web-1", Protocol: firewall.TCP, Port: 22}
	from := netip.MustParsePrefix("203.0.113.9/32")
	spared := netip.MustParsePrefix("203.0.113.10/32")
	s := plan.Sweep{Want: nil, Doomed: []firewall.Key{{Door: door, From: from}}}
	change := func(op plan.Op, from netip.Prefix) plan.Change {
		return plan.Change{Op: op, Door: door, Opening: firewall.Opening{From: from, Until: time.Time{}, Grants: ""}}
	}
	p := plan.Plan{Firewall: "fw", Changes: []plan.Change{
		change(plan.Close, spared), change(plan.Close, from), change(plan.Lock, netip.Prefix{}),
		change(plan.Open, from), change(plan.Restore, from), change(plan.Drop, from),
	}}
	got := s.Of(p)
	if len(got.Changes) != 1 || got.Changes[0].Op != plan.Close || got.Changes[0].Opening.From != from {
		t.Errorf("a sweep would write %v", got.Changes)
	}
	if len(p.Changes) != 6 {
		t.Error("the argument was changed")
	}
}
