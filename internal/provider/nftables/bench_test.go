//go:build linux

package nftables

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sesame-access/sesame/internal/firewall"
)

// crowd returns n openings from addresses of 10.0.0.0/8 that last for hours.
func crowd(n int) []firewall.Opening {
	out := make([]firewall.Opening, n)
	for i := range out {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], 10<<24|uint32(i))
		out[i] = firewall.Opening{
			From: netip.PrefixFrom(netip.AddrFrom4(a), 32), Until: firewall.Instant(time.Now().Add(5 * time.Hour)),
			Grants: firewall.HoldersOf(fmt.Sprintf("g%09d", i)),
		}
	}
	return out
}

// BenchmarkGrant measures one grant as a pass of the reconciler makes it: look
// the key up, compile, commit, look the key up again; and its close likewise.
func BenchmarkGrant(b *testing.B) {
	for _, others := range []int{0, 10_000} {
		b.Run(fmt.Sprintf("others=%d", others), func(b *testing.B) {
			s := newStage(b)
			s.show(locked(ssh(), crowd(others)...))
			key := firewall.Key{Door: ssh(), From: netip.MustParsePrefix("203.0.113.7/32")}
			o := firewall.Opening{From: key.From, Until: firewall.Instant(time.Now().Add(time.Hour)), Grants: "g-1"}
			open, closed := firewall.Wants{locked(ssh(), o)}, firewall.Wants{locked(ssh())}
			keys := []firewall.Key{key}
			pass := func(want firewall.Wants, shown int) {
				before, err := s.Observe(b.Context(), fw, keys)
				if err != nil {
					b.Fatal(err)
				}
				p, err := s.Compile(before, want, nil)
				if err != nil || len(p.Changes) != 1 {
					b.Fatal(err, p)
				}
				if err := s.Apply(b.Context(), before, p); err != nil {
					b.Fatal(err)
				}
				after, err := s.Observe(b.Context(), fw, keys)
				if err != nil || len(after.Owned) != shown {
					b.Fatal(err, after.Owned)
				}
			}
			var opening time.Duration
			before := cpu()
			for b.Loop() {
				start := time.Now()
				pass(open, 2) // the lock and the opening
				opening += time.Since(start)
				pass(closed, 1)
			}
			b.ReportMetric(float64(opening.Nanoseconds())/float64(b.N), "ns/grant")
			// On a busy machine this says more than the time that went by.
			b.ReportMetric(float64((cpu()-before).Nanoseconds())/float64(2*b.N), "cpu-ns/grant")
		})
	}
}

// cpu returns the processor time of this process.
func cpu() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkObserve measures a full reading.
func BenchmarkObserve(b *testing.B) {
	for _, others := range []int{0, 100, 10_000} {
		b.Run(fmt.Sprintf("openings=%d", others), func(b *testing.B) {
			s := newStage(b)
			s.show(locked(ssh(), crowd(others)...))
			for b.Loop() {
				if s := s.observe(); len(s.Owned) != others+1 {
					b.Fatal(len(s.Owned))
				}
			}
		})
	}
}
