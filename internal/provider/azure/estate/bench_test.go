package estate_test

import (
	"fmt"
	"runtime"
	"testing"

	cloudsim "github.com/sesame-access/sesame/internal/cloudsim/arm"
	"github.com/sesame-access/sesame/internal/provider/azure/estate"
)

// BenchmarkRead reads fleets in-process: what is measured besides us is the
// simulator, which writes the documents. MB-peak is the largest heap while reading,
// without what the simulator has; MB-kept is what stays with the reader and the
// estate.
func BenchmarkRead(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		b.Run(fmt.Sprint("vms=", n), func(b *testing.B) {
			s := newStage(b, cloudsim.Config{})
			if _, err := s.Fleet(n, 1); err != nil {
				b.Fatal(err)
			}
			const mega = 1 << 20
			heap := func(collect bool) float64 {
				if collect {
					runtime.GC()
				}
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				return float64(m.HeapAlloc) / mega
			}
			var peak, kept, calls, documents float64
			s.config.Progress = func(p estate.Progress) {
				if documents = float64(p.Documents); p.Pages%10 == 0 {
					peak = max(peak, heap(false))
				}
			}
			base := heap(true)
			for b.Loop() {
				s.calls = nil
				r := s.reader(b)
				e := read(b, r)
				peak, calls = max(peak, heap(false)), float64(len(s.calls))
				b.StopTimer()
				kept = heap(true) - base
				if len(e.VMs) != n || len(e.Unread) > 0 {
					b.Fatalf("%d machines, not read %q", len(e.VMs), e.Unread)
				}
				runtime.KeepAlive(r)
				b.StartTimer()
			}
			b.ReportMetric(calls, "calls")
			b.ReportMetric(documents, "documents")
			b.ReportMetric(peak-base, "MB-peak")
			b.ReportMetric(kept, "MB-kept")
		})
	}
}
