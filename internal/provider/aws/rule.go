package aws

import (
	"fmt"
	"net/netip"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/sesame-access/sesame/internal/provider/aws/securitygroup"
)

// protocolNames are those that AWS writes instead of the number.
func protocolNames() map[string]int {
	return map[string]int{"-1": securitygroup.All, "icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58}
}

func protocolNumber(s string) (int, error) {
	if n, named := protocolNames()[s]; named {
		return n, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, fmt.Errorf("read the protocol %q: %w", s, err)
	}
	return n, nil
}

func protocolName(n int) string {
	for name, number := range protocolNames() {
		if number == n {
			return name
		}
	}
	return strconv.Itoa(n)
}

// ruleOf reads a rule as AWS describes it. Account is whose group it is in.
func ruleOf(x types.SecurityGroupRule, account string) (securitygroup.Rule, error) {
	protocol, err := protocolNumber(aws.ToString(x.IpProtocol))
	if err != nil {
		return securitygroup.Rule{}, err
	}
	r := securitygroup.Rule{
		ID: aws.ToString(x.SecurityGroupRuleId), Protocol: protocol,
		First: int(aws.ToInt32(x.FromPort)), Last: int(aws.ToInt32(x.ToPort)),
		List: aws.ToString(x.PrefixListId), Description: aws.ToString(x.Description), Tags: tagsOf(x.Tags),
	}
	if cidr := aws.ToString(x.CidrIpv4) + aws.ToString(x.CidrIpv6); cidr != "" {
		if r.CIDR, err = netip.ParsePrefix(cidr); err != nil {
			return securitygroup.Rule{}, fmt.Errorf("read the rule %s: %w", r.ID, err)
		}
	}
	if g := x.ReferencedGroupInfo; g != nil {
		r.Group = aws.ToString(g.GroupId)
		if owner := aws.ToString(g.UserId); owner != account {
			r.Owner = owner
		}
	}
	if r, err = r.Canonical(); err != nil {
		return securitygroup.Rule{}, fmt.Errorf("read the rule %s: %w", aws.ToString(x.SecurityGroupRuleId), err)
	}
	return r, nil
}

// permissionsOf writes rules as AWS wants to be told, one permission each.
func permissionsOf(rules []securitygroup.Rule) []types.IpPermission {
	out := make([]types.IpPermission, 0, len(rules))
	for _, r := range rules {
		p := types.IpPermission{IpProtocol: aws.String(protocolName(r.Protocol))}
		switch r.Protocol {
		case 1, 6, 17, 58:
			p.FromPort, p.ToPort = aws.Int32(int32(r.First)), aws.Int32(int32(r.Last)) //nolint:gosec // canonical
		}
		var description *string
		if r.Description != "" {
			description = aws.String(r.Description)
		}
		switch {
		case r.Group != "":
			pair := types.UserIdGroupPair{GroupId: aws.String(r.Group), Description: description}
			if r.Owner != "" {
				pair.UserId = aws.String(r.Owner)
			}
			p.UserIdGroupPairs = []types.UserIdGroupPair{pair}
		case r.List != "":
			p.PrefixListIds = []types.PrefixListId{{PrefixListId: aws.String(r.List), Description: description}}
		case r.CIDR.Addr().Is6():
			p.Ipv6Ranges = []types.Ipv6Range{{CidrIpv6: aws.String(r.CIDR.String()), Description: description}}
		default:
			p.IpRanges = []types.IpRange{{CidrIp: aws.String(r.CIDR.String()), Description: description}}
		}
		out = append(out, p)
	}
	return out
}

func tagsOf(tags []types.Tag) []securitygroup.Tag {
	var out []securitygroup.Tag
	for _, t := range tags {
		out = append(out, securitygroup.Tag{Key: aws.ToString(t.Key), Value: aws.ToString(t.Value)})
	}
	securitygroup.SortTags(out)
	return out
}

func sdkTags(tags []securitygroup.Tag) []types.Tag {
	var out []types.Tag
	for _, t := range tags {
		out = append(out, types.Tag{Key: aws.String(t.Key), Value: aws.String(t.Value)})
	}
	return out
}

// tagged is what gives a new resource its tags; nil when there are none.
func tagged(kind types.ResourceType, tags []securitygroup.Tag) []types.TagSpecification {
	if len(tags) == 0 {
		return nil
	}
	return []types.TagSpecification{{ResourceType: kind, Tags: sdkTags(tags)}}
}
