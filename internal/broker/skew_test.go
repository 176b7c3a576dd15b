package broker_test

import (
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/broker"
	"github.com/sesame-access/sesame/internal/errkind"
)

func TestClocksAgree(t *testing.T) {
	// A look is one reading of the clocks: how long after the start, how far the
	// wall clock and the third clock are ahead of the true time, and what is said.
	type look struct {
		at, wall, third time.Duration
		why             string
	}
	const s, h = time.Second, time.Hour
	tests := map[string][]look{
		"good clocks":            {{0, 0, 0, ""}, {h, 0, 0, ""}},
		"a little apart":         {{0, 30 * s, 0, ""}, {s, 0, 30 * s, ""}},
		"third ahead":            {{0, 0, 31 * s, "differ by 31s"}, {s, 0, 0, ""}},
		"third behind":           {{0, 0, -h, "differ by 1h"}},
		"ten years ahead":        {{0, 87600 * h, 0, "differ"}},
		"set and corrected":      {{0, 0, 0, ""}, {10 * s, h, h, "was set by 1h"}, {20 * s, 0, 0, ""}},
		"set back":               {{0, 0, 0, ""}, {10 * s, -h, -h, "was set by -1h"}},
		"believed after a while": {{0, 0, 0, ""}, {10 * s, h, h, "was set"}, {69 * s, h, h, "was set"}, {70 * s, h, h, ""}, {71 * s, h, h, ""}},
		"noticed late":           {{0, 0, 0, ""}, {10 * h, h, h, "was set"}, {10*h + 59*s, h, h, "was set"}, {10*h + 60*s, h, h, ""}},
		"set again meanwhile":    {{0, 0, 0, ""}, {10 * s, h, h, "was set"}, {60 * s, 2 * h, 2 * h, "was set"}, {80 * s, 2 * h, 2 * h, "was set"}, {120 * s, 2 * h, 2 * h, ""}},
		"back to the new course": {{0, 0, 0, ""}, {10 * s, h, h, "was set"}, {70 * s, h, h, ""}, {80 * s, 0, 0, "was set by -1h"}},
		"a small drift":          {{0, 0, 0, ""}, {h, 20 * s, 20 * s, ""}},
	}
	for name, looks := range tests {
		t.Run(name, func(t *testing.T) {
			start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			var now access.Reading
			b := broker.New(broker.Config{Clocks: func() access.Reading { return now }})
			for i, l := range looks {
				at := start.Add(l.at)
				now = access.Reading{Wall: at.Add(l.wall), Boot: h + l.at, BootID: "b", Third: at.Add(l.third)}
				if i == 0 {
					b = broker.New(broker.Config{Clocks: func() access.Reading { return now }})
				}
				err := b.ClocksAgree()
				if l.why == "" {
					if err != nil {
						t.Fatalf("look %d: %v", i, err)
					}
					continue
				}
				wants(t, err, errkind.Unavailable, l.why)
			}
		})
	}
}

// Across a reboot there is nothing to compare with, and without a third clock
// nobody to ask.
func TestClocksAlone(t *testing.T) {
	now := access.Reading{Wall: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Boot: time.Hour, BootID: "b"}
	b := broker.New(broker.Config{Clocks: func() access.Reading { return now }})
	now.Wall, now.BootID = now.Wall.Add(time.Hour), "c"
	if err := b.ClocksAgree(); err != nil {
		t.Error(err)
	}
}
