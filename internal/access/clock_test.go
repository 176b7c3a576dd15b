package access_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sesame-access/sesame/internal/access"
)

var noon = time.Date(2030, 1, 31, 12, 0, 0, 0, time.UTC)

// clocks returns a reading of three clocks in good order.
func clocks() access.Reading {
	return access.Reading{Wall: noon, Boot: 5 * time.Hour, BootID: "boot-1", Third: noon.Add(3 * time.Second)}
}

// A fault is what happens to the clocks while time passes.
type fault struct {
	name string
	do   func(r *access.Reading)
}

// TestDeadlineUnderClockFaults is the table of what each set of clocks survives:
// a grant of one hour, of which ten minutes of real time are left, and none.
// "late" means that the door would still be open after the hour.
func TestDeadlineUnderClockFaults(t *testing.T) {
	stepBack := func(r *access.Reading) { r.Wall = r.Wall.Add(-2 * time.Hour) }
	reboot := func(r *access.Reading) { r.BootID, r.Boot = "boot-2", time.Minute }
	noBoot := func(r *access.Reading) { r.BootID, r.Boot = "", 0 }
	thirdGone := func(r *access.Reading) { r.Third = time.Time{} }
	farBack := func(r *access.Reading) { r.Wall = time.Unix(0, 0).UTC() }
	none := fault{"none", func(*access.Reading) {}}
	for _, c := range []struct {
		name   string
		clocks func(*access.Reading) // which clocks there are at all
		fault  fault
		late   bool
		by     string // which clock says that it has passed
	}{
		{"three", none.do, none, false, "wall"},
		{"three", none.do, fault{"step back", stepBack}, false, "boot"},
		{"three", none.do, fault{"clock of 1970", farBack}, false, "boot"},
		{"three", none.do, fault{"reboot", reboot}, false, "wall"},
		{"three", none.do, fault{"step back and reboot", func(r *access.Reading) { stepBack(r); reboot(r) }}, false, "third"},
		{"three", none.do, fault{"third gone", thirdGone}, false, "wall"},
		{"three", none.do, fault{"third gone, step back", func(r *access.Reading) { stepBack(r); thirdGone(r) }}, false, "boot"},
		{"wall and boot", thirdGone, none, false, "wall"},
		{"wall and boot", thirdGone, fault{"step back", stepBack}, false, "boot"},
		{"wall and boot", thirdGone, fault{"step back and reboot", func(r *access.Reading) { stepBack(r); reboot(r) }}, true, ""},
		{"wall and third", noBoot, fault{"step back", stepBack}, false, "third"},
		{"wall", func(r *access.Reading) { noBoot(r); thirdGone(r) }, none, false, "wall"},
		{"wall", func(r *access.Reading) { noBoot(r); thirdGone(r) }, fault{"step back", stepBack}, true, ""},
	} {
		t.Run(c.name+" clocks, "+c.fault.name, func(t *testing.T) {
			start := clocks()
			c.clocks(&start)
			d := access.DeadlineAt(start.Wall.Add(time.Hour), start)

			early := start.Add(50 * time.Minute)
			c.fault.do(&early)
			if left, by := d.Left(early); d.Passed(early) || left < 10*time.Minute {
				t.Errorf("ten minutes before the end %v is left by the %s clock", left, by)
			}
			end := start.Add(time.Hour)
			c.fault.do(&end)
			left, by := d.Left(end)
			if d.Passed(end) == c.late {
				t.Fatalf("after the hour %v is left by the %s clock", left, by)
			}
			if !c.late && by != c.by {
				t.Errorf("the %s clock says so, not the %s clock", by, c.by)
			}
		})
	}
}

// Sleep and a step forward make it later for some clocks only; the furthest
// along decides.
func TestDeadlineAfterSleepAndStepForward(t *testing.T) {
	start := clocks()
	d := access.DeadlineAt(noon.Add(time.Hour), start)
	forward := start.Add(time.Minute)
	forward.Wall = forward.Wall.Add(24 * time.Hour)
	if left, by := d.Left(forward); left >= 0 || by != "wall" {
		t.Errorf("a day forward: %v left by the %s clock", left, by)
	}
	// The machine slept for a day: every clock here counts sleep.
	slept := start.Add(24 * time.Hour)
	if !d.Passed(slept) {
		t.Error("a day of sleep did not end a grant of an hour")
	}
	// Even if the wall clock of the virtual machine was not set after the pause.
	slept.Wall = start.Wall.Add(time.Second)
	if left, by := d.Left(slept); left >= 0 || by != "boot" {
		t.Errorf("after a pause: %v left by the %s clock", left, by)
	}
}

func TestDeadlineItselfIsOutside(t *testing.T) {
	d := access.DeadlineAt(noon.Add(time.Hour), clocks())
	for _, c := range []struct {
		after time.Duration
		want  bool
	}{{time.Hour - 1, false}, {time.Hour, true}, {time.Hour + 1, true}} {
		if got := d.Passed(clocks().Add(c.after)); got != c.want {
			t.Errorf("after %v: passed %v", c.after, got)
		}
	}
}

