package memory_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/memory"
)

var alice = netip.MustParseAddr("203.0.113.7")

func TestKeyedTimers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, f := newFirewall(memory.Config{Dialect: memory.Keyed})
		until := time.Now().Add(time.Minute)
		shown(t, w, nil, lock(ssh, grant("g-1", until)))
		time.Sleep(time.Minute - time.Nanosecond)
		if !f.Admits(ssh, alice) {
			t.Error("closed too early")
		}
		time.Sleep(time.Nanosecond)
		if f.Admits(ssh, alice) {
			t.Error("open at its deadline")
		}
		if states := f.History(); !states[len(states)-1].At.Equal(until) {
			t.Errorf("closed at %v, not at %v", states[len(states)-1].At, until)
		}
	})
}

func TestKeyedClockIsItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, f := newFirewall(memory.Config{Dialect: memory.Keyed})
		f.Skew(20 * time.Second)
		until := time.Now().Add(time.Minute)
		shown(t, w, nil, lock(ssh, grant("g-1", until)))
		s, p := compiled(t, w, nil, lock(ssh, grant("g-1", until)))
		if off := time.Until(s.Clock); off != 20*time.Second || !p.Empty() {
			t.Errorf("the clock is off by %v; the plan\n%v", off, p)
		}
		f.Skew(time.Hour) // a timer that runs does not notice
		if time.Sleep(40*time.Second - time.Nanosecond); !f.Admits(ssh, alice) {
			t.Error("closed too early")
		}
		if time.Sleep(time.Nanosecond); f.Admits(ssh, alice) {
			t.Error("still open by its own clock")
		}
	})
}

func TestKeyedForeignDrop(t *testing.T) {
	w, f := newFirewall(memory.Config{Dialect: memory.Keyed})
	put(t, f, rule("their-accept", 0, firewall.Allow, 0, 0, 65535), rule("their-drop", 0, firewall.Deny, 0, 0, 65535, "203.0.113.0/24"))
	shown(t, w, nil, lock(ssh, grant("g-1", time.Now().Add(time.Hour))))
	if f.Admits(ssh, alice) || f.Admits(ssh, netip.MustParseAddr("198.51.100.1")) {
		t.Errorf("another table's accept opens, or its drop does not close:\n%v", f)
	}
	f.Obstruct(provider.Obstacle{Door: ssh, Blocks: true, Text: "table inet other drops it"})
	if s, _ := compiled(t, w, nil); len(s.Obstacles) != 1 {
		t.Errorf("obstacles: %v", s.Obstacles)
	}
}

func TestSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, f := newFirewall(memory.Config{Dialect: memory.Keyed})
		want := lock(ssh, grant("g-1", time.Now().Add(time.Minute)))
		shown(t, w, nil, want)
		if f.Connect(ssh, alice.Next()) != nil {
			t.Error("a stranger is connected")
		}
		session := f.Connect(ssh, alice)
		s, _ := compiled(t, w, nil)
		for _, o := range s.Owned {
			if o.Kind == provider.OwnedOpening && o.Uses != 1 {
				t.Errorf("the opening was used %d times", o.Uses)
			}
		}
		time.Sleep(time.Hour)
		if !session.Alive() || f.Admits(ssh, alice) {
			t.Error("the session ended with its opening, or the opening did not end")
		}
		want = lock(ssh, grant("g-2", time.Now().Add(time.Minute)))
		want.Cut = true
		shown(t, w, nil, want)
		if time.Sleep(59 * time.Second); !session.Alive() {
			t.Error("cut too early")
		}
		if time.Sleep(2 * time.Second); session.Alive() {
			t.Error("the lock does not cut")
		}
	})
}

