//go:build linux

package nftables

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/netlab"
	"github.com/sesame-access/sesame/internal/netlab/netlabtest"
)

// patience is how long a connection that nobody answers is waited for: longer
// than the first retransmission of a SYN, so that a packet lost by chance is no
// verdict.
const patience = 1500 * time.Millisecond

func single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

func opening(from netip.Prefix, d time.Duration) firewall.Opening {
	return firewall.Opening{From: from, Until: firewall.Instant(time.Now().Add(d)), Grants: "g-1"}
}

// dial connects to a port of the VM; nil when it does not get through.
func (s *stage) dial(from *netlab.Host, at netip.Addr, port, local uint16) net.Conn {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	c, err := from.DialFrom(ctx, "tcp", local, netip.AddrPortFrom(at, port).String())
	if err == nil {
		s.Cleanup(func() { _ = c.Close() })
		return c
	}
	if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, os.ErrDeadlineExceeded) {
		s.Fatalf("a packet was answered otherwise than by silence: %v", err)
	}
	return nil
}

// echo answers everything that comes to a TCP port of the VM. What begins with
// an x is answered with a reset.
func (s *stage) echo(port uint16) {
	s.Helper()
	l, err := s.vm.Listen(s.Context(), "tcp", fmt.Sprintf(":%d", port))
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				b := make([]byte, 1)
				for {
					if _, err := io.ReadFull(c, b); err != nil {
						return
					}
					if b[0] == 'x' {
						_ = netlabtest.Abort(c)
						return
					}
					_, _ = c.Write(b)
				}
			}()
		}
	}()
}

// alive sends a byte over c and says whether it comes back.
func alive(c net.Conn) bool {
	if _, err := c.Write([]byte("a")); err != nil {
		return false
	}
	_ = c.SetReadDeadline(time.Now().Add(patience))
	_, err := io.ReadFull(c, make([]byte, 1))
	return err == nil
}

func TestOneSourceAlone(t *testing.T) {
	s := newStage(t, "alice", "stranger")
	alice, stranger := s.Client("alice"), s.Client("stranger")
	s.show(locked(ssh()))
	for name, at := range map[string][3]netip.Addr{
		"IPv4": {s.vm.Addr4(), alice.Addr4(), stranger.Addr4()},
		"IPv6": {s.vm.Addr6(), alice.Addr6(), stranger.Addr6()},
	} {
		vm, from, other := at[0], at[1], at[2]
		if c := s.dial(alice, vm, 22, 0); c != nil {
			t.Fatalf("%s: alice gets in before anything is open", name)
		}
		s.show(locked(ssh(), opening(single(from), time.Minute)))
		if c := s.dial(alice, vm, 22, 0); c == nil {
			t.Errorf("%s: alice does not get in", name)
		}
		if c := s.dial(stranger, vm, 22, 0); c != nil {
			t.Errorf("%s: the stranger gets in", name)
		}
		// Both are in the same network, whose address is not theirs.
		wide := netip.PrefixFrom(other, map[bool]int{true: 24, false: 64}[other.Is4()]).Masked()
		s.show(locked(ssh(), opening(wide, time.Minute)))
		if c := s.dial(stranger, vm, 22, 0); c == nil {
			t.Errorf("%s: the stranger does not get in by %s", name, wide)
		}
		s.show(locked(ssh()))
		if c := s.dial(stranger, vm, 22, 0); c != nil {
			t.Errorf("%s: the stranger gets in after %s was closed", name, wide)
		}
	}
	if got := s.observe().Owned; len(got) != 1 {
		t.Errorf("more is left than the lock: %v", got)
	}
}

func TestUsesAreCounted(t *testing.T) {
	s := newStage(t, "alice")
	alice := s.Client("alice")
	s.show(locked(ssh(), opening(single(alice.Addr4()), time.Minute)))
	for range 3 {
		if s.dial(alice, s.vm.Addr4(), 22, 0) == nil {
			t.Fatal("alice does not get in")
		}
	}
	if got := s.observe().Owned[1].Uses; got != 3 {
		t.Errorf("%d uses are counted, want 3", got)
	}
}

