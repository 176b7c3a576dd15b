package reach_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/reach"
	"github.com/sesame-access/sesame/internal/reach/reachtest"
)

// A dice draws models. Everything is drawn from few values that meet: prefixes
// that nest, touch and end where the address space does, and the few ports,
// destinations and names that rules and doors share.
type dice struct{ *rand.Rand }

func roll(seed uint64) dice { return dice{rand.New(rand.NewPCG(seed, 1))} }

func (r dice) one(in int) bool { return r.IntN(in) == 0 }

func pick[T any](r dice, list ...T) T { return list[r.IntN(len(list))] }

func several[T any](r dice, least, most int, one func() T) []T {
	var out []T
	for range least + r.IntN(most-least+1) {
		out = append(out, one())
	}
	return out
}

func (r dice) prefix() netip.Prefix {
	base := pick(r, "0.0.0.0", "10.0.0.0", "10.0.0.8", "127.255.255.255", "128.0.0.0", "203.0.113.0", "255.255.255.255",
		"::", "::ffff:10.0.0.0", "2001:db8::", "2001:db8::8", "2001:db8:0:1::", "7fff::ffff", "8000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")
	a := netip.MustParseAddr(base)
	bits := a.BitLen() - r.IntN(6)
	switch r.IntN(5) {
	case 0:
		bits = pick(r, 0, 1, 8, 32)
	case 1:
		bits = a.BitLen() - pick(r, 30, 31, 32, 16)
	case 2:
		bits = a.BitLen()
	}
	return netip.PrefixFrom(a, bits).Masked()
}

func (r dice) rule() firewall.LayerRule {
	x := firewall.LayerRule{
		Name:     pick(r, "a", "b", "c", "d", "e", "f"),
		Action:   pick(r, firewall.Deny, firewall.Allow, firewall.Deny, firewall.Allow, firewall.Unknown, firewall.Deliver),
		Maybe:    r.one(5),
		VM:       pick(r, "", "", "", ssh.VM, "host://b"),
		Protocol: pick(r, 0, firewall.TCP, firewall.TCP, firewall.UDP),
		First:    pick[uint16](r, 0, 0, 22, 23), Last: pick[uint16](r, 22, 65535, 65535, 21),
		From: several(r, 0, 3, r.prefix),
	}
	if r.one(4) {
		x.SourceFirst = pick[uint16](r, 0, 1, 1024, 5000, 65535)
		x.SourceLast = pick[uint16](r, 1023, 5000, 5001, 65535)
	}
	if r.one(4) {
		x.To = several(r, 1, 2, r.prefix)
	}
	return x
}

func (r dice) layer(id firewall.ID, rules int) firewall.Layer {
	return firewall.Layer{
		Firewall: id, Kind: pick(r, firewall.Ordered, firewall.Ordered, firewall.Union), Rules: several(r, 0, rules, r.rule),
		Default: pick(r, firewall.Deny, firewall.Deny, firewall.Allow, firewall.Unknown),
	}
}

func (r dice) addresses() []netip.Addr {
	four, six := pick(r, netip.MustParseAddr("10.0.0.9"), netip.MustParseAddr("127.255.255.255")), pick(r, netip.MustParseAddr("2001:db8::9"), netip.MustParseAddr("8000::"))
	return pick(r, nil, []netip.Addr{four}, []netip.Addr{six}, []netip.Addr{four, six}, []netip.Addr{six, four})
}

// model draws a VM, what is in front of it, and a door of it.
func (r dice) model() (inventory.VM, map[firewall.ID]firewall.Layer, firewall.Door) {
	ids := []firewall.ID{"f1", "f2", "f3", "unread"}
	layers := map[firewall.ID]firewall.Layer{}
	for _, id := range ids[:3] {
		layers[id] = r.layer(id, 7)
	}
	v := inventory.VM{ID: ssh.VM}
	for i := range r.IntN(3) + 1 {
		p := inventory.Path{Name: fmt.Sprint("p", i), To: r.addresses()}
		if r.one(4) {
			p.Protocol, p.Port = pick(r, 0, firewall.TCP), pick[uint16](r, 22, 23)
		}
		if r.one(3) {
			p.From = several(r, 0, 3, r.prefix)
		}
		p.Unsure = r.one(5)
		for range r.IntN(4) {
			h := inventory.Hop{Firewall: pick(r, ids...), Always: r.one(4)}
			if r.one(6) {
				h.Sees = r.prefix()
			}
			if r.one(6) {
				h.To, h.Port = r.addresses(), pick[uint16](r, 0, 23, 22)
			}
			p.Hops = append(p.Hops, h)
		}
		v.Paths = append(v.Paths, p)
	}
	if r.one(20) {
		v.Paths = nil
	}
	if r.one(10) {
		v.Missing = []string{"a network interface could not be read"}
	}
	return v, layers, firewall.Door{VM: ssh.VM, Protocol: pick(r, firewall.TCP, firewall.TCP, firewall.UDP, 47), Port: pick[uint16](r, 22, 22, 23, 0)}
}

// agree compares the engine with the naive evaluator at every address of one
// model where anything can change, and returns how many packets that was: each
// source sends one from every source port that is worth trying.
func agree(t testing.TB, q *reach.Query, seed uint64) (packets int) {
	v, layers, d := roll(seed).model()
	s := q.VM(v, reach.NewModel(layers), d)
	w := newNaiveWorld(v, layers, d)
	for _, a := range w.at {
		got := s.At(a)
		if want := w.verdict(a); got.Verdict.String() != want || got.By() == "" {
			t.Fatalf("seed %d: %s at %s is %v by %q, want %s\n%+v\n%+v", seed, a, d, got.Verdict, got.By(), want, v, layers)
		}
	}
	checkPartition(t, s)
	return len(w.at) * len(w.sports)
}

// TestAgainstNaive compares engine and naive evaluator on random models. Without
// more to do it is short; `make fuzz` asks for a hundred million packets.
func TestAgainstNaive(t *testing.T) {
	const few = 1_000_000
	want, seed := reachtest.Packets(t, few)
	workers := 1
	if want != few {
		workers = runtime.GOMAXPROCS(0)
	}
	for n := range workers {
		t.Run(fmt.Sprint("worker=", n), func(t *testing.T) {
			t.Parallel()
			var q reach.Query
			packets, models := 0, 0
			for ; packets < want/workers; models++ {
				packets += agree(t, &q, seed+uint64(workers*models+n))
			}
			t.Logf("%d packets through %d models, no difference", packets, models)
		})
	}
}

func FuzzAgainstNaive(f *testing.F) {
	f.Add(uint64(0))
	f.Fuzz(func(t *testing.T, seed uint64) {
		var q reach.Query
		agree(t, &q, seed)
	})
}
