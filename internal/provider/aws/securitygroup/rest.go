package securitygroup

import (
	"slices"
	"strconv"
	"strings"

	"github.com/sesame-access/sesame/internal/firewall"
)

// A Port is one port of one protocol: a door, without the VM that it belongs to.
type Port struct {
	Protocol firewall.Protocol
	Number   uint16
}

// String returns p as people write it.
func (p Port) String() string { return strconv.Itoa(int(p.Number)) + "/" + p.Protocol.String() }

// Rest returns what r lets in but for the given ports, as few rules, without ids,
// descriptions and tags. Of a rule for every protocol it keeps TCP, UDP, the ICMP
// of the source's family, and the protocols in keep; lost says what remains then,
// and is empty where nothing is lost.
func (r Rule) Rest(ports []Port, keep []firewall.Protocol) (rest []Rule, lost string) {
	r.ID, r.Description, r.Tags = "", "", nil
	if !slices.ContainsFunc(ports, func(p Port) bool { return r.Matches(p.Protocol, p.Number) }) {
		return []Rule{r}, ""
	}
	if r.Protocol != All {
		return r.runs(ports), ""
	}
	kept := []int{tcp, udp}
	if !r.CIDR.IsValid() || r.CIDR.Addr().Is4() {
		kept = append(kept, icmp)
	}
	if !r.CIDR.IsValid() || r.CIDR.Addr().Is6() {
		kept = append(kept, icmpv6)
	}
	for _, p := range keep {
		kept = append(kept, int(p))
	}
	slices.Sort(kept)
	var names []string
	for _, p := range slices.Compact(kept) {
		part := r
		part.Protocol = p
		if p == tcp || p == udp {
			part.First, part.Last = 0, lastPort
			rest = append(rest, part.runs(ports)...)
		} else {
			rest = append(rest, part)
		}
		names = append(names, nameOf(p))
	}
	return rest, "every protocol but " + strings.Join(names, ", ")
}

// nameOf is the name of a protocol, or its number.
func nameOf(protocol int) string {
	switch protocol {
	case icmp:
		return "icmp"
	case icmpv6:
		return "icmpv6"
	}
	return firewall.Protocol(protocol).String() //nolint:gosec // canonical
}

// runs returns one rule for each unbroken run of the ports of r that are not
// among ports.
func (r Rule) runs(ports []Port) []Rule {
	var out []Rule
	cuts := []int{r.Last + 1}
	for _, p := range ports {
		if r.Matches(p.Protocol, p.Number) {
			cuts = append(cuts, int(p.Number))
		}
	}
	slices.Sort(cuts)
	next := r.First
	for _, cut := range slices.Compact(cuts) {
		if part := r; cut > next {
			part.First, part.Last = next, cut-1
			out = append(out, part)
		}
		next = cut + 1
	}
	return out
}
