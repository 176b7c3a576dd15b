package simtest_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/sesame-access/sesame/internal/provider/memory"
)

// A history is everything that happens in one simulated world.
type history struct {
	Dialect memory.Dialect
	Stacked bool          // two firewalls in front of every machine
	Single  bool          // one write for each change
	Write   time.Duration // how long a write takes
	Lag     time.Duration // how far reads lag behind, in a union
	Steps   []step
}

// A step is one thing that happens. What its numbers mean is up to its kind.
type step struct {
	Kind    string
	A, B, C int
}

// kinds are what can happen, each as often as it is listed.
func kinds() []string {
	often := []struct {
		times int
		kinds string
	}{
		{1, "nothing"}, // comes first: a failing history shrinks to it
		{6, "request"},
		{5, "wait"},
		{3, "fault crash"},
		{2, "close extend enable linger mend tamper disk restart"},
		{1, "between together disable drop foreign disk-good backup restore"},
		{1, "step suspend third reboot clocks-good dark light missing found"},
	}
	var out []string
	for _, o := range often {
		for range o.times {
			out = append(out, strings.Fields(o.kinds)...)
		}
	}
	return out
}

func draw(rt *rapid.T) history {
	h := history{
		Dialect: rapid.SampledFrom([]memory.Dialect{memory.Numbered, memory.Union, memory.Keyed}).Draw(rt, "dialect"),
		Stacked: rapid.IntRange(0, 3).Draw(rt, "stacked") == 3,
		Single:  rapid.Bool().Draw(rt, "single"),
		Write:   rapid.SampledFrom([]time.Duration{0, 0, 0, time.Second, 8 * time.Second}).Draw(rt, "write"),
		Lag:     rapid.SampledFrom([]time.Duration{0, 0, 2 * time.Second}).Draw(rt, "lag"),
	}
	if h.Dialect != memory.Union {
		h.Lag = 0
	}
	// Some histories are calm, so that they get far; some are brutal.
	all := kinds()
	calm := rapid.SampledFrom([]string{"", "", "fault", "tamper foreign", "disk", "crash", "step suspend third reboot", "restore dark missing"}).Draw(rt, "calm of")
	if calm != "" {
		all = slices.DeleteFunc(all, func(k string) bool {
			always := "nothing request close extend together between enable disable drop wait linger mend disk-good clocks-good light found backup"
			return !slices.Contains(strings.Fields(always+" "+calm), k)
		})
		for range 2 {
			all = append(all, strings.Fields(calm)...)
		}
	}
	one := rapid.Custom(func(rt *rapid.T) step {
		return step{
			Kind: rapid.SampledFrom(all).Draw(rt, "kind"),
			A:    rapid.IntRange(0, 59).Draw(rt, "a"), B: rapid.IntRange(0, 59).Draw(rt, "b"), C: rapid.IntRange(0, 59).Draw(rt, "c"),
		}
	})
	n := rapid.SampledFrom([]int{20, 40, 60}).Draw(rt, "length")
	h.Steps = rapid.SliceOfN(one, n, n).Draw(rt, "steps")
	h.Steps = slices.DeleteFunc(h.Steps, func(x step) bool { return x.Kind == "nothing" })
	return h
}

func (h history) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s stacked=%v single=%v write=%s lag=%s\n", h.Dialect, h.Stacked, h.Single, h.Write, h.Lag)
	for i, s := range h.Steps {
		fmt.Fprintf(&b, "%3d %-12s %d %d %d\n", i, s.Kind, s.A, s.B, s.C)
	}
	return b.String()
}
