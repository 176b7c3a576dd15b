package dialect

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/resource"
	"github.com/sesame-access/sesame/internal/reach"
)

// The protocols that a rule can name, besides TCP and UDP.
const (
	icmp  firewall.Protocol = 1
	esp   firewall.Protocol = 50
	ah    firewall.Protocol = 51
	icmp6 firewall.Protocol = 58
)

// Layer returns the group as the reach engine sees it. What cannot be resolved is
// said to be unknown, and never left out.
func (r Reading) Layer() firewall.Layer {
	l := firewall.Layer{Firewall: r.Group.ID, Kind: firewall.Ordered, Rules: nil, Default: firewall.Deny}
	for _, x := range r.Lines(r.inbound(func(resource.Rule) bool { return true })) {
		l.Rules = append(l.Rules, x.LayerRule)
	}
	defaults := r.On(&resource.Group{ID: r.Group.ID, Rules: r.Group.Defaults})
	for _, x := range defaults.Lines(defaults.inbound(func(resource.Rule) bool { return true })) {
		x.Owned = false
		l.Rules = append(l.Rules, x.LayerRule)
	}
	if len(r.Group.Defaults) == 0 {
		l.Default = firewall.Unknown
	}
	return l
}

// A Line is a part of a rule that the layer has a line for.
type Line struct {
	firewall.LayerRule

	Rule resource.Rule
}

// Lines returns the lines of rules, in their order.
func (r Reading) Lines(rules []resource.Rule) []Line {
	var out []Line
	spots := r.Spots()
	for _, x := range rules {
		for _, l := range r.linesOf(x, spots) {
			l.Name, l.Owned = x.Name, r.Ours(x)
			out = append(out, Line{LayerRule: l, Rule: x})
		}
	}
	return out
}

// linesOf returns the lines of one rule: every combination of its protocols,
// ports, sources and destinations.
func (r Reading) linesOf(x resource.Rule, spots []Spot) []firewall.LayerRule {
	if x.Opaque != "" {
		return []firewall.LayerRule{{Action: x.Action, Maybe: true, First: 0, Last: 65535}}
	}
	if id := r.identify(x, spots); id.known && plain(x) && slices.Equal(id.spot.To, x.Destination.Prefixes) {
		return r.ownLine(x, id, spots)
	}
	var out []firewall.LayerRule
	for _, l := range protocolsAndPorts(x) {
		for _, from := range r.sources(x.Source) {
			for _, to := range r.destinations(x.Destination) {
				part := l
				part.Action, part.Maybe = x.Action, l.Maybe || from.maybe || to.maybe
				part.VM, part.From, part.To = from.vm, from.list, to.list
				out = append(out, part)
			}
		}
	}
	return out
}

// plain reports whether x has no sources and destinations but addresses.
func plain(x resource.Rule) bool {
	return len(x.Source.Tags)+len(x.Source.Groups)+len(x.Destination.Tags)+len(x.Destination.Groups) == 0 && !x.Destination.Any
}

// ownLine is the line of a rule of ours that is as it should be. It says which VM
// it is for, and which of the VM's addresses only where there are others. Its
// source is of its destination's family.
func (r Reading) ownLine(x resource.Rule, id identity, spots []Spot) []firewall.LayerRule {
	l := firewall.LayerRule{Action: x.Action, VM: id.door.VM, From: slices.Clone(x.Source.Prefixes)}
	if x.Source.Any {
		a := id.spot.To[0].Addr()
		any4, any6 := netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		if l.From = []netip.Prefix{any4}; a.Is6() {
			l.From = []netip.Prefix{any6}
		}
	}
	alone := true
	for _, s := range spots {
		alone = alone && (s.VM != id.spot.VM || s.ID == id.spot.ID || s.V4() != id.spot.V4())
	}
	if !alone {
		l.To = slices.Clone(id.spot.To)
	}
	var out []firewall.LayerRule
	for _, p := range protocolsAndPorts(x) {
		p.Action, p.VM, p.From, p.To = l.Action, l.VM, l.From, l.To
		out = append(out, p)
	}
	return out
}

func protocolOf(name string) firewall.Protocol {
	return map[string]firewall.Protocol{"tcp": firewall.TCP, "udp": firewall.UDP, "icmp": icmp, "esp": esp, "ah": ah}[name]
}

// protocolsAndPorts returns a line for each combination of protocol, ports and
// source ports. Whether a rule for any protocol and some ports is about packets
// without ports is not documented, and neither is whether Icmp is both versions.
func protocolsAndPorts(x resource.Rule) []firewall.LayerRule {
	p := protocolOf(x.Protocol)
	if p != 0 && p != firewall.TCP && p != firewall.UDP {
		out := []firewall.LayerRule{{Protocol: p, First: 0, Last: 65535}}
		if p == icmp {
			out = append(out, firewall.LayerRule{Protocol: icmp6, First: 0, Last: 65535, Maybe: true})
		}
		return out
	}
	var out []firewall.LayerRule
	portless := p == 0
	for _, to := range x.Destination.Ports {
		for _, from := range x.Source.Ports {
			l := firewall.LayerRule{Protocol: p, First: to.First, Last: to.Last, SourceFirst: from.First, SourceLast: from.Last}
			if from == resource.AnyPort() {
				l.SourceFirst, l.SourceLast = 0, 0
			} else if from.Last == 0 {
				l.Maybe = true // a layer cannot say source port 0 alone
			}
			portless = portless && (to != resource.AnyPort() || from != resource.AnyPort())
			out = append(out, l)
		}
	}
	if portless {
		out = append(out, firewall.LayerRule{Protocol: 0, First: 0, Last: 0, Maybe: true})
	}
	return out
}

