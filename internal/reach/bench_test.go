package reach_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/reach"
	"github.com/sesame-access/sesame/internal/reach/reachtest"
)

// onion returns the worst list there is: every rule speaks about every door, each
// covers all those before it, and nowhere do two neighbours agree.
func onion(id firewall.ID, rules int) firewall.Layer {
	l := firewall.Layer{Firewall: id, Default: firewall.Deny}
	for n := range uint32(rules) {
		mid, half := uint32(rules)<<8, (n+1)<<8
		l.Rules = append(l.Rules, firewall.LayerRule{
			Name: fmt.Sprint("rule-", n), Action: firewall.Action(n % 2), Last: 65535, From: between(mid-half, mid+half),
		})
	}
	return l
}

// between returns the prefixes of the addresses 20.0.0.0 + low up to high.
func between(low, high uint32) (out []netip.Prefix) {
	for low < high {
		size := uint32(1)
		for low%(2*size) == 0 && low+2*size <= high {
			size *= 2
		}
		bits := 32
		for s := size; s > 1; s /= 2 {
			bits--
		}
		at := 20<<24 + low
		out = append(out, netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(at >> 24), byte(at >> 16), byte(at >> 8), byte(at)}), bits))
		low += size
	}
	return out
}

func twoHops(vm firewall.VMID, subnet, nic firewall.ID) inventory.VM {
	return inventory.VM{ID: vm, Paths: []inventory.Path{{
		Name: "nic", To: []netip.Addr{netip.MustParseAddr("10.0.0.4")},
		Hops: []inventory.Hop{{Firewall: subnet}, {Firewall: nic}},
	}}}
}

// BenchmarkQuery asks about one door behind two layers of 1,000 rules: as they
// grow (reachtest.SecurityGroup), and the worst there are (onion).
func BenchmarkQuery(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	for name, make := range map[string]func(firewall.ID) firewall.Layer{
		"typical": func(id firewall.ID) firewall.Layer { return reachtest.SecurityGroup(r, id, 1000) },
		"worst":   func(id firewall.ID) firewall.Layer { return onion(id, 1000) },
	} {
		m := reach.NewModel(map[firewall.ID]firewall.Layer{"subnet": make("subnet"), "nic": make("nic")})
		v := twoHops(ssh.VM, "subnet", "nic")
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var q reach.Query
			spans := 0
			for b.Loop() {
				spans = q.VM(v, m, ssh).Len()
			}
			b.ReportMetric(float64(spans), "spans")
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	l := reachtest.SecurityGroup(rand.New(rand.NewPCG(1, 1)), "nsg", 1000)
	b.ReportAllocs()
	for b.Loop() {
		reach.NewModel(map[firewall.ID]firewall.Layer{"nsg": l})
	}
}
