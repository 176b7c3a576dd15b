package aws_test

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/fleet"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
	"github.com/sesame-access/sesame/internal/firewall"
)

// What comes at once in the benchmarks.
const (
	manyMachines = 100
	manyRequests = 1000
)

// many is a ground with a hundred instances, each with a group of its own. The
// buckets of the API are of the documented sizes, and a write takes a while.
func many(t testing.TB) (g *ground, doors []firewall.Door) {
	t.Helper()
	sim, err := ec2.New(ec2.Config{Seed: 1, WriteTime: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	g = &ground{sim: sim}
	prefix := "arn:aws:ec2:" + ec2.DefaultRegion + ":" + ec2.DefaultAccount + ":"
	sim.Build(ec2.DefaultRegion, func(w *world.World) {
		b := fleet.NewBuilder(w, ec2.DefaultAccount)
		v := b.VPC("net", "10.0.0.0/16")
		g.vpc = firewall.ID(prefix + "vpc/" + v.ID)
		s := b.Subnet(v.ID, "a", "10.0.0.0/20", "", false)
		for i := range manyMachines {
			own := b.Group(v.ID, fmt.Sprint("g", i), "of one machine", "tcp 22 0.0.0.0/0")
			x := b.Instance(fmt.Sprint("vm", i), world.Instance{}, fleet.Leg{Subnet: s, Groups: []string{own}})
			doors = append(doors, firewall.Door{VM: firewall.VMID(prefix + "instance/" + x.ID), Protocol: firewall.TCP, Port: 22})
		}
	})
	g.provider = connected(t, g.base())
	return g, doors
}

// base is how the SDK finds the simulator.
func (g *ground) base() awssdk.Config {
	return awssdk.Config{
		Region: ec2.DefaultRegion, BaseEndpoint: awssdk.String("http://ec2.example"), HTTPClient: g.sim.Client(),
		Credentials: credentials.NewStaticCredentialsProvider(ec2.DefaultKey, ec2.DefaultSecret, ""),
	}
}

// requested are the doors with their share of the requests.
func requested(doors []firewall.Door, open bool) firewall.Wants {
	var out firewall.Wants
	for _, d := range doors {
		n := 0
		if open {
			n = manyRequests / manyMachines
		}
		out = append(out, locked(d, n)...)
	}
	out.Sort()
	return out
}

// settled passes until nothing is left to do, as the loop does, and returns how
// long that took and how many calls.
func (g *ground) settled(t testing.TB, want firewall.Wants) (time.Duration, int) {
	t.Helper()
	start, before := time.Now(), g.allCalls()
	for range 50 {
		p, err := g.pass(t.Context(), want, nil)
		if err == nil && p.Empty() {
			return time.Since(start), g.allCalls() - before
		}
	}
	t.Fatal("it never settles")
	return 0, 0
}

func (g *ground) allCalls() (n int) {
	for _, k := range g.sim.Calls() {
		n += k
	}
	return n
}

// singly does the same as most clients do: a call for each rule, ten at a time,
// again after a second where it was throttled.
func singly(ctx context.Context, rules []func(context.Context) error) {
	var wg sync.WaitGroup
	queue := make(chan func(context.Context) error)
	for range 10 {
		wg.Go(func() {
			for do := range queue {
				for do(ctx) != nil {
					time.Sleep(time.Second)
				}
			}
		})
	}
	for _, do := range rules {
		queue <- do
	}
	close(queue)
	wg.Wait()
}

// figures are what a benchmark reports.
type figures map[string]float64

// inVirtualTime runs f in a bubble, for which a test is needed.
func inVirtualTime(b *testing.B, f func(t *testing.T)) {
	b.Helper()
	everything := func(string, string) (bool, error) { return true, nil }
	if !testing.RunTests(everything, []testing.InternalTest{{Name: b.Name(), F: func(t *testing.T) { synctest.Test(t, f) }}}) {
		b.Fatal("the test in virtual time failed")
	}
}

// BenchmarkCrowd opens a thousand requests that come at once on a hundred
// instances, and ends them all at once, against a client that makes a call for
// each rule. Seconds are those of the cloud, not of this machine.
func BenchmarkCrowd(b *testing.B) {
	for b.Loop() {
		f := figures{}
		inVirtualTime(b, func(t *testing.T) {
			g, doors := many(t)
			g.settled(t, requested(doors, false))
			time.Sleep(time.Minute) // the buckets are full again
			took, calls := g.settled(t, requested(doors, true))
			f["open-s"], f["open-calls"] = took.Seconds(), float64(calls)
			time.Sleep(time.Minute)
			took, calls = g.settled(t, requested(doors, false))
			f["close-s"], f["close-calls"] = took.Seconds(), float64(calls)
		})
		inVirtualTime(b, func(t *testing.T) {
			g, doors := many(t)
			client := sdk.NewFromConfig(g.base())
			var opens, closes []func(context.Context) error
			groups := map[string]string{}
			for _, n := range g.now().interfaces {
				groups[n.Instance] = n.Groups[0]
			}
			for _, w := range requested(doors, true) {
				for _, o := range w.Open {
					rule := []types.IpPermission{{IpProtocol: awssdk.String("tcp"), FromPort: awssdk.Int32(22), ToPort: awssdk.Int32(22), IpRanges: []types.IpRange{{CidrIp: awssdk.String(o.From.String())}}}}
					id := awssdk.String(groups[w.Door.VM.Name()])
					opens = append(opens, func(ctx context.Context) error {
						_, err := client.AuthorizeSecurityGroupIngress(ctx, &sdk.AuthorizeSecurityGroupIngressInput{GroupId: id, IpPermissions: rule})
						if err != nil && strings.Contains(err.Error(), "Duplicate") {
							return nil
						}
						return err
					})
					closes = append(closes, func(ctx context.Context) error {
						_, err := client.RevokeSecurityGroupIngress(ctx, &sdk.RevokeSecurityGroupIngressInput{GroupId: id, IpPermissions: rule})
						return err
					})
				}
			}
			for _, x := range []struct {
				name string
				work []func(context.Context) error
			}{{"open", opens}, {"close", closes}} {
				start, before := time.Now(), g.allCalls()
				singly(t.Context(), x.work)
				f["singly-"+x.name+"-s"], f["singly-"+x.name+"-calls"] = time.Since(start).Seconds(), float64(g.allCalls()-before)
				time.Sleep(time.Minute)
			}
			if !g.now().admits(doors[0], netip.MustParseAddr("192.0.2.1")) {
				t.Error("the group is not what it was")
			}
		})
		for name, value := range f {
			b.ReportMetric(value, name)
		}
	}
}

// BenchmarkInventory reads ten thousand instances, with everything that decides
// who reaches them. The simulator's own work is part of the time, and the rest of
// its memory is not.
func BenchmarkInventory(b *testing.B) {
	sim, err := ec2.New(ec2.Config{Unthrottled: true})
	if err != nil {
		b.Fatal(err)
	}
	if err := sim.Fleet(ec2.DefaultRegion, 10_000, 1); err != nil {
		b.Fatal(err)
	}
	g := &ground{sim: sim}
	g.provider = connected(b, g.base())
	var peak uint64
	b.ReportAllocs()
	before := g.allCalls()
	for b.Loop() {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		base := m.HeapAlloc
		done, watched := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(watched)
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-done:
					return
				case <-tick.C:
					var m runtime.MemStats
					runtime.ReadMemStats(&m)
					if m.HeapAlloc > base {
						peak = max(peak, m.HeapAlloc-base)
					}
				}
			}
		}()
		vms, err := g.provider.Inventory(b.Context())
		close(done)
		<-watched
		if err != nil || len(vms) != 10_000 {
			b.Fatal(len(vms), err)
		}
	}
	b.ReportMetric(float64(g.allCalls()-before)/float64(b.N), "calls/op")
	b.ReportMetric(float64(peak)/(1<<20), "peak-MB")
}
