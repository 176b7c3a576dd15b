package wire

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
)

// A SecurityGroup is a group with its rules by protocol and ports.
type SecurityGroup struct {
	ID          string           `xml:"groupId"`
	Name        string           `xml:"groupName"`
	Description string           `xml:"groupDescription"`
	Owner       string           `xml:"ownerId"`
	VPC         string           `xml:"vpcId"`
	ARN         string           `xml:"securityGroupArn"`
	Ingress     List[Permission] `xml:"ipPermissions"`
	Egress      List[Permission] `xml:"ipPermissionsEgress"`
	Tags        List[Tag]        `xml:"tagSet"`
}

// A Permission is the rules that have protocol and ports in common.
type Permission struct {
	Protocol string          `xml:"ipProtocol"`
	First    *int            `xml:"fromPort"`
	Last     *int            `xml:"toPort"`
	Groups   List[GroupPair] `xml:"groups"`
	IPv4     List[Range]     `xml:"ipRanges"`
	IPv6     List[Range6]    `xml:"ipv6Ranges"`
	Lists    List[ListID]    `xml:"prefixListIds"`
}

// A Range is an IPv4 network with a description.
type Range struct {
	CIDR        string `xml:"cidrIp"`
	Description string `xml:"description,omitempty"`
}

// A Range6 is an IPv6 network with a description.
type Range6 struct {
	CIDR        string `xml:"cidrIpv6"`
	Description string `xml:"description,omitempty"`
}

// A ListID is a prefix list with a description.
type ListID struct {
	ID          string `xml:"prefixListId"`
	Description string `xml:"description,omitempty"`
}

// A GroupPair is a group of an account with a description.
type GroupPair struct {
	UserID      string `xml:"userId"`
	GroupID     string `xml:"groupId"`
	VPC         string `xml:"vpcId,omitempty"`
	Peering     string `xml:"vpcPeeringConnectionId,omitempty"`
	Status      string `xml:"peeringStatus,omitempty"`
	Description string `xml:"description,omitempty"`
}

// Group returns a group as a document.
func (v View) Group(g world.Group) SecurityGroup {
	return SecurityGroup{
		ID: g.ID, Name: g.Name, Description: g.Description, Owner: g.Owner, VPC: g.VPC, ARN: v.World.ARN(g.Resource),
		Ingress: v.Permissions(g.Rules, false), Egress: v.Permissions(g.Rules, true), Tags: Tags(g.Tags),
	}
}

// Permissions puts the rules of one direction together by protocol and ports.
func (v View) Permissions(rules []world.Rule, egress bool) List[Permission] {
	type match struct {
		protocol    string
		first, last int
	}
	var l List[Permission]
	at := map[match]int{}
	for _, r := range rules {
		if r.Egress != egress {
			continue
		}
		m := match{r.Protocol, r.First, r.Last}
		i, found := at[m]
		if !found {
			i = len(l.Items)
			at[m] = i
			p := Permission{Protocol: r.Protocol}
			switch r.Protocol {
			case "tcp", "udp", "icmp", "icmpv6":
				p.First, p.Last = &m.first, &m.last
			}
			l.Items = append(l.Items, p)
		}
		v.join(&l.Items[i], r)
	}
	return l
}

func (v View) join(p *Permission, r world.Rule) {
	switch {
	case r.Group != "":
		g := GroupPair{UserID: r.GroupOwner, GroupID: r.Group, Description: r.Description}
		g.VPC, g.Peering, g.Status = v.peered(r)
		p.Groups.Items = append(p.Groups.Items, g)
	case r.List != "":
		p.Lists.Items = append(p.Lists.Items, ListID{r.List, r.Description})
	case r.CIDR.Addr().Is4():
		p.IPv4.Items = append(p.IPv4.Items, Range{r.CIDR.String(), r.Description})
	default:
		p.IPv6.Items = append(p.IPv6.Items, Range6{r.CIDR.String(), r.Description})
	}
}

// peered says over which peering a rule names its group.
func (v View) peered(r world.Rule) (vpc, peering, status string) {
	if r.Peering == "" {
		return "", "", ""
	}
	g, _ := v.World.Groups.Get(v.At, r.Group)
	p, _ := v.World.Peerings.Get(v.At, r.Peering)
	return g.VPC, r.Peering, p.Status
}

