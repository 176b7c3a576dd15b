package policy

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/firewall"
)

// Check returns every reason why req does not lie within what p allows for d at
// now, each as a phrase that says what would be right ("asks for 4h, at most
// 3h"); none if it does. It says nothing about who may ask. A policy that does
// not cover d allows nothing.
func Check(p Policy, req access.Request, d firewall.Door, now time.Time) []string {
	port, ok := p.PortOf(d)
	if !ok {
		return []string{"does not cover " + d.String()}
	}
	var not []string
	no := func(format string, args ...any) { not = append(not, fmt.Sprintf(format, args...)) }
	switch {
	case req.Duration < access.MinDuration:
		no("asks for %s, at least %s", access.FormatDuration(req.Duration), access.FormatDuration(access.MinDuration))
	case req.Duration > p.Longest(port, req):
		no("asks for %s, at most %s", access.FormatDuration(roundedUp(req.Duration)), access.FormatDuration(p.Longest(port, req)))
	}
	if ahead := req.Start.Sub(now); !req.Start.IsZero() && ahead > MaxAhead {
		no("starts in %s, at most %s ahead", access.FormatDuration(ahead), access.FormatDuration(MaxAhead))
	}
	switch n := len(req.Sources); {
	case n == 0:
		no("names no source, at least one")
	case n > access.MaxSources:
		no("names %d sources, at most %d", n, access.MaxSources)
	}
	for _, s := range req.Sources {
		not = append(not, port.checkSource(s)...)
	}
	return append(not, p.checkWords(req)...)
}

// Longest returns how long req may have a port of p: less in an emergency.
func (p Policy) Longest(port Port, req access.Request) time.Duration {
	if req.Glass {
		return min(port.Max, p.Glass.Max)
	}
	return port.Max
}

// roundedUp returns d in whole seconds, not less: what is a moment over a limit
// must not read as the limit itself.
func roundedUp(d time.Duration) time.Duration {
	if whole := d.Truncate(time.Second); whole != d {
		return whole + time.Second
	}
	return d
}

// checkSource returns every reason why s may not be let in by p.
func (p Port) checkSource(s netip.Prefix) []string {
	if _, err := firewall.ParseSource(s.String()); err != nil {
		return []string{fmt.Sprintf("source %s is not an address or a masked prefix", s)}
	}
	var not []string
	text, widest := firewall.FormatSource(s), p.WidestIPv4
	if s.Addr().Is6() {
		widest = p.WidestIPv6
	}
	if s.Bits() < widest {
		not = append(not, fmt.Sprintf("source %s is wider than /%d, the widest that may be asked for", text, widest))
	}
	if !p.lists(s) {
		not = append(not, fmt.Sprintf("source %s is not within %s", text, phrase(p.Sources)))
	}
	if r, special := firewall.Special(s, p.Sources); special {
		not = append(not, fmt.Sprintf("source %s lies in %s (%s), which must be listed to be allowed", text, r.Prefix, r.Name))
	}
	return not
}

// lists reports whether s lies within one of the allowed sources.
func (p Port) lists(s netip.Prefix) bool {
	for _, allowed := range p.Sources {
		if firewall.Covers(allowed, s) {
			return true
		}
	}
	return len(p.Sources) == 0
}

// phrase names up to four prefixes.
func phrase(prefixes []netip.Prefix) string {
	const most = 4
	var parts []string
	for i, p := range prefixes {
		if i == most {
			parts = append(parts, fmt.Sprintf("%d more", len(prefixes)-most))
			break
		}
		parts = append(parts, firewall.FormatSource(p))
	}
	return strings.Join(parts, ", ")
}
