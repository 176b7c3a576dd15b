//go:build linux

package nftables

import (
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/nftables/nfnetlink"
	"github.com/sesame-access/sesame/internal/provider/nftables/nfnetlink/ruleset"
)

// A flood sends SYNs and datagrams to locked doors all the time, from a source
// that has openings and from one that has none, and counts what arrives.
type flood struct {
	sent, permitted, arrived, leaked atomic.Int64
	stop                             chan struct{}
	done                             chan struct{}
}

func startFlood(t *testing.T, w *wire, in, out netip.Addr, tcp, udp uint16) *flood {
	t.Helper()
	f := &flood{stop: make(chan struct{}), done: make(chan struct{})}
	for protocol, fds := range w.listen {
		if err := unix.SetsockoptInt(fds[0], unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 256<<20); err != nil {
			t.Fatal(err)
		}
		port := tcp
		if protocol == firewall.UDP {
			port = udp
		}
		go func() {
			buf := make([]byte, 256)
			for {
				n, err := unix.Read(fds[0], buf)
				if err != nil || n < 24 {
					select {
					case <-f.stop:
						return
					default:
						continue
					}
				}
				from, _ := netip.AddrFromSlice(buf[12:16])
				if to := uint16(buf[22])<<8 | uint16(buf[23]); to != port {
					continue
				}
				switch from {
				case in:
					f.arrived.Add(1)
				case out:
					f.leaked.Add(1)
				}
			}
		}()
	}
	go func() {
		defer close(f.done)
		for {
			select {
			case <-f.stop:
				return
			default:
			}
			batch := make(chan struct{})
			w.work <- func() {
				for range 50 {
					w.packet(firewall.TCP, out, tcp, 1)
					w.packet(firewall.UDP, out, udp, 1)
					w.packet(firewall.TCP, in, tcp, 1)
					w.packet(firewall.UDP, in, udp, 1)
				}
				close(batch)
			}
			<-batch
			f.sent.Add(100)
			f.permitted.Add(100)
		}
	}()
	return f
}

func (f *flood) end(t *testing.T) {
	t.Helper()
	close(f.stop)
	<-f.done
	// On a busy machine the reader may be far behind.
	for end := time.Now().Add(10 * time.Second); f.arrived.Load() < f.permitted.Load() && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(100 * time.Millisecond) // for what should not arrive
	t.Logf("%d unauthorised packets sent, %d let in; %d permitted ones sent, %d let in",
		f.sent.Load(), f.leaked.Load(), f.permitted.Load(), f.arrived.Load())
	if f.leaked.Load() != 0 {
		t.Errorf("%d of %d packets got through a lock", f.leaked.Load(), f.sent.Load())
	}
	if f.arrived.Load() != f.permitted.Load() {
		t.Errorf("%d of %d permitted packets were lost", f.permitted.Load()-f.arrived.Load(), f.permitted.Load())
	}
}

// Neither writing the frame again nor extending an opening lets a packet through
// that has no opening, or loses one that has.
func TestNothingLeaksAndNothingIsLost(t *testing.T) {
	s := newStage(t, "prober")
	w := newWire(t, s.Client("prober"), s.vm)
	in, out := netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("198.51.100.7")
	door, udp := firewall.Door{VM: web, Protocol: firewall.TCP, Port: 2222}, firewall.Door{VM: web, Protocol: firewall.UDP, Port: 5000}
	first, wide := opening(single(in), time.Hour), opening(netip.MustParsePrefix("192.0.2.0/24"), time.Hour)
	want := func(extended int) []firewall.Want {
		o := first
		o.Until = o.Until.Add(time.Duration(extended) * time.Second)
		return []firewall.Want{locked(door, o, wide), locked(udp, o, wide)}
	}
	s.show(want(0)...)
	hand, err := nfnetlink.DialIn(s.vm.NetnsPath())
	if err != nil {
		t.Fatal(err)
	}
	defer hand.Close()
	gate := ruleset.TableID{Family: ruleset.INet, Name: "sesame"}
	f := startFlood(t, w, in, out, door.Port, udp.Port)
	rewritten, extended := 0, 0
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); {
		// A rule too many, which does nothing, makes the frame wrong.
		b := nfnetlink.NewBatch()
		b.AddRule(ruleset.NewRule(gate.Chain("openings"), "", ruleset.Count()))
		if err := hand.Commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if p := s.show(want(extended)...); p.Empty() {
			t.Fatal("the frame is not written again")
		}
		rewritten++
		extended++
		s.show(want(extended)...)
	}
	f.end(t)
	t.Logf("the frame was written again %d times, two openings extended %d times", rewritten, extended)
	s.converged(want(extended)...)
}

// Whoever deletes the table opens every door until it is there again: that must
// not take long.
func TestRepairTakesMilliseconds(t *testing.T) {
	s := newStage(t)
	want := append(everything(), locked(firewall.Door{VM: web, Protocol: firewall.TCP, Port: 8443}, crowd(100)...))
	s.show(want...)
	hand, err := nfnetlink.DialIn(s.vm.NetnsPath())
	if err != nil {
		t.Fatal(err)
	}
	defer hand.Close()
	woken := s.watch()
	var noticed, repaired []time.Duration
	for range 20 {
		b := nfnetlink.NewBatch()
		b.DeleteTable(ruleset.TableID{Family: ruleset.INet, Name: "sesame"})
		start := time.Now()
		if err := hand.Commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		<-woken
		noticed = append(noticed, time.Since(start))
		s.show(want...)
		repaired = append(repaired, time.Since(start))
	}
	t.Logf("a deleted table with 105 openings: noticed after %v (median), there again after %v (median), %v (longest)",
		median(noticed), median(repaired), repaired[len(repaired)-1])
	if m := median(repaired); m > 250*time.Millisecond {
		t.Errorf("it takes %v", m)
	}
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}
