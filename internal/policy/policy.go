// Package policy holds the JIT policy: a document that says which ports of which
// VMs are just-in-time, from which sources they may be asked for, and for how
// long at most.
//
// A policy makes doors requestable and brings their locks. It grants nothing to
// anybody by itself: who may ask is decided in package authz. A lock outlives
// its policy; see access.Lock.
//
// A Policy has one canonical form, which Validate checks and Parse, Format and
// WithDefaults keep: sorted lists without duplicates, nil where they are empty,
// masked prefixes, and nothing left to a default.
package policy

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
)

// The limits of one policy. No prefix in it has fewer than LeastBits: a policy
// that means everybody leaves the sources of its port out. Exempt is not half the
// world piece by piece: in each family, all together have no more addresses than
// MaxExempt prefixes of LeastBits; in IPv6 a /64 is one.
const (
	MaxVMs     = 1000
	MaxPorts   = 64
	MaxSources = 64

	LeastBitsIPv4 = 8
	LeastBitsIPv6 = 16

	MaxExempt = 2
)

// MaxAhead is how far in the future a request may start.
const MaxAhead = 30 * 24 * time.Hour

// The defaults of what a document leaves out.
const (
	DefaultProtocol   = firewall.TCP
	DefaultMax        = 3 * time.Hour
	DefaultWidestIPv4 = 32
	DefaultWidestIPv6 = 64
)

// A Policy is one document.
type Policy struct {
	// Name identifies the policy; see firewall.ValidName.
	Name string
	// Version counts the saved changes of this policy, from 1. In a document it is
	// the version that the document was made from, and 0 where it does not say:
	// only what is still in force can be replaced by it.
	Version int64
	VMs     []firewall.VMID // sorted
	Ports   []Port          // sorted by port and protocol
	// Exempt sources are let in without asking, by a rule of ours, whether or
	// not a foreign rule would have: probes, bastions, backup.
	Exempt []netip.Prefix // masked, sorted
	// Cut ends established connections with their grant. It is refused where
	// nothing in front of a VM can.
	Cut bool
	// Proof opens a grant only where it is proven that it comes through. Without
	// it, one opens past layers that could not be read, too, and says so.
	Proof bool

	// Approvals are who has to agree before a request is granted, one stage after
	// the other; none where a request that is allowed is granted at once.
	Approvals []Approval
	// Within is how long a request waits for them; 0 where there are none.
	Within time.Duration
	// Reason says that a request must give one.
	Reason bool
	// Ticket is the pattern that the ticket of a request must match as a whole;
	// empty where none is wanted.
	Ticket string
	// Glass is who gets in without approval in an emergency.
	Glass Glass
	// Azure is the policy of the Azure face that this one is a part of; zero where
	// it is none.
	Azure Azure
}

// Azure names a policy of the Azure face. There the ports of a policy may differ
// from VM to VM, and here they do not: what was put there is one or more policies
// here. Nothing is decided by it.
type Azure struct {
	// Policy is its Azure Resource Manager id, as it was put.
	Policy string
	// Document is the JSON that was put, which the first of the parts keeps: what
	// is shown there is spelled as its owner spelled it, as long as it says what is
	// in force.
	Document string
}

// A Port is one just-in-time port of every VM of the policy.
type Port struct {
	Port     uint16
	Protocol firewall.Protocol
	// Max is the longest grant.
	Max time.Duration
	// Sources are where a request may come from; empty means from anywhere but
	// special ranges. A special range is allowed only by listing it.
	Sources []netip.Prefix // masked, sorted
	// WidestIPv4 and WidestIPv6 are the shortest prefix lengths that a request
	// may ask for: 32 is a single address.
	WidestIPv4, WidestIPv6 int
}

// WithDefaults returns p in its canonical form, with the defaults filled in
// where a field of a port has its zero value. It is for policies that are not
// read from a document, and shares no memory with p. It mends nothing: what
// makes no sense still fails Validate.
func (p Policy) WithDefaults() Policy {
	p.VMs = sorted(p.VMs, cmp.Compare[firewall.VMID])
	p.Exempt = sorted(p.Exempt, netip.Prefix.Compare)
	p.Ports = sorted(p.Ports, comparePorts)
	for i, port := range p.Ports {
		port.Protocol = cmp.Or(port.Protocol, DefaultProtocol)
		port.Max = cmp.Or(port.Max, DefaultMax)
		port.Sources = sorted(port.Sources, netip.Prefix.Compare)
		port.WidestIPv4 = cmp.Or(port.WidestIPv4, DefaultWidestIPv4)
		port.WidestIPv6 = cmp.Or(port.WidestIPv6, DefaultWidestIPv6)
		p.Ports[i] = port
	}
	slices.SortFunc(p.Ports, comparePorts)
	return p.withDefaults()
}

func sorted[T any](list []T, compare func(a, b T) int) []T {
	if len(list) == 0 {
		return nil
	}
	list = slices.Clone(list)
	slices.SortFunc(list, compare)
	return list
}

func comparePorts(a, b Port) int {
	return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Protocol, b.Protocol))
}

// Doors returns every door of p, sorted.
func (p Policy) Doors() []firewall.Door {
	doors := make([]firewall.Door, 0, len(p.VMs)*len(p.Ports))
	for _, vm := range p.VMs {
		for _, port := range p.Ports {
			doors = append(doors, firewall.Door{VM: vm, Protocol: port.Protocol, Port: port.Port})
		}
	}
	slices.SortFunc(doors, firewall.CompareDoors)
	return doors
}

// PortOf returns the rules that p has for d.
func (p Policy) PortOf(d firewall.Door) (Port, bool) {
	if _, covered := slices.BinarySearch(p.VMs, d.VM); !covered {
		return Port{}, false
	}
	for _, port := range p.Ports {
		if port.Port == d.Port && port.Protocol == d.Protocol {
			return port, true
		}
	}
	return Port{}, false
}
