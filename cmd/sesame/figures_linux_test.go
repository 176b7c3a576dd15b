package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/api/client"
	"github.com/sesame-access/sesame/internal/netlab"
	"github.com/sesame-access/sesame/internal/provider/nftables/nfnetlink"
	"github.com/sesame-access/sesame/internal/provider/nftables/nfnetlink/ruleset"
)

// The figures of the README: the whole way of a request, through the real
// program, the real disk and the real kernel, beside the floor of that way on
// this machine, measured in the same run.

// BenchmarkRequest is one request after the other: over TLS, to a durable grant,
// to the first connection that gets through.
func BenchmarkRequest(b *testing.B) {
	s := figures(b)
	c := s.client(b)
	door := netip.AddrPortFrom(s.lab.VM("web").Addr4(), cheapPort).String()
	dialer := net.Dialer{Timeout: time.Second}
	var whole, answer, floor []time.Duration
	for range b.N {
		time.Sleep(afterwork)
		floor = append(floor, s.floor(b))
		begin := time.Now()
		grant := ask(b, c, netip.Prefix{})
		answered := time.Since(begin)
		conn, err := dialer.DialContext(b.Context(), "tcp", door)
		if err != nil {
			b.Fatal(err)
		}
		whole, answer = append(whole, time.Since(begin)), append(answer, answered)
		conn.Close()
		if _, err := c.Close(b.Context(), grant.ID); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(ms(whole, 50), "p50-ms")
	b.ReportMetric(ms(whole, 99), "p99-ms")
	b.ReportMetric(ms(answer, 50), "answer-p50-ms")
	b.ReportMetric(ms(floor, 50), "floor-p50-ms")
	b.ReportMetric(ms(floor, 99), "floor-p99-ms")
	b.ReportMetric(ms(whole, 50)/ms(floor, 50), "times-the-floor")
}

// afterwork is longer than the outcome of the last request waits to be saved: it
// is no part of the next one, nor of the floor.
const afterwork = 10 * time.Millisecond

// BenchmarkRequestsAtOnce is 32 clients who ask as fast as they are answered,
// each for sources that nobody has asked for yet; all grants stay open.
func BenchmarkRequestsAtOnce(b *testing.B) {
	s := figures(b)
	_, v6 := s.lab.Subnets()
	const clients = 32
	var next atomic.Int64
	took := make([][]time.Duration, clients)
	each := make([]*client.Client, clients)
	for i := range each {
		each[i] = s.client(b)
	}
	b.ResetTimer()
	var wg sync.WaitGroup
	for i, c := range each {
		wg.Go(func() {
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				a := v6.Addr().As16()
				a[12], a[13], a[14], a[15] = 1, byte(n>>16), byte(n>>8), byte(n)
				begin := time.Now()
				ask(b, c, netip.PrefixFrom(netip.AddrFrom16(a), 128))
				took[i] = append(took[i], time.Since(begin))
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	all := slices.Concat(took...)
	b.ReportMetric(float64(len(all))/b.Elapsed().Seconds(), "grants/s")
	b.ReportMetric(ms(all, 50), "p50-ms")
	b.ReportMetric(ms(all, 99), "p99-ms")
}

// BenchmarkStart is from starting the program until it says that it is ready.
func BenchmarkStart(b *testing.B) {
	s := figures(b)
	for range b.N {
		b.StopTimer()
		s.end(os.Interrupt)
		b.StartTimer()
		s.start()
	}
}

// BenchmarkIdle is what a server with 100 open grants takes while nobody asks.
func BenchmarkIdle(b *testing.B) {
	s := figures(b)
	_, v6 := s.lab.Subnets()
	c := s.client(b)
	for n := range 100 {
		a := v6.Addr().As16()
		a[14], a[15] = 2, byte(n)
		ask(b, c, netip.PrefixFrom(netip.AddrFrom16(a), 128))
	}
	const watched = 10 * time.Second
	before := cpuTime(b, s.cmd.Process.Pid)
	time.Sleep(watched)
	used := cpuTime(b, s.cmd.Process.Pid) - before
	b.ReportMetric(100*used.Seconds()/watched.Seconds(), "%cpu")
	b.ReportMetric(residentMiB(b, s.cmd.Process.Pid), "MiB-RSS")
	b.ReportMetric(0, "ns/op")
}

// figures is a server with one VM, quiet and ready.
func figures(b *testing.B) *server {
	b.Helper()
	s := newBench(b, "web", "floor").serve(b, "figures", 9443, "web")
	b.ResetTimer()
	return s
}

// client is one of the requester's, with a connection of its own, warm.
func (s *server) client(b *testing.B) *client.Client {
	b.Helper()
	ca, err := os.ReadFile(filepath.Join(s.cfg.StateDir, "ca.crt"))
	if err != nil {
		b.Fatal(err)
	}
	c, err := client.New(client.Config{URL: "https://" + s.cfg.Listen[0].String(), CA: ca, Token: s.tokens["alice"]})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.CloseIdle)
	if _, err := c.Whoami(b.Context()); err != nil {
		b.Fatal(err)
	}
	return c
}

// ask asks for the cheap door, from the caller's own address if from is invalid.
func ask(b *testing.B, c *client.Client, from netip.Prefix) api.Grant {
	b.Helper()
	r := api.Ask{VM: "web", Ports: []api.Port{{Port: cheapPort, Protocol: "tcp"}}, Duration: "1h"}
	if from.IsValid() {
		r.Sources = []string{from.String()}
	}
	answer, err := c.Request(b.Context(), r, "")
	if err != nil {
		b.Fatal(err)
	}
	g := answer.Grants[0]
	if g.State != "open" {
		b.Fatalf("%s is %s: %s", g.ID, g.State, g.Pending)
	}
	return g
}

// floor is what no implementation gets around: one page forced to the disk, and
// one transaction of one element in the kernel.
func (s *server) floor(b *testing.B) time.Duration {
	b.Helper()
	f, err := os.OpenFile(filepath.Join(s.dir, "floor"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	kernel := scratch(b, s.lab.VM("floor")) // in another's kernel tables nobody notices it
	defer kernel.Close()
	set := ruleset.TableID{Family: ruleset.INet, Name: "floor"}.Set("one")
	batch := nfnetlink.NewBatch()
	batch.AddElements(set, ruleset.Element{Key: ruleset.PortKey(uint16(time.Now().UnixNano()) | 1), Timeout: time.Second})
	page := make([]byte, 4096)
	begin := time.Now()
	if _, err := f.Write(page); err != nil {
		b.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	if err := kernel.Commit(b.Context(), batch); err != nil {
		b.Fatal(err)
	}
	return time.Since(begin)
}

// scratch opens the VM's kernel with a table that nothing looks into.
func scratch(b *testing.B, vm *netlab.VM) *nfnetlink.Conn {
	b.Helper()
	c, err := nfnetlink.DialIn(vm.NetnsPath())
	if err != nil {
		b.Fatal(err)
	}
	table := ruleset.TableID{Family: ruleset.INet, Name: "floor"}
	batch := nfnetlink.NewBatch()
	batch.AddTable(ruleset.Table{TableID: table})
	batch.AddSet(ruleset.Set{SetID: table.Set("one"), Key: ruleset.KeyOf(ruleset.InetService), Flags: ruleset.SetTimeout, Timeout: time.Minute, Size: 65536})
	if err := c.Commit(context.WithoutCancel(b.Context()), batch); err != nil {
		b.Fatal(err)
	}
	return c
}

// ms is a percentile in milliseconds.
func ms(took []time.Duration, percent int) float64 {
	took = slices.Sorted(slices.Values(took))
	return float64(took[min(len(took)*percent/100, len(took)-1)].Microseconds()) / 1000
}

func cpuTime(b *testing.B, pid int) time.Duration {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')'):]))
	var ticks int64
	for _, f := range fields[12:14] { // utime and stime, 100 a second
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

func residentMiB(b *testing.B, pid int) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "VmRSS:")
	kib, err := strconv.ParseFloat(strings.Fields(after)[0], 64)
	if err != nil {
		b.Fatal(err)
	}
	return kib / 1024
}
