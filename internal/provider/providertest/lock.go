package providertest

import (
	"context"
	"slices"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
)

func testInventory(b *bench) {
	vms, err := b.Provider.Inventory(b.Context())
	if err != nil {
		b.Fatalf("inventory: %v", err)
	}
	if !slices.IsSortedFunc(vms, func(x, y inventory.VM) int { return slices.Compare([]byte(x.ID), []byte(y.ID)) }) {
		b.Errorf("the inventory is not sorted: %v", vms)
	}
	for _, d := range []firewall.Door{b.Doors[0], b.Doors[1], b.Sibling} {
		i := slices.IndexFunc(vms, func(v inventory.VM) bool { return v.ID == d.VM })
		switch {
		case d.VM == "":
		case i < 0:
			b.Errorf("the inventory lacks %s", d.VM)
		case !slices.Contains(vms[i].Firewalls(), b.Firewall):
			b.Errorf("%s is not behind %s: %v", d.VM, b.Firewall, vms[i].Paths)
		}
	}
}

func testNothing(b *bench) {
	if p := b.show(nil); !p.Empty() {
		b.Errorf("the plan is not empty:\n%v", p)
	}
	if s := b.observe(); len(s.Owned) > 0 || len(s.Shown()) > 0 {
		b.Errorf("something of ours is there: %v", s.Owned)
	}
}

func testLock(b *bench) {
	p := b.show(wants(locked(b.Doors[0])))
	if !p.Has(plan.Lock) {
		b.Errorf("no lock in\n%v", p)
	}
	b.show(wants(locked(b.Doors[0]), locked(b.Doors[1])))
}

func testExempt(b *bench) {
	b.show(wants(locked(b.Doors[0], exempt(office))))
	b.show(wants(locked(b.Doors[0], exempt(office), exempt(sixes)), locked(b.Doors[1], exempt(team))))
	b.show(wants(locked(b.Doors[0], exempt(sixes)), locked(b.Doors[1], exempt(team))))
}

func testExact(b *bench) {
	for _, from := range []string{alice, team, six, sixes} {
		b.show(wants(locked(b.Doors[0])))
		o := b.opening(from, "g-1")
		want := wants(locked(b.Doors[0], o))
		p := b.show(want)
		if !slices.ContainsFunc(p.Changes, func(c plan.Change) bool {
			return c.Op == plan.Open && c.Door == b.Doors[0] && c.Opening == o
		}) {
			b.Errorf("no change opens %v:\n%v", o, p)
		}
		for _, x := range b.observe().Owned {
			if x.Opening.From == o.From && x.Mark != firewall.MarkGood {
				b.Errorf("the mark of %s is %v", x.Native, x.Mark)
			}
		}
	}
}

func testSibling(b *bench) {
	b.show(wants(locked(b.Doors[0], b.opening(alice, "g-1")), locked(b.Sibling, b.opening(bob, "g-2"))))
	b.show(wants(locked(b.Sibling, b.opening(bob, "g-2"))))
	b.show(wants(locked(b.Doors[0]), locked(b.Sibling)))
	b.show(nil)
}

func testClose(b *bench) {
	o, other, six := b.opening(alice, "g-1"), b.opening(team, "g-2"), b.opening(six, "g-3")
	b.show(wants(locked(b.Doors[0], o, other, six, exempt(office)), locked(b.Doors[1], o)))
	p := b.show(wants(locked(b.Doors[0], other, six, exempt(office)), locked(b.Doors[1], o)))
	if len(p.Changes) != 1 || p.Changes[0].Op != plan.Close || p.Changes[0].Opening.From != o.From {
		b.Errorf("more than one close in\n%v", p)
	}
	b.show(wants(locked(b.Doors[0], six, exempt(office)), locked(b.Doors[1])))
	b.show(wants(locked(b.Doors[0]), locked(b.Doors[1])))
}

func testCounted(b *bench) {
	long := b.opening(alice, "g-1")
	short := firewall.Opening{From: long.From, Until: b.until(10 * time.Minute), Grants: firewall.HoldersOf("g-2")}
	both := long
	both.Grants = long.Grants.Join(short.Grants)
	for _, o := range []firewall.Opening{short, both, long, both, short} {
		b.show(wants(locked(b.Doors[0], o)))
	}
	b.show(wants(locked(b.Doors[0])))
}

