// Package providertest is the conformance suite of the provider contract: a
// provider is done when [Run] passes on it.
//
// The suite drives one firewall through the contract's guarantees: it locks,
// opens, extends, shortens, closes and gives back; it breaks, fills and tampers
// where the fixture knows how to; and after every write it compares three
// answers that are computed apart from each other: what the plan said would be,
// what the reach engine makes of the layer that is read back, and what happens
// to a packet. What a fixture cannot do is skipped, with the reason; what a
// firewall's limits rule out does not apply, and is said.
//
// Packets come from the documentation ranges 192.0.2.0/24, 198.51.100.0/24,
// 203.0.113.0/24 and 2001:db8::/32; the VM must be reachable from there but for
// the firewall.
package providertest

import (
	"net/netip"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider"
)

// A Fixture is one firewall, fresh for each case, with nothing of ours on it.
// The fields up to Wait are needed; a case that needs a missing one of the
// others is skipped, unless Never says why there can be none.
type Fixture struct {
	Provider provider.Provider
	Firewall firewall.ID
	// Doors are two TCP doors of one VM behind the firewall, with ports that are
	// not neighbours. Foreign rules may let anybody in there, and should.
	Doors [2]firewall.Door
	// Keys are the keys that the provider marks with.
	Keys firewall.Keyring
	// Admits sends a packet that would start a connection, and reports whether
	// this firewall lets it through. It must not ask the reach engine.
	Admits func(to firewall.Door, from netip.Addr) bool
	Now    func() time.Time
	Wait   func(time.Duration)

	// Settle is how long after a write a read may still show the state before.
	Settle time.Duration
	// Sibling is the first door's port at another VM behind the same firewall.
	Sibling firewall.Door
	// History returns the packet test of every state since it was last called.
	History func() []func(to firewall.Door, from netip.Addr) bool
	// Foreign returns the foreign rules, byte for byte.
	Foreign func() string
	// Connect starts a connection and returns whether it still stands.
	Connect func(to firewall.Door, from netip.Addr) (alive func() bool)
	// Crowd adds foreign rules that concern none of the doors until there is room
	// for only so many rules more.
	Crowd func(left int)
	// Faults are the ways in which calls can fail.
	Faults []Fault
	Tamper Tamper
	// Never says, by the name of a missing field, why this kind of firewall can
	// have none: the cases that need it do not apply.
	Never map[string]string
}

// A Fault is a way in which the firewall's calls go wrong, from Set to Mend.
type Fault struct {
	Name      string
	Set, Mend func()
	// Lies says that a write is acknowledged before it is made, if it ever is: the
	// order of the writes is lost, and with it the safety in between.
	Lies bool
}

// A Tamper does to a firewall what people do in its console.
type Tamper struct {
	// Flush deletes everything of ours.
	Flush func()
	// Remove deletes one rule of ours.
	Remove func(provider.Owned)
	// Widen makes an opening of ours let everybody in to every port of the VM.
	Widen func(provider.Owned)
	// Copy adds a second opening like one of ours, with its mark, at another key.
	Copy func(o provider.Owned, to firewall.Key)
	// Stranger adds an opening as another installation would, with the given
	// keys; it returns a test for whether that is still there, unchanged.
	Stranger func(keys firewall.Keyring, at firewall.Key, until time.Time) (there func() bool)
	// Prolong makes the firewall end an opening of ours later by itself.
	Prolong func(o provider.Owned, by time.Duration)
	// Touch changes the firewall in a way that concerns none of the doors.
	Touch func()
}

// A test is one case of the suite.
type test struct {
	name string
	// lacks says why the case cannot be run, or does not apply.
	lacks func(Fixture, provider.Limits) (missing, ruledOut string)
	run   func(*bench)
}

// Run runs every case, each in a subtest with a fixture of its own. The cases
// run within around, if one is given, such as [testing/synctest.Test].
func Run(t *testing.T, open func(t *testing.T) Fixture, around ...func(*testing.T, func(*testing.T))) {
	t.Helper()
	for _, c := range tests() {
		t.Run(c.name, func(t *testing.T) {
			body := func(t *testing.T) {
				t.Helper()
				f := open(t)
				if c.lacks != nil {
					missing, ruledOut := c.lacks(f, f.Provider.Limits(f.Firewall))
					if why, never := f.Never[missing]; never {
						ruledOut = why
					}
					if ruledOut != "" {
						t.Logf("does not apply: %s", ruledOut)
						return
					}
					if missing != "" {
						t.Skipf("the fixture has no %s", missing)
					}
				}
				c.run(newBench(t, f))
			}
			for _, a := range around {
				inner := body
				body = func(t *testing.T) { t.Helper(); a(t, inner) }
			}
			body(t)
		})
	}
}

