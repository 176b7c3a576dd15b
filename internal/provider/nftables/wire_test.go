//go:build linux

package nftables

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vishvananda/netlink"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/netlab"
)

// A wire sends packets with any source from a client to a VM, and sees which of
// them the VM's transport layer gets. Packets are sent from one thread on one
// processor, on whose queue the kernel keeps their order: when a last packet that
// nothing stops has arrived, whatever was sent before has arrived or never will.
type wire struct {
	tb     testing.TB
	to4    netip.Addr
	to6    netip.Addr
	mu     sync.Mutex
	nonce  uint32
	send   int
	frame  []byte // the Ethernet header
	listen map[firewall.Protocol][2]int
	work   chan func()
}

// fencePort is never locked.
const fencePort = 9

func newWire(tb testing.TB, from *netlab.Host, to *netlab.VM) *wire {
	tb.Helper()
	w := &wire{tb: tb, to4: to.Addr4(), to6: to.Addr6(), listen: map[firewall.Protocol][2]int{}, work: make(chan func())}
	try := func(err error) {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
	}
	var mac net.HardwareAddr
	try(to.Do(func() error {
		for _, f := range []string{"all", "default", "eth0"} {
			if err := os.WriteFile("/proc/sys/net/ipv4/conf/"+f+"/rp_filter", []byte("0"), 0); err != nil {
				return err
			}
		}
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		mac = l.Attrs().HardwareAddr
		for _, p := range []firewall.Protocol{firewall.TCP, firewall.UDP} {
			var pair [2]int
			for i, family := range []int{unix.AF_INET, unix.AF_INET6} {
				fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(p))
				if err != nil {
					return err
				}
				pair[i] = fd
				wait := unix.NsecToTimeval(int64(2 * time.Second))
				if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait); err != nil {
					return err
				}
			}
			w.listen[p] = pair
		}
		return nil
	}))
	try(from.Do(func() error {
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		w.frame = append(append(append([]byte{}, mac...), l.Attrs().HardwareAddr...), 0, 0)
		w.send, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		return unix.Bind(w.send, &unix.SockaddrLinklayer{Ifindex: l.Attrs().Index})
	}))
	go func() {
		runtime.LockOSThread() // never unlocked: the thread is pinned
		var one unix.CPUSet
		one.Set(0)
		_ = unix.SchedSetaffinity(0, &one)
		for f := range w.work {
			f()
		}
	}()
	tb.Cleanup(func() {
		close(w.work)
		_ = unix.Close(w.send)
		for _, pair := range w.listen {
			_, _ = unix.Close(pair[0]), unix.Close(pair[1])
		}
	})
	return w
}

// admits sends the first packet of a connection and returns whether it arrives.
func (w *wire) admits(to firewall.Door, from netip.Addr) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nonce += 2
	nonce := w.nonce
	fd := w.listen[to.Protocol][0]
	if from.Is6() {
		fd = w.listen[to.Protocol][1]
	}
	done := make(chan struct{})
	w.work <- func() {
		w.packet(to.Protocol, from, to.Port, nonce)
		w.packet(to.Protocol, from, fencePort, nonce+1)
		close(done)
	}
	<-done
	arrived := false
	buf := make([]byte, 2048)
	for {
		n, err := unix.Read(fd, buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			w.tb.Fatalf("the packet that nothing stops did not arrive: %v", err)
		}
		b := buf[:n]
		if from.Is4() {
			b = b[20:]
		}
		at := 4 // the sequence number
		if to.Protocol == firewall.UDP {
			at = 8 // the payload
		}
		if len(b) < at+4 {
			continue
		}
		switch binary.BigEndian.Uint32(b[at:]) {
		case nonce:
			arrived = true
		case nonce + 1:
			return arrived
		}
	}
}

// packet sends one SYN or datagram.
func (w *wire) packet(p firewall.Protocol, from netip.Addr, port uint16, nonce uint32) {
	const sport = 40000
	var l4 []byte
	l4 = binary.BigEndian.AppendUint16(l4, sport)
	l4 = binary.BigEndian.AppendUint16(l4, port)
	if p == firewall.TCP {
		l4 = binary.BigEndian.AppendUint32(l4, nonce)
		l4 = append(l4, 0, 0, 0, 0, 5<<4, 0x02, 0xff, 0xff, 0, 0, 0, 0)
	} else {
		l4 = append(l4, 0, 12, 0, 0)
		l4 = binary.BigEndian.AppendUint32(l4, nonce)
	}
	to := w.to4
	if from.Is6() {
		to = w.to6
	}
	pseudo := append(from.AsSlice(), to.AsSlice()...)
	pseudo = append(pseudo, 0, byte(p), 0, byte(len(l4)))
	sumAt := 16
	if p == firewall.UDP {
		sumAt = 6
	}
	binary.BigEndian.PutUint16(l4[sumAt:], checksum(append(pseudo, l4...)))
	frame := append([]byte{}, w.frame...)
	if from.Is4() {
		binary.BigEndian.PutUint16(frame[12:], unix.ETH_P_IP)
		ip := []byte{0x45, 0, 0, byte(20 + len(l4)), 0, 0, 0x40, 0, 64, byte(p), 0, 0}
		ip = append(append(ip, from.AsSlice()...), to.AsSlice()...)
		binary.BigEndian.PutUint16(ip[10:], checksum(ip))
		frame = append(frame, ip...)
	} else {
		binary.BigEndian.PutUint16(frame[12:], unix.ETH_P_IPV6)
		frame = append(frame, 0x60, 0, 0, 0, 0, byte(len(l4)), byte(p), 64)
		frame = append(append(frame, from.AsSlice()...), to.AsSlice()...)
	}
	if _, err := unix.Write(w.send, append(frame, l4...)); err != nil {
		w.tb.Errorf("send: %v", err)
	}
}

func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	if len(b)%2 == 1 {
		sum += uint32(b[len(b)-1]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
