package packet

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Arrive says what becomes of a packet that is on its way to an interface, and
// of the answer to it.
func (w *World) Arrive(p Packet) Verdict {
	n, known := w.iface(p.Interface)
	if !known {
		return judge(nowhere("there is no interface %s", p.Interface))
	}
	private, public, ok := n.address(p.To)
	if !ok {
		return judge(nowhere("%s is no address of %s", p.To, n.ID))
	}
	s, known := w.subnet(n.Subnet)
	if !known {
		return judge(nowhere("there is no subnet %s", n.Subnet))
	}
	in, out := p, p.answer(private)
	in.To = private
	outside := public || !s.holds(p.From)
	return judge(
		func() Step { return s.route(p.From, public) },
		func() Step { return s.acl(ACLIn, false, in.From, in, outside) },
		func() Step { return w.groups(n, false, p.From, in, !s.throughInternet(p.From)) },
		func() Step { return s.acl(ACLOut, true, out.To, out, outside) },
	)
}

// Leave says what becomes of a packet that the interface from sends, before it
// is underway, and of the answer to it. Where the packet's source is no address
// of an interface there is nothing to ask.
func (w *World) Leave(from string, p Packet) Verdict {
	n, known := w.iface(from)
	if !known {
		return judge(nowhere("there is no interface %s", from))
	}
	s, known := w.subnet(n.Subnet)
	if !known {
		return judge(nowhere("there is no subnet %s", n.Subnet))
	}
	outside := !s.holds(p.To)
	back := p.answer(p.To)
	return judge(
		func() Step { return w.groups(n, true, p.To, p, !s.throughInternet(p.To)) },
		func() Step { return s.acl(ACLOut, true, p.To, p, outside) },
		func() Step { return s.acl(ACLIn, false, back.From, back, outside) },
	)
}

// address returns the private address that a packet to a is for, and whether a
// is public and gets translated on the way.
func (n Interface) address(a netip.Addr) (private netip.Addr, public, ok bool) {
	for _, x := range n.Addresses {
		if x.Private == a {
			return x.Private, false, true
		}
		if x.Public.IsValid() && x.Public == a {
			return x.Private, true, true
		}
	}
	return netip.Addr{}, false, false
}

// answer returns the packet that goes back from the given address.
func (p Packet) answer(from netip.Addr) Packet {
	a := p
	a.From, a.To, a.FromPort, a.Port = from, p.From, p.Port, p.FromPort
	switch {
	case p.Protocol == ICMP && p.Port == 8: // echo request, echo reply
		a.Port, a.Code = 0, 0
	case p.Protocol == ICMPv6 && p.Port == 128:
		a.Port, a.Code = 129, 0
	case p.Protocol == ICMP || p.Protocol == ICMPv6:
		a.Port = p.Port
	}
	return a
}

// way returns the most specific route to a.
func (s Subnet) way(a netip.Addr) (Route, bool) {
	var best Route
	found := false
	for _, r := range s.Routes {
		if r.Destination.Contains(a) && (!found || r.Destination.Bits() > best.Destination.Bits()) {
			best, found = r, true
		}
	}
	return best, found
}

// throughInternet reports whether a is on the other side of an internet gateway.
func (s Subnet) throughInternet(a netip.Addr) bool {
	if s.holds(a) {
		return false
	}
	r, found := s.way(a)
	return found && strings.HasPrefix(r.Target, "igw-")
}

// holds reports whether a is in the subnet, where nothing is routed.
func (s Subnet) holds(a netip.Addr) bool {
	for _, c := range s.CIDRs {
		if c.Contains(a) {
			return true
		}
	}
	return false
}

// route asks whether packets from a get as far as the subnet and answers get
// back. To a public IPv4 address they come through the internet gateway, or not
// at all.
func (s Subnet) route(a netip.Addr, public bool) Step {
	if s.holds(a) && !public {
		return Step{Routing, Delivered, s.ID + ": inside the subnet"}
	}
	r, found := s.way(a)
	if !found {
		return Step{Routing, Denied, fmt.Sprintf("%s: no route to %s", s.ID, a)}
	}
	by := fmt.Sprintf("%s: %s via %s", s.ID, r.Destination, r.Target)
	if r.Blackhole {
		return Step{Routing, Denied, by + ", a black hole"}
	}
	kind, _, _ := strings.Cut(r.Target, "-")
	switch kind {
	case "igw":
		if special(a) {
			return Step{Routing, Denied, by + ", but it is no address of the Internet"}
		}
		if !public && a.Is4() {
			return Step{Routing, Denied, by + ", and the destination is not public"}
		}
		return Step{Routing, Delivered, by}
	case "nat", "eigw":
		return Step{Routing, Denied, by + ", which lets nobody in"}
	case "local", "pcx", "vgw", "tgw", "lgw", "cagw", "eni", "i":
		if public {
			return Step{Routing, Denied, by + ", and not the internet gateway"}
		}
		return Step{Routing, Delivered, by}
	}
	return Step{Routing, Unknown, by}
}

