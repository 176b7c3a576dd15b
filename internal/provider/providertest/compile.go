package providertest

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
)

func samePlan(a, b plan.Plan) string {
	return cmp.Diff(a, b, cmpopts.EquateComparable(netip.Prefix{}), cmpopts.EquateEmpty())
}

// busy is a want with something of everything.
func (b *bench) busy() firewall.Wants {
	return wants(
		locked(b.Doors[0], b.opening(alice, "g-1"), b.opening(team, "g-2"), b.opening(six, "g-3"), exempt(office)),
		locked(b.Doors[1], b.opening(bob, "g-4"), b.opening(sixes, "g-5"), exempt(team)),
	)
}

func testDeterminism(b *bench) {
	want := b.busy()
	turned := slices.Clone(want)
	slices.Reverse(turned)
	for i := range turned {
		turned[i].Open = slices.Clone(turned[i].Open)
		slices.Reverse(turned[i].Open)
	}
	compare := func(want, turned firewall.Wants) {
		s := b.observe()
		keptWant, keptTurned := clone(want), clone(turned)
		first := b.compile(s, want)
		for range 20 { // maps start elsewhere each time
			if diff := samePlan(first, b.compile(s, want)); diff != "" {
				b.Fatalf("the same arguments, another plan:\n%s", diff)
			}
			if diff := samePlan(first, b.compile(b.observe(), turned)); diff != "" {
				b.Fatalf("the order of the wants changes the plan:\n%s", diff)
			}
		}
		slices.Reverse(b.displaced)
		if diff := samePlan(first, b.compile(s, want)); diff != "" {
			b.Fatalf("the order of the displaced rules changes the plan:\n%s", diff)
		}
		equal := cmpopts.EquateComparable(netip.Prefix{})
		if diff := cmp.Diff(keptWant, want, equal) + cmp.Diff(keptTurned, turned, equal); diff != "" {
			b.Fatalf("compiling changes its arguments:\n%s", diff)
		}
	}
	compare(want, turned)
	b.show(want)
	compare(wants(want[0]), firewall.Wants{turned[1]})
	compare(nil, firewall.Wants{})
	if p := b.compile(b.observe(), turned); !p.Empty() {
		b.Errorf("another order of the same wants is a change:\n%v", p)
	}
}

func clone(ws firewall.Wants) firewall.Wants {
	out := slices.Clone(ws)
	for i := range out {
		out[i].Open = slices.Clone(out[i].Open)
	}
	return out
}

func testImpossible(b *bench) {
	d, o := b.Doors[0], b.opening(alice, "g-1")
	mixed := o
	mixed.Grants = firewall.HoldersOf("g-2")
	unmasked, invalid := o, o
	unmasked.From = netip.MustParsePrefix("203.0.113.7/24")
	invalid.From = netip.Prefix{}
	for name, want := range map[string]firewall.Wants{
		"a door twice":     {locked(d), locked(d, o)},
		"a source twice":   {locked(d, o, mixed)},
		"host bits":        {locked(d, unmasked)},
		"no source at all": {locked(d, invalid)},
	} {
		if p, err := b.Provider.Compile(b.observe(), want, nil); err == nil {
			b.Errorf("%s: no error, and the plan\n%v", name, p)
		}
	}
	if _, err := b.Provider.Compile(provider.Snapshot{Firewall: b.Firewall}, wants(locked(d)), nil); err == nil {
		b.Error("a snapshot that nobody read: no error")
	}
}

func testTwice(b *bench) {
	want := b.busy()
	s := b.observe()
	p := b.compile(s, want)
	if err := b.apply(s, p); err != nil {
		b.Fatal(err)
	}
	s.Version = b.observe().Version
	if err := b.apply(s, p); err != nil {
		b.Errorf("writing what is there: %v", err)
	}
	b.settled(p, want)
	s = b.observe()
	p = b.compile(s, nil)
	for range 2 {
		s.Version = b.observe().Version
		if err := b.apply(s, p); err != nil {
			b.Errorf("deleting: %v", err)
		}
	}
	b.restored(p)
	b.settled(p, nil)
}

func testLate(b *bench) {
	b.show(wants(locked(b.Doors[0])))
	o := b.opening(alice, "g-1")
	o.Until = b.until(time.Second)
	s := b.observe()
	p := b.compile(s, wants(locked(b.Doors[0], o)))
	b.Wait(1100 * time.Millisecond)
	if err := b.apply(s, p); err != nil {
		b.Errorf("apply: %v", err)
	}
	b.exactly(wants(locked(b.Doors[0])))
}