func TestEveryDatagramIsJudged(t *testing.T) {
	s := newStage(t, "alice", "stranger")
	door := firewall.Door{VM: web, Protocol: firewall.UDP, Port: 5000}
	l, err := s.vm.ListenPacket(t.Context(), "udp", ":5000")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		b := make([]byte, 64)
		for {
			n, from, err := l.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = l.WriteTo(b[:n], from)
		}
	}()
	alice := s.Client("alice")
	s.show(locked(door, opening(single(alice.Addr4()), time.Second)))
	say := func(from *netlab.Host, to string) bool {
		c, err := from.Dial(t.Context(), "udp", to)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write([]byte("hello")); err != nil {
			return false
		}
		_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		_, err = c.Read(make([]byte, 64))
		return err == nil
	}
	at := netip.AddrPortFrom(s.vm.Addr4(), 5000).String()
	if !say(alice, at) || say(s.Client("stranger"), at) {
		t.Error("not alice alone gets an answer")
	}
	// A flow that is under way ends with its opening.
	end := time.Now().Add(time.Second)
	for time.Now().Before(end) {
		say(alice, at)
	}
	if say(alice, at) {
		t.Error("alice gets an answer after her opening has ended")
	}
}

// A socket of the host hears what is sent to everybody on the network, too.
func TestBroadcastsAreJudged(t *testing.T) {
	s := newStage(t, "alice")
	door := firewall.Door{VM: web, Protocol: firewall.UDP, Port: 5000}
	l, err := s.vm.ListenPacket(t.Context(), "udp4", ":5000")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	net4, _ := s.Subnets()
	b := net4.Addr().As4()
	b[3] = 255
	heard := func() bool {
		c, err := s.Client("alice").ListenPacket(t.Context(), "udp4", ":0")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.WriteTo([]byte("hello"), net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom4(b), 5000))); err != nil {
			t.Fatal(err)
		}
		_ = l.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		_, _, err = l.ReadFrom(make([]byte, 64))
		return err == nil
	}
	if !heard() {
		t.Fatal("broadcasts are not heard at all")
	}
	s.show(locked(door))
	if heard() {
		t.Error("a broadcast comes through the lock")
	}
	s.show(locked(door, opening(single(s.Client("alice").Addr4()), time.Minute)))
	if !heard() {
		t.Error("alice's broadcast does not come through her opening")
	}
}

func TestSessionsOutliveTheirOpening(t *testing.T) {
	s := newStage(t, "alice")
	s.echo(2222)
	door := firewall.Door{VM: web, Protocol: firewall.TCP, Port: 2222}
	alice := s.Client("alice")
	for _, cut := range []bool{false, true} {
		want := locked(door, opening(single(alice.Addr4()), time.Second))
		want.Cut = cut
		s.show(want)
		c := s.dial(alice, s.vm.Addr4(), 2222, 0)
		if c == nil || !alive(c) {
			t.Fatal("alice does not get in")
		}
		time.Sleep(time.Until(want.Open[0].Until))
		if s.dial(alice, s.vm.Addr4(), 2222, 0) != nil {
			t.Error("alice gets in after her opening has ended")
		}
		// Nobody did anything since: the kernel cuts by itself.
		if got := alive(c); got == cut {
			t.Errorf("with cut %v, the session lives on: %v", cut, got)
		}
	}
}

// Where a lock is made, whoever is inside stays.
func TestFirstLockCutsNobody(t *testing.T) {
	s := newStage(t, "alice")
	s.echo(2222)
	c := s.dial(s.Client("alice"), s.vm.Addr4(), 2222, 0)
	s.show(locked(firewall.Door{VM: web, Protocol: firewall.TCP, Port: 2222}))
	if !alive(c) {
		t.Error("the session was cut")
	}
	if s.dial(s.Client("alice"), s.vm.Addr4(), 2222, 0) != nil {
		t.Error("the door is not locked")
	}
}

