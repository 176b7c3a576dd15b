//go:build linux

package nftables

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/nftables/nfnetlink"
	"github.com/sesame-access/sesame/internal/provider/nftables/nfnetlink/ruleset"
	"github.com/sesame-access/sesame/internal/provider/providertest"
)

// foreignTables are what a host may have besides us.
const foreignTables = `
table inet filter {
	set blocked { type ipv4_addr; flags interval; elements = { 100.64.0.0/10 } }
	chain input {
		type filter hook input priority filter; policy accept;
		ct state established,related accept
		ip saddr @blocked drop
		tcp dport { 22, 80, 443 } accept comment "the operator's own"
	}
}
table ip nat {
	chain prerouting { type nat hook prerouting priority dstnat; tcp dport 33890 dnat to 192.0.2.200:3389; }
}
`

func TestConformance(t *testing.T) {
	s := newStage(t, "prober")
	w := newWire(t, s.Client("prober"), s.vm)
	providertest.Run(t, func(t *testing.T) providertest.Fixture {
		t.Helper()
		s.nft("flush", "ruleset")
		s.load(foreignTables)
		return fixture(s.with(t), w)
	})
}

// with returns s for another test.
func (s *stage) with(tb testing.TB) *stage {
	tb.Helper()
	out := &stage{TB: tb, Lab: s.Lab, vm: s.vm, Provider: nil}
	out.Provider = out.provider(keys("here"))
	return out
}

func fixture(s *stage, w *wire) providertest.Fixture {
	rdp := ssh()
	rdp.Port = 3389
	return providertest.Fixture{
		Never: map[string]string{
			"Sibling": "a host's table stands in front of that host alone",
			"Crowd":   "foreign rules take no room in our sets; TestRoom fills those",
		},
		Provider: s.Provider, Firewall: fw, Doors: [2]firewall.Door{ssh(), rdp}, Keys: keys("here"),
		Admits: w.admits, Now: time.Now, Wait: time.Sleep,
		Settle: 0, Foreign: s.others, Connect: s.connect,
		Faults: []providertest.Fault{s.lostSocket(), s.noise()},
		Tamper: providertest.Tamper{
			Flush:    func() { s.nft("delete", "table", "inet", "sesame") },
			Remove:   s.remove,
			Widen:    s.widen,
			Copy:     s.copyMark,
			Stranger: s.stranger,
			Prolong:  s.prolong,
			Touch:    func() { s.load("table ip touch; delete table ip touch") },
		},
	}
}

// connect makes a real connection from an address that the prober takes on.
func (s *stage) connect(to firewall.Door, from netip.Addr) func() bool {
	s.Helper()
	prober := s.Client("prober")
	link := func() netlink.Link {
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			s.Fatal(err)
		}
		return l
	}
	network := &net.IPNet{IP: from.AsSlice(), Mask: net.CIDRMask(from.BitLen(), from.BitLen())}
	if err := prober.Do(func() error {
		return netlink.AddrReplace(link(), &netlink.Addr{IPNet: network, Flags: unix.IFA_F_NODAD})
	}); err != nil {
		s.Fatal(err)
	}
	if err := s.vm.Do(func() error {
		return netlink.RouteReplace(&netlink.Route{LinkIndex: link().Attrs().Index, Dst: network})
	}); err != nil {
		s.Fatal(err)
	}
	at := s.vm.Addr4()
	if from.Is6() {
		at = s.vm.Addr6()
	}
	c := s.dialFrom(prober.Do, from, netip.AddrPortFrom(at, to.Port))
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	hello := make([]byte, 4)
	if _, err := io.ReadFull(c, hello); err != nil || string(hello) != "SSH-" {
		s.Fatalf("no greeting: %q %v", hello, err)
	}
	return func() bool { return answers(c) }
}

func (s *stage) dialFrom(do func(func() error) error, from netip.Addr, to netip.AddrPort) net.Conn {
	s.Helper()
	var c net.Conn
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0)), Timeout: 5 * time.Second}
	err := do(func() (err error) {
		c, err = d.DialContext(s.Context(), "tcp", to.String())
		return err
	})
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = c.Close() })
	return c
}

// answers reports whether sshd still acknowledges what we send it. An idle
// session of sshd's begins with both sides' versions, so that rubbish would end
// it: the acknowledgement of a single byte of a version is what is looked at.
func answers(c net.Conn) bool {
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return false
	}
	if _, err := c.Write([]byte("S")); err != nil {
		return false
	}
	for range 40 {
		unacked := -1
		_ = raw.Control(func(fd uintptr) {
			if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil && info.State == 1 {
				unacked = int(info.Unacked)
			}
		})
		switch unacked {
		case 0:
			return true
		case -1:
			return false
		}
		time.Sleep(10 * time.Millisecond)
	}
	return false
}

