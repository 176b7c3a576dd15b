package survey_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/reach"
	"github.com/sesame-access/sesame/internal/reach/reachtest"
	"github.com/sesame-access/sesame/internal/reach/survey"
)

func fourPorts() []survey.Port {
	var out []survey.Port
	for _, n := range []uint16{22, 3389, 5985, 5986} {
		out = append(out, survey.Port{Protocol: firewall.TCP, Number: n})
	}
	return out
}

// fleet returns VMs, each behind two security groups, subnet and interface, of
// which there are so many in all, each of so many rules as reachtest.SecurityGroup
// draws them. Neighbours share a pair. A VM has one IPv4 address, and those of 256
// are destinations of single rules.
func fleet(tb testing.TB, vms, groups, rules int) ([]inventory.VM, reach.Model) {
	out, m, _ := compiledFleet(tb, vms, groups, rules)
	return out, m
}

// compiledFleet returns a fleet, and how long the processor took to compile its layers.
func compiledFleet(tb testing.TB, vms, groups, rules int) (out []inventory.VM, m reach.Model, took time.Duration) {
	r := rand.New(rand.NewPCG(1, 1))
	m = make(reach.Model, groups)
	ids := make([]firewall.ID, groups)
	for n := range ids {
		ids[n] = firewall.ID(fmt.Sprintf("/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/networkSecurityGroups/nsg-%d", n))
		l := reachtest.SecurityGroup(r, ids[n], rules)
		began := processor(tb)
		m.Put(l)
		took += processor(tb) - began
	}
	out = make([]inventory.VM, vms)
	for n := range out {
		subnet := 2 * (n * groups / 2 / vms) // neighbours share
		nic := subnet + 1
		out[n] = inventory.VM{ID: firewall.VMID(fmt.Sprint("vm-", n)), Paths: []inventory.Path{{
			Name: "nic", To: []netip.Addr{netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})},
			Hops: []inventory.Hop{{Firewall: ids[subnet]}, {Firewall: ids[nic]}},
		}}}
	}
	return out, m, took
}

// BenchmarkFleet asks about four ports of every VM, on one core with -cpu=1.
// cpu-s is the time of the processor for one round, the garbage collector's
// included, which other programs disturb less than the clock. Making the model is
// not part of it; cpu-s-to-compile is what that took, once.
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
			vms, m, compiled := compiledFleet(b, c.vms, c.groups, c.rules)
			runtime.GC()
			b.ReportAllocs()
			doors, spans := 0, 0
			began := processor(b)
			for b.Loop() {
				doors, spans = 0, 0
				for _, s := range survey.Ask(vms, m, fourPorts()...) {
					doors++
					spans += s.Len()
				}
			}
			b.ReportMetric((processor(b)-began).Seconds()/float64(b.N), "cpu-s")
			b.ReportMetric(compiled.Seconds(), "cpu-s-to-compile")
			b.ReportMetric(float64(doors), "doors")
			b.ReportMetric(float64(spans)/float64(doors), "spans/door")
		})
	}
}

// processor returns how long processors have worked for this program.
func processor(tb testing.TB) time.Duration {
	tb.Helper()
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkReplace changes one rule for one machine in a group that 500 share.
func BenchmarkReplace(b *testing.B) {
	vms, m := fleet(b, 100_000, 200, 1000)
	s := survey.New(vms, m, fourPorts()...)
	id := vms[0].Paths[0].Hops[0].Firewall
	before := reachtest.SecurityGroup(rand.New(rand.NewPCG(7, 7)), id, 1000)
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
