// Package packet says what Azure does with one packet, from the plain ARM
// documents of a world. It is deliberately naive: every step is one paragraph
// of Azure's documentation written as a loop, so that a reader can hold the two
// side by side. Nothing is shared with the reach engine, which has to agree
// with it in differential tests; the simulator asks it whether a client gets in.
//
// # The order of things
//
// A packet from the Internet goes to whoever holds the public address: an IP
// configuration of a network interface, a load balancer (inbound NAT rules, then
// load-balancing rules) or an Azure Firewall (DNAT rules; the VM then sees an
// address of AzureFirewallSubnet as the source). A packet that starts in a
// virtual network first leaves its source: security admin rules, the interface's
// network security group, the subnet's; then the route table of its subnet says
// whether it goes straight to its destination, through an Azure Firewall
// (network rules, or DNAT rules if it is for the firewall itself), or nowhere. At its destination come, in this order, the
// security admin rules of the virtual network, the subnet's group and the
// interface's group. Each must let it pass; a missing group lets everything
// pass.
//
// # What is not known
//
// Where the documentation is silent or contradicts itself, or a service tag is
// not in the table of expansions, a rule matches perhaps. Both possibilities are
// then followed, and the outcome is Unknown only where they end differently.
// Unknown are also what application rules decide by names, network virtual
// appliances, gateways as next hops, translation to a name, the way out to a
// public address through somebody else's SNAT, and a public address of the
// standard kind in front of no group at all (documented as closed).
//
// Not looked at: whether the machine runs and listens, established connections,
// replies, health probes' effect on pools, threat intelligence.
package packet

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"

	"github.com/sesame-access/sesame/internal/cloudsim/arm/packet/topology"
)

// A Packet is the first packet of a connection.
type Packet struct {
	// In is the id of the virtual network that the packet starts in; empty for
	// the Internet. A source from behind a gateway starts in the network that
	// the gateway is in.
	In string
	// From and To are as they stand in the packet where it starts.
	From     netip.Addr
	FromPort uint16
	To       netip.Addr
	ToPort   uint16
	Protocol Protocol
	// Left says that the packet is past the rules at its source.
	Left bool
}

// Protocol is an IANA protocol number.
type Protocol uint8

// The protocols that a rule can name.
const (
	ICMP Protocol = 1
	TCP  Protocol = 6
	UDP  Protocol = 17
	ESP  Protocol = 50
	AH   Protocol = 51
)

// Outcome is the set of what may happen to a packet; Unknown is both.
type Outcome uint8

// The outcomes.
const (
	Denied    Outcome = 1
	Delivered Outcome = 2
	Unknown           = Denied | Delivered
)

// String returns the outcome's name.
func (o Outcome) String() string {
	switch o {
	case Denied:
		return "denied"
	case Delivered:
		return "delivered"
	case Unknown:
		return "unknown"
	}
	return "outcome?"
}

// then returns the outcome of having to pass o and then next.
func (o Outcome) then(next Outcome) Outcome {
	if o == Denied || next == Denied {
		return Denied
	}
	return o | next
}

// A Step is one decision on a packet's way.
type Step struct {
	At      string // id of the resource that decided, as its document has it
	Rule    string // name of the rule; empty where no rule was needed
	Outcome Outcome
	Why     string // what a rule's name alone does not say; may be empty
}

// String returns s as one line.
func (s Step) String() string {
	text := s.At
	if s.Rule != "" {
		text += "/" + s.Rule
	}
	if s.Why != "" {
		text += " (" + s.Why + ")"
	}
	return text + ": " + s.Outcome.String()
}

// A Verdict is what happens to a packet.
type Verdict struct {
	Outcome Outcome
	// Reached is the id of the IP configuration that the packet was for, even
	// when it was not delivered; empty where it never got that far.
	Reached string
	// Source, To and Port are what the VM would see, after every translation.
	Source netip.Addr
	To     netip.Addr
	Port   uint16
	// Steps are the decisions on the way, in order. The last step with the
	// verdict's outcome is the one that decided.
	Steps []Step
}

// By returns the step that decided: the first one that did not deliver, or the
// last one where all did.
func (v Verdict) By() Step {
	for _, s := range v.Steps {
		if s.Outcome == v.Outcome && v.Outcome != Delivered {
			return s
		}
	}
	if len(v.Steps) == 0 {
		return Step{At: "", Rule: "", Outcome: v.Outcome, Why: "nothing stands in the way"}
	}
	return v.Steps[len(v.Steps)-1]
}

// A World is what packets travel through. It is read only, and may be used by
// several goroutines.
type World struct {
	*topology.World

	tags map[string][]netip.Prefix // by lower-case name
}

// New reads a world from its documents, by id, as Azure Resource Manager shows
// them; the security admin rules of a virtual network lie under its id and
// [topology.AdminRules]. tags gives the expansions of service tags, in any case;
// under VirtualNetwork it gives what is reached through gateways. A document
// that cannot be read is an error.
func New(documents map[string]json.RawMessage, tags map[string][]netip.Prefix) (*World, error) {
	t, err := topology.Read(documents)
	if err != nil {
		return nil, err
	}
	w := &World{World: t, tags: make(map[string][]netip.Prefix)}
	for name, prefixes := range tags {
		w.tags[strings.ToLower(name)] = prefixes
	}
	return w, nil
}

// Judge returns what happens to p.
func (w *World) Judge(p Packet) Verdict {
	k := &walk{World: w.World, tags: w.tags, steps: nil, translations: 0}
	p.From, p.To = p.From.Unmap(), p.To.Unmap()
	var v Verdict
	if p.In == "" {
		v = k.internet(p)
	} else {
		v = k.inside(p)
	}
	v.Steps = k.steps
	return v
}

