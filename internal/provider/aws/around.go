package aws

import (
	"context"
	"net/netip"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/sesame-access/sesame/internal/provider/aws/inventory"
	"github.com/sesame-access/sesame/internal/provider/aws/path"
	"github.com/sesame-access/sesame/internal/provider/aws/securitygroup"
	"github.com/sesame-access/sesame/internal/provider/aws/wall"
)

// walls reads the network ACLs around the subnets that have an interface. What
// cannot be read may deny anything.
func (o *observer) walls(ctx context.Context, interfaces []securitygroup.Interface) map[string]wall.Wall {
	out := map[string]wall.Wall{}
	acls, err := o.acls(ctx)
	subnets := map[string]path.Subnet{}
	for pages := ec2.NewDescribeSubnetsPaginator(o.Reader, &ec2.DescribeSubnetsInput{Filters: o.inVPC(), MaxResults: aws.Int32(pageSize)}); err == nil && pages.HasMorePages(); {
		var page *ec2.DescribeSubnetsOutput
		if page, err = pages.NextPage(ctx); err != nil {
			break
		}
		for _, x := range page.Subnets {
			s := inventory.SubnetOf(x)
			subnets[s.ID] = s
		}
	}
	for _, n := range interfaces {
		if _, done := out[n.Subnet]; done {
			continue
		}
		s, known := subnets[n.Subnet]
		v6 := !known || slices.ContainsFunc(s.CIDRs, func(p netip.Prefix) bool { return p.Addr().Is6() })
		acl := acls[n.Subnet]
		if err != nil || !known {
			acl = nil
		}
		if rules := path.Wall(acl, v6); rules != nil {
			out[n.Subnet] = wall.Wall{Inside: s.CIDRs, Rules: rules}
		}
	}
	return out
}

// acls reads the network ACLs of the VPC, by subnet.
func (o *observer) acls(ctx context.Context) (map[string]*path.ACL, error) {
	out := map[string]*path.ACL{}
	pages := ec2.NewDescribeNetworkAclsPaginator(o.Reader, &ec2.DescribeNetworkAclsInput{Filters: o.inVPC(), MaxResults: aws.Int32(pageSize)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, x := range page.NetworkAcls {
			a := aclOf(x)
			for _, s := range x.Associations {
				out[aws.ToString(s.SubnetId)] = a
			}
		}
	}
	return out, nil
}

// aclOf reads a network ACL; nil for one with an entry that is not understood.
func aclOf(x types.NetworkAcl) *path.ACL {
	a := &path.ACL{ID: aws.ToString(x.NetworkAclId), Entries: nil}
	for _, e := range x.Entries {
		out := path.Entry{
			Number: int(aws.ToInt32(e.RuleNumber)), Egress: aws.ToBool(e.Egress), Allow: e.RuleAction == types.RuleActionAllow,
			Match: path.Match{Protocol: path.All, First: path.All, Last: path.All},
		}
		var err error
		if out.CIDR, err = netip.ParsePrefix(aws.ToString(e.CidrBlock) + aws.ToString(e.Ipv6CidrBlock)); err != nil {
			return nil
		}
		if out.Protocol, err = protocolNumber(aws.ToString(e.Protocol)); err != nil {
			return nil
		}
		if p := e.PortRange; p != nil {
			out.First, out.Last = int(aws.ToInt32(p.From)), int(aws.ToInt32(p.To))
		}
		a.Entries = append(a.Entries, out)
	}
	return a
}

// peers reads the members of the groups of other VPCs that rules name. A group of
// which nothing can be learnt is left out: it may stand for anybody.
func (o *observer) peers(ctx context.Context, r securitygroup.Reading) map[string][]netip.Addr {
	var ids []string
	for _, g := range r.Groups {
		for _, rule := range g.Ingress {
			if rule.Group != "" && rule.Owner == "" && r.Find(rule.Group) < 0 {
				ids = append(ids, rule.Group)
			}
		}
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	if len(ids) == 0 {
		return nil
	}
	joined, err := o.joined(ctx)
	if err != nil {
		return nil
	}
	out := map[string][]netip.Addr{}
	for some := range slices.Chunk(ids, mostValues) {
		if err := o.members(ctx, some, joined, out); err != nil {
			return nil
		}
	}
	return out
}

// members adds the members of some groups that are in one of the given VPCs.
func (o *observer) members(ctx context.Context, groups []string, vpcs map[string]bool, to map[string][]netip.Addr) error {
	known := ec2.NewDescribeSecurityGroupsPaginator(o.Reader, &ec2.DescribeSecurityGroupsInput{
		Filters: []types.Filter{{Name: aws.String("group-id"), Values: groups}}, MaxResults: aws.Int32(pageSize),
	})
	for known.HasMorePages() {
		page, err := known.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, g := range page.SecurityGroups {
			to[aws.ToString(g.GroupId)] = nil
		}
	}
	pages := ec2.NewDescribeNetworkInterfacesPaginator(o.Reader, &ec2.DescribeNetworkInterfacesInput{
		Filters: []types.Filter{{Name: aws.String("group-id"), Values: groups}}, MaxResults: aws.Int32(pageSize),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, x := range page.NetworkInterfaces {
			if !vpcs[aws.ToString(x.VpcId)] {
				continue
			}
			n := interfaceOf(x, securitygroup.Network{})
			for _, id := range n.Groups {
				if _, asked := to[id]; asked {
					to[id] = append(to[id], n.Addresses...)
				}
			}
		}
	}
	return nil
}

// joined returns the VPCs that an active peering joins to this one.
func (o *observer) joined(ctx context.Context) (map[string]bool, error) {
	out := map[string]bool{}
	pages := ec2.NewDescribeVpcPeeringConnectionsPaginator(o.Reader, &ec2.DescribeVpcPeeringConnectionsInput{
		Filters: []types.Filter{{Name: aws.String("status-code"), Values: []string{"active"}}}, MaxResults: aws.Int32(pageSize),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, x := range page.VpcPeeringConnections {
			a, b := x.RequesterVpcInfo, x.AccepterVpcInfo
			switch {
			case a == nil || b == nil:
			case aws.ToString(a.VpcId) == o.vpc:
				out[aws.ToString(b.VpcId)] = true
			case aws.ToString(b.VpcId) == o.vpc:
				out[aws.ToString(a.VpcId)] = true
			}
		}
	}
	return out, nil
}
