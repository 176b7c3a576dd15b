// Package sentence writes for people what package reach says about one door.
package sentence

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/reach"
)

// Of writes who can come through d, of which s says so:
//
//	203.0.113.0/24 → web-1 tcp/22: open, by nsg-web rule 310 "old-office"; everything else: closed by rule 100 "sesame-lock"
//
// Who gets in comes first, and the most that is decided in one way comes last. A
// firewall goes by the last part of its id, and once where it is meant again.
func Of(s reach.Set, d firewall.Door) string {
	type part struct {
		verdict reach.Verdict
		by      reach.Step
		sources reach.Ranges
	}
	var parts []part
	for x := range s.All() {
		p := part{verdict: x.Verdict, by: x.Decides(), sources: reach.Ranges{x.Range}}
		i := slices.IndexFunc(parts, func(y part) bool { return y.verdict == p.verdict && y.by.String() == p.by.String() })
		if i < 0 {
			parts = append(parts, p)
		} else {
			parts[i].sources = append(parts[i].sources, x.Range)
		}
	}
	four := reach.Of(netip.PrefixFrom(netip.IPv4Unspecified(), 0)) // else the whole of IPv4 is less than a /64
	slices.SortStableFunc(parts, func(a, b part) int {
		return cmp.Or(
			cmp.Compare(b.verdict, a.verdict),
			a.sources.Intersect(four).Count().Cmp(b.sources.Intersect(four).Count()),
			a.sources.Count().Cmp(b.sources.Count()),
		)
	})
	var b strings.Builder
	for i, p := range parts {
		switch {
		case i > 0 && i == len(parts)-1:
			b.WriteString("; everything else")
		case i > 0:
			fmt.Fprintf(&b, "; %s", p.sources)
		default:
			fmt.Fprintf(&b, "%s → %s %s/%d", p.sources, d.VM.Name(), d.Protocol, d.Port)
		}
		fmt.Fprintf(&b, ": %s", p.verdict)
		switch id := p.by.Firewall; {
		case id == "":
			fmt.Fprintf(&b, ", %s", p.by)
		case i > 0 && parts[i-1].by.Firewall == id:
			fmt.Fprintf(&b, " by rule %s", p.by.Named())
		default:
			fmt.Fprintf(&b, ", by %s rule %s", id[strings.LastIndexByte(string(id), '/')+1:], p.by.Named())
		}
	}
	return b.String()
}
