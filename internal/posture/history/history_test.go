package history_test

import (
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/posture"
	"github.com/sesame-access/sesame/internal/posture/history"
	"github.com/sesame-access/sesame/internal/reach/survey"
)

// A port goes through verdicts, and what each scan says of it is what people would.
func TestRemember(t *testing.T) {
	const gone = posture.Verdict(99)
	for name, scans := range map[string][]struct {
		verdict posture.Verdict
		want    history.Change
	}{
		"bad at once":             {{posture.Unhealthy, history.New}, {posture.Unhealthy, history.Same}},
		"good, then bad":          {{posture.Healthy, history.Same}, {posture.Unhealthy, history.New}},
		"fixed and back":          {{posture.Unhealthy, history.New}, {posture.Healthy, history.Fixed}, {posture.Healthy, history.Same}, {posture.Unhealthy, history.Regressed}},
		"not able to look":        {{posture.Unhealthy, history.New}, {posture.Unknown, history.Same}, {posture.Unhealthy, history.Same}, {posture.Unknown, history.Same}, {posture.NotApplicable, history.Fixed}},
		"unknown, then worse":     {{posture.Unknown, history.New}, {posture.Unhealthy, history.Same}, {posture.Healthy, history.Fixed}},
		"gone with its VM":        {{posture.Unhealthy, history.New}, {gone, history.Fixed}, {gone, history.Same}, {posture.Unhealthy, history.Regressed}},
		"gone and never was bad":  {{posture.Healthy, history.Same}, {gone, history.Same}, {posture.Unhealthy, history.New}},
		"not applicable to begin": {{posture.NotApplicable, history.Same}, {posture.Healthy, history.Same}},
	} {
		t.Run(name, func(t *testing.T) {
			var past []history.Record
			now := time.Date(2026, time.November, 22, 12, 0, 0, 0, time.UTC)
			for i, s := range scans {
				var findings []posture.Finding
				if s.verdict != gone {
					id := posture.PortOpen
					if i%2 == 1 && s.verdict == posture.Unhealthy {
						id = posture.NotCovered // the cause may change
					}
					findings = []posture.Finding{{Check: id, VM: "host://web-1", Port: survey.Port{Protocol: firewall.TCP, Number: 22}, Verdict: s.verdict}}
				}
				trend, next := history.Remember(past, findings, true, now, 24*time.Hour)
				got := history.Same
				for _, got = range trend.Changes {
					continue
				}
				if got != s.want || trend.Count(s.want) != len(trend.Changes) {
					t.Errorf("scan %d: %s, want %s", i, got, s.want)
				}
				kept, err := history.Format(next)
				if err != nil {
					t.Fatal(err)
				}
				if past, err = history.Parse(kept); err != nil || len(past) != len(next) {
					t.Fatalf("%s: %v", kept, err)
				}
				now = now.Add(time.Hour)
			}
		})
	}
}

// What was fixed is not remembered for ever, and what is the same since when it is.
func TestRemembersNoLongerThanAsked(t *testing.T) {
	now := time.Date(2026, time.November, 22, 12, 0, 0, 0, time.UTC)
	bad := []posture.Finding{{Check: posture.PolicyEmpty, VM: "host://web-1", Verdict: posture.Unhealthy}}
	trend, past := history.Remember(nil, bad, true, now, time.Hour)
	if trend.Counts[posture.PolicyEmpty][posture.Unhealthy] != 1 {
		t.Errorf("counts %v", trend.Counts)
	}
	if _, past = history.Remember(past, bad, true, now.Add(time.Minute), time.Hour); !past[0].Since.Equal(now) {
		t.Errorf("bad since %s", past[0].Since)
	}
	_, past = history.Remember(past, nil, true, now.Add(2*time.Minute), time.Hour)
	if len(past) != 1 || !past[0].Fixed {
		t.Errorf("%+v", past)
	}
	if _, past = history.Remember(past, nil, true, now.Add(2*time.Hour), time.Hour); len(past) != 0 {
		t.Errorf("%+v", past)
	}
}

func TestParse(t *testing.T) {
	for _, bad := range []string{"", "{}", `{"version":2}`, `{"version":1,"more":1}`} {
		if _, err := history.Parse([]byte(bad)); err == nil {
			t.Errorf("taken: %s", bad)
		}
	}
}

// Half a scan fixes nothing that it did not come to.
func TestIncomplete(t *testing.T) {
	now := time.Date(2026, time.November, 22, 12, 0, 0, 0, time.UTC)
	bad := []posture.Finding{{Check: posture.PortOpen, VM: "host://web-1", Verdict: posture.Unhealthy}}
	_, past := history.Remember(nil, bad, true, now, time.Hour)
	trend, past := history.Remember(past, nil, false, now.Add(time.Minute), time.Hour)
	if len(trend.Changes) != 0 || len(past) != 1 || past[0].Verdict != posture.Unhealthy {
		t.Errorf("%v, %+v", trend.Changes, past)
	}
	if trend, _ = history.Remember(past, bad, true, now.Add(2*time.Minute), time.Hour); len(trend.Changes) != 0 {
		t.Errorf("%v", trend.Changes)
	}
}
