package providertest

import (
	stdcmp "cmp"
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/reach"
)

// A bench is a fixture on which wants are tried out. It keeps the book that the
// reconciler would keep: which foreign rules are displaced.
type bench struct {
	testing.TB
	Fixture
	baseline  map[probe]bool
	displaced []plan.Change
	vms       []inventory.VM // as they were before anything was done
}

// A probe is one packet.
type probe struct {
	to   firewall.Door
	from netip.Addr
}

func newBench(tb testing.TB, f Fixture) *bench {
	tb.Helper()
	b := &bench{TB: tb, Fixture: f, baseline: map[probe]bool{}}
	b.Wait(b.Settle)
	vms, err := f.Provider.Inventory(tb.Context())
	if err != nil {
		tb.Fatalf("inventory: %v", err)
	}
	b.vms = vms
	for _, p := range b.probes() {
		b.baseline[p] = f.Admits(p.to, p.from)
	}
	return b
}

// The sources of the suite: single addresses and prefixes of both families, each
// with the addresses right beside it.
const (
	alice  = "203.0.113.7/32"
	bob    = "203.0.113.9/32"
	team   = "198.51.100.16/28"
	six    = "2001:db8:7::7/128"
	sixes  = "2001:db8:70::/60"
	office = "192.0.2.32/27"
)