// After a reset, connection tracking goes on believing in the connection for a
// while: a new one from the same port is taken for it. Firewalls that let
// established connections pass are open to whoever was in once.
func TestResetReopensNothing(t *testing.T) {
	s := newStage(t, "alice")
	s.echo(2222)
	s.echo(2223)
	alice := s.Client("alice")
	// The usual idiom guards 2223, and makes the kernel track connections.
	s.load(fmt.Sprintf(`table inet usual {
		set in { type ipv4_addr; flags timeout; }
		chain input {
			type filter hook input priority filter; policy accept;
			ct state established,related accept
			tcp dport 2223 ip saddr @in accept
			tcp dport 2223 drop
		}
	}
	add element inet usual in { %s timeout 1s }`, alice.Addr4()))
	until := time.Now().Add(time.Second)
	s.show(locked(firewall.Door{VM: web, Protocol: firewall.TCP, Port: 2222}, opening(single(alice.Addr4()), time.Second)))
	const local = 45000
	for _, port := range []uint16{2222, 2223} {
		c := s.dial(alice, s.vm.Addr4(), port, local)
		if c == nil || !alive(c) {
			t.Fatalf("alice does not get in to %d", port)
		}
		_, _ = c.Write([]byte("x"))
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Fatal("no reset")
		}
	}
	time.Sleep(time.Until(until) + 20*time.Millisecond)
	if s.dial(alice, s.vm.Addr4(), 2223, local+1) != nil {
		t.Fatal("the usual idiom does not close at all")
	}
	if s.dial(alice, s.vm.Addr4(), 2223, local) == nil {
		t.Error("the usual idiom is not fooled: this test tests nothing")
	}
	if s.dial(alice, s.vm.Addr4(), 2222, local) != nil {
		t.Error("alice gets in again from her old port")
	}
}

// opensAndDies is the environment of a process that opens and dies at once.
const opensAndDies = "SESAME_TEST_OPENS_AND_DIES"

// openAndDie opens for alice until an instant and kills its own process.
func openAndDie(arg string) {
	var netns, alice string
	var until int64
	_, err := fmt.Sscan(arg, &netns, &alice, &until)
	if err == nil {
		var p *Provider
		p, err = New(Config{
			Hosts: []Host{{Name: "web-1", NetnsPath: netns}}, Keyring: keys("here"), Clocks: clocks, Log: slog.New(slog.DiscardHandler),
		})
		if err == nil {
			ctx := context.Background()
			s, _ := p.Observe(ctx, fw, nil)
			o := firewall.Opening{From: single(netip.MustParseAddr(alice)), Until: time.UnixMilli(until).UTC(), Grants: "g-1"}
			pl, _ := p.Compile(s, firewall.Wants{locked(ssh(), o)}, nil)
			err = p.Apply(ctx, s, pl)
		}
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	self, _ := os.FindProcess(os.Getpid())
	_ = self.Kill()
	select {}
}

func TestNobodyNeedsToLiveForAnOpeningToEnd(t *testing.T) {
	s := newStage(t, "alice")
	w := newWire(t, s.Client("alice"), s.vm)
	alice := s.Client("alice").Addr4()
	for range 3 {
		until := time.Now().Add(700 * time.Millisecond).Truncate(time.Millisecond)
		cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
		cmd.Env = append(os.Environ(), opensAndDies+"="+s.vm.NetnsPath()+" "+alice.String()+" "+strconv.FormatInt(until.UnixMilli(), 10))
		if out, err := cmd.CombinedOutput(); err == nil || cmd.ProcessState.ExitCode() != -1 {
			t.Fatalf("the process did not die of a signal: %v\n%s", err, out)
		}
		if !w.admits(ssh(), alice) {
			t.Fatal("alice does not get in after the process died")
		}
		// The kernel never ends it late, and early by three of its ticks at most;
		// what a busy machine adds to that is not the kernel's.
		var last, refused time.Time
		for sent := time.Now(); sent.Before(until.Add(50 * time.Millisecond)); sent = time.Now() {
			if w.admits(ssh(), alice) {
				last = sent
			} else if refused.IsZero() {
				refused = sent
			}
		}
		t.Logf("the last packet was let in %v and the first refused %v after the deadline", last.Sub(until), refused.Sub(until))
		if last.After(until) {
			t.Errorf("it closed %v after its deadline", last.Sub(until))
		}
		if early := until.Sub(refused); early > 100*time.Millisecond {
			t.Errorf("it closed %v before its deadline", early)
		}
	}
}
