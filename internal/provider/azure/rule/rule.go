// Package rule turns the rules of Azure's firewalls into layers: those of network
// security groups and the security admin rules of virtual network managers, and
// the values that the rules of Azure Firewall share with them.
//
// # What a rule says
//
// A rule is asked by its priority, lowest number first, and the first that matches
// decides. It names a protocol, and for each side addresses or groups, and ports;
// every field has a form for one value and a twin for several, of which the API
// returns the unused one empty. Enums and resource ids come back in any case. A
// group judges its own side of every translation: an inbound rule sees the VM's
// private address as the destination, so that one for its public address never
// matches. "*" as the protocol says nothing about ports. Every group ends with
// three rules of Azure's own, of which 65000 lets the whole virtual network in.
// (learn.microsoft.com: network security groups overview, how network security
// groups filter network traffic, application security groups.)
//
// Security admin rules come before all groups. Deny drops, AlwaysAllow delivers
// past the groups, Allow leaves it to them. (learn.microsoft.com: security admin
// rules in Azure Virtual Network Manager.)
//
// # What names stand for
//
// A service tag and an application security group stand for addresses that are
// not in the document. A [View] says which; it is that of a subnet, because
// VirtualNetwork, and with it Internet, differ from subnet to subnet:
// VirtualNetwork is the network's own space, connected peers', what gateways lead
// to, the address of the platform, and prefixes of user-defined routes. It is
// never taken to be RFC 1918. AzureLoadBalancer is where probes come from, and not
// the balanced clients. (learn.microsoft.com: virtual network service tags.)
//
// A name that the view does not know may stand for any address: its rule matches
// perhaps, whether it allows or denies. A group that is known to be empty is
// nobody. A field that is not understood perhaps says anything, and a rule whose
// number is not known may stand before all others.
package rule

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/prefix"
)

// A Rule is one inbound line of a firewall.
type Rule struct {
	Name     string // with the number, as people look for it
	Priority int    // 0 where it could not be read, and the rule may come first
	Action   firewall.Action
	// Protocols are those that the rule is about; none for all of them.
	Protocols           []firewall.Protocol
	Source, Destination Side
	// Doubt says what about the rule was not understood. What it fails to say
	// may be anything; the other fields stand.
	Doubt string
	// Owned says that the rule is ours.
	Owned bool
}

// A Side is the source or the destination of a rule. Everything but Ports are
// alternatives. A side without any of them perhaps stands for anybody.
type Side struct {
	Any      bool
	Prefixes []netip.Prefix
	Tags     []string // service tags, in lower case, and what else is no address
	Groups   []string // ids of application security groups or IP groups, in lower case
	Ports    []Ports  // none is all of them
}

// Ports are the ports from First to Last.
type Ports struct{ First, Last uint16 }

// anyPort is every port.
func anyPort() Ports { return Ports{First: 0, Last: 65535} }

// InOrder sorts rules as Azure asks them.
func InOrder(rules []Rule) {
	slices.SortStableFunc(rules, func(a, b Rule) int { return cmp.Compare(a.Priority, b.Priority) })
}

// Doubtful notes that part of r was not understood.
func (r *Rule) Doubtful(why string) {
	if r.Doubt == "" {
		r.Doubt = why
	}
}

// Take adds protocols by their names.
func (r *Rule) Take(names ...string) {
	var found []firewall.Protocol
	all := false
	for _, name := range names {
		switch strings.ToLower(name) {
		case "*", "any":
			all = true
		case "tcp":
			found = append(found, firewall.TCP)
		case "udp":
			found = append(found, firewall.UDP)
		case "icmp":
			found = append(found, 1)
		case "esp":
			found = append(found, 50)
		case "ah":
			found = append(found, 51)
		default:
			all = true
			r.Doubtful("protocol " + strconv.Quote(name) + " is not known")
		}
	}
	switch {
	case len(names) == 0:
		r.Doubtful("it has no protocol")
	case !all:
		r.Protocols = found
	}
}

// Add adds what one entry of an address list stands for: "*", an address, a
// prefix, which may have host bits, a range, or a service tag.
func (s *Side) Add(entries ...string) {
	for _, text := range entries {
		text = strings.TrimSpace(text)
		switch list, ok := addresses(text); {
		case text == "*":
			s.Any = true
		case ok:
			s.Prefixes = append(s.Prefixes, list...)
		default:
			s.Tags = append(s.Tags, strings.ToLower(text))
		}
	}
}

// addresses reads an address, a prefix or a range. IPv4-mapped IPv6 is none of
// them: which packets it would mean is nowhere said.
func addresses(text string) ([]netip.Prefix, bool) {
	plain := func(a netip.Addr) bool { return !a.Is4In6() && a.Zone() == "" }
	if a, err := netip.ParseAddr(text); err == nil && plain(a) {
		return prefix.Of(a), true
	}
	if p, err := netip.ParsePrefix(text); err == nil && plain(p.Addr()) {
		return []netip.Prefix{p.Masked()}, true
	}
	first, last, _ := strings.Cut(text, "-")
	from, err1 := netip.ParseAddr(first)
	to, err2 := netip.ParseAddr(last)
	if err1 != nil || err2 != nil || !plain(from) || !plain(to) || from.BitLen() != to.BitLen() {
		return nil, false
	}
	return prefix.Between(from, to), true
}

// AddPorts adds "*", numbers and ranges to s, which is a side of r.
func (r *Rule) AddPorts(s *Side, texts ...string) {
	for _, text := range texts {
		p, ok := portsOf(strings.TrimSpace(text))
		if !ok {
			r.Doubtful(strconv.Quote(text) + " is no port range")
		}
		s.Ports = append(s.Ports, p)
	}
}

// portsOf reads one port range, and returns any port for what is none.
func portsOf(text string) (Ports, bool) {
	if text == "*" {
		return anyPort(), true
	}
	first, last, isRange := strings.Cut(text, "-")
	if !isRange {
		last = first
	}
	a, err1 := strconv.ParseUint(strings.TrimSpace(first), 10, 16)
	b, err2 := strconv.ParseUint(strings.TrimSpace(last), 10, 16)
	if err1 != nil || err2 != nil {
		return anyPort(), false
	}
	return Ports{First: uint16(a), Last: uint16(b)}, true
}
