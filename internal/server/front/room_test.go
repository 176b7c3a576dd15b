package front

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"
)

// One source takes its share and no more, whatever addresses of its network it
// comes from, and gets a place back for each that it leaves.
func TestNobodyFillsTheRoom(t *testing.T) {
	const most = 16
	r := NewRoom(most)
	at := func(addr string) netip.Prefix {
		return source(remote{nil, net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(addr), 1024))})
	}
	enter := func(addrs ...string) (leaves []func()) {
		for _, addr := range addrs {
			if leave, ok := r.enter(at(addr)); ok {
				leaves = append(leaves, leave)
			}
		}
		return leaves
	}
	first := enter("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.1")
	if len(first) != most/share {
		t.Fatalf("one IPv4 address has %d places", len(first))
	}
	if n := len(enter("2001:db8::1", "2001:db8::2", "2001:db8::ffff:0:0:1", "2001:db8::3", "2001:db8::4")); n != most/share {
		t.Errorf("one IPv6 network has %d places", n)
	}
	if n := len(enter("192.0.2.2", "2001:db8:0:1::1")); n != 2 {
		t.Errorf("only %d of two neighbours have a place", n)
	}
	first[0]()
	first[0]() // closed twice
	if n := len(enter("192.0.2.1", "192.0.2.1")); n != 1 {
		t.Errorf("%d places for one that was left", n)
	}
	for range most {
		r.enter(netip.Prefix{})
	}
	if r.all != most || len(enter("192.0.2.9")) != 0 {
		t.Errorf("%d places are taken of %d", r.all, most)
	}
	for _, leave := range first {
		leave()
	}
	if r.all != most-len(first)+1 {
		t.Errorf("%d places are taken", r.all)
	}
}

// remote is a connection from an address.
type remote struct {
	net.Conn
	addr net.Addr
}

func (r remote) RemoteAddr() net.Addr { return r.addr }

// Idle connections of one address leave room for others; here for the local host
// by its other addresses.
func TestOneAddressLeavesRoom(t *testing.T) {
	l, err := Listen(t.Context(), netip.MustParseAddrPort("127.0.0.1:0"), new(tls.Config), NewRoom(8))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	accepted := make(chan net.Conn)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				close(accepted)
				return
			}
			select {
			case accepted <- c:
			case <-t.Context().Done():
				return
			}
		}
	}()
	dial := func(from string) net.Conn {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		c, err := d.DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	for range 8 / share {
		dial("127.0.0.1")
		<-accepted
	}
	beyond := dial("127.0.0.1")
	if err := beyond.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := beyond.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("a connection beyond the share was not closed")
	}
	dial("127.0.0.2")
	if c := <-accepted; source(c) != netip.MustParsePrefix("127.0.0.2/32") {
		t.Errorf("%v was accepted", source(c))
	}
}