func testExtend(b *bench) {
	o := b.opening(alice, "g-1")
	b.show(wants(locked(b.Doors[0], o)))
	longer, shorter := o, o
	longer.Until, shorter.Until = o.Until.Add(time.Hour), o.Until.Add(-30*time.Minute)
	if p := b.show(wants(locked(b.Doors[0], longer))); p.Has(plan.Close) {
		b.Errorf("extending closes:\n%v", p)
	}
	// Shortening is a close: it waits for nothing that an opening waits for.
	if p := b.show(wants(locked(b.Doors[0], shorter))); p.Has(plan.Open) {
		b.Errorf("shortening opens:\n%v", p)
	}
	// So is what was exempt and is a grant's now, and the other way round it is not.
	b.show(wants(locked(b.Doors[0], exempt(alice))))
	if p := b.show(wants(locked(b.Doors[0], o))); p.Has(plan.Open) {
		b.Errorf("bounding an exempt source opens:\n%v", p)
	}
}

func testGiveBack(b *bench) {
	before := b.foreign()
	for _, want := range []firewall.Wants{
		nil,                                      // not mentioned
		{{Door: b.Doors[0]}, {Door: b.Doors[1]}}, // said to be unlocked
	} {
		b.show(wants(locked(b.Doors[0], b.opening(alice, "g-1"), exempt(office)), locked(b.Doors[1], b.opening(six, "g-2"))))
		p := b.show(want)
		if p.Has(plan.Lock, plan.Open, plan.Displace) {
			b.Errorf("giving back is more than that:\n%v", p)
		}
		if after := b.foreign(); after != before {
			b.Errorf("foreign rules are not what they were:\n%swas\n%s", after, before)
		}
		if s := b.observe(); len(s.Owned) > 0 {
			b.Errorf("something of ours is left: %v", s.Owned)
		}
		if len(b.displaced) > 0 {
			b.Errorf("rules are still displaced: %v", b.displaced)
		}
	}
}

func testGiveBackOne(b *bench) {
	o, stays := b.opening(alice, "g-1"), locked(b.Doors[1], b.opening(bob, "g-2"), exempt(office))
	b.show(wants(locked(b.Doors[0], o, exempt(office)), stays))
	b.show(wants(stays))
	b.show(wants(locked(b.Doors[0], o), stays))
	b.show(wants(locked(b.Doors[0], o)))
	b.show(nil)
}

// testLostBook gives back the locks of a book that was lost, one after the other.
// What they had displaced nobody knows any more; the locks go all the same, and with
// the last one every rule that was theirs.
func testLostBook(b *bench) {
	b.show(wants(locked(b.Doors[0], exempt(office)), locked(b.Doors[1])))
	b.displaced = nil
	for _, want := range []firewall.Wants{wants(locked(b.Doors[1])), nil} {
		s := b.observe()
		p := b.compile(s, want)
		if len(p.Refused) > 0 {
			b.Fatalf("refused:\n%v", p)
		}
		if p.Has(plan.Lock, plan.Open, plan.Displace) {
			b.Errorf("giving back is more than that:\n%v", p)
		}
		if err := b.apply(s, p); err != nil {
			b.Fatalf("apply: %v\n%v", err, p)
		}
		b.settled(p, want)
	}
	for _, o := range b.observe().Owned {
		if o.Kind != provider.OwnedRest {
			b.Errorf("%v is left", o)
		}
	}
}

func testConnections(b *bench) {
	from := addresses()[1] // whoever: both ends of the range are in office
	office := exempt(office)
	office.Grants, office.Until = firewall.HoldersOf("g-1"), b.until(time.Hour)
	cuts := b.Provider.Limits(b.Firewall).Cuts
	for _, cut := range []bool{false, true} {
		w := locked(b.Doors[0], office)
		w.Cut = cut
		b.show(wants(w))
		alive := b.Connect(b.Doors[0], from)
		if !alive() {
			b.Fatalf("no connection from %s to %s", from, b.Doors[0])
		}
		w.Open = nil
		b.show(wants(w))
		if got, want := alive(), !cut || !cuts; got != want {
			b.Errorf("cut %v, the firewall cuts %v: the connection stands %v, want %v", cut, cuts, got, want)
		}
	}
}

func testContext(b *bench) {
	s := b.observe()
	p := b.compile(s, wants(locked(b.Doors[0], b.opening(alice, "g-1"))))
	before := b.foreign()
	ctx, cancel := context.WithCancel(b.Context())
	cancel()
	if _, err := b.Provider.Inventory(ctx); err == nil {
		b.Error("the inventory was read for a context that is done")
	}
	if _, err := b.Provider.Observe(ctx, b.Firewall, nil); err == nil {
		b.Error("the firewall was read for a context that is done")
	}
	if err := b.Provider.Apply(ctx, s, p); err == nil {
		b.Error("a plan was applied for a context that is done")
	}
	if s := b.observe(); len(s.Owned) > 0 || b.foreign() != before {
		b.Errorf("something was written: %v", s.Owned)
	}
}
