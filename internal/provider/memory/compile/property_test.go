package compile_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider/memory/compile"
	"github.com/sesame-access/sesame/internal/provider/memory/dialect"
	"github.com/sesame-access/sesame/internal/reach"
)

var (
	keys = firewall.Keyring{Instance: "main", Keys: []firewall.MarkKey{{ID: "a", Secret: []byte("a secret of 32 bytes for testing")}}}
	vms  = []firewall.VMID{firewall.HostVM("a"), firewall.HostVM("b")}
)

// doors are few, so that random rules meet them.
func doors() []firewall.Door {
	var out []firewall.Door
	for _, vm := range vms {
		for _, port := range []uint16{21, 22, 23, 80} {
			out = append(out, firewall.Door{VM: vm, Protocol: firewall.TCP, Port: port})
		}
		out = append(out, firewall.Door{VM: vm, Protocol: firewall.UDP, Port: 22})
	}
	return out
}

var sources = []string{
	"10.0.0.0/30", "10.0.0.0/31", "10.0.0.1/32", "10.0.0.2/32", "10.0.0.2/31", "0.0.0.0/0", "10.0.0.0/8",
	"2001:db8::/126", "2001:db8::1/128", "2001:db8::2/127", "::/0",
}

func addrs() []netip.Addr {
	var out []netip.Addr
	for _, s := range []string{
		"9.255.255.255", "10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "11.0.0.0",
		"2001:db8::", "2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8::4", "::1",
	} {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

func pick[T any](t *rapid.T, label string, of ...T) T { return rapid.SampledFrom(of).Draw(t, label) }

// foreignRules draws what somebody else may have put there.
func foreignRules(t *rapid.T, s dialect.State) dialect.State {
	for i := range rapid.IntRange(0, 6).Draw(t, "rules") {
		r := dialect.Rule{
			Name: fmt.Sprintf("foreign-%d", i), Action: pick(t, "action", firewall.Allow, firewall.Allow, firewall.Deny),
			VM:       pick(t, "vm", "", "", vms[0], vms[1]),
			Protocol: pick(t, "protocol", 0, firewall.TCP, firewall.TCP, firewall.UDP),
			First:    pick[uint16](t, "first", 0, 21, 22, 22), Last: pick[uint16](t, "last", 22, 23, 80, 65535),
			From:  []netip.Prefix{netip.MustParsePrefix(pick(t, "from", sources...))},
			Extra: "theirs",
		}
		switch s.Config.Dialect {
		case dialect.Numbered:
			r.Priority = pick(t, "priority", 100, 101, 102, 103, 200, 300, 4000, 4095, 4096)
			r.Opaque = rapid.IntRange(0, 9).Draw(t, "opaque") == 0
			if rapid.IntRange(0, 3).Draw(t, "any") == 0 {
				r.From = nil
			}
		case dialect.Union:
			r.Action = firewall.Allow
		case dialect.Keyed:
		}
		if s.Admissible(r) == nil {
			s = s.Holding(append(slices.Clone(s.Rules), r))
		}
	}
	return s
}

func anyWants(t *rapid.T) firewall.Wants {
	var out firewall.Wants
	for _, d := range doors() {
		if rapid.IntRange(0, 2).Draw(t, "lock") > 0 {
			continue
		}
		w := firewall.Want{Door: d, Locked: true, Cut: rapid.Bool().Draw(t, "cut"), Open: nil}
		for _, from := range sources[:10] {
			o := firewall.Opening{From: netip.MustParsePrefix(from), Until: time.Time{}, Grants: ""}
			switch rapid.IntRange(0, 6).Draw(t, from) {
			case 0:
				o.Grants = firewall.HoldersOf(pick(t, "grant", "g-1", "g-2"))
				o.Until = time.Unix(int64(rapid.IntRange(1, 2).Draw(t, "until"))*1e9, 0).UTC()
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

// A walker takes one firewall from want to want, as the reconciler would, and
// has the naive packet test look on after each single write.
type walker struct {
	*rapid.T
	now       dialect.State
	bare      dialect.State // the foreign rules as they were
	displaced []plan.Change
	// tampered says that something of ours is not as we wrote it: that goes first,
	// whoever else it lets in.
	tampered bool
}

type packet struct {
	to   firewall.Door
	from netip.Addr
}

// closes reports whether p ends an opening that let the packet in. Closing waits
// for nothing, not even for another opening for the same source.
func (x packet) closes(p plan.Plan) bool {
	return slices.ContainsFunc(p.Changes, func(c plan.Change) bool {
		return c.Op == plan.Close && c.Door == x.to && c.Opening.From.Contains(x.from)
	})
}

func (w *walker) admits(s dialect.State) map[packet]bool {
	out := map[packet]bool{}
	for _, d := range doors() {
		for _, a := range addrs() {
			out[packet{d, a}] = s.Admits(d, a)
		}
	}
	return out
}

func (w *walker) compile(want firewall.Wants) plan.Plan {
	p, err := compile.Plan(compile.Reading{State: w.now, VMs: vms, Only: nil}, want, w.displaced)
	if err != nil {
		w.Fatal(err)
	}
	return p
}

// write makes the changes and returns the packets that each state admits.
func (w *walker) write(changes []plan.Change) []map[packet]bool {
	var out []map[packet]bool
	for _, c := range changes {
		e, err := dialect.Decode(c.Native)
		if err != nil {
			w.Fatal(err)
		}
		switch c.Op {
		case plan.Displace:
			w.displaced = append(w.displaced, c)
		case plan.Restore:
			w.displaced = slices.DeleteFunc(w.displaced, func(x plan.Change) bool { return x.Undo == c.Undo })
		case plan.Close, plan.Keep, plan.Lock, plan.Open, plan.Drop:
		}
		if e.Put != nil {
			if w.now.Config.Dialect == dialect.Keyed {
				e.Put.Closes = c.Opening.Until // the firewall's business
			}
			if err := w.now.Admissible(*e.Put); err != nil {
				w.Fatalf("the firewall refuses %v: %v\n%v", c, err, w.now)
			}
		}
		w.now = w.now.Holding(e.On(w.now.Rules))
		out = append(out, w.admits(w.now))
	}
	return out
}

// tamper does to one rule of ours what somebody in a console may do.
func (w *walker) tamper() {
	var ours []dialect.Rule
	for _, r := range w.now.Rules {
		if w.now.Ours(r) {
			ours = append(ours, r)
		}
	}
	if len(ours) == 0 {
		return
	}
	w.tampered = true
	r := rapid.SampledFrom(ours).Draw(w.T, "victim")
	rest := dialect.Edit{Delete: r.Name}.On(w.now.Rules)
	switch rapid.IntRange(0, 3).Draw(w.T, "tampering") {
	case 0:
		w.now = w.now.Holding(rest)
		return
	case 1:
		r.First, r.Last = 0, 65535
	case 2:
		r.From = []netip.Prefix{netip.MustParsePrefix(pick(w.T, "from", sources...))}
	case 3:
		r.Note = "sesame1.main.a.0.-.AAAAAAAAAAAAAAAAAAAAAA"
	}
	if s := w.now.Holding(rest); s.Admissible(r) == nil {
		w.now = s.Holding(append(slices.Clone(s.Rules), r))
	}
}

// step makes a pass; up to left more follow while there are refusals.
func (w *walker) step(want firewall.Wants, left int) {
	p := w.compile(want)
	if len(p.Changes) > 0 && rapid.IntRange(0, 4).Draw(w.T, "stops") == 0 {
		// The write stops somewhere; the next pass goes on from there.
		w.write(p.Changes[:rapid.IntRange(0, len(p.Changes)-1).Draw(w.T, "at")])
		p = w.compile(want)
	}
	before := w.admits(w.now)
	states := w.write(p.Changes)
	after := w.admits(w.now)
	for i, s := range states {
		for at, got := range s {
			if got && !before[at] && !after[at] || !got && before[at] && after[at] && !at.closes(p) && !w.tampered {
				w.Fatalf("after write %d (%v): %v is admitted %v, before %v, at the end %v\n%v%v", i+1, p.Changes[i], at, got, before[at], after[at], p, w.now)
			}
		}
	}
	w.tampered = false
	w.agree(p)
	again := w.compile(want)
	switch {
	case again.Empty():
		w.exact(again, want)
	case len(p.Refused) == 0 || left == 0: // no refusal, no excuse
		w.Fatalf("a second plan:\n%vafter\n%v%v", again, p, w.now)
	default:
		// What was refused for want of a number or of room may have got it.
		w.step(want, left-1)
	}
}

// agree holds reach against packets.
func (w *walker) agree(p plan.Plan) {
	layer := w.now.Layer()
	for _, d := range doors() {
		set, promised := reach.Layer(layer, d), reach.Layer(p.After, d)
		for _, a := range addrs() {
			span, packet := set.At(a), w.now.Admits(d, a)
			if span.Verdict != reach.Unknown && (span.Verdict == reach.Open) != packet {
				w.Fatalf("%s at %s: a packet is admitted %v, reach says %d by %s\n%v", a, d, packet, span.Verdict, span.By(), w.now)
			}
			if p := promised.At(a); p.Range != span.Range || p.Verdict != span.Verdict || p.By() != span.By() {
				w.Fatalf("%s at %s: the plan promised %v, reach says %v\n%v", a, d, promised.At(a), span, p)
			}
		}
	}
}

// exact holds the packets against what was wanted and not refused.
func (w *walker) exact(p plan.Plan, want firewall.Wants) {
	for _, d := range doors() {
		x, locked := want.Of(d)
		if slices.ContainsFunc(p.Refused, func(r plan.Refusal) bool {
			// Held as it is; in a union for all doors of a rule.
			return !r.From.IsValid() && (r.Door == d || w.now.Config.Dialect == dialect.Union)
		}) {
			continue
		}
		for _, a := range addrs() {
			expect := w.bare.Admits(d, a)
			if locked {
				expect = slices.ContainsFunc(x.Open, func(o firewall.Opening) bool {
					return o.From.Contains(a) && !slices.ContainsFunc(p.Refused, func(r plan.Refusal) bool { return r.Door == d && r.From == o.From })
				})
				if w.now.Config.Dialect == dialect.Keyed {
					expect = expect && w.bare.Admits(d, a) // what another table drops is dropped
				}
			}
			if got := w.now.Admits(d, a); got != expect {
				w.Fatalf("%s at %s (locked %v): admitted %v, want %v\n%v%v", a, d, locked, got, expect, p, w.now)
			}
		}
	}
}

func TestRandomWalks(t *testing.T) {
	for _, c := range []dialect.Config{
		{ID: "numbered", Dialect: dialect.Numbered},
		{ID: "virtual-network", Dialect: dialect.Numbered, VirtualNetwork: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/31")}, MayOutrank: []string{"foreign-0", "foreign-1"}},
		{ID: "small", Dialect: dialect.Numbered, First: 101, Last: 110, Rooms: 20},
		{ID: "union", Dialect: dialect.Union, Rooms: 2000},
		{ID: "full-union", Dialect: dialect.Union, Rooms: 16},
		{ID: "keyed", Dialect: dialect.Keyed},
	} {
		t.Run(string(c.ID), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				s := foreignRules(t, dialect.State{Config: c.Filled(), Keys: keys})
				w := &walker{T: t, now: s, bare: s}
				for range rapid.IntRange(1, 4).Draw(t, "wants") {
					w.step(anyWants(t), 4)
					if rapid.Bool().Draw(t, "tampers") {
						w.tamper()
					}
				}
				w.step(nil, 8)
				if got, want := w.now.String(), s.String(); got != want {
					t.Fatalf("giving everything back leaves\n%vof\n%v", got, want)
				}
			})
		})
	}
}