// No row, however damaged, means that a grant never ends.
func TestDamagedDeadlinesHavePassed(t *testing.T) {
	good := access.DeadlineAt(noon.Add(time.Hour), clocks())
	for name, damage := range map[string]func(*access.Deadline){
		"nothing at all":          func(d *access.Deadline) { *d = access.Deadline{} },
		"no wall time":            func(d *access.Deadline) { d.Wall = time.Time{} },
		"boot least":              func(d *access.Deadline) { d.Boot = math.MinInt64 },
		"boot negative":           func(d *access.Deadline) { d.Boot = -1 },
		"boot zero":               func(d *access.Deadline) { d.Boot = 0 },
		"wall at the epoch":       func(d *access.Deadline) { d.Wall = time.Unix(0, 0) },
		"wall before time":        func(d *access.Deadline) { d.Wall = time.Unix(math.MinInt64/2, 0) },
		"third before time":       func(d *access.Deadline) { d.Third = time.Unix(math.MinInt64/2, 0) },
		"third at the epoch":      func(d *access.Deadline) { d.Third = time.Unix(0, 0) },
		"end before the start":    func(d *access.Deadline) { *d = access.DeadlineAt(noon.Add(-time.Hour), clocks()) },
		"end out of all range":    func(d *access.Deadline) { *d = access.DeadlineAt(time.Unix(math.MaxInt64/2, 0), clocks()) },
		"end far before all time": func(d *access.Deadline) { *d = access.DeadlineAt(time.Unix(math.MinInt64/2, 0), clocks()) },
	} {
		d := good
		damage(&d)
		if left, by := d.Left(clocks().Add(time.Second)); !d.Passed(clocks().Add(time.Second)) {
			t.Errorf("%s: %v left by the %s clock (%+v)", name, left, by, d)
		}
	}
	if good.Passed(clocks().Add(time.Second)) {
		t.Error("the deadline that was damaged had passed already")
	}
}

func TestDeadlineKnowsNoMonotonicClock(t *testing.T) {
	now := clocks()
	now.Wall = time.Now() // with a monotonic reading
	d := access.DeadlineAt(time.Now().Add(time.Hour), now)
	if s := d.Wall.String(); strings.Contains(s, "m=") {
		t.Errorf("the deadline carries a monotonic reading: %s", s)
	}
}

func TestSkewAndStep(t *testing.T) {
	r := clocks()
	if got := r.Skew(); got != 3*time.Second {
		t.Errorf("skew %v", got)
	}
	r.Third = noon.Add(-time.Minute)
	if got := r.Skew(); got != time.Minute {
		t.Errorf("skew %v", got)
	}
	r.Third = time.Time{}
	if got := r.Skew(); got != 0 {
		t.Errorf("skew %v without a third clock", got)
	}
	later := clocks().Add(time.Minute)
	if got := later.Stepped(clocks()); got != 0 {
		t.Errorf("stepped %v", got)
	}
	later.Wall = later.Wall.Add(-time.Hour)
	if got := later.Stepped(clocks()); got != -time.Hour {
		t.Errorf("stepped %v, want an hour back", got)
	}
	later.BootID = "boot-2"
	if got := later.Stepped(clocks()); got != 0 {
		t.Errorf("stepped %v across a reboot", got)
	}
	if got := (access.Reading{Wall: noon}).Stepped(access.Reading{Wall: noon.Add(time.Hour)}); got != 0 {
		t.Errorf("stepped %v without a boot clock", got)
	}
}

// Whatever happens to one clock, the other two end the grant in time.
func TestOneBrokenClockEndsNothingLate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		length := time.Duration(rapid.Int64Range(1, int64(access.MaxDuration)).Draw(t, "length"))
		d := access.DeadlineAt(noon.Add(length), clocks())
		now := clocks().Add(length + time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "later")))
		broken := time.Duration(rapid.Int64().Draw(t, "broken"))
		which := rapid.SampledFrom([]string{"wall", "boot", "third", "reboot", "third gone"}).Draw(t, "which")
		switch which {
		case "wall":
			now.Wall = now.Wall.Add(broken)
		case "boot":
			now.Boot = broken
		case "third":
			now.Third = now.Third.Add(broken)
		case "reboot":
			now.BootID, now.Boot = "boot-2", 0
		case "third gone":
			now.Third = time.Time{}
		}
		if left, by := d.Left(now); left > 0 || !d.Passed(now) {
			t.Fatalf("%s broken by %v: %v left by the %s clock", which, broken, left, by)
		}
	})
}

func ExampleDeadline_Left() {
	now := access.Reading{Wall: noon, Boot: time.Hour, BootID: "b", Third: time.Time{}}
	d := access.DeadlineAt(noon.Add(time.Hour), now)
	later := now.Add(30 * time.Minute)
	later.Wall = later.Wall.Add(-24 * time.Hour) // somebody set the clock back
	fmt.Println(d.Left(later))
	// Output: 30m0s boot
}
