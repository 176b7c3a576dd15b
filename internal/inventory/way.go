package inventory

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
)

// MayCome reports whether anybody of from has a way to d, whatever stands on it. It
// is false only where that is known not to be.
func (v VM) MayCome(d firewall.Door, from netip.Prefix) bool {
	return slices.ContainsFunc(v.Paths, func(p Path) bool { return p.Leads(d) && p.mayCome(from) })
}

// mayCome reports whether anybody of from can come this way, as far as is known.
func (p Path) mayCome(from netip.Prefix) bool {
	ours := func(a netip.Addr) bool { return a.Is4() == from.Addr().Is4() }
	if len(p.To) > 0 && !slices.ContainsFunc(p.To, ours) {
		return false
	}
	return p.Unsure || p.From == nil || slices.ContainsFunc(p.From, from.Overlaps)
}

// Stranded fails when one of the sources has no way to one of the doors of v at
// all: no rule that could be written would let it in. Of a VM without any way it
// says nothing.
func (v VM) Stranded(doors []firewall.Door, sources []netip.Prefix) error {
	for _, d := range doors {
		for _, from := range sources {
			if v.MayCome(d, from) || len(v.Paths) == 0 {
				continue
			}
			source, next := firewall.FormatSource(from), fmt.Sprintf("`sesame explain %s %d` shows the ways that there are", v.Name, d.Port)
			if near := v.neighbours(d, from.Addr().Is4()); near != "" {
				next = "only " + near + " can come there; ask from one of these, or give the VM a public address"
			}
			return errkind.Wrong("sources", source, "a list of sources that have a way to the VM",
				"no way leads from %s to %s:%d/%s, whatever its firewalls say: %s", source, v.Name, d.Port, d.Protocol, next)
		}
	}
	return nil
}

// neighbours says who of a family has a way to d, where that is short to say.
func (v VM) neighbours(d firewall.Door, four bool) string {
	var from []netip.Prefix
	for _, p := range v.Paths {
		if p.Leads(d) {
			from = append(from, p.From...)
		}
	}
	from = slices.DeleteFunc(from, func(p netip.Prefix) bool { return p.Addr().Is4() != four })
	slices.SortFunc(from, netip.Prefix.Compare)
	from = slices.Compact(from)
	const most = 4
	if len(from) > most {
		return ""
	}
	said := make([]string, len(from))
	for i, p := range from {
		said[i] = firewall.FormatSource(p)
	}
	return strings.Join(said, ", ")
}
