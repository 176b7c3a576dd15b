package fleet_test

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/fleet"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/memory"
)

// sweepWorld is a VM behind a firewall that closes nothing by itself, with a
// lock, an exempt source and three openings.
func sweepWorld(t *testing.T, now time.Time) (*memory.World, *memory.Firewall, firewall.Door) {
	t.Helper()
	keys := firewall.Keyring{Instance: "test", Keys: []firewall.MarkKey{{ID: "k", Secret: []byte("0123456789abcdef")}}}
	w := memory.NewWorld(keys)
	f := w.Add(memory.Config{ID: "fw", Dialect: memory.Numbered})
	vm := firewall.HostVM("web-1")
	w.AddVM(inventory.VM{ID: vm, Name: "web-1", Paths: []inventory.Path{{Name: "p", Hops: []inventory.Hop{{Firewall: "fw"}}}}})
	door := firewall.Door{VM: vm, Protocol: firewall.TCP, Port: 22}
	open := func(from string, until time.Time, grants firewall.Holders) firewall.Opening {
		return firewall.Opening{From: netip.MustParsePrefix(from), Until: firewall.Instant(until), Grants: grants}
	}
	want := firewall.Wants{{Door: door, Locked: true, Cut: false, Open: []firewall.Opening{
		open("192.0.2.1/32", time.Time{}, ""),
		open("198.51.100.1/32", now.Add(time.Hour), "g-short"),
		open("198.51.100.2/32", now.Add(3*time.Hour), "g-long"),
	}}}
	want.Sort()
	s, err := w.Observe(t.Context(), "fw", nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := w.Compile(s, want, nil)
	if err != nil || len(p.Refused) > 0 {
		t.Fatalf("compile: %v %v", err, p.Refused)
	}
	if err := w.Apply(t.Context(), s, p); err != nil {
		t.Fatal(err)
	}
	return w, f, door
}

func admits(f *memory.Firewall, d firewall.Door) string {
	var in []string
	for _, a := range []string{"192.0.2.1", "198.51.100.1", "198.51.100.2", "203.0.113.9"} {
		if f.Admits(d, netip.MustParseAddr(a)) {
			in = append(in, a)
		}
	}
	return strings.Join(in, " ")
}

func TestSweepNeedsNothingButTheFirewall(t *testing.T) {
	now := time.Now()
	w, f, door := sweepWorld(t, now)
	at := func(d time.Duration) func() access.Reading {
		return func() access.Reading { return access.Reading{Wall: now.Add(d)} }
	}
	sweep := func(d time.Duration, dry bool) fleet.Swept {
		t.Helper()
		swept, err := fleet.Sweep(t.Context(), []provider.Provider{w}, at(d), dry)
		if err != nil || len(swept) != 1 || swept[0].Err != nil || len(swept[0].Stuck) > 0 {
			t.Fatalf("swept %+v, %v", swept, err)
		}
		return swept[0]
	}
	const all = "192.0.2.1 198.51.100.1 198.51.100.2"
	if got := admits(f, door); got != all {
		t.Fatalf("before: %s", got)
	}
	for _, step := range []struct {
		at     time.Duration
		dry    bool
		closed int
		left   string
	}{
		{0, false, 0, all},
		{time.Hour + 59*time.Second, false, 0, all}, // a server may be about to
		{time.Hour + time.Minute, true, 1, all},
		{time.Hour + time.Minute, false, 1, "192.0.2.1 198.51.100.2"},
		{time.Hour + time.Minute, false, 0, "192.0.2.1 198.51.100.2"},
		{100 * time.Hour, false, 1, "192.0.2.1"},
	} {
		s := sweep(step.at, step.dry)
		if len(s.Closed) != step.closed || admits(f, door) != step.left {
			t.Errorf("at %v (dry %t): closed %v, lets in %s", step.at, step.dry, s.Closed, admits(f, door))
		}
	}
}

func TestSweepClosesWhatOnlyClaimsToBeOurs(t *testing.T) {
	now := time.Now()
	w, f, door := sweepWorld(t, now)
	// Somebody turns our opening towards themselves, and loosens our lock.
	for _, r := range f.State().Rules {
		switch {
		case len(r.From) == 1 && r.From[0].Addr().String() == "198.51.100.2":
			f.Edit(r.Name, func(r *memory.Rule) { r.From = []netip.Prefix{netip.MustParsePrefix("203.0.113.9/32")} })
		case r.Action == firewall.Deny && strings.Contains(r.Name, "lock"):
			f.Edit(r.Name, func(r *memory.Rule) { r.From = []netip.Prefix{netip.MustParsePrefix("8.8.8.8/32")} })
		}
	}
	before := f.State()
	swept, err := fleet.Sweep(t.Context(), []provider.Provider{w}, func() access.Reading { return access.Reading{Wall: now} }, false)
	if err != nil || len(swept) != 1 || swept[0].Err != nil {
		t.Fatalf("swept %+v, %v", swept, err)
	}
	s := swept[0]
	if len(s.Closed) != 1 || s.Closed[0].Opening.From.Addr().String() != "203.0.113.9" {
		t.Errorf("closed %v", s.Closed)
	}
	if len(s.Left) == 0 || !strings.Contains(strings.Join(s.Left, "\n"), "the lock was changed") {
		t.Errorf("what is wrong with the lock is not said: %q", s.Left)
	}
	if got, want := len(f.State().Rules), len(before.Rules)-1; got != want {
		t.Errorf("%d rules are left, want %d: a sweep repairs nothing", got, want)
	}
	_ = door
}

func TestSweepGoesOnWithTheOthers(t *testing.T) {
	now := time.Now()
	dark, _, _ := sweepWorld(t, now)
	dark.Darken(errors.New("no route"))
	down, f, _ := sweepWorld(t, now)
	f.Fail(memory.Fault{Kind: memory.Down})
	good, g, door := sweepWorld(t, now)
	swept, err := fleet.Sweep(t.Context(), []provider.Provider{dark, down, good}, func() access.Reading {
		return access.Reading{Wall: now.Add(100 * time.Hour)}
	}, false)
	if err == nil {
		t.Error("an inventory that cannot be read is no error")
	}
	failed, closed := 0, 0
	for _, s := range swept {
		if s.Err != nil {
			failed++
		}
		closed += len(s.Closed)
	}
	if failed == 0 || closed < 2 || admits(g, door) != "192.0.2.1" {
		t.Errorf("%d failed, %d closed, the good one lets in %s", failed, closed, admits(g, door))
	}
}

// A forgetful provider compiles no close of one source.
type forgetful struct {
	*memory.World
	source string
}

func (p forgetful) Compile(s provider.Snapshot, want firewall.Wants, displaced []plan.Change) (plan.Plan, error) {
	whole, err := p.World.Compile(s, want, displaced)
	whole.Changes = slices.DeleteFunc(whole.Changes, func(c plan.Change) bool { return c.Opening.From.Addr().String() == p.source })
	return whole, err
}

// What a dry run lists is what a real run then closes, and what neither closes is
// said by both.
func TestSweepListsWhatItCloses(t *testing.T) {
	now := time.Now()
	w, f, door := sweepWorld(t, now)
	sweep := func(dry bool) string {
		swept, err := fleet.Sweep(t.Context(), []provider.Provider{forgetful{World: w, source: "198.51.100.1"}}, func() access.Reading {
			return access.Reading{Wall: now.Add(100 * time.Hour)}
		}, dry)
		if err != nil || len(swept) != 1 || swept[0].Err != nil {
			t.Fatalf("swept %+v, %v", swept, err)
		}
		var lines []string
		for _, c := range swept[0].Closed {
			lines = append(lines, "closed "+c.Opening.From.String())
		}
		for _, k := range swept[0].Stuck {
			lines = append(lines, "stuck "+k.From.String())
		}
		return strings.Join(lines, ", ")
	}
	const want = "closed 198.51.100.2/32, stuck 198.51.100.1/32"
	if got := sweep(true); got != want {
		t.Errorf("a dry run: %s", got)
	}
	if !f.Admits(door, netip.MustParseAddr("198.51.100.2")) {
		t.Fatal("a dry run closes")
	}
	if got := sweep(false); got != want {
		t.Errorf("a real run: %s", got)
	}
}

func TestSweepSaysWhereThereIsNothingOfOurs(t *testing.T) {
	now := time.Now()
	w, f, _ := sweepWorld(t, now)
	for _, bare := range []bool{false, true} {
		swept, err := fleet.Sweep(t.Context(), []provider.Provider{w}, func() access.Reading { return access.Reading{Wall: now} }, true)
		if err != nil || len(swept) != 1 || (len(swept[0].Left) == 1 && strings.Contains(swept[0].Left[0], "nothing of ours")) != bare {
			t.Errorf("bare %v: swept %+v, %v", bare, swept, err)
		}
		f.FlushOwned()
	}
}
