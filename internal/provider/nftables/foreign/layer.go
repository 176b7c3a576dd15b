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
		if r.meets(c) && r.drops(c) {
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
		if !r.meets(c) {
			continue
		}
		for _, all := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
			family, other := ruleset.IPv4, ruleset.IPv6
			if all.Is6() {
				family, other = other, family
			}
			w := walk{Ruleset: r, packet: packet{protocol: d.Protocol, port: d.Port, family: family}}
			if by, certain := w.drop(c); by != "" && c.Table.Family != other {
				out = append(out, firewall.LayerRule{
					Name: place(c) + ": " + by, Action: firewall.Deny, Maybe: !certain, VM: d.VM,
					Protocol: d.Protocol, First: d.Port, Last: d.Port, From: []netip.Prefix{netip.PrefixFrom(all, 0)},
				})
			}
		}
	}
	return out
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
