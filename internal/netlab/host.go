package netlab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
)

// Host is one machine on the lab's network: a virtual machine, a client or the
// caller. After Close its methods fail.
type Host struct {
	name         string
	addr4, addr6 netip.Addr
	ns           *namespace
	starter      *starter
}

// Name returns the host's name; "caller" for the caller.
func (h *Host) Name() string { return h.name }

// Addr4 returns the host's IPv4 address.
func (h *Host) Addr4() netip.Addr { return h.addr4 }

// Addr6 returns the host's IPv6 address. It is not valid on a machine without
// IPv6, nor for a caller whose namespace has it switched off.
func (h *Host) Addr6() netip.Addr { return h.addr6 }

// NetnsPath returns a path by which any process of root opens the host's network
// namespace. It is good until Close.
func (h *Host) NetnsPath() string { return h.ns.path() }

// Do runs f on a thread inside the host's network namespace and returns its
// error. Sockets that f makes stay in that namespace wherever they are used
// later. Goroutines that f starts do not run there.
func (h *Host) Do(f func() error) error {
	if err := h.ns.do(f); err != nil {
		return fmt.Errorf("act on %s: %w", h.name, err)
	}
	return nil
}

// Dial connects from the host to an address like "198.18.77.11:22". Names are
// refused: the lab has no resolver.
func (h *Host) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return h.DialFrom(ctx, network, 0, address)
}

// DialFrom is Dial from a local port of choice; zero lets the kernel choose.
// A port that an earlier connection used is free again at once when that
// connection ended by a reset, and while the kernel still remembers its orderly
// end if the peer differs.
func (h *Host) DialFrom(ctx context.Context, network string, port uint16, address string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, fmt.Errorf("dial from %s: %w", h.name, err)
	}
	from := netip.AddrPortFrom(h.addr4, port)
	if to.Addr().Is6() {
		from = netip.AddrPortFrom(h.addr6, port)
	}
	d := &net.Dialer{Control: reuseAddress, LocalAddr: net.TCPAddrFromAddrPort(from)}
	if strings.HasPrefix(network, "udp") {
		d.LocalAddr = net.UDPAddrFromAddrPort(from)
	}
	var c net.Conn
	err = h.Do(func() (err error) {
		c, err = d.DialContext(ctx, network, address)
		return err
	})
	return c, err
}

// Listen opens a stream listener on the host, for "tcp" and an address such as
// ":8080".
func (h *Host) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	var l net.Listener
	err := h.Do(func() (err error) {
		var c net.ListenConfig
		c.SetMultipathTCP(false) // plain TCP is what a firewall is tested with
		l, err = c.Listen(ctx, network, address)
		return err
	})
	return l, err
}

// ListenPacket opens a packet socket on the host, for "udp" and an address such
// as ":53".
func (h *Host) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	var p net.PacketConn
	err := h.Do(func() (err error) {
		var c net.ListenConfig
		p, err = c.ListenPacket(ctx, network, address)
		return err
	})
	return p, err
}

// reuseAddress lets a socket bind to a port whose last connection is not yet
// forgotten.
func reuseAddress(_, _ string, conn syscall.RawConn) error {
	var failed error
	err := conn.Control(func(fd uintptr) { failed = setReuseAddress(fd) })
	return errors.Join(err, failed)
}
