package sieve_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/reach/sieve"
)

func door() firewall.Door { return firewall.Door{VM: "host://a", Protocol: firewall.TCP, Port: 22} }

// TestManyRules asks about a layer whose rules do not fit into one word, then about
// small ones, and holds each against reading the rules from the top: of either
// family, towards a destination that half of the rules are about.
func TestManyRules(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var s sieve.Sieve
	address := map[sieve.Family]func() netip.Addr{
		sieve.IPv4: func() netip.Addr {
			return netip.AddrFrom4([4]byte{byte(70 * r.IntN(4)), 10, byte(r.IntN(256)), byte(r.IntN(256))})
		},
		sieve.IPv6: func() netip.Addr {
			return netip.AddrFrom16([16]byte{0x20, 1, byte(r.IntN(4)), 7: byte(r.IntN(256)), 8: byte(r.IntN(2)), 15: byte(r.IntN(256))})
		},
	}
	here := []netip.Addr{netip.MustParseAddr("10.9.0.4"), netip.MustParseAddr("2001:db8::4")}
	for _, rules := range []int{9_000, 3, 12, 300} {
		l := firewall.Layer{Firewall: "fw", Default: firewall.Deny}
		for n := range rules {
			a := address[sieve.Family(r.IntN(2))]()
			p := netip.PrefixFrom(a, a.BitLen()-r.IntN(a.BitLen()/4)).Masked()
			x := firewall.LayerRule{Name: fmt.Sprint(n, " ", p), Action: firewall.Action(r.IntN(2)), Last: 65535, From: []netip.Prefix{p}}
			if r.IntN(2) == 0 {
				x.To = []netip.Prefix{netip.MustParsePrefix("10.9.0.0/28"), netip.MustParsePrefix("2001:db8::/64"), netip.MustParsePrefix("10.8.0.0/28")}
			} else if r.IntN(2) == 0 {
				x.To = []netip.Prefix{netip.MustParsePrefix("10.9.0.0/30"), netip.MustParsePrefix("2001:db8::8/125")}
			}
			l.Rules = append(l.Rules, x)
		}
		p := sieve.NewPacket(door(), here)
		compiled := sieve.Compile(l)
		s.Match(compiled, &p)
		for f, to := range here {
			f := sieve.Family(f)
			pieces := s.Sweep(f, nil)
			for range 2_000 {
				a := address[f]()
				want, name := l.Default, "default"
				for _, x := range l.Rules {
					aimed := slices.ContainsFunc(x.To, func(p netip.Prefix) bool { return p.Contains(to) })
					if x.From[0].Contains(a) && (aimed || len(x.To) == 0) {
						want, name = x.Action, x.Name
						break
					}
				}
				at := len(pieces) - 1
				for ; sieve.KeyOf(a).Less(pieces[at].At); at-- {
				}
				if got := pieces[at]; got.Can != want.Outcomes() || compiled.Name(got.Rule) != name {
					t.Fatalf("%d rules: %s can %v by %s, want %s by %s", rules, a, got.Can.Names(), compiled.Name(got.Rule), want, name)
				}
			}
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
