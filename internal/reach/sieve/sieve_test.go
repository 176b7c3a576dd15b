package sieve_test

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/reach/sieve"
)

func door() firewall.Door { return firewall.Door{VM: "host://a", Protocol: firewall.TCP, Port: 22} }

// TestManyRules asks about a layer whose rules do not fit into one word of words,
// then about a small one, and holds both against reading the rules from the top.
func TestManyRules(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var s sieve.Sieve
	for _, rules := range []int{9_000, 3, 300} {
		l := firewall.Layer{Firewall: "fw", Default: firewall.Deny}
		for range rules {
			p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(r.IntN(4)), byte(r.IntN(256)), byte(r.IntN(256))}), 24+r.IntN(9)).Masked()
			l.Rules = append(l.Rules, firewall.LayerRule{Name: p.String(), Action: firewall.Action(r.IntN(2)), Last: 65535, From: []netip.Prefix{p}})
		}
		p := sieve.NewPacket(door(), nil)
		compiled := sieve.Compile(l)
		s.Match(compiled, &p)
		pieces := s.Sweep(sieve.IPv4, nil)
		var at int
		for range 2_000 {
			a := netip.AddrFrom4([4]byte{10, byte(r.IntN(5)), byte(r.IntN(256)), byte(r.IntN(256))})
			want, name := l.Default, "default"
			for _, x := range l.Rules {
				if x.From[0].Contains(a) {
					want, name = x.Action, x.Name
					break
				}
			}
			for at = len(pieces) - 1; sieve.KeyOf(a).Less(pieces[at].At); at-- {
			}
			if got := pieces[at]; got.Can != want.Outcomes() || compiled.Name(got.Rule) != name {
				t.Fatalf("%d rules: %s can %v by %s, want %s by %s", rules, a, got.Can.Names(), compiled.Name(got.Rule), want, name)
			}
		}
		if six := s.Sweep(sieve.IPv6, nil); len(six) != 1 || six[0].Can != firewall.Denies {
			t.Errorf("%d rules: IPv6 gets %v", rules, six)
		}
	}
}

func TestKeysKeepOrder(t *testing.T) {
	list := []string{"::", "::1", "::ffff:ffff:ffff:ffff", "0:0:0:1::", "2001:db8::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}
	for i, s := range list {
		a := netip.MustParseAddr(s)
		k := sieve.KeyOf(a)
		if k.Addr(sieve.IPv6) != a {
			t.Errorf("%s became %s", a, k.Addr(sieve.IPv6))
		}
		if next := a.Next(); next.IsValid() && (k.Next() != sieve.KeyOf(next) || k.Next().Prev() != k) {
			t.Errorf("behind %s comes %s", a, k.Next().Addr(sieve.IPv6))
		}
		for j, other := range list {
			if got := k.Compare(sieve.KeyOf(netip.MustParseAddr(other))); (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("%s and %s compare %d", s, other, got)
			}
		}
	}
}
