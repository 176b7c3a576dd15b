package providertest

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
)

// find returns the rule of ours that the test is about.
func (b *bench) find(what string, is func(provider.Owned) bool) provider.Owned {
	b.Helper()
	owned := b.observe().Owned
	i := slices.IndexFunc(owned, is)
	if i < 0 {
		b.Fatalf("no %s among %v", what, owned)
	}
	return owned[i]
}

// openingOf returns the opening of ours for a source at the first door.
func (b *bench) openingOf(from string) provider.Owned {
	b.Helper()
	return b.find("opening for "+from, func(o provider.Owned) bool {
		return o.Kind == provider.OwnedOpening && o.Door == b.Doors[0] && o.Opening.From == netip.MustParsePrefix(from)
	})
}

// repaired checks that one plan puts everything right, and nothing else is touched.
func (b *bench) repaired(want firewall.Wants) plan.Plan {
	b.Helper()
	b.Wait(b.Settle)
	p := b.compile(b.observe(), want)
	if p.Empty() {
		b.Fatal("the plan does not repair anything")
	}
	return b.show(want)
}

func testMissing(b *bench) {
	want := b.busy()
	b.show(want)
	for _, from := range []string{alice, six, office} {
		b.Tamper.Remove(b.openingOf(from))
		if p := b.repaired(want); len(p.Changes) != 1 || p.Changes[0].Op != plan.Open {
			b.Errorf("the repair is more than one opening:\n%v", p)
		}
	}
}

func testMissingLock(b *bench) {
	want := b.busy()
	b.show(want)
	b.Tamper.Remove(b.find("lock", func(o provider.Owned) bool {
		return o.Kind == provider.OwnedLock && o.Door == b.Doors[0]
	}))
	if p := b.repaired(want); !p.Has(plan.Lock) || p.Has(plan.Close) {
		b.Errorf("the repair is something else than a lock:\n%v", p)
	}
}

func testGone(b *bench) {
	want := b.busy()
	b.show(want)
	less := wants(locked(b.Doors[0], want[0].Open[1:]...), want[1])
	s := b.observe()
	p := b.compile(s, less)
	for _, o := range s.Owned {
		if o.Kind == provider.OwnedOpening && o.Door == b.Doors[0] && o.Opening == want[0].Open[0] {
			b.Tamper.Remove(o)
		}
	}
	b.Wait(b.Settle)
	// What a conflict would stop is tried at the version that stands.
	s.Version = b.observe().Version
	if err := b.apply(s, p); err != nil {
		b.Errorf("deleting what is gone: %v", err)
	}
	b.exactly(less)
}

func testFlushed(b *bench) {
	want := b.busy()
	b.show(want)
	b.Tamper.Flush()
	b.Wait(b.Settle)
	b.show(want)
	b.Tamper.Flush()
	b.Wait(b.Settle)
	b.show(nil)
}

func testWidened(b *bench) {
	want := b.busy()
	b.show(want)
	b.Tamper.Widen(b.openingOf(alice))
	b.Wait(b.Settle)
	if s := b.observe(); !slices.ContainsFunc(s.Owned, func(o provider.Owned) bool { return o.Mark == firewall.MarkBroken && o.Wrong != "" }) {
		b.Errorf("nothing is reported to be wrong: %v", s.Owned)
	}
	// What narrows is a close: no verdict and no failing opening may hold it.
	if p := b.repaired(want); !p.Has(plan.Close) {
		b.Errorf("the repair does not close anything:\n%v", p)
	}
	b.Tamper.Widen(b.openingOf(team))
	b.Wait(b.Settle)
	b.show(wants(locked(b.Doors[0]), locked(b.Doors[1])))
}

func testCopied(b *bench) {
	want := wants(locked(b.Doors[0], b.opening(alice, "g-1")), locked(b.Doors[1]))
	b.show(want)
	for _, to := range []firewall.Key{
		{Door: b.Doors[0], From: netip.MustParsePrefix(bob)},
		{Door: b.Doors[1], From: netip.MustParsePrefix(alice)},
	} {
		b.Tamper.Copy(b.openingOf(alice), to)
		b.Wait(b.Settle)
		copied := b.find("copy", func(o provider.Owned) bool { return o.Door == to.Door && o.Opening.From == to.From })
		if copied.Mark != firewall.MarkBroken {
			b.Errorf("the mark of a copy at %v is %v", to, copied.Mark)
		}
		if _, ok := b.observe().Shown().Of(to.Door); !ok {
			b.Errorf("%v is not shown", to.Door)
		}
		b.repaired(want)
	}
}