// element is an opening as the nft tool writes it.
func element(o provider.Owned) (set, key string) {
	set, key, _ = strings.Cut(strings.TrimSuffix(o.Native, " }"), " { ")
	return set, key
}

func (s *stage) remove(o provider.Owned) {
	set, key := element(o)
	s.nft("delete", "element", "inet", "sesame", set, "{", key, "}")
}

// kernel returns the element as the kernel has it.
func (s *stage) kernel(o provider.Owned) ruleset.Element {
	s.Helper()
	c, err := nfnetlink.DialIn(s.vm.NetnsPath())
	if err != nil {
		s.Fatal(err)
	}
	defer c.Close()
	set, _ := element(o)
	id := ruleset.TableID{Family: ruleset.INet, Name: "sesame"}.Set(set)
	list, err := c.Elements(s.Context(), id)
	if err != nil {
		s.Fatal(err)
	}
	for _, e := range list {
		addr, _ := netip.AddrFromSlice(e.Key[:len(e.Key)-8])
		if o.Opening.From.Addr() == addr && ruleset.PortKey(o.Door.Port)[1] == e.Key[len(e.Key)-3] && ruleset.PortKey(o.Door.Port)[0] == e.Key[len(e.Key)-4] {
			return e
		}
	}
	s.Fatalf("no %s in the kernel", o.Native)
	return ruleset.Element{}
}

// widen lets everybody in by the mark of one opening.
func (s *stage) widen(o provider.Owned) {
	mark := s.kernel(o).Comment
	s.remove(o)
	s.load(fmt.Sprintf(`table inet sesame {
		set net4_0 { type ipv4_addr . inet_proto . inet_service; size 65536; flags timeout; counter; timeout 8h; }
		chain openings { ip saddr & 0.0.0.0 . meta l4proto . th dport @net4_0 accept; }
	}
	add element inet sesame net4_0 { 0.0.0.0 . %s . %d timeout 1h comment %q }`, o.Door.Protocol, o.Door.Port, mark))
}

func (s *stage) copyMark(o provider.Owned, to firewall.Key) {
	set, _ := element(o)
	s.load(fmt.Sprintf("add element inet sesame %s { %s . %s . %d timeout 1h comment %q }",
		set, to.From.Addr(), to.Door.Protocol, to.Door.Port, s.kernel(o).Comment))
}

func (s *stage) prolong(o provider.Owned, by time.Duration) {
	e := s.kernel(o)
	set, key := element(o)
	s.load(fmt.Sprintf("delete element inet sesame %s { %s }\nadd element inet sesame %s { %s timeout %dms comment %q }",
		set, key, set, key, (e.Expires + by).Milliseconds(), e.Comment))
}

// stranger lets another installation lock the door and open it.
func (s *stage) stranger(k firewall.Keyring, at firewall.Key, until time.Time) func() bool {
	s.Helper()
	other := &stage{TB: s.TB, Lab: s.Lab, vm: s.vm, Provider: s.provider(k)}
	want := locked(at.Door, firewall.Opening{From: at.From, Until: until, Grants: "theirs"})
	other.show(want)
	before := s.nft("-s", "list", "table", "inet", "sesame")
	return func() bool {
		return without(before, "expires") == without(s.nft("-s", "list", "table", "inet", "sesame"), "expires")
	}
}

// without takes a word and the one behind it out of a text.
func without(text, word string) string {
	f := strings.Fields(text)
	for i := 0; i+1 < len(f); i++ {
		if f[i] == word {
			f[i+1] = ""
		}
	}
	return strings.Join(f, " ")
}

// lostSocket is the fault that the connection to the kernel breaks.
func (s *stage) lostSocket() providertest.Fault {
	return providertest.Fault{
		Name: "a connection that breaks",
		Set: func() {
			h := s.hosts[0]
			h.mu.Lock()
			defer h.mu.Unlock()
			_ = h.conn.Close()
		},
		Mend: func() {},
	}
}

// noise is the fault that somebody else commits all the time.
func (s *stage) noise() providertest.Fault {
	var cancel context.CancelFunc
	done := make(chan struct{})
	return providertest.Fault{
		Name: "somebody who commits all the time",
		Set: func() {
			var ctx context.Context
			ctx, cancel = context.WithCancel(s.Context())
			done = make(chan struct{})
			c, err := nfnetlink.DialIn(s.vm.NetnsPath())
			if err != nil {
				s.Fatal(err)
			}
			go func() {
				defer close(done)
				defer c.Close()
				other := ruleset.TableID{Family: ruleset.IPv4, Name: "noise"}
				for ctx.Err() == nil {
					b := nfnetlink.NewBatch()
					b.AddTable(ruleset.Table{TableID: other})
					b.DeleteTable(other)
					_ = c.Commit(ctx, b)
				}
			}()
		},
		Mend: func() { cancel(); <-done },
	}
}
