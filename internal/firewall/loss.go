package firewall

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// A Loss is reach that goes with a lock although the lock is not about it: a
// foreign rule had to go that let in more than the firewall can keep of it, or
// others too. Somebody has to agree to it before.
type Loss struct {
	VM VMID
	// Protocol is what was spoken; 0 for every protocol that is not in But.
	Protocol Protocol
	But      []Protocol // sorted; none unless Protocol is 0
	// First and Last are the ports, inclusive; 0 to 0 for protocols without.
	First, Last uint16
	From        []netip.Prefix // who got in, or may have; masked, sorted
}

// CompareLosses orders losses by VM, protocol, ports and sources.
func CompareLosses(a, b Loss) int {
	return cmp.Or(
		cmp.Compare(a.VM, b.VM),
		cmp.Compare(a.Protocol, b.Protocol),
		slices.Compare(a.But, b.But),
		cmp.Compare(a.First, b.First),
		cmp.Compare(a.Last, b.Last),
		slices.CompareFunc(a.From, b.From, netip.Prefix.Compare),
	)
}

// What names what is lost, without who loses it: "web-1:22/tcp", "web-1:0-21/tcp",
// "every protocol of web-1 but tcp, udp".
func (l Loss) What() string {
	switch {
	case l.Protocol == 0:
		names := make([]string, len(l.But))
		for i, p := range l.But {
			names[i] = p.String()
		}
		return fmt.Sprintf("every protocol of %s but %s", l.VM.Name(), strings.Join(names, ", "))
	case l.First == l.Last:
		return fmt.Sprintf("%s:%d/%s", l.VM.Name(), l.First, l.Protocol)
	}
	return fmt.Sprintf("%s:%d-%d/%s", l.VM.Name(), l.First, l.Last, l.Protocol)
}
