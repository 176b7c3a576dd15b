//go:build linux

package foreign

import (
	"net/netip"
	"slices"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/nftables/nfnetlink/ruleset"
)

// Layer returns what r does to new connections to vm, as a layer of its own that
// stands beside the gate: a drop anywhere is final, and nothing here opens. The
// given doors are followed one by one; what happens at others is not followed,
// and is not known where anything drops at all. What the source decides is not
// known, either: such a drop may be meant. Zero where nothing drops.
func (r *Ruleset) Layer(id firewall.ID, vm firewall.VMID, doors []firewall.Door) firewall.Layer {
	l := firewall.Layer{Firewall: id, Kind: firewall.Ordered, Rules: nil, Default: firewall.Allow}
	for _, d := range doors {
		l.Rules = append(l.Rules, r.at(d)...)
		l.Rules = append(l.Rules, firewall.LayerRule{
			Name: "the tables of others let it pass", Action: firewall.Allow, VM: d.VM, Protocol: d.Protocol, First: d.Port, Last: d.Port,
		})
	}
	for _, c := range r.Chains {
		if leg := legOf(c); leg != aside && leg != passing && !r.dormant(c) && r.drops(c) {
			l.Rules = append(l.Rules, firewall.LayerRule{Name: place(c) + " was not followed for this port", Action: firewall.Deny, Maybe: true, VM: vm, Last: 65535})
		}
	}
	if !slices.ContainsFunc(l.Rules, func(x firewall.LayerRule) bool { return x.Action == firewall.Deny }) {
		return firewall.Layer{}
	}
	return l
}

// at returns the drops that new connections to d meet, or may meet.
func (r *Ruleset) at(d firewall.Door) (out []firewall.LayerRule) {
	for _, c := range r.Chains {
		leg := legOf(c)
		if leg == aside || r.dormant(c) {
			continue
		}
		for _, all := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
			family, other := ruleset.IPv4, ruleset.IPv6
			if all.Is6() {
				family, other = other, family
			}
			p := packet{protocol: d.Protocol, port: d.Port, family: family, leg: leg}
			if by, certain := r.drop(c, p); by != "" && c.Table.Family != other {
				out = append(out, firewall.LayerRule{
					Name: place(c) + ": " + by, Action: firewall.Deny, Maybe: !certain, VM: d.VM,
					Protocol: d.Protocol, First: d.Port, Last: d.Port, From: []netip.Prefix{netip.PrefixFrom(all, 0)},
				})
			}
		}
	}
	return out
}

// drop returns what in the chain drops the packet, or may, and whether it surely
// does; empty when nothing does. Where the packet goes on to, and so what it
// meets there, is not known.
func (r *Ruleset) drop(c ruleset.Chain, p packet) (by string, certain bool) {
	if p.leg != passing {
		w := walk{Ruleset: r, packet: p}
		return w.drop(c)
	}
	if r.drops(c) && r.handsOn(p) {
		return "it may drop what is sent on to another address", false
	}
	return "", false
}

// drops reports whether anything in c's table, to which its jumps lead, drops.
func (r *Ruleset) drops(c ruleset.Chain) bool {
	if c.Hook.Policy == ruleset.VerdictDrop {
		return true
	}
	for _, x := range r.Rules {
		if v, ok := decision(x); ok && x.Table == c.Table && v.Code == ruleset.VerdictDrop {
			return true
		}
	}
	return false
}