func testStranger(b *bench) {
	keys := firewall.Keyring{Instance: "other", Keys: []firewall.MarkKey{{ID: "z", Secret: []byte("another secret of 32 bytes length")}}}
	// Theirs is at a door that is ours too, which is worse than it should be.
	key := firewall.Key{Door: b.Doors[1], From: netip.MustParsePrefix(bob)}
	there := b.Tamper.Stranger(keys, key, b.until(time.Hour))
	b.Wait(b.Settle)
	if !there() {
		b.Fatal("the stranger's rule is not there")
	}
	for _, x := range b.probes() {
		b.baseline[x] = b.Admits(x.to, x.from)
	}
	pass := func(want firewall.Wants) {
		s := b.observe()
		for _, o := range s.Owned {
			if o.Door == key.Door && o.Opening.From == key.From && o.Mark != firewall.MarkForeign {
				b.Errorf("the stranger's mark is %v", o.Mark)
			}
		}
		if err := b.apply(s, b.compile(s, want)); err != nil {
			b.Errorf("apply: %v", err)
		}
		if !there() {
			b.Error("the stranger's rule was touched")
		}
	}
	pass(wants(locked(b.Doors[0], b.opening(alice, "g-1"))))
	pass(wants(locked(b.Doors[0], b.opening(alice, "g-1")), locked(b.Doors[1], b.opening(alice, "g-2"))))
	pass(wants(locked(b.Doors[0]), locked(b.Doors[1])))
	pass(nil)
}

func testProlonged(b *bench) {
	o := b.opening(alice, "g-1")
	o.Until = b.until(time.Minute)
	want := wants(locked(b.Doors[0], o))
	b.show(want)
	b.Tamper.Prolong(b.openingOf(alice), 10*time.Minute)
	if p := b.repaired(want); p.Has(plan.Open) {
		b.Errorf("shortening a timer opens:\n%v", p)
	}
	if x := b.openingOf(alice); x.Closes.Sub(o.Until).Abs() > time.Second {
		b.Errorf("it closes at %v, not at %v", x.Closes, o.Until)
	}
}

func testCrowded(b *bench) {
	alone := wants(locked(b.Doors[0], b.opening(alice, "g-1")))
	b.show(alone)
	b.Crowd(1)
	b.Wait(b.Settle)
	more := wants(locked(b.Doors[0], b.opening(alice, "g-1"), b.opening(bob, "g-2"), b.opening(team, "g-3"), b.opening(six, "g-4")))
	s := b.observe()
	p := b.compile(s, more)
	if len(p.Refused) != 2 {
		b.Errorf("%d of 3 openings are refused for the one room:\n%v", len(p.Refused), p)
	}
	for _, r := range p.Refused {
		if r.Door != b.Doors[0] || !r.From.IsValid() || r.Why == "" {
			b.Errorf("the refusal does not say what and why: %+v", r)
		}
	}
	if err := b.apply(s, p); err != nil {
		b.Errorf("the rest of the plan does not stand: %v", err)
	}
	if again := b.compile(b.observe(), more); !again.Empty() || len(again.Refused) != 2 {
		b.Errorf("looking again changes the verdict:\n%v", again)
	}
	if b.Admits(b.Doors[0], netip.MustParsePrefix(six).Addr().Next()) || !b.Admits(b.Doors[0], netip.MustParsePrefix(alice).Addr()) {
		b.Error("a full firewall admits somebody else")
	}
	b.show(wants(locked(b.Doors[0], b.opening(alice, "g-1"))))
	b.show(wants(locked(b.Doors[0])))
}

func testWatch(b *bench) {
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	woken, done := make(chan firewall.ID, 16), make(chan struct{})
	go func() {
		defer close(done)
		_ = b.Provider.(provider.Watcher).Watch(ctx, func(id firewall.ID, _ string) {
			select {
			case woken <- id:
			default:
			}
		})
	}()
	timer := time.NewTimer(10 * time.Second)
	defer timer.Stop()
	b.Wait(100 * time.Millisecond) // until it watches
	b.Tamper.Touch()
	select {
	case id := <-woken:
		if id != b.Firewall {
			b.Errorf("%s is reported, not %s", id, b.Firewall)
		}
	case <-timer.C:
		b.Error("nothing is reported")
	}
	cancel()
	<-done
}

func testFaults(b *bench) {
	full, less := b.busy(), wants(locked(b.Doors[0], b.opening(alice, "g-1")), locked(b.Doors[1]))
	for _, f := range b.Faults {
		for _, want := range []firewall.Wants{full, less, nil} {
			b.faulty(f, want)
		}
	}
}

// faulty makes one pass in which f strikes, and then passes until want is shown.
func (b *bench) faulty(f Fault, want firewall.Wants) {
	b.Helper()
	before := b.admitted()
	if b.History != nil {
		b.History()
	}
	s, err := b.Provider.Observe(b.Context(), b.Firewall, nil)
	if err == nil {
		p := b.compile(s, want)
		f.Set()
		_ = b.apply(s, p) // whatever it says, only looking tells
		if s, err := b.Provider.Observe(b.Context(), b.Firewall, nil); err == nil {
			_ = b.apply(s, b.compile(s, want)) // on whatever the fault lets it see
		}
	}
	f.Mend()
	b.Wait(b.Settle)
	b.converge(want)
	if !f.Lies {
		b.safe(before, plan.Plan{Firewall: b.Firewall})
	}
	if b.Failed() {
		b.Fatalf("that was %s", f.Name)
	}
}