// addresses returns the edges of every source and their neighbours.
func addresses() []netip.Addr {
	var out []netip.Addr
	for _, s := range []string{alice, bob, team, six, sixes, office} {
		for _, r := range reach.Of(netip.MustParsePrefix(s)) {
			out = append(out, r.From.Prev(), r.From, r.To, r.To.Next())
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}

// doors returns the doors that packets are sent to: the two, what is next to the
// first, and another machine.
func (b *bench) doors() []firewall.Door {
	next, udp := b.Doors[0], b.Doors[0]
	next.Port++
	udp.Protocol = firewall.UDP
	doors := []firewall.Door{b.Doors[0], b.Doors[1], next, udp}
	if b.Sibling.VM != "" {
		doors = append(doors, b.Sibling)
	}
	return doors
}

func (b *bench) probes() []probe {
	var out []probe
	for _, d := range b.doors() {
		for _, a := range addresses() {
			out = append(out, probe{to: d, from: a})
		}
	}
	return out
}

// until returns an instant from now, as openings keep it.
func (b *bench) until(d time.Duration) time.Time { return firewall.Instant(b.Now().Add(d)) }

// opening returns an opening for an hour.
func (b *bench) opening(from, grant string) firewall.Opening {
	return firewall.Opening{From: netip.MustParsePrefix(from), Until: b.until(time.Hour), Grants: firewall.HoldersOf(grant)}
}

func exempt(from string) firewall.Opening {
	return firewall.Opening{From: netip.MustParsePrefix(from), Until: time.Time{}, Grants: ""}
}

// locked returns the want of a locked door.
func locked(d firewall.Door, open ...firewall.Opening) firewall.Want {
	return firewall.Want{Door: d, Locked: true, Cut: false, Open: open}
}

func wants(ws ...firewall.Want) firewall.Wants {
	out := firewall.Wants(ws)
	out.Sort()
	return out
}

// observe reads the firewall and checks the form of what is read.
func (b *bench) observe() provider.Snapshot {
	b.Helper()
	s, err := b.Provider.Observe(b.Context(), b.Firewall, nil)
	if err != nil {
		b.Fatalf("observe: %v", err)
	}
	if s.Firewall != b.Firewall || s.Layer.Firewall != b.Firewall || s.Only != nil {
		b.Fatalf("the snapshot is of %q, its layer of %q, only of %v; want all of %q", s.Firewall, s.Layer.Firewall, s.Only, b.Firewall)
	}
	if !slices.IsSortedFunc(s.Owned, provider.CompareOwned) {
		b.Errorf("the owned rules are not sorted: %v", s.Owned)
	}
	if b.Provider.Limits(b.Firewall).Conditional && s.Version == "" {
		b.Error("writes are conditional, but the snapshot has no version")
	}
	if off := s.Clock.Sub(b.Now()).Abs(); !s.Clock.IsZero() && off > time.Minute {
		b.Errorf("the firewall's clock is off by %v", off)
	}
	return s
}

// compile returns the plan for want.
func (b *bench) compile(s provider.Snapshot, want firewall.Wants) plan.Plan {
	b.Helper()
	p, err := b.Provider.Compile(s, want, b.displaced)
	if err != nil {
		b.Fatalf("compile: %v", err)
	}
	if p.Firewall != b.Firewall {
		b.Fatalf("the plan is for %q, not for %q", p.Firewall, b.Firewall)
	}
	for i, c := range p.Changes {
		if c.Why == "" || c.Native == "" || c.Door.VM == "" && c.Op != plan.Keep && c.Op != plan.Drop {
			b.Errorf("change %d lacks a reason, a native write or a door: %#v", i, c)
		}
		if i > 0 && plan.Compare(p.Changes[i-1], c) > 0 {
			b.Errorf("the changes are not in order:\n%v", p)
		}
		if c.Op == plan.Close && c.Opening.From.IsValid() && slices.ContainsFunc(p.Changes[:i], func(x plan.Change) bool { return x.Op == plan.Open }) {
			b.Errorf("a close waits for an opening:\n%v", p)
		}
	}
	return p
}

// apply writes p as the reconciler does: what it displaces is booked before.
func (b *bench) apply(s provider.Snapshot, p plan.Plan) error {
	for _, c := range p.Changes {
		if c.Op == plan.Displace {
			if c.Undo == "" {
				b.Errorf("%v does not carry the original", c)
			}
			b.displaced = append(b.displaced, c)
		}
	}
	err := b.Provider.Apply(b.Context(), s, p)
	b.Wait(b.Settle)
	return err
}

// restored strikes out of the book what is back.
func (b *bench) restored(p plan.Plan) {
	for _, c := range p.Changes {
		if c.Op == plan.Restore {
			b.displaced = slices.DeleteFunc(b.displaced, func(x plan.Change) bool { return x.Undo == c.Undo })
		}
	}
}

// show makes the firewall show want in one pass, and checks everything that must
// be true of any pass.
func (b *bench) show(want firewall.Wants) plan.Plan {
	b.Helper()
	before := b.observe()
	p := b.compile(before, want)
	if len(p.Refused) > 0 {
		b.Fatalf("refused:\n%v", p)
	}
	foreign := b.foreign()
	admitted := b.admitted()
	if b.History != nil {
		b.History()
	}
	if err := b.apply(before, p); err != nil {
		b.Fatalf("apply: %v\n%v", err, p)
	}
	b.restored(p)
	b.settled(p, want)
	if now := b.foreign(); now != foreign && !p.Has(plan.Displace, plan.Restore) {
		b.Errorf("foreign rules were changed, from\n%sto\n%sby\n%v", foreign, now, p)
	}
	b.safe(admitted, p)
	b.exactly(want)
	return p
}

// settled checks that the firewall is as p says, and that nothing is left to do.
func (b *bench) settled(p plan.Plan, want firewall.Wants) {
	b.Helper()
	after := b.observe()
	if diff := cmp.Diff(lines(p.After, b), lines(after.Layer, b)); diff != "" {
		b.Errorf("the plan's layer is not what is observed (-plan +observed):\n%s", diff)
	}
	if again := b.compile(after, want); !again.Empty() || len(again.Refused) > 0 {
		b.Errorf("a second plan is not empty:\n%vafter\n%v", again, p)
	}
	if diff := cmp.Diff(shownOf(want, after.Shown()), after.Shown(), cmpopts.EquateComparable(netip.Prefix{}), cmpopts.EquateEmpty()); diff != "" {
		b.Errorf("what is shown is not what is wanted (-want +shown):\n%s", diff)
	}
	for _, o := range after.Owned {
		if o.Wrong != "" {
			b.Errorf("%v is wrong: %s", o.Native, o.Wrong)
		}
	}
}

// through returns who passes l on the ways to d, whatever else stands there.
func (b *bench) through(l firewall.Layer, d firewall.Door) reach.Set {
	v := inventory.VM{ID: d.VM}
	for _, p := range inventory.Of(b.vms, d.VM).Paths {
		v.Paths = append(v.Paths, inventory.Path{Name: p.Name, To: p.To, Hops: []inventory.Hop{{Firewall: l.Firewall}}})
	}
	return reach.VM(v, map[firewall.ID]firewall.Layer{l.Firewall: l}, d)
}

// lines is what the reach engine makes of a layer, for every class of doors.
func lines(l firewall.Layer, b *bench) map[firewall.Door]string {
	out := map[firewall.Door]string{}
	for _, d := range b.doors() {
		for _, port := range append(reach.Ports(inventory.VM{ID: d.VM}, d.Protocol, l), d.Port) {
			d.Port = port
			s := b.through(l, d)
			out[d] = s.Sources(reach.Open).String() + "; unknown " + s.Sources(reach.Unknown).String()
		}
	}
	return out
}

// shownOf is what a snapshot must show for want. A rule names only one of its
// holders, any of them.
func shownOf(want, shown firewall.Wants) firewall.Wants {
	var out firewall.Wants
	for _, w := range want {
		if !w.Locked {
			continue
		}
		there, _ := shown.Of(w.Door)
		w.Cut = w.Cut && there.Cut // where a firewall cannot cut, its lock does not show it
		w.Open = slices.Clone(w.Open)
		for i, o := range w.Open {
			for _, x := range there.Open {
				if ids := o.Grants.IDs(); x.From == o.From && len(x.Grants.IDs()) == 1 && slices.Contains(ids, string(x.Grants)) {
					w.Open[i].Grants = x.Grants
				}
			}
		}
		out = append(out, w)
	}
	out.Sort()
	return out
}

func (b *bench) foreign() string {
	if b.Foreign == nil {
		return ""
	}
	return b.Foreign()
}

// admitted sends all packets.
func (b *bench) admitted() map[probe]bool {
	out := make(map[probe]bool, len(b.baseline))
	for p := range b.baseline {
		out[p] = b.Admits(p.to, p.from)
	}
	return out
}

// safe checks every state since before: whoever was let in before and is after
// was let in all the time, and nobody else ever was.
func (b *bench) safe(before map[probe]bool, p plan.Plan) {
	b.Helper()
	if b.History == nil {
		return
	}
	after := b.admitted()
	for i, admits := range b.History() {
		for x := range before {
			got := admits(x.to, x.from)
			// Closing waits for nothing, not even for another opening.
			ends := slices.ContainsFunc(p.Changes, func(c plan.Change) bool {
				return c.Op == plan.Close && c.Door == x.to && c.Opening.From.Contains(x.from)
			})
			if got && !before[x] && !after[x] || !got && before[x] && after[x] && !ends {
				b.Errorf("after write %d, %s at %s: admitted %v; before %v, at the end %v\n%v", i+1, x.from, x.to, got, before[x], after[x], p)
				return
			}
		}
	}
}

// exactly checks by packets and by reach that the firewall admits what want says
// and nobody else, and that the doors that it does not lock are as ever.
func (b *bench) exactly(want firewall.Wants) {
	b.Helper()
	layer := b.observe().Layer
	for _, p := range slices.SortedFunc(maps.Keys(b.baseline), func(x, y probe) int {
		return stdcmp.Or(firewall.CompareDoors(x.to, y.to), x.from.Compare(y.from))
	}) {
		expect := b.baseline[p]
		if w, ok := want.Of(p.to); ok && w.Locked {
			expect = slices.ContainsFunc(w.Open, func(o firewall.Opening) bool { return o.From.Contains(p.from) })
		}
		if got := b.Admits(p.to, p.from); got != expect {
			b.Errorf("a packet from %s to %s: admitted %v, want %v", p.from, p.to, got, expect)
		}
		if got := b.through(layer, p.to).At(p.from); (got.Verdict == reach.Open) != expect || got.Verdict == reach.Unknown {
			b.Errorf("reach of %s to %s: %v by %s, want open %v", p.from, p.to, got.Verdict, got.By(), expect)
		}
	}
}

// converge runs passes until nothing is left to do.
func (b *bench) converge(want firewall.Wants) {
	b.Helper()
	const most = 8
	for range most {
		s := b.observe()
		p := b.compile(s, want)
		if p.Empty() {
			b.exactly(want)
			return
		}
		if err := b.apply(s, p); err == nil {
			b.restored(p)
		} else if errors.Is(err, context.Canceled) {
			b.Fatal(err)
		}
	}
	b.Fatalf("the firewall does not converge:\n%v", b.compile(b.observe(), want))
}
