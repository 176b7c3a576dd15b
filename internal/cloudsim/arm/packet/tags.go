package packet

import (
	"net/netip"
	"strings"

	"github.com/sesame-access/sesame/internal/cloudsim/arm/packet/topology"
)

// answer says whether something matches.
type answer uint8

const (
	no answer = iota
	perhaps
	yes
)

func certain(b bool) answer {
	if b {
		return yes
	}
	return no
}

// probes are where Azure's health probes come from, in either family; the
// service tag AzureLoadBalancer stands for them, not for balanced clients.
func probes(a netip.Addr) bool {
	return a == netip.MustParseAddr("168.63.129.16") || a == netip.MustParseAddr("fe80::1234:5678:9abc")
}

// special reports whether a cannot be an address of the Internet: private,
// shared, loopback, link-local, multicast and reserved space, and the address
// of the platform.
func special(a netip.Addr) bool {
	for _, text := range []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32",
		"169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "224.0.0.0/3",
		"::/8", "fc00::/7", "fe80::/10", "ff00::/8",
	} {
		if netip.MustParsePrefix(text).Contains(a) {
			return true
		}
	}
	return false
}

// covers reports whether one entry of an address list stands for a, as seen from
// subnet at: "*", an address, a prefix, a range or a service tag.
func (k *walk) covers(text string, a netip.Addr, at *topology.Subnet) answer {
	if text == "*" {
		return yes
	}
	if p, err := netip.ParsePrefix(text); err == nil {
		return certain(p.Masked().Contains(a))
	}
	if b, err := netip.ParseAddr(text); err == nil {
		return certain(a == b)
	}
	if first, last, ok := strings.Cut(text, "-"); ok {
		from, err1 := netip.ParseAddr(first)
		to, err2 := netip.ParseAddr(last)
		if err1 == nil && err2 == nil {
			return certain(from.BitLen() == a.BitLen() && from.Compare(a) <= 0 && a.Compare(to) <= 0)
		}
	}
	return k.tagged(text, a, at)
}

// tagged reports whether service tag stands for a, as seen from subnet at.
func (k *walk) tagged(tag string, a netip.Addr, at *topology.Subnet) answer {
	switch strings.ToLower(tag) {
	case "virtualnetwork":
		return k.virtualNetwork(a, at)
	case "internet":
		// What is outside of the virtual network and can be reached publicly.
		if special(a) {
			return no
		}
		return yes - k.virtualNetwork(a, at)
	case "azureloadbalancer":
		return certain(probes(a))
	}
	prefixes, known := k.tags[strings.ToLower(tag)]
	if !known {
		return perhaps
	}
	for _, p := range prefixes {
		if p.Contains(a) {
			return yes
		}
	}
	return no
}

// virtualNetwork reports whether the tag VirtualNetwork, as seen from subnet at,
// stands for a: the network's own space, connected peers', what is behind
// gateways (which the table of tags gives), the platform's address, and the
// prefixes of user-defined routes. A default route "might" be in it, says the
// documentation, and not which subnets' routes count.
func (k *walk) virtualNetwork(a netip.Addr, at *topology.Subnet) answer {
	if a == netip.MustParseAddr("168.63.129.16") {
		return yes
	}
	for _, p := range k.tags["virtualnetwork"] {
		if p.Contains(a) {
			return yes
		}
	}
	if at == nil {
		return perhaps
	}
	for _, p := range at.Network.Space {
		if p.Contains(a) {
			return yes
		}
	}
	for _, peer := range at.Network.Peerings {
		if !peer.Connected || !peer.Access {
			continue
		}
		for _, p := range k.SpaceOf(peer) {
			if p.Contains(a) {
				return yes
			}
		}
	}
	found := no
	for _, s := range at.Network.Subnets {
		for _, r := range k.RoutesOf(s) {
			if !r.Prefix.Contains(a) {
				continue
			}
			if s == at && r.Prefix.Bits() > 0 {
				return yes
			}
			found = perhaps
		}
	}
	return found
}
