package truce_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/provider/aws/truce"
)

func TestPatienceGrows(t *testing.T) {
	var g truce.Guard
	now := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	var waits []time.Duration
	for range 12 {
		start := now
		for len(g.Held(now)) > 0 {
			now = now.Add(time.Second)
		}
		waits = append(waits, now.Sub(start))
		g.Done("a rule", now)
	}
	for i, minutes := range []int{0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60} {
		if int(waits[i].Minutes()) != minutes {
			t.Errorf("time %d waits for %s, want %d minutes", i+1, waits[i], minutes)
		}
	}
	if why := g.Held(now)["a rule"]; !strings.Contains(why, "12 times") {
		t.Errorf("it says %q", why)
	}
}

func TestThingsAreForgotten(t *testing.T) {
	var g truce.Guard
	now := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	for range 5 {
		g.Done("a rule", now)
	}
	g.Done("another", now)
	if held := g.Held(now); len(held) != 1 {
		t.Errorf("held: %v", held)
	}
	g.Undone("a rule")
	if held := g.Held(now); len(held) != 0 {
		t.Errorf("we have undone it ourselves: %v", held)
	}
	for range 5 {
		g.Done("a rule", now)
	}
	now = now.Add(25 * time.Hour)
	g.Done("another", now)
	g.Done("a rule", now)
	if held := g.Held(now); len(held) != 0 {
		t.Errorf("after a day: %v", held)
	}
}
