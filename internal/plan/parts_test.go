package plan_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
)

func TestAdditions(t *testing.T) {
	shown := firewall.Wants{
		locked(db),
		locked(web, opening("203.0.113.7", time.Hour, "g-1"), opening("203.0.113.8", time.Hour, "g-2")),
	}
	want := firewall.Wants{
		locked(firewall.Door{VM: "host://new", Protocol: firewall.TCP, Port: 22}),
		locked(web, opening("198.51.100.1", 0, ""), opening("203.0.113.7", 2*time.Hour, "g-1"), opening("203.0.113.8", time.Minute, "g-2")),
	}
	var got []string
	for _, k := range plan.Additions(want, shown) {
		got = append(got, fmt.Sprint(k.Door, " ", k.From))
	}
	wanted := []string{
		"host://db:22/tcp invalid Prefix",  // given back
		"host://new:22/tcp invalid Prefix", // locked
		"host://web:22/tcp 198.51.100.1/32",
		"host://web:22/tcp 203.0.113.7/32", // extended
	}
	if !slices.Equal(got, wanted) {
		t.Errorf("got  %q\nwant %q", got, wanted)
	}
}

// Any part of the additions lies between the closings and the whole.
func TestOnlyIsBetweenClosingsAndWant(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shown := drawWants(t, true)
		want := drawWants(t, false)
		all := plan.Additions(want, shown)
		if diff := cmp.Diff(want, plan.Only(want, shown, all), prefixes); diff != "" {
			t.Fatalf("all additions are not the whole (-want +got):\n%s", diff)
		}
		none := plan.Only(want, shown, nil)
		checkNarrower(t, none, shown, doorsIn(want, shown), false)
		if diff := cmp.Diff(plan.Closings(want, shown), plan.Closings(none, shown), prefixes); diff != "" {
			t.Fatalf("without additions something does not close (-want +got):\n%s", diff)
		}
		some := slices.DeleteFunc(slices.Clone(all), func(firewall.Key) bool { return rapid.Bool().Draw(t, "left out") })
		for _, k := range plan.Additions(plan.Only(want, shown, some), shown) {
			if !slices.Contains(some, k) {
				t.Fatalf("%v was added and not chosen", k)
			}
		}
	})
}

// Holding many at once is holding one after the other.
func TestHoldManyIsHoldEach(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want, shown := drawWants(t, false), drawWants(t, true)
		var refused []plan.Refusal
		for range rapid.IntRange(0, 6).Draw(t, "refusals") {
			r := plan.Refusal{Door: drawDoor(t), Why: "no"}
			if rapid.IntRange(0, 2).Draw(t, "one source") > 0 {
				r.From = drawSource(t)
			}
			refused = append(refused, r)
		}
		each := want
		for _, r := range refused {
			each = plan.Hold(each, shown, r)
		}
		if diff := cmp.Diff(each, plan.Hold(want, shown, refused...), prefixes); diff != "" {
			t.Fatalf("(-each +all):\n%s", diff)
		}
	})
}

func TestNothingNewIsForOneVM(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want, shown := drawWants(t, false), drawWants(t, true)
		got := plan.NothingNew(want, shown, "host://a")
		narrowed := plan.Narrowed(want, shown)
		for _, d := range doorsIn(want, shown, got) {
			g, inGot := got.Of(d)
			from := want
			if d.VM == "host://a" {
				from = narrowed
			}
			f, inFrom := from.Of(d)
			if inGot != inFrom || !cmp.Equal(f, g, prefixes) {
				t.Fatalf("%v is %+v, want %+v", d, g, f)
			}
		}
	})
}

func TestLapsedAndSweep(t *testing.T) {
	shown := firewall.Wants{locked(web, opening("10.0.0.0/8", 0, ""), opening("203.0.113.7", time.Hour, "g-1"), opening("203.0.113.8", 2*time.Hour, "g-2"))}
	broken := []firewall.Key{{Door: web, From: sources("198.51.100.1")[0]}}
	for _, c := range []struct {
		after         time.Duration // by the wall clock
		third         time.Duration // how far the third clock is ahead
		lapsed, swept int           // how many openings stay
	}{
		{time.Hour - time.Millisecond, 0, 3, 3},
		{time.Hour, 0, 2, 3},
		{time.Hour + plan.SweepGrace - time.Millisecond, 0, 2, 3},
		{time.Hour + plan.SweepGrace, 0, 2, 2},
		{100 * time.Hour, 0, 1, 1}, // whoever is exempt stays
		{time.Minute, 59 * time.Minute, 2, 3},
		{time.Minute, 3 * time.Hour, 1, 1}, // the clock that is furthest along counts
		{3 * time.Hour, -3 * time.Hour, 1, 1},
	} {
		now := clocks().Add(c.after)
		now.Third = now.Third.Add(c.third)
		if got := plan.Lapsed(shown, now); len(got[0].Open) != c.lapsed || !got[0].Locked {
			t.Errorf("after %v and %v: lapsed leaves %v", c.after, c.third, got[0].Open)
		}
		s := plan.SweepOf(shown, broken, now)
		if len(s.Want) != 1 || len(s.Want[0].Open) != c.swept || !s.Want[0].Locked || len(s.Doomed) != 1+3-c.swept {
			t.Errorf("after %v and %v: the sweep leaves %v and takes %v", c.after, c.third, s.Want, s.Doomed)
		}
		if !slices.Contains(s.Doomed, broken[0]) {
			t.Errorf("a broken mark survives the sweep: %v", s.Doomed)
		}
	}
	now := clocks().Add(90 * time.Minute)
	s := plan.SweepOf(shown, broken, now)
	p := s.Of(plan.Plan{Changes: []plan.Change{
		change(plan.Close, web, shown[0].Open[1]), change(plan.Close, web, shown[0].Open[2]), change(plan.Lock, web, firewall.Opening{}), change(plan.Open, web, shown[0].Open[1]),
	}})
	if len(p.Changes) != 1 || p.Changes[0].Opening != shown[0].Open[1] {
		t.Errorf("a sweep writes %v", p)
	}
}

func TestLasting(t *testing.T) {
	grants := busy(3, false) // an hour and 0, 1 and 2 ms
	now := clocks().Add(59 * time.Minute)
	for lead, want := range map[time.Duration]int{0: 3, -time.Hour: 3, time.Minute - 1: 3, time.Minute: 2, time.Minute + time.Millisecond: 1, time.Hour: 0} {
		if got := plan.Lasting(grants, now, lead); len(got) != want {
			t.Errorf("with a lead of %v %d grants last, want %d", lead, len(got), want)
		}
	}
	if len(grants) != 3 || grants[2].ID == "" {
		t.Error("Lasting changed its argument")
	}
}

func BenchmarkHold(b *testing.B) {
	c := benchmarkCase(0, 10_000)
	var refused []plan.Refusal
	for _, o := range c.Want[0].Open {
		refused = append(refused, plan.Refusal{Door: web, From: o.From, Why: "no"})
	}
	b.ReportAllocs()
	for b.Loop() {
		if w := plan.Hold(c.Want, nil, refused...); len(w[0].Open) != 0 {
			b.Fatal(w)
		}
	}
}
