package survey_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/reach"
	"github.com/sesame-access/sesame/internal/reach/survey"
)

func fourPorts() []survey.Port {
	var out []survey.Port
	for _, n := range []uint16{22, 3389, 5985, 5986} {
		out = append(out, survey.Port{Protocol: firewall.TCP, Number: n})
	}
	return out
}

// securityGroup returns a list as they grow in a network: rules for many ports
// and sources, some for other machines only, and a Deny of everything.
func securityGroup(r *rand.Rand, id firewall.ID, rules int) firewall.Layer {
	l := firewall.Layer{Firewall: id, Default: firewall.Deny, Rules: make([]firewall.LayerRule, 0, rules)}
	common := [...]uint16{22, 25, 53, 80, 88, 111, 135, 389, 443, 445, 636, 993, 1433, 1521, 2049, 3306, 3389, 5432, 5985, 5986, 6379, 8080, 8443, 9100, 9200}
	for n := range rules {
		x := firewall.LayerRule{
			Name: ruleNames[n], Action: firewall.Action(r.IntN(2)), Protocol: firewall.TCP,
			First: common[r.IntN(len(common))],
		}
		switch x.Last = x.First; r.IntN(60) {
		case 0:
			x.First, x.Last = 0, 65535
		case 1:
			x.First, x.Last = 1024, 65535
		case 2, 3:
			x.Protocol = 0
		case 4, 5, 6, 7, 8, 9:
			x.Protocol = firewall.UDP
		}
		for range 1 + r.IntN(3) {
			a := netip.AddrFrom4([4]byte{byte(r.IntN(224)), byte(r.IntN(256)), byte(r.IntN(256)), byte(r.IntN(256))})
			x.From = append(x.From, netip.PrefixFrom(a, 8+r.IntN(25)).Masked())
		}
		if r.IntN(4) == 0 {
			x.To = []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(r.IntN(256))}), 32)}
		}
		l.Rules = append(l.Rules, x)
	}
	return l
}

var ruleNames = func() (names []string) {
	for n := range 1000 {
		names = append(names, fmt.Sprintf("%d rule-%d", 100+n, n))
	}
	return names
}()

// fleet returns VMs, each behind two security groups, of which there are so many
// in all, each of so many rules.
func fleet(vms, groups, rules int) ([]inventory.VM, reach.Model) {
	r := rand.New(rand.NewPCG(1, 1))
	m := make(reach.Model, groups)
	ids := make([]firewall.ID, groups)
	for n := range ids {
		ids[n] = firewall.ID(fmt.Sprintf("/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/networkSecurityGroups/nsg-%d", n))
		m.Put(securityGroup(r, ids[n], rules))
	}
	out := make([]inventory.VM, vms)
	for n := range out {
		subnet := 2 * (n * groups / 2 / vms) // neighbours share
		nic := subnet + 1
		out[n] = inventory.VM{ID: firewall.VMID(fmt.Sprint("vm-", n)), Paths: []inventory.Path{{
			Name: "nic", To: []netip.Addr{netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})},
			Hops: []inventory.Hop{{Firewall: ids[subnet]}, {Firewall: ids[nic]}},
		}}}
	}
	return out, m
}

// BenchmarkFleet asks about four ports of every VM. Making the model is not part
// of the time; it is reported beside it.
func BenchmarkFleet(b *testing.B) {
	for _, c := range []struct {
		name               string
		vms, groups, rules int
	}{
		{"vms=1000/own=1000", 1_000, 2_000, 1000},
		{"vms=10000/own=1000", 10_000, 20_000, 1000},
		{"vms=100000/own=100", 100_000, 200_000, 100},
		{"vms=100000/shared=200x1000", 100_000, 200, 1000},
	} {
		b.Run(c.name, func(b *testing.B) {
			began := time.Now()
			vms, m := fleet(c.vms, c.groups, c.rules)
			runtime.GC()
			made := time.Since(began)
			b.ReportAllocs()
			doors, spans := 0, 0
			for b.Loop() {
				doors, spans = 0, 0
				for _, s := range survey.Ask(vms, m, fourPorts()...) {
					doors++
					spans += s.Len()
				}
			}
			b.ReportMetric(made.Seconds(), "s-to-make")
			b.ReportMetric(float64(doors), "doors")
			b.ReportMetric(float64(spans)/float64(doors), "spans/door")
		})
	}
}

// BenchmarkReplace changes one rule for one machine in a group that 500 share.
func BenchmarkReplace(b *testing.B) {
	vms, m := fleet(100_000, 200, 1000)
	s := survey.New(vms, m, fourPorts()...)
	id := vms[0].Paths[0].Hops[0].Firewall
	before := securityGroup(rand.New(rand.NewPCG(7, 7)), id, 1000)
	s.Replace(firewall.Layer{}, before)
	b.ReportAllocs()
	asked := 0
	for b.Loop() {
		after := before
		after.Rules = append([]firewall.LayerRule{{
			Name: "grant", Action: firewall.Allow, Protocol: firewall.TCP, First: 22, Last: 22,
			From: []netip.Prefix{netip.MustParsePrefix("203.0.113.7/32")}, To: []netip.Prefix{netip.PrefixFrom(vms[0].Paths[0].To[0], 32)},
		}}, before.Rules...)
		_, asked = s.Replace(before, after)
		_, _ = s.Replace(after, before)
	}
	b.ReportMetric(float64(asked), "asked")
}
