//go:build linux

package foreign

import (
	"slices"

	"github.com/sesame-access/sesame/internal/provider/nftables/nfnetlink/ruleset"
)

// A leg is a part of the way that the first packets of a connection take.
type leg uint8

const (
	aside    leg = iota // none of it
	coming              // the first packet, to this host
	passing             // the first packet, on to somebody behind this host
	answered            // the answer to it, from this host
)

// legOf returns which packets pass the base chain.
func legOf(c ruleset.Chain) leg {
	if c.Hook.Type == "" {
		return aside
	}
	switch c.Table.Family {
	case ruleset.NetDev:
		if c.Hook.Num == ruleset.NetDevIngress {
			return coming
		}
		return answered // the other hook of a device is egress
	case ruleset.INet, ruleset.IPv4, ruleset.IPv6:
	case ruleset.AnyFamily, ruleset.ARP, ruleset.Bridge:
		return aside
	}
	switch c.Hook.Num {
	case ruleset.Prerouting, ruleset.Input, ruleset.Ingress:
		return coming
	case ruleset.Forward:
		return passing
	case ruleset.Output, ruleset.Postrouting:
		if c.Hook.Type != "nat" { // which only sees the packet that begins a connection
			return answered
		}
	}
	return aside
}

// handsOn reports whether the packet's destination may be translated on its way
// in, as that of a container's published port is: then it passes the forward
// hook as well, with a destination that is not known here.
func (r *Ruleset) handsOn(p packet) bool {
	for _, c := range r.Chains {
		if legOf(c) != coming || c.Hook.Type != "nat" || r.dormant(c) {
			continue
		}
		if slices.ContainsFunc(r.Rules, func(x ruleset.Rule) bool {
			return x.Table == c.Table && x.Translates() && p.match(r, x).result != no
		}) {
			return true
		}
	}
	return false
}