// The calls of a fault that strikes once, and what is true after each.
func TestFaults(t *testing.T) {
	for _, c := range []struct {
		fault     memory.Fault
		err       bool
		now, then int // rules, of 2, at once and ten seconds later
	}{
		{memory.Fault{Kind: memory.Lost}, true, 0, 0},
		{memory.Fault{Kind: memory.Down}, true, 0, 0},
		{memory.Fault{Kind: memory.Partial}, true, 1, 1},
		{memory.Fault{Kind: memory.Ambiguous}, true, 2, 2},
		{memory.Fault{Kind: memory.Lying}, false, 0, 0},
		{memory.Fault{Kind: memory.Late, Delay: 5 * time.Second}, true, 0, 2},
		{memory.Fault{Kind: memory.Late, Delay: 5 * time.Second, Quiet: true}, false, 0, 2},
		{memory.Fault{Kind: memory.Refuse, Door: ssh}, true, 0, 0},
		{memory.Fault{Kind: memory.Refuse, Door: rdp}, false, 2, 2},
		{memory.Fault{Kind: memory.Stale}, false, 2, 2},
	} {
		for _, dialect := range []memory.Dialect{memory.Numbered, memory.Keyed} {
			synctest.Test(t, func(t *testing.T) {
				w, f := newFirewall(memory.Config{Dialect: dialect})
				s, p := compiled(t, w, nil, lock(ssh, grant("g-1", time.Now().Add(time.Hour))))
				c.fault.Times = 1
				f.Fail(c.fault)
				err := w.Apply(t.Context(), s, p)
				if (err != nil) != c.err || errors.Is(err, provider.ErrConflict) || errors.Is(err, provider.ErrRefused) != (c.err && c.fault.Kind == memory.Refuse) {
					t.Errorf("%v on %v: the call says %v", c.fault, dialect, err)
				}
				if n := len(f.State().Rules); n != c.now {
					t.Errorf("%v on %v: %d rules at once, want %d", c.fault, dialect, n, c.now)
				}
				time.Sleep(10 * time.Second)
				if n := len(f.State().Rules); n != c.then {
					t.Errorf("%v on %v: %d rules later, want %d", c.fault, dialect, n, c.then)
				}
			})
		}
	}
}

func TestLateWriteOnAnOldVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, f := newFirewall(memory.Config{Dialect: memory.Numbered})
		s, p := compiled(t, w, nil, lock(ssh))
		f.Fail(memory.Fault{Kind: memory.Late, Delay: time.Minute, Times: 1})
		if err := w.Apply(t.Context(), s, p); err == nil {
			t.Error("no error")
		}
		shown(t, w, nil, lock(rdp))
		time.Sleep(2 * time.Minute)
		prints(t, f, "4096 deny  host://web-1 3389/tcp from anybody  # ours: lock")
	})
}

func TestStaleAndDownReads(t *testing.T) {
	w, f := newFirewall(memory.Config{Dialect: memory.Keyed})
	f.Fail(memory.Fault{Kind: memory.Stale})
	shown(t, w, nil, lock(ssh))
	if s, _ := compiled(t, w, nil); len(s.Owned) > 0 {
		t.Error("a stale read shows the present")
	}
	f.Mend()
	f.Fail(memory.Fault{Kind: memory.Down, Times: 1})
	if _, err := w.Observe(t.Context(), fw, nil); err == nil {
		t.Error("a firewall that is down answers")
	}
	if s, _ := compiled(t, w, nil); len(s.Owned) != 1 {
		t.Errorf("after one call it is not up again: %v", s.Owned)
	}
}

// A packet passes two firewalls; each is compiled alone, both must let it in,
// and the joint verdict knows.
func TestStackedFirewalls(t *testing.T) {
	w := memory.NewWorld(keys)
	subnet, nic := w.Add(memory.Config{ID: "subnet", Dialect: memory.Numbered}), w.Add(memory.Config{ID: "nic", Dialect: memory.Union})
	hops := []inventory.Hop{{Firewall: "subnet"}, {Firewall: "nic"}}
	w.AddVM(inventory.VM{ID: web1, Name: "web-1", Paths: []inventory.Path{{Name: "direct", Hops: hops}}})
	put(t, nic, rule("all", 0, firewall.Allow, firewall.TCP, 0, 65535, "0.0.0.0/0"))
	put(t, subnet, rule("all", 4000, firewall.Allow, 0, 0, 65535))
	vms, err := w.Inventory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := firewall.Wants{lock(ssh, grant("g-1", tomorrow))}
	observed := map[firewall.ID]firewall.Layer{}
	plans, snapshots := map[firewall.ID]plan.Plan{}, map[firewall.ID]provider.Snapshot{}
	joint := map[firewall.ID]firewall.Layer{}
	for fw, routed := range plan.Route(want, vms) {
		s, err := w.Observe(t.Context(), fw, nil)
		if err != nil {
			t.Fatal(err)
		}
		p, err := w.Compile(s, routed, nil)
		if err != nil {
			t.Fatal(err)
		}
		observed[fw], joint[fw], plans[fw], snapshots[fw] = s.Layer, p.After, p, s
	}
	if len(plans) != 2 {
		t.Fatalf("plans for %d firewalls", len(plans))
	}
	for fw, p := range plans {
		if no := plan.Verify(plan.Case{Plan: p, Want: want, VMs: vms, Observed: observed, Joint: joint}); len(no) > 0 {
			t.Errorf("%s: %v\n%v", fw, no, p)
		}
		if err := w.Apply(t.Context(), snapshots[fw], p); err != nil {
			t.Fatal(err)
		}
	}
	if !w.Admits(ssh, alice) || w.Admits(ssh, alice.Next()) || !w.Admits(rdp, alice.Next()) {
		t.Errorf("not what was wanted:\n%v", w)
	}
	nic.Flush()
	if w.Admits(ssh, alice) {
		t.Error("one closed firewall of two lets a packet through")
	}
}

