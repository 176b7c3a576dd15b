package reach

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/sesame-access/sesame/internal/firewall"
)

// Sentence writes who can come through d for people:
//
//	203.0.113.0/24 → web-1 tcp/22: open, by nsg-web rule 310 "old-office"; everything else: closed by rule 100 "sesame-lock"
//
// Who gets in comes first, and the most that is decided in one way comes last. A
// firewall goes by the last part of its id, and once where it is meant again.
func (s Set) Sentence(d firewall.Door) string {
	type part struct {
		verdict Verdict
		by      Step
		sources Ranges
	}
	var parts []part
	for x := range s.All() {
		p := part{verdict: x.Verdict, by: x.by(), sources: Ranges{x.Range}}
		i := slices.IndexFunc(parts, func(y part) bool { return y.verdict == p.verdict && y.by.String() == p.by.String() })
		if i < 0 {
			parts = append(parts, p)
		} else {
			parts[i].sources = append(parts[i].sources, x.Range)
		}
	}
	four := Of(netip.PrefixFrom(netip.IPv4Unspecified(), 0)) // else the whole of IPv4 is less than a /64
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
			fmt.Fprintf(&b, " by rule %s", p.by.named())
		default:
			fmt.Fprintf(&b, ", by %s rule %s", id[strings.LastIndexByte(string(id), '/')+1:], p.by.named())
		}
	}
	return b.String()
}

// MarshalText writes s, one span a line: its sources, its verdict, its path, and
// of each step the firewall, the rule, the rule that may come before, and what
// the layer can do, in which names are quoted as in Go.
//
//	203.0.113.0/24 open "eth0" "nsg-web" "310 old-office" "" pass
func (s Set) MarshalText() ([]byte, error) {
	var b []byte
	for x := range s.All() {
		b = fmt.Appendf(b, "%s %s %s", x.Range, x.Verdict, strconv.Quote(x.Path()))
		for _, step := range x.Steps() {
			b = fmt.Appendf(b, " %s %s %s %s", strconv.Quote(string(step.Firewall)), strconv.Quote(step.Rule), strconv.Quote(step.Maybe), strings.Join(step.Can.Names(), "+"))
		}
		b = append(b, '\n')
	}
	return b, nil
}
