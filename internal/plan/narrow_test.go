package plan_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
)

func drawOpening(t *rapid.T) firewall.Opening {
	o := firewall.Opening{From: drawSource(t), Until: time.Time{}, Grants: ""}
	if rapid.IntRange(0, 3).Draw(t, "exempt") > 0 {
		o.Until = noon.Add(time.Duration(rapid.IntRange(1, 4).Draw(t, "until")) * time.Hour)
		o.Grants = firewall.HoldersOf(rapid.SampledFrom([]string{"g-1", "g-2", "g-3"}).Draw(t, "holder"))
	}
	return o
}

// drawWants draws wants; only where they are shown may one source appear twice.
func drawWants(t *rapid.T, shown bool) firewall.Wants {
	out := firewall.Wants{}
	for range rapid.IntRange(0, 5).Draw(t, "doors") {
		d := drawDoor(t)
		if slices.ContainsFunc(out, func(w firewall.Want) bool { return w.Door == d }) {
			continue
		}
		w := firewall.Want{Door: d, Locked: !shown || rapid.IntRange(0, 3).Draw(t, "unlocked") > 0, Cut: rapid.Bool().Draw(t, "cut"), Open: nil}
		for range rapid.IntRange(0, 5).Draw(t, "openings") {
			o := drawOpening(t)
			if shown || !slices.ContainsFunc(w.Open, func(x firewall.Opening) bool { return x.From == o.From }) {
				w.Open = append(w.Open, o)
			}
		}
		out = append(out, w)
	}
	out.Sort()
	return out
}

// lasts returns until when ws lets from through d: the zero time for not at all,
// forever for an exempt source.
func lasts(ws firewall.Wants, d firewall.Door, from netip.Prefix) (until time.Time) {
	forever := noon.Add(1e6 * time.Hour)
	w, _ := ws.Of(d)
	for _, o := range w.Open {
		switch {
		case o.From != from:
		case o.Exempt():
			return forever
		case o.Until.After(until):
			until = o.Until
		}
	}
	return until
}

func everySource() []netip.Prefix {
	return sources("203.0.113.7", "203.0.113.8", "203.0.113.0/24", "10.0.0.0/8", "2001:db8::7", "2001:db8::/64")
}

func doorsIn(list ...firewall.Wants) (out []firewall.Door) {
	for _, ws := range list {
		for _, w := range ws {
			out = append(out, w.Door)
		}
	}
	slices.SortFunc(out, firewall.CompareDoors)
	return slices.Compact(out)
}

// checkNarrower fails if got lets anybody in, or for longer, that shown does not,
// or if it gives a lock back.
func checkNarrower(t *rapid.T, got, shown firewall.Wants, doors []firewall.Door, exemptToo bool) {
	checkCanonical(t, got)
	for _, d := range doors {
		s, _ := shown.Of(d)
		g, mentioned := got.Of(d)
		if s.Locked && (!mentioned || !g.Locked) {
			t.Fatalf("the lock of %v is given back", d)
		}
		for _, p := range everySource() {
			isNew := lasts(shown, d, p).IsZero() && slices.ContainsFunc(g.Open, func(o firewall.Opening) bool { return o.From == p && o.Exempt() })
			if isNew && !exemptToo {
				t.Fatalf("%v lets %v in", d, p)
			}
			if !isNew && lasts(got, d, p).After(lasts(shown, d, p)) {
				t.Fatalf("%v lets %v in until %v, shown is %v", d, p, lasts(got, d, p), lasts(shown, d, p))
			}
		}
	}
}

func checkCanonical(t *rapid.T, ws firewall.Wants) {
	for i, w := range ws {
		if i > 0 && firewall.CompareDoors(ws[i-1].Door, w.Door) >= 0 {
			t.Fatalf("doors %v and %v are out of order", ws[i-1].Door, w.Door)
		}
		for j, o := range w.Open {
			if j > 0 && w.Open[j-1].From.Compare(o.From) >= 0 {
				t.Fatalf("%v has %v and %v", w.Door, w.Open[j-1], o)
			}
		}
	}
}

func TestClosingsOnlyNarrow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want, shown := drawWants(t, false), drawWants(t, true)
		got := plan.Closings(want, shown)
		checkNarrower(t, got, shown, doorsIn(want, shown), false)
		for _, g := range got {
			s, isShown := shown.Of(g.Door)
			if !isShown || g.Locked != s.Locked {
				t.Fatalf("%v is locked: %v, shown %v", g.Door, g.Locked, s.Locked)
			}
			w, mentioned := want.Of(g.Door)
			for _, p := range everySource() {
				ends := mentioned && lasts(want, w.Door, p).Before(lasts(shown, w.Door, p))
				if ends && !lasts(got, g.Door, p).Equal(lasts(want, w.Door, p)) {
					t.Fatalf("%v from %v should go by %v and stays until %v", g.Door, p, lasts(want, w.Door, p), lasts(got, g.Door, p))
				}
			}
			for _, o := range g.Open {
				if !mentioned && !o.Exempt() {
					t.Fatalf("nobody wants %v at %v any more", o, g.Door)
				}
			}
		}
		if again := plan.Closings(want, got); !cmp.Equal(again, got, prefixes) {
			t.Fatalf("closing twice differs:\n%s", cmp.Diff(got, again, prefixes))
		}
	})
}

