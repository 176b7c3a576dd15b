package reach

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/reach/sieve"
)

// Sentence writes who can come through d for people:
//
//	203.0.113.0/24 → web-1 tcp/22: open, by nsg-web rule 310 "old-office"; everybody else: closed, by nsg-web rule 100 "sesame-lock"
//
// Who gets in comes first, and the most that is decided in one way comes last.
func (s Set) Sentence(d firewall.Door) string {
	type part struct {
		verdict Verdict
		by      string
		sources Ranges
	}
	var parts []part
	for x := range s.All() {
		p := part{verdict: x.Verdict, by: x.because(), sources: Ranges{x.Range}}
		i := slices.IndexFunc(parts, func(y part) bool { return y.verdict == p.verdict && y.by == p.by })
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
			b.WriteString("; everybody else")
		case i > 0:
			fmt.Fprintf(&b, "; %s", p.sources)
		default:
			fmt.Fprintf(&b, "%s → %s %s/%d", p.sources, d.VM.Name(), d.Protocol, d.Port)
		}
		fmt.Fprintf(&b, ": %s, %s", p.verdict, p.by)
	}
	return b.String()
}

// because says what decides x, for people.
func (x Span) because() string {
	s := x.by()
	if s.Firewall == "" {
		return s.String()
	}
	return fmt.Sprintf("by %s rule %s", s.Firewall, s.named())
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

// Parse reads what MarshalText writes, and exactly that.
func Parse(text []byte) (Set, error) {
	var s Set
	for line := range strings.Lines(string(text)) {
		s = s.withSpan(line)
	}
	inOrder := slices.IsSortedFunc(s.stretches, func(a, b stretch) int { return cmp.Compare(a.family, b.family) })
	again, err := s.MarshalText()
	if err != nil || !inOrder || string(again) != string(text) || !slices.Equal(s.Sources(Closed, Unknown, Open), All()) {
		return Set{}, errkind.Bad("reach", string(text), "what Sesame writes: the spans of all sources in order, one a line")
	}
	return s, nil
}

// withSpan returns s with the span that line describes. It does not look for
// mistakes: what is not written as it was read is one.
func (s Set) withSpan(line string) Set {
	line = strings.TrimSuffix(line, "\n")
	word := func() (w string) {
		w, line, _ = strings.Cut(line, " ")
		return w
	}
	quoted := func() string {
		q, err := strconv.QuotedPrefix(line)
		if err != nil {
			return word()
		}
		line = strings.TrimPrefix(line[len(q):], " ")
		w, _ := strconv.Unquote(q)
		return w
	}
	a := parseFrom(word())
	x := stretch{at: sieve.KeyOf(a), family: sieve.FamilyOf(a), verdict: Unknown, from: small(len(s.links))}
	switch word() {
	case Closed.String():
		x.verdict = Closed
	case Open.String():
		x.verdict = Open
	}
	for path := quoted(); line != ""; {
		p := place{path: path, why: written, firewall: firewall.ID(quoted()), about: quoted(), maybe: quoted()}
		s.links = append(s.links, link{place: small(len(s.places)), Decision: fixed(parseOutcomes(word()))})
		s.places = append(s.places, p)
	}
	x.steps = steps(len(s.links) - int(x.from))
	s.stretches = append(s.stretches, x)
	return s
}

// parseFrom reads the first address of a range.
func parseFrom(text string) netip.Addr {
	text, _, _ = strings.Cut(text, "-")
	text, _, _ = strings.Cut(text, "/")
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.IPv4Unspecified()
	}
	return a
}

func parseOutcomes(text string) (o firewall.Outcomes) {
	for word := range strings.SplitSeq(text, "+") {
		for _, one := range []firewall.Outcomes{firewall.Denies, firewall.Passes, firewall.Delivers} {
			if one.Names()[0] == word {
				o |= one
			}
		}
	}
	return o
}
