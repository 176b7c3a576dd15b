//go:build linux

package nftables

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
)

// With nothing but the keys, what has lapsed goes and everything else stays.
func TestSweep(t *testing.T) {
	s := newStage(t)
	want := everything()
	s.show(want...)
	// The kernel's timer would end it much later than its mark says.
	late := s.observe().Owned
	var o provider.Owned
	for _, x := range late {
		if x.Opening.From == netip.MustParsePrefix("203.0.113.7/32") && x.Door == ssh() {
			o = x
		}
	}
	s.prolong(o, 5*time.Hour)
	s.load("add element inet sesame host4 { 198.51.100.99 . tcp . 22 }")
	now := clocks()
	now.Wall = now.Wall.Add(2 * time.Hour)
	before := s.observe()
	p, err := s.Compile(before, plan.Lapsed(before.Shown(), now), nil)
	if err != nil {
		t.Fatal(err)
	}
	if p.Has(plan.Open, plan.Lock, plan.Drop) {
		t.Errorf("a sweep does more than close:\n%v", p)
	}
	if err := s.Apply(t.Context(), before, p); err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, x := range s.observe().Owned {
		left = append(left, x.Native)
	}
	if diff := cmp.Diff([]string{
		"tcp_ports { 22 }", "exempt4_24 { 192.0.2.0 . tcp . 22 }", "udp_ports { 53 }",
		"exempt6 { 2001:db8::53 . udp . 53 }", "tcp_ports { 3389 }",
	}, left); diff != "" {
		t.Errorf("what is left (-want +got):\n%s", diff)
	}
	// While everything is live, a sweep has nothing to do: not even marks that
	// count more holders than a mark can name.
	s.show(want...)
	before = s.observe()
	if p, err := s.Compile(before, plan.Lapsed(before.Shown(), clocks()), nil); err != nil || !p.Empty() {
		t.Errorf("a sweep of what is live: %v\n%v", err, p)
	}
}

// What a sweep is to close it closes, at doors without a lock too, and in a table
// that locks nothing; there as elsewhere it does no more than that.
func TestSweepNeedsNoLock(t *testing.T) {
	const mark = `comment "sesame1.here.k1.0.-.AAAAAAAAAAAAAAAAAAAAAA"`
	s := newStage(t)
	for name, unlock := range map[string]string{
		"another door is locked": "",
		"no door is locked":      "flush set inet sesame tcp_ports; flush set inet sesame udp_ports; flush set inet sesame tcp_cut",
	} {
		s := s.with(t)
		s.nft("flush", "ruleset")
		s.show(everything()...)
		kept := len(s.observe().Owned)
		s.load(unlock + `
			add element inet sesame host4 { 198.51.100.99 . tcp . 4711 timeout 1h }
			add element inet sesame host4 { 198.51.100.98 . udp . 4711 timeout 1h ` + mark + ` }
			add element inet sesame net4_24 { 198.51.100.99 . 132 . 0 timeout 1h }
			add element inet sesame exempt4_24 { 198.51.100.0 . tcp . 4711 ` + mark + ` }`)
		if unlock != "" {
			kept -= 3
		}
		before := s.observe()
		var broken []firewall.Key
		for _, o := range before.Owned {
			if o.Kind == provider.OwnedOpening && o.Mark == firewall.MarkBroken {
				broken = append(broken, firewall.Key{Door: o.Door, From: o.Opening.From})
			}
		}
		sweep := plan.SweepOf(before.Shown(), broken, clocks())
		whole, err := s.Compile(before, sweep.Want, nil)
		if err != nil {
			t.Fatal(err)
		}
		part := sweep.Of(whole)
		if len(part.Changes) != 4 || len(sweep.Doomed) != 4 {
			t.Errorf("%s: not a close for each of %v:\n%v", name, sweep.Doomed, part)
		}
		if err := s.Apply(t.Context(), before, part); err != nil {
			t.Fatal(err)
		}
		after := s.observe().Owned
		for _, o := range after {
			if o.Kind == provider.OwnedOpening && o.Mark != firewall.MarkGood {
				t.Errorf("%s: %s is left", name, o.Native)
			}
		}
		if len(after) != kept {
			t.Errorf("%s: %d are left, want %d: %v", name, len(after), kept, after)
		}
		// What wants nothing at all takes the rest, with the table.
		s.show()
		if got := s.nft("list", "ruleset"); got != "" {
			t.Errorf("%s: something is left:\n%s", name, got)
		}
	}
}
