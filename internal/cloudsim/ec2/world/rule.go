package world

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Rule is one rule of a security group. Exactly one of CIDR, List and Group
// says who is at the other end.
type Rule struct {
	ID, Description string
	Tags            Tags
	Egress          bool
	Protocol        string // "tcp", "udp", "icmp", "icmpv6", another number, or "-1"
	First, Last     int    // ports; ICMP type and code; All where there are none
	CIDR            netip.Prefix
	List            string
	Group           string
	GroupOwner      string
	Peering         string // the peering over which the group is named
}

// All stands for every port, ICMP type and ICMP code.
const All = -1

const everyProtocol = "-1"

// Content is what identifies a rule in its group: direction, protocol, ports and
// source.
func (r Rule) Content() string {
	return fmt.Sprintf("%s %s %d:%d %s", r.direction(), r.Protocol, r.First, r.Last, r.source())
}

func (r Rule) direction() string {
	if r.Egress {
		return "egress"
	}
	return "ingress"
}

// source prints who is at the other end.
func (r Rule) source() string {
	switch {
	case r.Group != "":
		return r.GroupOwner + "/" + r.Group
	case r.List != "":
		return r.List
	}
	return r.CIDR.String()
}

// kind says what sort of source the rule has. A rule keeps it for life.
func (r Rule) kind() string {
	switch {
	case r.Group != "":
		return "ReferencedGroupId"
	case r.List != "":
		return "PrefixListId"
	case r.CIDR.Addr().Is4():
		return "CidrIpv4"
	}
	return "CidrIpv6"
}

// duplicate is the error for a rule that is there already.
func (r Rule) duplicate() *Error {
	protocol := strings.ToUpper(r.Protocol)
	ports := fmt.Sprintf(", from port: %d, to port: %d", r.First, r.Last)
	if r.Protocol == everyProtocol {
		protocol, ports = "ALL", ""
	}
	return Refuse("InvalidPermission.Duplicate", "the specified rule \"peer: %s, %s%s, ALLOW\" already exists", r.source(), protocol, ports)
}

// ruleByID returns the group that a rule is in, and its place there.
func (w *World) ruleByID(at time.Time, id string) (Group, int, bool) {
	for g := range w.Groups.All(at) {
		if i := slices.IndexFunc(g.Rules, func(r Rule) bool { return r.ID == id }); i >= 0 {
			return g, i, true
		}
	}
	return Group{}, 0, false
}

// checkRoom refuses more rules than a group holds. A reference to a group counts
// in both families, a prefix list as often as it may have entries.
func (w *World) checkRoom(m Moment, rules []Rule) error {
	type column struct{ egress, v6 bool }
	sum := map[column]int{}
	for _, r := range rules {
		switch l, _ := w.PrefixLists.Get(m.Now, r.List); {
		case r.Group != "":
			sum[column{r.Egress, false}]++
			sum[column{r.Egress, true}]++
		case r.List != "":
			sum[column{r.Egress, l.IPv6}] += l.MaxEntries
		default:
			sum[column{r.Egress, r.CIDR.Addr().Is6()}]++
		}
	}
	for _, n := range sum {
		if n > w.Quotas.RulesPerGroup {
			return Refuse("RulesPerSecurityGroupLimitExceeded", "The maximum number of rules per security group has been reached.")
		}
	}
	return nil
}

// A Spec is a rule as a call describes it, with one source.
type Spec struct {
	Protocol          string
	First, Last       *int
	CIDR, CIDR6, List string
	Group, GroupOwner string
	Description       string
}

// rule checks what a call says and returns the rule in canonical form.
func (w *World) rule(m Moment, g Group, egress bool, s Spec) (Rule, error) {
	r := Rule{Egress: egress, Description: s.Description}
	if !sayable(s.Description) {
		return Rule{}, Refuse("InvalidParameterValue", "Invalid rule description. Valid descriptions are strings less than 256 characters from the following set: a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*")
	}
	err := s.match(&r)
	if err != nil {
		return Rule{}, err
	}
	n := 0
	for _, x := range []string{s.CIDR, s.CIDR6, s.List, s.Group} {
		if x != "" {
			n++
		}
	}
	switch {
	case n == 0:
		return Rule{}, Refuse("MissingParameter", "The request must contain a source: a CIDR block, a prefix list or a group")
	case n > 1:
		return Rule{}, Refuse("InvalidParameterCombination", "Only one source can be specified for a rule")
	case s.List != "":
		_, err = w.list(m, g.Owner, s.List)
		r.List = s.List
	case s.Group != "":
		err = w.refer(m, g, s, &r)
	default:
		r.CIDR, err = network(s.CIDR, s.CIDR6)
	}
	return r, err
}

