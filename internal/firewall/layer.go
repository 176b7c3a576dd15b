package firewall

import "net/netip"

// A Layer is what one firewall shows, as the reach engine reads it: data that
// can be stored, compared and verified, with nothing of the provider left in it.
type Layer struct {
	Firewall ID
	Kind     LayerKind
	// Rules are in the firewall's own order of evaluation. In a Union the order
	// has no meaning and is by name.
	Rules []LayerRule
	// Default is what happens to a packet that no rule decides.
	Default Action
}

// LayerKind says how the rules of a layer combine.
type LayerKind uint8

// The kinds of layers.
const (
	// Ordered: the first rule that matches decides (a network security group).
	Ordered LayerKind = iota
	// Union: a packet passes when any Allow matches; there is no Deny (a
	// security group).
	Union
)

// Action is what a rule does with a packet.
type Action uint8

// The actions. Unknown stands for a rule that could not be read or resolved: it
// is never counted as closed where we must prove closed, nor as open where we
// must prove open.
const (
	Deny Action = iota
	Allow
	Unknown
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
	}
	return "action?"
}

// A LayerRule is one line of a layer.
type LayerRule struct {
	// Name is how the firewall's owner knows the rule; it appears in reasons.
	Name   string
	Action Action
	// VM limits the rule to packets for one VM; empty means every VM behind the
	// firewall.
	VM VMID
	// Protocol is 0 for any.
	Protocol Protocol
	// First and Last are the ports, inclusive; 0 to 65535 is any.
	First, Last uint16
	// From lists the sources, masked; no source at all means any address of
	// either family.
	From []netip.Prefix
	// Owned says that the rule is ours.
	Owned bool
}

// Matches reports whether r speaks about packets to d, whatever their source.
func (r LayerRule) Matches(d Door) bool {
	return (r.VM == "" || r.VM == d.VM) &&
		(r.Protocol == 0 || r.Protocol == d.Protocol) &&
		r.First <= d.Port && d.Port <= r.Last
}
