package securitygroup

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/sesame-access/sesame/internal/firewall"
)

// All stands for every protocol, every ICMP type, every ICMP code, and for the
// ports of protocols that have none.
const All = -1

// The protocols that a security group knows more about than their number.
const (
	tcp    = int(firewall.TCP)
	udp    = int(firewall.UDP)
	icmp   = 1
	icmpv6 = 58
)

const lastPort = 65535

// A Rule is one ingress rule of a security group. Exactly one of CIDR, List and
// Group says whom it lets in.
type Rule struct {
	// ID is the cloud's, and no part of what the rule says.
	ID string `json:"id,omitzero"`
	// Protocol is an IP protocol number, or All.
	Protocol int `json:"protocol"`
	// First and Last are ports of TCP and UDP, type and code of ICMP; else All.
	First int          `json:"first"`
	Last  int          `json:"last"`
	CIDR  netip.Prefix `json:"cidr,omitzero"`
	List  string       `json:"list,omitzero"`  // a prefix list
	Group string       `json:"group,omitzero"` // another group, or the same
	// Owner is the account of Group where it is another one.
	Owner       string `json:"owner,omitzero"`
	Description string `json:"description,omitzero"`
	Tags        []Tag  `json:"tags,omitempty"` // sorted by key
}

// A Tag is a label of a group or of a rule.
type Tag struct {
	Key   string `json:"key"`
	Value string `json:"value,omitzero"`
}

// SortTags puts tags into order.
func SortTags(tags []Tag) {
	slices.SortFunc(tags, func(a, b Tag) int { return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Value, b.Value)) })
}

// Canonical returns r as AWS keeps it, or says why AWS would not: host bits are
// cleared, only TCP, UDP and ICMP have ports, tags are sorted.
func (r Rule) Canonical() (Rule, error) {
	sources := 0
	for _, named := range []bool{r.CIDR.IsValid(), r.List != "", r.Group != ""} {
		if named {
			sources++
		}
	}
	switch {
	case sources != 1:
		return Rule{}, fmt.Errorf("a rule names one source, not %d", sources)
	case r.CIDR.IsValid() && r.CIDR.Addr().Is4In6():
		return Rule{}, fmt.Errorf("%s is neither IPv4 nor IPv6", r.CIDR)
	case r.Protocol < All || r.Protocol > 255:
		return Rule{}, fmt.Errorf("%d is no protocol", r.Protocol)
	}
	r.CIDR = r.CIDR.Masked()
	switch r.Protocol {
	case tcp, udp:
		if r.First < 0 || r.First > r.Last || r.Last > lastPort {
			return Rule{}, fmt.Errorf("%d-%d are no ports", r.First, r.Last)
		}
	case icmp, icmpv6:
		if r.First < All || r.Last < All || r.First > 255 || r.Last > 255 || r.First == All && r.Last != All {
			return Rule{}, fmt.Errorf("%d and %d are no type and code", r.First, r.Last)
		}
	default:
		r.First, r.Last = All, All
	}
	if r.Tags = slices.Clone(r.Tags); len(r.Tags) == 0 {
		r.Tags = nil
	}
	SortTags(r.Tags)
	return r, nil
}

// Content is what identifies a rule in its group: protocol, ports and source.
// Two rules with the same content are one rule to AWS, whatever they are called.
func (r Rule) Content() string {
	return fmt.Sprintf("%s from %s", r.traffic(), r.source())
}

// traffic names what r lets in.
func (r Rule) traffic() string {
	switch r.Protocol {
	case All:
		return "everything"
	case tcp, udp:
		ports := strconv.Itoa(r.First)
		if r.First != r.Last {
			ports += "-" + strconv.Itoa(r.Last)
		}
		return ports + "/" + nameOf(r.Protocol)
	case icmp, icmpv6:
		if r.First == All {
			return nameOf(r.Protocol)
		}
		return fmt.Sprintf("%s %d:%d", nameOf(r.Protocol), r.First, r.Last)
	}
	return "protocol " + strconv.Itoa(r.Protocol)
}

// source names whom r lets in.
func (r Rule) source() string {
	switch {
	case r.Group != "":
		return strings.TrimPrefix(r.Owner+"/"+r.Group, "/")
	case r.List != "":
		return r.List
	}
	return r.CIDR.String()
}

// Text is r as data.
func (r Rule) Text() string {
	text, err := json.Marshal(r)
	if err != nil {
		return err.Error() // cannot be: strings, numbers and a prefix
	}
	return string(text)
}

// Matches reports whether r lets anybody in to the port of protocol p.
func (r Rule) Matches(p firewall.Protocol, port uint16) bool {
	return r.Protocol == All || r.Protocol == int(p) && r.First <= int(port) && int(port) <= r.Last
}

// Within reports whether outer lets in everybody whom r lets in, to all that r
// does. It does not look into lists and groups.
func (r Rule) Within(outer Rule) bool {
	if r.List != outer.List || r.Group != outer.Group || r.Owner != outer.Owner ||
		r.CIDR.IsValid() && !firewall.Covers(outer.CIDR, r.CIDR) {
		return false
	}
	if outer.Protocol == All || outer.Protocol != r.Protocol {
		return outer.Protocol == All
	}
	if r.Protocol == tcp || r.Protocol == udp {
		return outer.First <= r.First && r.Last <= outer.Last
	}
	return (outer.First == All || outer.First == r.First) && (outer.Last == All || outer.Last == r.Last)
}
