//go:build linux

package nftables

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/netlab"
)

// redirects are what others may have on a host: other ports that lead to sshd and
// to two echoing servers.
const redirects = `table inet theirs {
	chain prerouting {
		type nat hook prerouting priority dstnat; policy accept;
		tcp dport 2022 redirect to :22
		tcp dport 3022 redirect to :2222
		udp dport 6000 redirect to :5000
		ip daddr %s tcp dport 4022 dnat ip to %s:22
	}
}`

// Whoever translates the port of packets on their way in leads nobody past a
// lock: a socket of the host is reached under the port that it has.
func TestForeignRedirectsOpenNothing(t *testing.T) {
	s := newStage(t, "alice", "stranger")
	alice, stranger := s.Client("alice"), s.Client("stranger")
	s.load(fmt.Sprintf(redirects, s.vm.Addr4(), s.vm.Addr4()))
	if s.dial(stranger, s.vm.Addr4(), 2022, 0) == nil {
		t.Fatal("the redirect leads nowhere: this test tests nothing")
	}
	s.show(locked(ssh(), opening(single(alice.Addr4()), time.Minute), opening(single(alice.Addr6()), time.Minute)))
	for _, way := range []struct {
		at   netip.Addr
		port uint16
	}{{s.vm.Addr4(), 22}, {s.vm.Addr4(), 2022}, {s.vm.Addr4(), 4022}, {s.vm.Addr6(), 22}, {s.vm.Addr6(), 2022}} {
		if s.dial(stranger, way.at, way.port, 0) != nil {
			t.Errorf("the stranger reaches sshd by port %d of %s", way.port, way.at)
		}
		if s.dial(alice, way.at, way.port, 0) == nil {
			t.Errorf("alice does not reach sshd by port %d of %s", way.port, way.at)
		}
	}
	s.show(locked(ssh()))
	if s.dial(alice, s.vm.Addr4(), 2022, 0) != nil {
		t.Error("alice reaches sshd by port 2022 after her opening was closed")
	}
}

func TestForeignRedirectsOpenNoDatagrams(t *testing.T) {
	s := newStage(t, "alice", "stranger")
	alice, stranger := s.Client("alice"), s.Client("stranger")
	l, err := s.vm.ListenPacket(t.Context(), "udp4", ":5000")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	heard := func(from *netlab.Host) bool {
		c, err := from.Dial(t.Context(), "udp", netip.AddrPortFrom(s.vm.Addr4(), 6000).String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		_ = l.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		_, _, err = l.ReadFrom(make([]byte, 64))
		return err == nil
	}
	s.load(fmt.Sprintf(redirects, s.vm.Addr4(), s.vm.Addr4()))
	if !heard(stranger) {
		t.Fatal("the redirect leads nowhere: this test tests nothing")
	}
	door := firewall.Door{VM: web, Protocol: firewall.UDP, Port: 5000}
	s.show(locked(door, opening(single(alice.Addr4()), time.Minute)))
	if heard(stranger) || !heard(alice) {
		t.Error("not alice alone is heard")
	}
}

// What holds for a port holds for those that are translated to it: sessions that
// may outlive their opening do, those that may not end with it, and what
// connection tracking remembers after a reset reopens nothing.
func TestRedirectedSessionsEndAsOthersDo(t *testing.T) {
	s := newStage(t, "alice")
	s.echo(2222)
	s.load(fmt.Sprintf(redirects, s.vm.Addr4(), s.vm.Addr4()))
	alice, door := s.Client("alice"), firewall.Door{VM: web, Protocol: firewall.TCP, Port: 2222}
	const local = 45000
	for i, cut := range []bool{false, true} {
		want := locked(door, opening(single(alice.Addr4()), 2*time.Second))
		want.Cut = cut
		s.show(want)
		old := uint16(local + 2*i)
		reset, c := s.dial(alice, s.vm.Addr4(), 3022, old), s.dial(alice, s.vm.Addr4(), 3022, 0)
		if reset == nil || c == nil || !alive(reset) || !alive(c) {
			t.Fatal("alice does not get in")
		}
		time.Sleep(time.Until(want.Open[0].Until) - 200*time.Millisecond)
		_, _ = reset.Write([]byte("x"))
		if _, err := reset.Read(make([]byte, 1)); err == nil {
			t.Fatal("no reset")
		}
		time.Sleep(time.Until(want.Open[0].Until))
		if got := alive(c); got == cut {
			t.Errorf("with cut %v, the session lives on: %v", cut, got)
		}
		if s.dial(alice, s.vm.Addr4(), 3022, old) != nil {
			t.Error("alice gets in again from her old port")
		}
	}
}

// A connection is counted once, where it comes in by the locked port itself, and
// not at all where its port was translated.
func TestRedirectsAreNotCounted(t *testing.T) {
	s := newStage(t, "alice")
	s.load(fmt.Sprintf(redirects, s.vm.Addr4(), s.vm.Addr4()))
	alice := s.Client("alice")
	s.show(locked(ssh(), opening(single(alice.Addr4()), time.Minute)))
	for _, port := range []uint16{22, 2022, 22, 2022} {
		if s.dial(alice, s.vm.Addr4(), port, 0) == nil {
			t.Fatalf("alice does not get in by port %d", port)
		}
	}
	if got := s.observe().Owned[1].Uses; got != 2 {
		t.Errorf("%d uses are counted, want 2", got)
	}
}

// However many lengths of prefix there are, the kernel takes the gate, and both
// hooks find what is in any of the sets.
func TestEveryLengthOfPrefix(t *testing.T) {
	s := newStage(t, "alice", "stranger")
	s.load(fmt.Sprintf(redirects, s.vm.Addr4(), s.vm.Addr4()))
	want := locked(ssh())
	fill := func(a string, lengths int) {
		for bits := range lengths {
			p := netip.PrefixFrom(netip.MustParseAddr(a), bits+1).Masked()
			o := opening(p, time.Hour)
			if bits%2 == 0 {
				o.Until, o.Grants = time.Time{}, ""
			}
			want.Open = append(want.Open, o)
		}
	}
	fill("203.0.113.7", 32)
	fill("2001:db8:ffff::7", 128)
	s.show(want)
	s.show(want) // making so many sets takes so long that timers begin late
	s.converged(want)
	// The sets stay when they are empty; that of the longest prefixes is the last
	// that is looked up.
	alice, stranger := s.Client("alice"), s.Client("stranger")
	for _, bits := range []int{32, 31, 25, 9} {
		from := netip.PrefixFrom(alice.Addr4(), bits).Masked()
		s.show(locked(ssh(), opening(from, time.Minute)))
		for _, port := range []uint16{22, 2022} {
			if s.dial(alice, s.vm.Addr4(), port, 0) == nil {
				t.Errorf("alice does not get in by port %d of %s", port, from)
			}
			if got := s.dial(stranger, s.vm.Addr4(), port, 0) != nil; got != from.Contains(stranger.Addr4()) {
				t.Errorf("the stranger gets in by port %d of %s: %v", port, from, got)
			}
		}
	}
}
