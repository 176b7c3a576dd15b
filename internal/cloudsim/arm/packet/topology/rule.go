package topology

import (
	"slices"
	"strings"
)

// A Rule is a security rule, a security admin rule or a rule of a firewall.
type Rule struct {
	Name      string
	Priority  int
	Direction string
	Access    string

	Protocols             []string
	Sources, Destinations Side
}

// Allows reports whether a security rule, or a network rule, lets pass what it
// matches.
func (r Rule) Allows() bool { return strings.EqualFold(r.Access, "Allow") }

// A Side is one end of a rule. Addresses, groups and names are alternatives of
// which any may match.
type Side struct {
	Addresses []string // "*", addresses, prefixes, ranges, service tags
	ASGs      []string // ids
	IPGroups  []string // ids
	FQDNs     []string
	Ports     []string // "*", numbers, ranges
}

// InOrder returns the rules of one direction, lowest priority number first.
func InOrder(rules []Rule, direction string) []Rule {
	var out []Rule
	for _, r := range rules {
		if strings.EqualFold(r.Direction, direction) {
			out = append(out, r)
		}
	}
	slices.SortStableFunc(out, func(a, b Rule) int { return a.Priority - b.Priority })
	return out
}