// Arrive returns what happens to p once it has come to the IP configuration with
// this id with the destination that it has, by whatever way; nothing if there is
// none.
func (w *World) Arrive(p Packet, id string) Verdict {
	k := &walk{World: w.World, tags: w.tags, steps: nil, translations: 0}
	var v Verdict
	for _, e := range k.Endpoints {
		if topology.Same(e.ID, id) {
			v = k.admit(p, e, false)
		}
	}
	v.Steps = k.steps
	return v
}

// A walk is the way of one packet.
type walk struct {
	*topology.World

	tags         map[string][]netip.Prefix
	steps        []Step
	translations int // how deep it is in translations by firewalls
}

// decide notes a decision and returns its outcome.
func (k *walk) decide(at, rule string, o Outcome, format string, args ...any) Outcome {
	k.steps = append(k.steps, Step{At: at, Rule: rule, Outcome: o, Why: fmt.Sprintf(format, args...)})
	return o
}

// lost returns the verdict on a packet that reaches nobody.
func (k *walk) lost(p Packet, o Outcome, at, format string, args ...any) Verdict {
	k.decide(at, "", o, format, args...)
	return Verdict{Outcome: o, Reached: "", Source: p.From, To: p.To, Port: p.ToPort, Steps: nil}
}

// internet follows a packet from the Internet to the holder of the address.
func (k *walk) internet(p Packet) Verdict {
	if special(p.From) {
		return k.lost(p, Denied, p.From.String(), "no address of the Internet")
	}
	for _, pip := range k.PublicAddresses {
		if pip.Address != p.To {
			continue
		}
		for _, e := range k.Endpoints {
			if topology.Same(e.PublicAddress, pip.ID) {
				return k.arrive(p, e, pip.Standard)
			}
		}
		for _, b := range k.Balancers {
			for _, f := range b.Frontends {
				if topology.Same(f.PublicAddress, pip.ID) {
					return k.balance(p, b, f, pip.Standard)
				}
			}
		}
		for _, f := range k.Firewalls {
			for _, id := range f.PublicAddresses {
				if topology.Same(id, pip.ID) {
					return k.translate(p, f)
				}
			}
		}
		if pip.Used {
			return k.lost(p, Unknown, pip.ID, "held by something that is not simulated")
		}
		return k.lost(p, Denied, pip.ID, "nobody holds the address")
	}
	return k.lost(p, Denied, p.To.String(), "no public address of this world")
}

// inside follows a packet that starts in a virtual network.
func (k *walk) inside(p Packet) Verdict {
	n := k.Network(p.In)
	if n == nil {
		return k.lost(p, Denied, p.In, "no such virtual network")
	}
	from := k.EndpointAt(n, p.From)
	out := Delivered
	if p.Left {
		from = nil // nothing there is asked any more
	} else if from != nil {
		out = k.leave(p, from, k.EndpointNear(n, p.To))
	} else if s := n.SubnetOf(p.From); s != nil && s.Group != "" {
		// Bastion hosts, gateways and the like are no network interfaces; the
		// group of their subnet applies to them.
		out = k.groupOf(s.Group, "Outbound", k.flow(p, s, nil, k.EndpointNear(n, p.To)))
	}
	if out == Denied {
		return Verdict{Outcome: Denied, Reached: "", Source: p.From, To: p.To, Port: p.ToPort, Steps: nil}
	}
	v := k.route(p, n, from)
	v.Outcome = out.then(v.Outcome)
	return v
}

// leave judges p at its source: admin rules, the interface's group, the
// subnet's.
func (k *walk) leave(p Packet, from, to *topology.Endpoint) Outcome {
	f := k.flow(p, from.Subnet, from, to)
	admin := k.admin(from.Subnet.Network, "Outbound", f)
	o := admin.final
	if admin.pass {
		groups := k.groupOf(from.Group, "Outbound", f)
		if groups != Denied {
			groups = groups.then(k.groupOf(from.Subnet.Group, "Outbound", f))
		}
		o |= groups
	}
	return o
}

// arrive judges p at its destination: admin rules, the subnet's group, the
// interface's. standardAddress says that it came to a public address of the
// standard kind.
func (k *walk) arrive(p Packet, to *topology.Endpoint, standardAddress bool) Verdict {
	p.To = to.Address
	return k.admit(p, to, standardAddress)
}

// admit is arrive for a packet that may have a destination which is not to's own.
func (k *walk) admit(p Packet, to *topology.Endpoint, standardAddress bool) Verdict {
	v := Verdict{Outcome: 0, Reached: to.ID, Source: p.From, To: p.To, Port: p.ToPort, Steps: nil}
	var from *topology.Endpoint
	if p.In != "" {
		if n := k.Network(p.In); n != nil {
			from = k.EndpointAt(n, p.From)
		}
	}
	f := k.flow(p, to.Subnet, from, to)
	admin := k.admin(to.Subnet.Network, "Inbound", f)
	v.Outcome = admin.final
	if !admin.pass {
		return v
	}
	if to.Group == "" && to.Subnet.Group == "" && standardAddress {
		v.Outcome |= k.decide(to.ID, "", Unknown, "a standard public address without a group is documented as closed")
		return v
	}
	groups := k.groupOf(to.Subnet.Group, "Inbound", f)
	if groups != Denied {
		groups = groups.then(k.groupOf(to.Group, "Inbound", f))
	}
	if to.Group == "" && to.Subnet.Group == "" {
		k.decide(to.ID, "", Delivered, "no network security group")
	}
	v.Outcome |= groups
	return v
}
