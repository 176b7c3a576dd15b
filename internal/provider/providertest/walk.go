package providertest

import (
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/reach"
)

// testWalk goes from one random want to the next. After every pass the plan's
// layer, the layer that is read back and the packets must agree.
func testWalk(b *bench) {
	// Wrapped, so that rapid does not ask for a deadline, which a bubble has not.
	rapid.Check(struct{ testing.TB }{b.TB}, func(t *rapid.T) {
		b.show(nil)
		for range rapid.IntRange(1, 5).Draw(t, "passes") {
			want := b.anyWants(t)
			before := b.observe()
			p := b.compile(before, want)
			if len(p.Refused) > 0 {
				t.Fatalf("refused:\n%v", p)
			}
			if err := b.apply(before, p); err != nil {
				t.Fatalf("apply: %v\n%v", err, p)
			}
			b.restored(p)
			b.agree(t, p, want)
		}
	})
}

// anyWants draws what to show: any of the doors, with any sources.
func (b *bench) anyWants(t *rapid.T) firewall.Wants {
	doors := []firewall.Door{b.Doors[0], b.Doors[1]}
	udp := b.Doors[0]
	udp.Protocol = firewall.UDP
	if doors = append(doors, udp); b.Sibling.VM != "" {
		doors = append(doors, b.Sibling)
	}
	var out firewall.Wants
	for _, d := range doors {
		if !rapid.Bool().Draw(t, "locked") {
			continue
		}
		w := locked(d)
		for _, from := range []string{alice, bob, "203.0.113.0/29", team, six, sixes, "2001:db8::/32", office} {
			o := firewall.Opening{From: netip.MustParsePrefix(from), Until: time.Time{}, Grants: ""}
			switch rapid.IntRange(0, 3).Draw(t, from) {
			case 0:
				o.Until = b.until(time.Duration(rapid.IntRange(2, 4).Draw(t, "hours")) * time.Hour)
				o.Grants = firewall.HoldersOf(rapid.SampledFrom([]string{"g-1", "g-2"}).Draw(t, "grant"))
			case 1:
			default:
				continue
			}
			w.Open = append(w.Open, o)
		}
		out = append(out, w)
	}
	out.Sort()
	return out
}

// agree checks that plan, reach and packets say the same, at random places.
func (b *bench) agree(t *rapid.T, p plan.Plan, want firewall.Wants) {
	s := b.observe()
	if again := b.compile(s, want); !again.Empty() {
		t.Fatalf("a second plan is not empty:\n%vafter\n%v", again, p)
	}
	addrs, doors := addresses(), b.doors()
	for range 12 {
		x := probe{to: rapid.SampledFrom(doors).Draw(t, "door"), from: rapid.SampledFrom(addrs).Draw(t, "from")}
		packet := b.Admits(x.to, x.from)
		promised, seen := b.through(p.After, x.to).At(x.from), b.through(s.Layer, x.to).At(x.from)
		if (promised.Verdict == reach.Open) != packet || (seen.Verdict == reach.Open) != packet {
			t.Fatalf("%s at %s: a packet is admitted %v; the plan said %d by %s; reach says %d by %s",
				x.from, x.to, packet, promised.Verdict, promised.By(), seen.Verdict, seen.By())
		}
		expect := b.baseline[x]
		if w, ok := want.Of(x.to); ok {
			expect = false
			for _, o := range w.Open {
				expect = expect || o.From.Contains(x.from)
			}
		}
		if packet != expect {
			t.Fatalf("%s at %s: admitted %v, want %v", x.from, x.to, packet, expect)
		}
	}
}