func TestTwoInstallations(t *testing.T) {
	other := firewall.Keyring{Instance: "staging", Keys: []firewall.MarkKey{{ID: "s", Secret: []byte("the secret of another installation")}}}
	for _, dialect := range []memory.Dialect{memory.Numbered, memory.Union} {
		w, f := newFirewall(memory.Config{Dialect: dialect})
		staging := w.As(other)
		shown(t, w, nil, lock(ssh, grant("g-1", tomorrow)))
		shown(t, staging, nil, lock(ssh2, grant("g-1", tomorrow)))
		for _, p := range []plan.Plan{
			second(t, w, lock(ssh, grant("g-1", tomorrow))), second(t, staging, lock(ssh2, grant("g-1", tomorrow))),
		} {
			if !p.Empty() {
				t.Errorf("%v: one installation sees something to do for the other:\n%v", dialect, p)
			}
		}
		shown(t, w, nil)
		if !f.Admits(ssh2, alice) || f.Admits(ssh, alice) || len(f.State().Rules) != 2 {
			t.Errorf("%v: disabling here touches what is theirs:\n%v", dialect, f)
		}
	}
}

func second(t *testing.T, p provider.Provider, want ...firewall.Want) plan.Plan {
	t.Helper()
	_, pl := compiled(t, p, nil, want...)
	return pl
}

func TestKeysRotate(t *testing.T) {
	w, _ := newFirewall(memory.Config{Dialect: memory.Numbered})
	want := lock(ssh, grant("g-1", tomorrow))
	shown(t, w, nil, want)
	newer := firewall.MarkKey{ID: "b", Secret: []byte("the next secret, of 32 bytes too")}
	rotated := w.As(firewall.Keyring{Instance: keys.Instance, Keys: []firewall.MarkKey{newer, keys.Keys[0]}})
	if _, p := compiled(t, rotated, nil, want); !p.Empty() {
		t.Errorf("a new key makes old marks wrong:\n%v", p)
	}
	dropped := w.As(firewall.Keyring{Instance: keys.Instance, Keys: []firewall.MarkKey{newer}})
	if s, p := compiled(t, dropped, nil, want); len(p.Changes) != 1 || s.Owned[1].Mark != firewall.MarkBroken {
		t.Errorf("a mark of a key that is gone is believed: %v\n%v", s.Owned, p)
	}
}

func TestInventory(t *testing.T) {
	w, _ := newFirewall(memory.Config{Dialect: memory.Keyed})
	w.AddVM(inventory.VM{ID: firewall.HostVM("a"), Name: "a", Missing: []string{"its network card could not be read"}})
	vms, err := w.Inventory(t.Context())
	if err != nil || len(vms) != 3 || vms[0].Missing == nil {
		t.Errorf("inventory: %v, %v", vms, err)
	}
	vms[1].Paths[0].Hops[0].Firewall = "changed"
	if again, _ := w.Inventory(t.Context()); again[1].Paths[0].Hops[0].Firewall != fw {
		t.Error("the inventory can be changed from outside")
	}
	w.Darken(errors.New("no answer"))
	if _, err := w.Inventory(t.Context()); err == nil || !strings.Contains(err.Error(), "no answer") {
		t.Errorf("a dark inventory: %v", err)
	}
	if _, err := w.Observe(t.Context(), "nowhere", nil); err == nil {
		t.Error("a firewall that is not there was read")
	}
}

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, f := newFirewall(memory.Config{Dialect: memory.Keyed})
		ctx, cancel := context.WithCancel(t.Context())
		woken := 0
		done := make(chan error)
		go func() { done <- w.Watch(ctx, func(firewall.ID, string) { woken++ }) }()
		synctest.Wait()
		shown(t, w, nil, lock(ssh))
		if synctest.Wait(); woken > 0 {
			t.Error("its own writes wake it")
		}
		f.FlushOwned()
		if synctest.Wait(); woken != 1 {
			t.Errorf("woken %d times", woken)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Watch ends with %v", err)
		}
	})
}

func TestItSaysThatItIsASimulator(t *testing.T) {
	w, f := newFirewall(memory.Config{Dialect: memory.Keyed})
	shown(t, w, nil, lock(ssh, exempt("192.0.2.0/24")))
	const want = `simulated keyed firewall fw (nothing real is protected)
  deny  host://web-1 22/tcp from anybody  # ours: lock
  allow host://web-1 22/tcp from 192.0.2.0/24  # ours: exempt
`
	if f.String() != want || w.String() != want {
		t.Errorf("it prints\n%s", f)
	}
}