// network parses a CIDR block of the family it is said to be of. Host bits are
// dropped.
func network(v4, v6 string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(v4 + v6)
	if err != nil || p.Addr().Is4In6() || p.Addr().Is4() != (v4 != "") {
		return netip.Prefix{}, Refuse("InvalidParameterValue", "CIDR block %s is malformed", v4+v6)
	}
	return p.Masked(), nil
}

// refer makes r name a group: of the same VPC, or of one that is peered with it.
func (w *World) refer(m Moment, g Group, s Spec, r *Rule) error {
	owner := s.GroupOwner
	if owner == "" {
		owner = g.Owner
	}
	other, err := w.Group(m, owner, s.Group)
	if err != nil {
		return err
	}
	r.Group, r.GroupOwner = other.ID, other.Owner
	if other.VPC == g.VPC {
		return nil
	}
	p, found := w.peering(m.Now, g.VPC, other.VPC)
	if !found || !p.Active() {
		return Refuse("InvalidGroup.NotFound", "You have specified two resources that belong to different networks.")
	}
	r.Peering = p.ID
	return nil
}

// match reads protocol and ports into r.
func (s Spec) match(r *Rule) error {
	switch p := strings.ToLower(s.Protocol); p {
	case "":
		return Refuse("MissingParameter", "The request must contain the parameter ipProtocol")
	case "-1", "all":
		r.Protocol = everyProtocol
	case "tcp", "6":
		r.Protocol = "tcp"
	case "udp", "17":
		r.Protocol = "udp"
	case "icmp", "1":
		r.Protocol = "icmp"
	case "icmpv6", "58":
		r.Protocol = "icmpv6"
	default:
		n, err := strconv.Atoi(p)
		if err != nil || n < 0 || n > 255 {
			return Refuse("InvalidParameterValue", "Invalid value '%s' for IP protocol. Unknown protocol.", s.Protocol)
		}
		r.Protocol = strconv.Itoa(n)
	}
	r.First, r.Last = All, All
	switch r.Protocol {
	case "tcp", "udp":
		return s.ports(r)
	case "icmp", "icmpv6":
		return s.types(r)
	}
	return nil // all ports, whatever the call says
}

func (s Spec) ports(r *Rule) error {
	if s.First == nil || s.Last == nil {
		return Refuse("InvalidParameterValue", "Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange.")
	}
	const highest = 65535
	for _, p := range []int{*s.First, *s.Last} {
		if p < 0 || p > highest {
			return Refuse("InvalidParameterValue", "TCP/UDP port (%d) out of range", p)
		}
	}
	if *s.First > *s.Last {
		return Refuse("InvalidParameterValue", "Invalid TCP/UDP port range (%d:%d)", *s.First, *s.Last)
	}
	r.First, r.Last = *s.First, *s.Last
	return nil
}

func (s Spec) types(r *Rule) error {
	if r.Protocol == "icmpv6" && s.First == nil && s.Last == nil {
		return nil
	}
	if s.First == nil || s.Last == nil {
		return Refuse("InvalidParameterValue", "Invalid value 'Must specify both type and code with ICMP.' for portRange.")
	}
	const highest = 255
	if *s.First < All || *s.First > highest {
		return Refuse("InvalidParameterValue", "ICMP type (%d) out of range", *s.First)
	}
	if *s.Last < All || *s.Last > highest || *s.First == All && *s.Last != All {
		return Refuse("InvalidParameterValue", "ICMP code (%d) out of range", *s.Last)
	}
	r.First, r.Last = *s.First, *s.Last
	return nil
}

// Number is the IANA number of a protocol.
func Number(protocol string) int {
	switch protocol {
	case "tcp":
		return 6
	case "udp":
		return 17
	case "icmp":
		return 1
	case "icmpv6":
		return 58
	}
	n, _ := strconv.Atoi(protocol) // rules are canonical
	return n
}
