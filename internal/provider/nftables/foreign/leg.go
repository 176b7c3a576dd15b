//go:build linux

package foreign

import (
	"cmp"
	"slices"

	"github.com/sesame-access/sesame/internal/provider/nftables/nfnetlink/ruleset"
)

// A leg is a part of the way that the first packets of a connection take.
type leg uint8

const (
	aside    leg = iota // none of it
	coming              // the first packet, to this host
	answered            // the answer to it, from this host
)

// A station is a base chain on the way, and how far along the way it is.
type station struct {
	ruleset.Chain
	leg  leg
	rank int
}

// stations returns the base chains that the packets pass, in their order. What is
// forwarded does not concern doors of this host: a packet that is sent on to
// another address was translated before, and from there on nothing is known.
func (r *Ruleset) stations() (out []station) {
	for _, c := range r.Chains {
		if s := stationOf(c); s.leg != aside && !r.dormant(c) {
			out = append(out, s)
		}
	}
	slices.SortStableFunc(out, func(a, b station) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.Hook.Priority, b.Hook.Priority))
	})
	return out
}

func stationOf(c ruleset.Chain) station {
	if c.Hook.Type == "" {
		return station{}
	}
	switch c.Table.Family {
	case ruleset.NetDev:
		if c.Hook.Num == ruleset.NetDevIngress {
			return station{Chain: c, leg: coming, rank: 0}
		}
		return station{Chain: c, leg: answered, rank: 6} // the other hook of a device is egress
	case ruleset.INet, ruleset.IPv4, ruleset.IPv6:
	case ruleset.AnyFamily, ruleset.ARP, ruleset.Bridge:
		return station{}
	}
	switch c.Hook.Num {
	case ruleset.Ingress:
		return station{Chain: c, leg: coming, rank: 1}
	case ruleset.Prerouting:
		return station{Chain: c, leg: coming, rank: 2}
	case ruleset.Input:
		return station{Chain: c, leg: coming, rank: 3}
	case ruleset.Output, ruleset.Postrouting:
		if c.Hook.Type != "nat" { // which only sees the packet that begins a connection
			return station{Chain: c, leg: answered, rank: 4 + int(c.Hook.Num-ruleset.Output)}
		}
	case ruleset.Forward:
	}
	return station{}
}

// tracked reports whether connection tracking has seen the packet before it comes
// to s: it does so at priority -200 of the first hook.
func (s station) tracked() bool {
	const conntrack = -200
	switch {
	case s.Table.Family == ruleset.NetDev, s.Hook.Num == ruleset.Ingress:
		return false
	case s.Hook.Num == ruleset.Prerouting, s.Hook.Num == ruleset.Output:
		return s.Hook.Priority > conntrack
	}
	return true
}

// sees reports whether packets of family f pass s.
func (s station) sees(f ruleset.Family) bool {
	only := s.Table.Family
	return only == f || only != ruleset.IPv4 && only != ruleset.IPv6
}