// needs makes the test for a missing field of the fixture.
func needs(what string, has func(Fixture) bool) func(Fixture, provider.Limits) (missing, ruledOut string) {
	return func(f Fixture, _ provider.Limits) (string, string) {
		if !has(f) {
			return what, ""
		}
		return "", ""
	}
}

// tests lists the cases, simple ones first.
func tests() []test {
	flush := needs("Tamper.Flush", func(f Fixture) bool { return f.Tamper.Flush != nil })
	remove := needs("Tamper.Remove", func(f Fixture) bool { return f.Tamper.Remove != nil })
	return []test{
		{"inventory names the VMs", nil, testInventory},
		{"an empty want changes nothing", nil, testNothing},
		{"a lock closes to everybody", nil, testLock},
		{"exempt sources come through a lock", nil, testExempt},
		{"an opening admits exactly its source", nil, testExact},
		{"other machines are not concerned", needs("Sibling", func(f Fixture) bool { return f.Sibling.VM != "" }), testSibling},
		{"an opening ends alone", nil, testClose},
		{"overlapping openings are counted", nil, testCounted},
		{"an opening is extended and shortened in place", nil, testExtend},
		{"disabling gives back exactly what was", nil, testGiveBack},
		{"one door is given back, the other stays locked", nil, testGiveBackOne},
		{"the locks of a lost book are given back", nil, testLostBook},
		{"plans do not depend on order", nil, testDeterminism},
		{"impossible wants are errors", nil, testImpossible},
		{"what is done already succeeds", nil, testTwice},
		{"nothing is opened past its deadline", nil, testLate},
		{"an opening is shortened past its deadline", nil, testShortenLate},
		{"openings end by themselves", ruled("it does not close by itself", func(l provider.Limits) bool { return l.Closes }), testClosesItself},
		{"an established connection stays, or is cut", needs("Connect", func(f Fixture) bool { return f.Connect != nil }), testConnections},
		{"a version that is stale changes nothing", conditional, testConflict},
		{"a partial snapshot concerns its keys only", ruled("it is not keyed", func(l provider.Limits) bool { return l.Keyed }), testPartial},
		{"a context that is done stops everything", nil, testContext},
		{"everything may be called at once", nil, testConcurrent},
		{"an opening that is missing comes back", remove, testMissing},
		{"a lock that is missing comes back", remove, testMissingLock},
		{"deleting what is gone succeeds", remove, testGone},
		{"everything that is flushed comes back", flush, testFlushed},
		{"an opening that was widened is narrowed", needs("Tamper.Widen", func(f Fixture) bool { return f.Tamper.Widen != nil }), testWidened},
		{"a mark that was copied is broken", needs("Tamper.Copy", func(f Fixture) bool { return f.Tamper.Copy != nil }), testCopied},
		{"another installation's rules are left alone", needs("Tamper.Stranger", func(f Fixture) bool { return f.Tamper.Stranger != nil }), testStranger},
		{"a timer that was prolonged is set right", prolongs, testProlonged},
		{"no room refuses openings and never a close", needs("Crowd", func(f Fixture) bool { return f.Crowd != nil }), testCrowded},
		{"changes by hand are noticed", watches, testWatch},
		{"every fault heals", needs("Faults", func(f Fixture) bool { return len(f.Faults) > 0 }), testFaults},
		{"random wants are shown exactly", nil, testWalk},
	}
}

// ruled makes the test for something that a firewall's limits rule out.
func ruled(out string, can func(provider.Limits) bool) func(Fixture, provider.Limits) (missing, ruledOut string) {
	return func(_ Fixture, l provider.Limits) (string, string) {
		if !can(l) {
			return "", out
		}
		return "", ""
	}
}

func conditional(f Fixture, l provider.Limits) (missing, ruledOut string) {
	switch {
	case !l.Conditional:
		return "", "its writes are not conditional"
	case f.Tamper.Touch == nil:
		return "Tamper.Touch", ""
	}
	return "", ""
}

func prolongs(f Fixture, l provider.Limits) (missing, ruledOut string) {
	switch {
	case !l.Closes:
		return "", "it does not close by itself"
	case f.Tamper.Prolong == nil:
		return "Tamper.Prolong", ""
	}
	return "", ""
}

func watches(f Fixture, _ provider.Limits) (missing, ruledOut string) {
	if _, ok := f.Provider.(provider.Watcher); !ok {
		return "", "the provider is no Watcher"
	}
	if f.Tamper.Touch == nil {
		return "Tamper.Touch", ""
	}
	return "", ""
}