func testShortenLate(b *bench) {
	o := b.opening(alice, "g-1")
	b.show(wants(locked(b.Doors[0], o)))
	o.Until = b.until(time.Second)
	s := b.observe()
	p := b.compile(s, wants(locked(b.Doors[0], o)))
	b.Wait(1100 * time.Millisecond)
	if err := b.apply(s, p); err != nil {
		b.Errorf("apply: %v", err)
	}
	// The longer opening must not outlive the write that was to shorten it.
	b.exactly(wants(locked(b.Doors[0])))
}

func testClosesItself(b *bench) {
	const life = 2 * time.Second
	o, stays := b.opening(alice, "g-1"), b.opening(six, "g-2")
	o.Until = b.until(life)
	b.show(wants(locked(b.Doors[0], o, stays)))
	for _, x := range b.observe().Owned {
		if x.Opening == o && x.Closes.Sub(o.Until).Abs() > time.Second {
			b.Errorf("it closes at %v, not at %v", x.Closes, o.Until)
		}
	}
	b.Wait(o.Until.Sub(b.Now()) + 50*time.Millisecond)
	b.exactly(wants(locked(b.Doors[0], stays)))
}

func testConflict(b *bench) {
	b.show(wants(locked(b.Doors[0])))
	s := b.observe()
	p := b.compile(s, b.busy())
	b.Tamper.Touch()
	b.Wait(b.Settle)
	before, owned := b.foreign(), b.observe().Owned
	if err := b.apply(s, p); !errors.Is(err, provider.ErrConflict) {
		b.Errorf("apply on a stale version: %v, want ErrConflict", err)
	}
	if diff := cmp.Diff(owned, b.observe().Owned, cmpopts.EquateComparable(netip.Prefix{})); diff != "" || b.foreign() != before {
		b.Errorf("a conflict changes something:\n%s", diff)
	}
	b.show(b.busy())
}

func testPartial(b *bench) {
	want := b.busy()
	b.show(want)
	key := firewall.Key{Door: b.Doors[0], From: netip.MustParsePrefix(alice)}
	other := firewall.Key{Door: b.Doors[0], From: netip.MustParsePrefix(bob)}
	s, err := b.Provider.Observe(b.Context(), b.Firewall, []firewall.Key{other, key})
	if err != nil {
		b.Fatalf("observe: %v", err)
	}
	if diff := cmp.Diff([]firewall.Key{key, other}, s.Only, cmpopts.EquateComparable(netip.Prefix{})); s.Only != nil && diff != "" {
		b.Errorf("the keys of the snapshot (-asked +answered):\n%s", diff)
	}
	// The one goes, the other comes; whatever else is said changes nothing.
	comes := b.opening(bob, "g-9")
	p := b.compile(s, wants(locked(b.Doors[0], comes, b.opening(sixes, "g-8"))))
	if s.Only != nil && len(p.Changes) != 2 {
		b.Errorf("a partial snapshot leads to other changes than its keys':\n%v", p)
	}
	if s.Only == nil {
		return // it answered in full, and may
	}
	if err := b.apply(s, p); err != nil {
		b.Fatal(err)
	}
	want[0].Open = append(slices.DeleteFunc(want[0].Open, func(o firewall.Opening) bool { return o.From == key.From }), comes)
	want.Sort()
	b.exactly(want)
	if p := b.compile(b.observe(), want); !p.Empty() {
		b.Errorf("a full plan after the partial one is not empty:\n%v", p)
	}
}

func testConcurrent(b *bench) {
	want := b.busy()
	s := b.observe()
	first := b.compile(s, want)
	for _, c := range first.Changes {
		if c.Op == plan.Displace {
			b.displaced = append(b.displaced, c)
		}
	}
	displaced := slices.Clone(b.displaced)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			for range 4 {
				s, err := b.Provider.Observe(b.Context(), b.Firewall, nil)
				if err != nil {
					b.Errorf("observe: %v", err)
					return
				}
				p, err := b.Provider.Compile(s, want, displaced)
				if err != nil {
					b.Errorf("compile: %v", err)
					return
				}
				// A write may lose against another: whoever looks again sees.
				if err := b.Provider.Apply(b.Context(), s, p); errors.Is(err, context.Canceled) {
					b.Errorf("apply: %v", err)
				}
				if _, err := b.Provider.Inventory(b.Context()); err != nil {
					b.Errorf("inventory: %v", err)
				}
				b.Provider.Limits(b.Firewall)
			}
		})
	}
	wg.Wait()
	b.Wait(b.Settle)
	b.converge(want)
}