func TestHoldNarrowsOneDoorOnly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want, shown := drawWants(t, false), drawWants(t, true)
		r := plan.Refusal{Door: drawDoor(t), Why: "no"}
		if rapid.Bool().Draw(t, "one source") {
			r.From = drawSource(t)
		}
		got := plan.Hold(want, shown, r)
		checkCanonical(t, got)
		for _, d := range doorsIn(want, shown) {
			if d == r.Door {
				continue
			}
			w, inWant := want.Of(d)
			g, inGot := got.Of(d)
			if inWant != inGot || !cmp.Equal(w, g, prefixes) {
				t.Fatalf("holding %v changed %v", r.Door, d)
			}
		}
		if !r.From.IsValid() {
			one := func(ws firewall.Wants) firewall.Wants {
				return slices.DeleteFunc(slices.Clone(ws), func(w firewall.Want) bool { return w.Door != r.Door })
			}
			spared := plan.Closings(one(want), one(shown))
			for i := range spared {
				spared[i].Spares = true
			}
			if diff := cmp.Diff(spared, one(got), prefixes); diff != "" {
				t.Fatalf("a door held whole is not its closings with foreign rules spared (-want +got):\n%s", diff)
			}
			return
		}
		if lasts(got, r.Door, r.From).After(lasts(shown, r.Door, r.From)) {
			t.Fatalf("%v is held and lets %v in until %v", r.Door, r.From, lasts(got, r.Door, r.From))
		}
		for _, p := range everySource() {
			if _, mentioned := want.Of(r.Door); mentioned && p != r.From && !lasts(got, r.Door, p).Equal(lasts(want, r.Door, p)) {
				t.Fatalf("holding %v changed %v", r.From, p)
			}
		}
	})
}

func TestNarrowedRepairsLocks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want, shown := drawWants(t, false), drawWants(t, true)
		got := plan.Narrowed(want, shown)
		checkNarrower(t, got, shown, doorsIn(want, shown), true)
		for _, w := range want {
			g, ok := got.Of(w.Door)
			s, _ := shown.Of(w.Door)
			if !ok || !g.Locked {
				t.Fatalf("the lock of %v is not repaired", w.Door)
			}
			for _, o := range w.Open {
				if o.Exempt() && !s.Locked && !slices.Contains(g.Open, o) && lasts(shown, w.Door, o.From).IsZero() {
					t.Fatalf("the lock of %v came without %v, who is exempt", w.Door, o.From)
				}
			}
			for _, o := range g.Open {
				if o.Exempt() && s.Locked && lasts(shown, w.Door, o.From).IsZero() {
					t.Fatalf("%v was locked already, and lets %v in newly", w.Door, o.From)
				}
			}
		}
	})
}

func TestStickyLocks(t *testing.T) {
	gone := locked(db, opening("203.0.113.7", time.Hour, "g-1"), opening("10.0.0.0/8", 0, ""))
	unlocked := firewall.Want{Door: firewall.Door{VM: "host://x", Protocol: firewall.TCP, Port: 1}, Locked: false, Cut: false, Open: nil}
	want := firewall.Wants{locked(web)}
	shown := firewall.Wants{gone, locked(web, opening("203.0.113.7", time.Hour, "g-2")), unlocked}
	got := plan.Sticky(want, shown, nil)
	if diff := cmp.Diff(firewall.Wants{locked(db, opening("10.0.0.0/8", 0, "")), locked(web)}, got, prefixes); diff != "" {
		t.Errorf("a VM that is gone (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, plan.Sticky(want, shown, []firewall.Door{db}), prefixes); diff != "" {
		t.Errorf("a door that is unlocked (-want +got):\n%s", diff)
	}
	rapid.Check(t, func(t *rapid.T) {
		want, shown := drawWants(t, false), drawWants(t, true)
		got := plan.Sticky(want, shown, nil)
		for _, s := range shown {
			if g, ok := got.Of(s.Door); s.Locked && (!ok || !g.Locked) {
				t.Fatalf("%v is given back", s.Door)
			}
		}
		for _, w := range want {
			if g, ok := got.Of(w.Door); !ok || !cmp.Equal(g, w, prefixes) {
				t.Fatalf("%v is not as wanted", w.Door)
			}
		}
	})
}

func TestNarrowingLeavesItsArgumentsAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want, shown := drawWants(t, false), drawWants(t, true)
		clone := func(ws firewall.Wants) firewall.Wants {
			out := slices.Clone(ws)
			for i := range out {
				out[i].Open = slices.Clone(out[i].Open)
			}
			return out
		}
		w, s := clone(want), clone(shown)
		plan.Closings(want, shown)
		plan.Narrowed(want, shown)
		plan.Sticky(want, shown, nil)
		plan.Hold(want, shown, plan.Refusal{Door: drawDoor(t), From: drawSource(t), Why: ""})
		if !cmp.Equal(w, want, prefixes) || !cmp.Equal(s, shown, prefixes) {
			t.Fatal("an argument was changed")
		}
	})
}
