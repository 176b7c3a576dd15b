package rule

import (
	"net/netip"
	"slices"

	"github.com/sesame-access/sesame/internal/provider/prefix"
)

// The tags that stand for something else in each network.
const (
	virtualNetwork = "virtualnetwork"
	internet       = "internet"
	loadBalancer   = "azureloadbalancer"
)

// A Set is the addresses that a name stands for: surely, and perhaps.
type Set struct{ Sure, Perhaps []netip.Prefix }

// Anybody is the set of which nothing is known.
func Anybody() Set { return Set{Sure: nil, Perhaps: prefix.Everything()} }

// Union returns the addresses in any of the sets.
func Union(sets ...Set) Set {
	var sure, perhaps [][]netip.Prefix
	for _, s := range sets {
		sure, perhaps = append(sure, s.Sure), append(perhaps, s.Perhaps)
	}
	all := prefix.Union(sure...)
	return Set{Sure: all, Perhaps: prefix.Minus(prefix.Union(perhaps...), all)}
}

// Equal reports whether two sets are the same.
func (s Set) Equal(o Set) bool {
	return slices.Equal(s.Sure, o.Sure) && slices.Equal(s.Perhaps, o.Perhaps)
}

// A View is what names in rules stand for, as seen from a subnet. The zero View
// knows only the tags that are the same everywhere.
type View struct {
	// VirtualNetwork is the tag of that name.
	VirtualNetwork Set
	// Known says that VirtualNetwork was filled in. Where it is not, that tag and
	// Internet are not known.
	Known bool
	// Tags are the other service tags, by name in lower case. One that is not
	// there is not known.
	Tags map[string][]netip.Prefix
	// Groups are the members of application security groups, or of IP groups, by
	// id in lower case. One that is not there is not known.
	Groups map[string]Set
}

// Probes are where Azure's health probes come from.
func Probes() []netip.Prefix {
	return prefix.Of(netip.AddrFrom4([4]byte{168, 63, 129, 16}), netip.MustParseAddr("fe80::1234:5678:9abc"))
}

// Public returns the addresses that a packet on the Internet can come from.
func Public() []netip.Prefix {
	return prefix.Minus(prefix.Everything(), prefix.Union(prefix.Private(), Probes()))
}

// tag returns what a service tag stands for.
func (v View) tag(name string) Set {
	network := v.VirtualNetwork
	if !v.Known {
		network = Anybody()
	}
	switch name {
	case virtualNetwork:
		return network
	case internet: // what is outside of the network and can be reached publicly
		public := Public()
		return Set{
			Sure:    prefix.Minus(public, prefix.Union(network.Sure, network.Perhaps)),
			Perhaps: prefix.Minus(prefix.Intersect(public, network.Perhaps), network.Sure),
		}
	case loadBalancer:
		return Set{Sure: Probes(), Perhaps: nil}
	}
	list, known := v.Tags[name]
	if !known {
		return Anybody()
	}
	return Set{Sure: prefix.Union(list), Perhaps: nil}
}

// Addresses returns what s stands for.
func (v View) Addresses(s Side) Set {
	if s.Any {
		return Set{Sure: prefix.Everything(), Perhaps: nil}
	}
	if len(s.Prefixes)+len(s.Tags)+len(s.Groups) == 0 {
		return Anybody() // it cannot be written, so that nobody says what it means
	}
	sets := []Set{{Sure: s.Prefixes, Perhaps: nil}}
	for _, name := range s.Tags {
		sets = append(sets, v.tag(name))
	}
	for _, id := range s.Groups {
		g, known := v.Groups[id]
		if !known {
			g = Anybody()
		}
		sets = append(sets, g)
	}
	return Union(sets...)
}

// local reports whether what s stands for differs from network to network.
func (s *Side) local() bool {
	return len(s.Groups) > 0 || slices.Contains(s.Tags, virtualNetwork) || slices.Contains(s.Tags, internet)
}