// special reports whether a cannot be an address of the Internet.
func special(a netip.Addr) bool {
	for _, text := range []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "224.0.0.0/3",
		"::/8", "fc00::/7", "fe80::/10", "ff00::/8",
	} {
		if netip.MustParsePrefix(text).Contains(a) {
			return true
		}
	}
	return false
}

// acl asks the subnet's network ACL about p; far is the other end's address.
func (s Subnet) acl(layer Layer, egress bool, far netip.Addr, p Packet, outside bool) Step {
	if !outside {
		return Step{layer, Delivered, s.ID + ": inside the subnet"}
	}
	entries := slices.Clone(s.Entries)
	slices.SortFunc(entries, func(a, b Entry) int { return a.Number - b.Number })
	for _, e := range entries {
		if e.Egress != egress || !e.CIDR.Contains(far) || !e.covers(p) {
			continue
		}
		outcome := Denied
		if e.Allow {
			outcome = Delivered
		}
		return Step{layer, outcome, fmt.Sprintf("%s: entry %d", s.ACL, e.Number)}
	}
	return Step{layer, Denied, s.ACL + ": entry *"}
}

// covers reports whether the match is about p's protocol and port.
func (m Match) covers(p Packet) bool {
	if m.Protocol == All {
		return true
	}
	if m.Protocol != p.Protocol {
		return false
	}
	switch m.Protocol {
	case TCP, UDP:
		return m.First <= p.Port && p.Port <= m.Last
	case ICMP, ICMPv6:
		return (m.First == All || m.First == p.Port) && (m.Last == All || m.Last == p.Code)
	}
	return true
}

// groups asks the interface's security groups about p; far is the other end's
// address, and near says that it is not on the other side of an internet
// gateway, where members of groups are not known by their private addresses.
func (w *World) groups(n Interface, egress bool, far netip.Addr, p Packet, near bool) Step {
	step := Step{SecurityGroup, Denied, n.ID + ": no rule of its groups"}
	for _, id := range n.Groups {
		g, known := w.group(id)
		if !known {
			step = Step{SecurityGroup, Unknown, id + ": not read"}
			continue
		}
		for _, r := range g.Rules {
			if r.Egress != egress || !r.covers(p) {
				continue
			}
			switch w.names(n, r, far, near) {
			case Delivered:
				return Step{SecurityGroup, Delivered, g.ID + ": " + r.ID}
			case Unknown:
				step = Step{SecurityGroup, Unknown, g.ID + ": " + r.ID}
			case Denied:
			}
		}
	}
	return step
}

// names reports whether the rule is about the address far: Delivered for yes,
// Denied for no.
func (w *World) names(n Interface, r Rule, far netip.Addr, near bool) Outcome {
	switch {
	case r.CIDR.IsValid():
		if r.CIDR.Contains(far) {
			return Delivered
		}
		return Denied
	case r.PrefixList != "":
		for _, l := range w.PrefixLists {
			if l.ID != r.PrefixList || !l.Known {
				continue
			}
			for _, e := range l.Entries {
				if e.Contains(far) {
					return Delivered
				}
			}
			return Denied
		}
		return Unknown
	case r.Group != "":
		if !near {
			return Denied
		}
		return w.wears(n, r.Group, far)
	}
	return Denied
}

// wears reports whether an interface with the address far wears the group, in
// n's VPC or in one that is joined to it.
func (w *World) wears(n Interface, group string, far netip.Addr) Outcome {
	if _, known := w.group(group); !known {
		return Unknown
	}
	here := w.vpc(n)
	for _, m := range w.Interfaces {
		if !slices.Contains(m.Groups, group) || !w.joined(here, w.vpc(m)) {
			continue
		}
		for _, a := range m.Addresses {
			if a.Private == far {
				return Delivered
			}
		}
	}
	return Denied
}

// nowhere says why there is no way at all.
func nowhere(why string, args ...any) func() Step {
	return func() Step { return Step{Routing, Denied, fmt.Sprintf(why, args...)} }
}
