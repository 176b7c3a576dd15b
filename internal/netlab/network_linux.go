package netlab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sesame-access/sesame/internal/errkind"
)

// hostLink is the name of the one interface a VM or a client has.
const hostLink = "eth0"

// An ethernet is the switch: a bridge in a namespace of its own, which has no
// address and no firewall. It ends with its last host.
type ethernet struct {
	ns     *namespace
	bridge int // index
}

// newSwitch makes a switch in ns.
func newSwitch(ns *namespace) (*ethernet, error) {
	// The bridge floods: one that learns groups delays IPv6 by seconds.
	learn := false
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "switch"}, MulticastSnooping: &learn}
	err := ns.do(func() error {
		if err := netlink.LinkAdd(bridge); err != nil {
			return err
		}
		return netlink.LinkSetUp(bridge)
	})
	if err != nil {
		return nil, fmt.Errorf("add the bridge: %w", err)
	}
	return &ethernet{ns: ns, bridge: bridge.Index}, nil
}

func portName(number int) string { return fmt.Sprintf("port%d", number) }

// plug connects the host to the switch by an interface of the given name, and
// gives it the addresses of the given number. Where an interface of that name
// exists already, the error is EEXIST and nothing has changed.
func (e *ethernet) plug(h *Host, link string, s subnet, number int) error {
	// Both ends get their hardware address here, where udev would give them
	// another one while their neighbours already remember the first.
	mac := func(end byte) net.HardwareAddr { return net.HardwareAddr{2, 'l', 'a', 'b', end, byte(number & 0xff)} }
	port := netlink.NewVeth(netlink.LinkAttrs{Name: portName(number), MasterIndex: e.bridge, HardwareAddr: mac('p')})
	port.PeerName, port.PeerHardwareAddr, port.PeerNamespace = link, mac('h'), netlink.NsFd(h.ns.file.Fd())
	err := e.ns.do(func() error {
		if err := netlink.LinkAdd(port); err != nil {
			return err
		}
		return netlink.LinkSetUp(port)
	})
	if err != nil {
		return fmt.Errorf("add %s: %w", port.Name, err)
	}
	return h.ns.do(func() (err error) {
		h.addr4, h.addr6, err = configure(link, s, number)
		return err
	})
}

// unplug removes the host of that number, if it is plugged in, and with it the
// interface it had.
func (e *ethernet) unplug(number int) error {
	err := e.ns.do(func() error {
		port, err := netlink.LinkByName(portName(number))
		if _, ok := errors.AsType[netlink.LinkNotFoundError](err); ok {
			return nil
		}
		if err != nil {
			return err
		}
		return netlink.LinkDel(port)
	})
	if err != nil {
		return fmt.Errorf("remove %s: %w", portName(number), err)
	}
	return nil
}

// configure sets an interface of the calling thread's namespace up. Where IPv6
// is switched off for the interface, it stays off.
func configure(name string, s subnet, number int) (v4, v6 netip.Addr, err error) {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return v4, v6, fmt.Errorf("find %s: %w", name, err)
	}
	four, six := s.address(number)
	if err := addAddr(link, four, 0); err != nil {
		return v4, v6, err
	}
	if six.IsValid() {
		// Detecting duplicates would keep the address unusable for a second, to
		// find what cannot be.
		err := addAddr(link, six, unix.IFA_F_NODAD)
		if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
			six, err = netip.Prefix{}, nil
		}
		if err != nil {
			return v4, v6, err
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return v4, v6, fmt.Errorf("set %s up: %w", name, err)
	}
	return four.Addr(), six.Addr(), nil
}

func addAddr(link netlink.Link, p netip.Prefix, flags int) error {
	a, err := netlink.ParseAddr(p.String())
	if err == nil {
		a.Flags = flags
		err = netlink.AddrAdd(link, a)
	}
	if err != nil {
		return fmt.Errorf("add the address %s: %w", p, err)
	}
	return nil
}

// plugCaller plugs the caller in and returns the subnet, the first that its
// namespace does not use. The interface is named after that, so that of two labs
// that start at the same moment only one gets it.
func (e *ethernet) plugCaller(caller *Host) (subnet, error) {
	var used []netip.Prefix
	if err := caller.ns.do(func() (err error) { used, err = usedPrefixes(); return err }); err != nil {
		return subnet{}, err
	}
	for _, s := range candidates() {
		v4, v6 := s.address(0)
		if slices.ContainsFunc(used, func(p netip.Prefix) bool { return p.Overlaps(v4) || p.Overlaps(v6) }) {
			continue
		}
		err := e.plug(caller, fmt.Sprintf("sesame%d", s.third), s, callerNumber)
		if !errors.Is(err, unix.EEXIST) {
			return s, err
		}
	}
	return subnet{}, errkind.New(errkind.Conflict,
		"this machine already uses every network of 198.18.0.0/15 that a lab could take; remove an interface that has one")
}

// usedPrefixes returns the networks on the interfaces of the calling thread's
// namespace.
func usedPrefixes() ([]netip.Prefix, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list the addresses in use: %w", err)
	}
	var used []netip.Prefix
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			used = append(used, p)
		}
	}
	return used, nil
}

// candidates returns the subnets a lab may take, the best first.
func candidates() []subnet {
	const first, count = 77, 16
	_, err := os.Stat("/proc/net/if_inet6")
	var all []subnet
	for _, second := range []int{18, 19} {
		for third := first; third < first+count; third++ {
			all = append(all, subnet{second: second, third: third, ipv6: err == nil})
		}
	}
	return all
}
