package posture_test

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
	"github.com/sesame-access/sesame/internal/posture"
	"github.com/sesame-access/sesame/internal/reach"
	"github.com/sesame-access/sesame/internal/reach/reachtest"
)

// crowd is machines behind two groups each, subnet and interface, of which there are
// so many in all, with so many rules each. Neighbours share a pair.
func crowd(vms, groups, rules int) posture.Estate {
	r := rand.New(rand.NewPCG(1, 1))
	e := posture.Estate{VMs: make([]inventory.VM, vms), Model: make(reach.Model, groups)}
	ids := make([]firewall.ID, groups)
	for n := range ids {
		ids[n] = firewall.ID(fmt.Sprintf("/subscriptions/s/resourcegroups/g/providers/microsoft.network/networksecuritygroups/nsg-%d", n))
		e.Model.Put(reachtest.SecurityGroup(r, ids[n], rules))
	}
	for n := range e.VMs {
		subnet := 2 * (n * groups / 2 / vms)
		e.VMs[n] = inventory.VM{ID: firewall.VMID(fmt.Sprintf("vm-%06d", n)), Name: fmt.Sprint("vm-", n), Paths: []inventory.Path{{
			Name: "nic", To: []netip.Addr{netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})},
			Hops: []inventory.Hop{{Firewall: ids[subnet]}, {Firewall: ids[subnet+1]}},
		}}}
	}
	return e
}

// BenchmarkJudge judges four ports of every machine, on one core with -cpu=1. Making
// the model is not part of it. cpu-s is the time of the processor for one round, the
// garbage collector's included, which other programs disturb less than the clock.
func BenchmarkJudge(b *testing.B) {
	for _, c := range []struct {
		name               string
		vms, groups, rules int
	}{
		{"vms=10000/own=100", 10_000, 20_000, 100},
		{"vms=100000/shared=200x1000", 100_000, 200, 1000},
	} {
		b.Run(c.name, func(b *testing.B) {
			e := crowd(c.vms, c.groups, c.rules)
			runtime.GC()
			b.ReportAllocs()
			findings, bad := 0, 0
			began := processor(b)
			for b.Loop() {
				findings, bad = 0, 0
				for f := range posture.Judge(e, settings(), now) {
					findings++
					if f.Bad() {
						bad++
					}
				}
			}
			b.ReportMetric((processor(b)-began).Seconds()/float64(b.N), "cpu-s")
			b.ReportMetric(float64(findings), "findings")
			b.ReportMetric(float64(bad), "bad")
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