// A part is some of the addresses of a side: those in list, or all when there is
// none. Vm limits it to packets for one VM.
type part struct {
	list  []netip.Prefix
	vm    firewall.VMID
	maybe bool
}

// sources returns who a rule is about.
func (r Reading) sources(s resource.Side) []part {
	if s.Any {
		return []part{{}}
	}
	var out []part
	if len(s.Prefixes) > 0 {
		out = append(out, part{list: slices.Clone(s.Prefixes)})
	}
	for _, tag := range s.Tags {
		out = append(out, r.tag(tag)...)
	}
	for _, id := range s.Groups {
		list, known := r.Members[id]
		switch {
		case !known:
			out = append(out, part{maybe: true})
		case len(list) > 0:
			out = append(out, part{list: slices.Clone(list)})
		}
	}
	return out
}

// tag returns who a service tag stands for. VirtualNetwork and Internet depend on
// the network that the rule's target is in.
func (r Reading) tag(tag string) []part {
	if tag == "azureloadbalancer" {
		// The source of probes; in IPv6 it is not documented.
		return []part{
			{list: []netip.Prefix{netip.MustParsePrefix("168.63.129.16/32")}},
			{list: []netip.Prefix{netip.MustParsePrefix("fe80::/10")}, maybe: true},
		}
	}
	if tag != "virtualnetwork" && tag != "internet" {
		list, known := r.Tags[tag]
		if known && len(list) == 0 {
			return nil
		}
		return []part{{list: slices.Clone(list), maybe: !known}}
	}
	var out []part
	networks := map[firewall.VMID][]netip.Prefix{}
	unknown, one := len(r.Attachments) == 0, true
	for _, a := range r.Attachments {
		unknown = unknown || a.Network == nil
		one = one && slices.Equal(a.Network, r.Attachments[0].Network)
		// A VM in two networks is not one: then nobody is sure.
		before, seen := networks[a.VM]
		unknown = unknown || seen && !slices.Equal(before, a.Network)
		networks[a.VM] = a.Network
	}
	switch {
	case unknown:
		return []part{{maybe: true}}
	case one:
		return tagged(tag, r.Attachments[0].Network, "")
	}
	for _, s := range r.Spots() {
		if list, again := networks[s.VM]; again {
			out = append(out, tagged(tag, list, s.VM)...)
			delete(networks, s.VM)
		}
	}
	return out
}

// tagged returns who is in a network, or in the Internet that is around it. Of
// private addresses outside nobody knows whether a rule for the Internet means
// them.
func tagged(tag string, network []netip.Prefix, vm firewall.VMID) []part {
	if tag == "virtualnetwork" {
		if len(network) == 0 {
			return nil
		}
		return []part{{list: slices.Clone(network), vm: vm}}
	}
	private := reach.Of(
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
		netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("168.63.129.16/32"),
		netip.MustParsePrefix("fc00::/7"), netip.MustParsePrefix("fe80::/10"),
	)
	outside := reach.All().Minus(reach.Of(network...))
	var out []part
	if list := prefixes(outside.Minus(private)); len(list) > 0 {
		out = append(out, part{list: list, vm: vm})
	}
	if list := prefixes(outside.Intersect(private)); len(list) > 0 {
		out = append(out, part{list: list, vm: vm, maybe: true})
	}
	return out
}

// prefixes writes ranges as prefixes, as few as there can be.
func prefixes(rs reach.Ranges) []netip.Prefix {
	var out []netip.Prefix
	for _, x := range rs {
		for from := x.From; from.IsValid() && !x.To.Less(from); {
			length := from.BitLen()
			for length > 0 && netip.PrefixFrom(from, length-1).Masked().Addr() == from {
				length--
			}
			p := netip.PrefixFrom(from, length)
			for x.To.Less(last(p)) {
				length++
				p = netip.PrefixFrom(from, length)
			}
			out = append(out, p)
			from = last(p).Next()
		}
	}
	return out
}

// last returns the highest address of p.
func last(p netip.Prefix) netip.Addr { return reach.Of(p)[0].To }

// destinations returns which addresses a rule is about. The VMs are in their own
// network, and not in the Internet.
func (r Reading) destinations(s resource.Side) []part {
	if s.Any || slices.Contains(s.Tags, "virtualnetwork") {
		return []part{{}}
	}
	var out []part
	if len(s.Prefixes) > 0 {
		out = append(out, part{list: slices.Clone(s.Prefixes)})
	}
	for _, tag := range s.Tags {
		if tag == "internet" {
			continue
		}
		if list, known := r.Tags[tag]; !known || len(list) > 0 {
			out = append(out, part{list: slices.Clone(list), maybe: !known})
		}
	}
	for _, id := range s.Groups {
		var list []netip.Prefix
		for _, x := range r.Spots() {
			if slices.ContainsFunc(x.Groups, func(g string) bool { return strings.EqualFold(g, id) }) {
				list = append(list, x.To...)
			}
		}
		if len(list) > 0 {
			out = append(out, part{list: list})
		}
	}
	return out
}
