package inventory

import (
	"context"
	"net/netip"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/sesame-access/sesame/internal/provider/aws/path"
)

func (p Place) subnets(ctx context.Context) ([]path.Subnet, error) {
	var out []path.Subnet
	pages := ec2.NewDescribeSubnetsPaginator(p.Client, &ec2.DescribeSubnetsInput{MaxResults: aws.Int32(pageSize)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, x := range page.Subnets {
			s := SubnetOf(x)
			s.Firewall = p.VPC(s.VPC)
			out = append(out, s)
		}
	}
	return out, nil
}

// SubnetOf reads a subnet, without its routes and its ACL.
func SubnetOf(x types.Subnet) path.Subnet {
	s := path.Subnet{ID: aws.ToString(x.SubnetId), VPC: aws.ToString(x.VpcId)}
	add := func(text *string) {
		if p, err := netip.ParsePrefix(aws.ToString(text)); err == nil {
			s.CIDRs = append(s.CIDRs, p.Masked())
		}
	}
	add(x.CidrBlock)
	for _, a := range x.Ipv6CidrBlockAssociationSet {
		if a.Ipv6CidrBlockState != nil && a.Ipv6CidrBlockState.State == types.SubnetCidrBlockStateCodeAssociated {
			add(a.Ipv6CidrBlock)
		}
	}
	return s
}

// routes are the route tables of a region.
type routes struct {
	own  map[string][]path.Route // by subnet
	main map[string][]path.Route // by VPC
}

// of returns the routes of a subnet: of its own table, or of the VPC's main one.
func (r routes) of(s path.Subnet) ([]path.Route, bool) {
	if own, has := r.own[s.ID]; has {
		return own, true
	}
	main, has := r.main[s.VPC]
	return main, has
}

func (p Place) routes(ctx context.Context) (routes, error) {
	out := routes{own: map[string][]path.Route{}, main: map[string][]path.Route{}}
	pages := ec2.NewDescribeRouteTablesPaginator(p.Client, &ec2.DescribeRouteTablesInput{MaxResults: aws.Int32(shortPage)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return routes{}, err
		}
		for _, x := range page.RouteTables {
			var list []path.Route
			for _, r := range x.Routes {
				list = append(list, routeOf(r))
			}
			for _, a := range x.Associations {
				if aws.ToBool(a.Main) {
					out.main[aws.ToString(x.VpcId)] = list
				} else if a.SubnetId != nil {
					out.own[*a.SubnetId] = list
				}
			}
		}
	}
	return out, nil
}

func routeOf(x types.Route) path.Route {
	r := path.Route{PrefixList: aws.ToString(x.DestinationPrefixListId), Blackhole: x.State == types.RouteStateBlackhole, Target: "unnamed"}
	for _, to := range []*string{x.DestinationCidrBlock, x.DestinationIpv6CidrBlock} {
		if p, err := netip.ParsePrefix(aws.ToString(to)); err == nil {
			r.Destination = p.Masked()
		}
	}
	if r.PrefixList == "" && !r.Destination.IsValid() {
		r.PrefixList = "unnamed" // which is a list that was not read
	}
	targets := []*string{
		x.GatewayId, x.NatGatewayId, x.EgressOnlyInternetGatewayId, x.TransitGatewayId, x.VpcPeeringConnectionId,
		x.LocalGatewayId, x.CarrierGatewayId, x.NetworkInterfaceId, x.InstanceId,
	}
	if i := slices.IndexFunc(targets, func(t *string) bool { return aws.ToString(t) != "" }); i >= 0 {
		r.Target = *targets[i]
	}
	return r
}

func (p Place) groups(ctx context.Context) ([]types.SecurityGroup, error) {
	var out []types.SecurityGroup
	pages := ec2.NewDescribeSecurityGroupsPaginator(p.Client, &ec2.DescribeSecurityGroupsInput{MaxResults: aws.Int32(pageSize)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		out = append(out, page.SecurityGroups...)
	}
	return out, nil
}

// prefixLists reads the lists that routes and rules name. One that cannot be read
// is not known.
func (p Place) prefixLists(ctx context.Context, r *Region) {
	var ids []string
	routed := map[string]bool{}
	for _, s := range r.Estate.Subnets {
		for _, x := range s.Routes {
			if x.PrefixList != "" {
				ids, routed[x.PrefixList] = append(ids, x.PrefixList), true
			}
		}
	}
	for _, g := range r.groups {
		for _, x := range g.IpPermissions {
			for _, l := range x.PrefixListIds {
				ids = append(ids, aws.ToString(l.PrefixListId))
			}
		}
	}
	slices.Sort(ids)
	for some := range slices.Chunk(slices.Compact(ids), shortPage) {
		reply, err := p.Client.DescribeManagedPrefixLists(ctx, &ec2.DescribeManagedPrefixListsInput{
			Filters: []types.Filter{{Name: aws.String("prefix-list-id"), Values: some}}, MaxResults: aws.Int32(shortPage),
		})
		if err != nil {
			continue
		}
		for _, x := range reply.PrefixLists {
			id := aws.ToString(x.PrefixListId)
			r.lists[id] = x
			if entries, err := Entries(ctx, p.Client, id); err == nil && (routed[id] || connects(x)) {
				r.Estate.PrefixLists = append(r.Estate.PrefixLists, path.PrefixList{ID: id, Entries: entries})
			}
		}
	}
}

// Entries reads the entries of a prefix list, sorted.
func Entries(ctx context.Context, client *ec2.Client, list string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	pages := ec2.NewGetManagedPrefixListEntriesPaginator(client, &ec2.GetManagedPrefixListEntriesInput{PrefixListId: aws.String(list)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, x := range page.Entries {
			prefix, err := netip.ParsePrefix(aws.ToString(x.Cidr))
			if err != nil {
				return nil, err
			}
			out = append(out, prefix.Masked())
		}
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return out, nil
}
