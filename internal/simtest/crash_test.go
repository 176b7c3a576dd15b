package simtest_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/sesame-access/sesame/internal/provider/memory"
	"github.com/sesame-access/sesame/internal/simtest"
)

// story is a life with everything in it that writes.
func story() []step {
	return []step{
		{Kind: "foreign", A: 0, B: 0, C: 1},
		{Kind: "enable", A: 0, B: 0, C: 0},
		{Kind: "request", A: 0, B: 0, C: 9},
		{Kind: "request", A: 0, B: 3, C: 14},
		{Kind: "extend", A: 0, B: 0, C: 19},
		{Kind: "close", A: 1, B: 0, C: 0},
		{Kind: "wait", A: 9, B: 0, C: 0},
		{Kind: "tamper", A: 0, B: 0, C: 0},
		{Kind: "wait", A: 9, B: 0, C: 0},
		{Kind: "request", A: 2, B: 1, C: 1},
		{Kind: "linger", A: 0, B: 0, C: 0},
		{Kind: "disable", A: 0, B: 0, C: 0},
		{Kind: "drop", A: 0, B: 0, C: 0},
		{Kind: "wait", A: 9, B: 0, C: 0},
	}
}

// TestCrashAtEveryCall lets the process die at every single call that it makes to
// a firewall or to the database, before the call and after it, and start again.
// On a slow disk a loop looks ahead while a grant is saved, and dies there, too.
// Without SESAME_SIM_TIME it is every seventh call.
func TestCrashAtEveryCall(t *testing.T) {
	template := filepath.Join(t.TempDir(), "template.db")
	if err := simtest.Template(t.Context(), template); err != nil {
		t.Fatal(err)
	}
	dir := quickDir(t)
	for _, d := range []memory.Dialect{memory.Numbered, memory.Union, memory.Keyed} {
		t.Run(d.String(), func(t *testing.T) {
			stride := 7
			if os.Getenv("SESAME_SIM_TIME") != "" {
				stride = 1
			}
			h := history{Dialect: d, Single: true, Steps: story()}
			if d == memory.Keyed {
				h.Steps = slices.Insert(h.Steps, 2, step{Kind: "disk", A: 3, B: 0, C: 0})
			}
			calls := 0
			for n, total := 0, 1; n < total; n += stride {
				for _, after := range []bool{false, true} {
					var err error
					synctest.Test(t, func(t *testing.T) {
						s, e := newSim(t.Context(), h, template, filepath.Join(dir, "sesame.db"))
						if e != nil {
							t.Fatal(e)
						}
						defer func() { err = errors.Join(err, s.inst.Close()) }()
						s.mortal = simtest.Death{At: n, After: after}
						err = s.play(h.Steps)
						if n == 0 {
							total = s.calls
						}
					})
					if err != nil {
						t.Fatalf("death at call %d of %d, after it: %v: %v", n, total, after, err)
					}
				}
				calls = total
			}
			if calls < 50 {
				t.Errorf("the story made only %d calls", calls)
			}
		})
	}
}
