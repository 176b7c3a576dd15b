package firewall

import (
	"cmp"
	"net/netip"
	"slices"
)

// A Layer is what one firewall shows, as the reach engine reads it: data that
// can be stored, compared and verified, with nothing of the provider left in it.
// Whoever builds one from a cloud's document follows these rules:
//
//   - One line of the document becomes as many rules as it needs, all of the same
//     name: one for each range of ports, one for the sources that are known and
//     one, with Maybe, for those that are not. They may share the From slice.
//   - Nothing that is not known is left out, and nothing is guessed. A source
//     that could not be resolved (a service tag, a prefix list) is any source,
//     with Maybe. A line whose sources are known to be nobody (an empty group) is
//     left out: an empty From means any.
//   - Addresses are those that this firewall sees, on its own side of every
//     translation: the source in From, the destination in To.
//   - What decides when no line does is a rule of its own where the firewall
//     shows it as one ("DenyAllInBound"), and Default otherwise.
//
// A document of several lists that are asked one after another becomes several
// layers, one hop each: subnet and interface, admin rules and network rules, a
// network ACL on the way in and on the way back. The way back of a stateless
// list is an Ordered layer too. Its rules see the reply, so that the address
// they send to is the client's and goes into From, the address they send from is
// the VM's and goes into To, the port they send from is the door's, and the port
// they send to is the client's and goes into SourceFirst and SourceLast.
type Layer struct {
	Firewall ID
	Kind     LayerKind
	// Rules are in the firewall's own order of evaluation. In a Union the order
	// has no meaning and is by name.
	Rules []LayerRule
	// Default is what happens to a packet that no rule decides.
	Default Action
}

// Unread returns a layer for a firewall of which nothing is known, with the
// reason: whatever its rules are, they may deny any packet, or let it pass. It
// shows as the rule that decides. If the firewall can deliver, it may.
func Unread(id ID, why string, delivers bool) Layer {
	l := Layer{Firewall: id, Kind: Ordered, Rules: nil, Default: Unknown}
	if delivers {
		l.Rules = append(l.Rules, LayerRule{Name: why, Action: Deliver, Maybe: true, Last: 65535})
	}
	l.Rules = append(l.Rules, LayerRule{Name: why, Action: Unknown, Last: 65535})
	return l
}

// LayerKind says how the rules of a layer combine.
type LayerKind uint8

// The kinds of layers.
const (
	// Ordered: the first rule that matches decides (a network security group, a
	// network ACL, admin rules). Rules that a cloud evaluates at one number are
	// put into the order in which it resolves the tie: see [ByNumber].
	Ordered LayerKind = iota
	// Union: a packet passes when any Allow matches; there is no Deny (a
	// security group). A Deny in it is passed over.
	Union
)

// ByNumber puts rules into the order in which a firewall that numbers them reads
// them, the lowest first, and of those at one number Deny first: so GCP resolves
// the tie. Other clouds have no ties. Otherwise the order stays.
func ByNumber(rules []LayerRule, number func(LayerRule) int) {
	rank := func(r LayerRule) int {
		if r.Action == Deny {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(rules, func(a, b LayerRule) int {
		return cmp.Or(cmp.Compare(number(a), number(b)), cmp.Compare(rank(a), rank(b)))
	})
}

// Action is what a rule does with a packet.
type Action uint8

// The actions.
const (
	// Deny drops the packet. Nothing that comes later can save it.
	Deny Action = iota
	// Allow lets the packet past this layer; the next one on the path decides. So
	// it also stands for falling through to the next layer: an admin rule that
	// allows, "goto_next" on GCP, and the Default of layers that only add to
	// others.
	Allow
	// Unknown stands for a rule whose effect is not known: it is Deny or Allow.
	// It is never counted as closed where we must prove closed, nor as open where
	// we must prove open. A rule that might also deliver is two: Deliver, with
	// Maybe, before it.
	Unknown
	// Deliver lets the packet past this layer and all that follow, but for those
	// that nothing skips (inventory.Hop.Always): AlwaysAllow of Azure Virtual
	// Network Manager, "allow" in a hierarchical firewall policy on GCP.
	Deliver
)

// String returns the action's name.
func (a Action) String() string {
	switch a {
	case Deny:
		return "deny"
	case Allow:
		return "allow"
	case Unknown:
		return "unknown"
	case Deliver:
		return "deliver"
	}
	return "action?"
}

// Outcomes is a set of what may happen to a packet in one layer.
type Outcomes uint8

// The outcomes, from the least to the most that a layer can do for a packet.
const (
	Denies Outcomes = 1 << iota
	Passes
	Delivers
)

// Outcomes returns what may happen to a packet that a decides.
func (a Action) Outcomes() Outcomes {
	switch a {
	case Deny:
		return Denies
	case Allow:
		return Passes
	case Deliver:
		return Delivers
	case Unknown:
	}
	return Denies | Passes
}

// Names returns the names of the outcomes in o: deny, pass, deliver.
func (o Outcomes) Names() []string {
	out := []string{}
	for i, name := range [...]string{"deny", "pass", "deliver"} {
		if o&(1<<i) != 0 {
			out = append(out, name)
		}
	}
	return out
}

// Least returns the least that may happen, of a set that is not empty.
func (o Outcomes) Least() Outcomes { return o & -o }

// Certain reports whether only one thing may happen.
func (o Outcomes) Certain() bool { return o == o.Least() }

// A LayerRule is one line of a layer. A packet matches when it matches every
// field.
type LayerRule struct {
	// Name is how the firewall's owner knows the rule, with its number where it
	// has one; it appears in reasons.
	Name   string
	Action Action
	// Maybe says that it is not known whether a packet that matches is really
	// meant: part of the rule could not be resolved, or has a value only once it
	// is applied. The fields then say as much as is known.
	Maybe bool
	// VM limits the rule to packets for one VM; empty means every VM behind the
	// firewall.
	VM VMID
	// Protocol is 0 for any. Packets of a protocol without ports have port 0 and
	// source port 0 here, so that a rule about some ports is not about them.
	Protocol Protocol
	// First and Last are the ports, inclusive; 0 to 65535 is any.
	First, Last uint16
	// SourceFirst and SourceLast are the client's ports, inclusive; 0 to 0, like 0
	// to 65535, is any. (A rule about source port 0 alone is written as Maybe.)
	SourceFirst, SourceLast uint16
	// From lists the sources, masked; no source at all means any address of
	// either family.
	From []netip.Prefix
	// To lists the destinations, masked, as this firewall sees them; none at all
	// means any. A packet of one family meets only prefixes of that family.
	To []netip.Prefix
	// Owned says that the rule is ours.
	Owned bool
}

// Matches reports whether r speaks about packets to d, whatever their source,
// source port and destination address. It judges d as this firewall sees it.
func (r LayerRule) Matches(d Door) bool {
	return (r.VM == "" || r.VM == d.VM) &&
		(r.Protocol == 0 || r.Protocol == d.Protocol) &&
		r.First <= d.Port && d.Port <= r.Last
}

// Aims reports whether r may speak about packets to one of the addresses to. Of a
// family that to has no address of, the address is not known.
func (r LayerRule) Aims(to []netip.Addr) bool {
	return len(r.To) == 0 || slices.ContainsFunc(r.To, func(p netip.Prefix) bool {
		elsewhere := func(a netip.Addr) bool { return a.Is4() == p.Addr().Is4() && !p.Contains(a) }
		return !slices.ContainsFunc(to, elsewhere)
	})
}