// A SecurityGroupRule is one rule.
type SecurityGroupRule struct {
	ID          string     `xml:"securityGroupRuleId"`
	ARN         string     `xml:"securityGroupRuleArn,omitempty"`
	Group       string     `xml:"groupId"`
	Owner       string     `xml:"groupOwnerId,omitempty"`
	Egress      bool       `xml:"isEgress"`
	Protocol    string     `xml:"ipProtocol"`
	First       int        `xml:"fromPort"`
	Last        int        `xml:"toPort"`
	IPv4        string     `xml:"cidrIpv4,omitempty"`
	IPv6        string     `xml:"cidrIpv6,omitempty"`
	List        string     `xml:"prefixListId,omitempty"`
	Referenced  *GroupPair `xml:"referencedGroupInfo"`
	Reference   string     `xml:"referencedGroupId,omitempty"` // only of revoked rules
	Description string     `xml:"description,omitempty"`
	Tags        *List[Tag] `xml:"tagSet"`
}

// Rule returns a rule of the group g as a document.
func (v View) Rule(g world.Resource, r world.Rule) SecurityGroupRule {
	tags := Tags(r.Tags)
	d := v.Revoked(g, r)
	d.ARN, d.Owner, d.Tags = v.World.ARN(world.Resource{ID: r.ID, Owner: g.Owner, Tags: nil}), g.Owner, &tags
	if d.Reference = ""; r.Group != "" {
		d.Referenced = &GroupPair{UserID: r.GroupOwner, GroupID: r.Group}
		d.Referenced.VPC, d.Referenced.Peering, d.Referenced.Status = v.peered(r)
	}
	return d
}

// Revoked returns a rule of the group g that was revoked.
func (v View) Revoked(g world.Resource, r world.Rule) SecurityGroupRule {
	d := SecurityGroupRule{
		ID: r.ID, Group: g.ID, Egress: r.Egress, Protocol: r.Protocol, First: r.First, Last: r.Last,
		List: r.List, Reference: r.Group, Description: r.Description,
	}
	d.IPv4, d.IPv6 = families(r.CIDR)
	return d
}

// families prints a network in the place of its family.
func families(p netip.Prefix) (v4, v6 string) {
	if p.IsValid() && p.Addr().Is6() {
		return "", p.String()
	}
	return cidr(p), ""
}

// GroupAttribute answers for the filters of DescribeSecurityGroups.
func GroupAttribute(g world.Group, name string) ([]string, bool) {
	switch name {
	case "group-id":
		return is(g.ID)
	case "group-name":
		return is(g.Name)
	case "vpc-id":
		return is(g.VPC)
	case "description":
		return is(g.Description)
	}
	what, ingress := strings.CutPrefix(name, "ip-permission.")
	if !ingress {
		var egress bool
		if what, egress = strings.CutPrefix(name, "egress.ip-permission."); !egress {
			return tagged(name, g.Resource)
		}
	}
	var out []string
	known := false
	for _, r := range append([]world.Rule{{Egress: !ingress, ID: "", Protocol: "none"}}, g.Rules...) {
		var v string
		if v, known = ruleAttribute(r, what); known && v != "" && r.ID != "" && r.Egress != ingress {
			out = append(out, v)
		}
	}
	return out, known
}

// ruleAttribute answers for the filters of a group that look at its rules.
func ruleAttribute(r world.Rule, name string) (string, bool) {
	v4, v6 := families(r.CIDR)
	switch name {
	case "cidr":
		return v4, true
	case "ipv6-cidr":
		return v6, true
	case "from-port":
		return strconv.Itoa(r.First), true
	case "to-port":
		return strconv.Itoa(r.Last), true
	case "protocol":
		return r.Protocol, true
	case "group-id":
		return r.Group, true
	case "prefix-list-id":
		return r.List, true
	case "user-id":
		return r.GroupOwner, true
	}
	return "", false
}

// RuleAttribute answers for the filters of DescribeSecurityGroupRules.
func RuleAttribute(g world.Resource, r world.Rule, name string) ([]string, bool) {
	switch name {
	case "group-id":
		return is(g.ID)
	case "security-group-rule-id":
		return is(r.ID)
	case "owner-id":
		return nil, false
	}
	return tagged(name, world.Resource{ID: r.ID, Owner: g.Owner, Tags: r.Tags})
}

// A Reference is a VPC on the other side of a peering that names a group.
type Reference struct {
	Group   string `xml:"groupId"`
	VPC     string `xml:"referencingVpcId"`
	Peering string `xml:"vpcPeeringConnectionId"`
}

// A StaleGroup is a group with the rules that name what is gone.
type StaleGroup struct {
	ID          string           `xml:"groupId"`
	Name        string           `xml:"groupName"`
	Description string           `xml:"description"`
	VPC         string           `xml:"vpcId"`
	Ingress     List[Permission] `xml:"staleIpPermissions"`
	Egress      List[Permission] `xml:"staleIpPermissionsEgress"`
}

// Stale returns a group that has only its stale rules.
func (v View) Stale(g world.Group) StaleGroup {
	return StaleGroup{g.ID, g.Name, g.Description, g.VPC, v.Permissions(g.Rules, false), v.Permissions(g.Rules, true)}
}
