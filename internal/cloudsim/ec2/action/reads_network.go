package action

import (
	"iter"
	"slices"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2/query"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/wire"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
)

// plain makes an attribute function of one that needs no view.
func plain[T any](f func(T, string) ([]string, bool)) func(wire.View, T, string) ([]string, bool) {
	return func(_ wire.View, x T, name string) ([]string, bool) { return f(x, name) }
}

func networkReads() map[string]Action {
	return map[string]Action{
		"DescribeVpcs": listing[world.VPC, wire.VPC]{
			element: "vpcSet", ids: "VpcId", kind: "vpc", least: leastPage, most: mostPage,
			rows:      func(c *Call) iter.Seq[world.VPC] { return c.World.VPCs.All(c.Seen) },
			attribute: plain(wire.VPCAttribute), document: func(_ wire.View, x world.VPC) wire.VPC { return wire.NewVPC(x) },
		}.action(),
		"DescribeSubnets": listing[world.Subnet, wire.Subnet]{
			element: "subnetSet", ids: "SubnetId", kind: "subnet", least: leastPage, most: mostPage,
			rows:      func(c *Call) iter.Seq[world.Subnet] { return c.World.Subnets.All(c.Seen) },
			attribute: wire.View.SubnetAttribute, document: wire.View.Subnet,
		}.action(),
		"DescribeRouteTables": listing[world.RouteTable, wire.RouteTable]{
			element: "routeTableSet", ids: "RouteTableId", kind: "rtb", least: leastPage, most: 100,
			rows:      func(c *Call) iter.Seq[world.RouteTable] { return c.World.RouteTables.All(c.Seen) },
			attribute: plain(wire.RouteTableAttribute), document: wire.View.RouteTable,
		}.action(),
		"DescribeInternetGateways": listing[world.InternetGateway, wire.InternetGateway]{
			element: "internetGatewaySet", ids: "InternetGatewayId", kind: "igw", least: leastPage, most: mostPage,
			rows:      func(c *Call) iter.Seq[world.InternetGateway] { return c.World.InternetGateways.All(c.Seen) },
			attribute: plain(wire.InternetGatewayAttribute),
			document:  func(_ wire.View, x world.InternetGateway) wire.InternetGateway { return wire.NewInternetGateway(x) },
		}.action(),
		"DescribeNetworkAcls": listing[world.NetworkACL, wire.NetworkACL]{
			element: "networkAclSet", ids: "NetworkAclId", kind: "acl", least: leastPage, most: mostPage,
			rows:      func(c *Call) iter.Seq[world.NetworkACL] { return c.World.NetworkACLs.All(c.Seen) },
			attribute: wire.View.NetworkACLAttribute, document: wire.View.NetworkACL,
		}.action(),
		"DescribeVpcPeeringConnections": listing[world.Peering, wire.Peering]{
			element: "vpcPeeringConnectionSet", ids: "VpcPeeringConnectionId", kind: "pcx", least: leastPage, most: mostPage,
			rows: func(c *Call) iter.Seq[world.Peering] { return c.World.Peerings.All(c.Seen) },
			mine: func(c *Call, r world.Resource) bool {
				p, _ := c.World.Peerings.Get(c.Seen, r.ID)
				return c.mine(r) || p.AccepterOwner == c.Who.Account
			},
			attribute: plain(wire.PeeringAttribute), document: wire.View.Peering,
		}.action(),
		"DescribeAddresses": listing[world.Address, wire.ElasticAddress]{
			element: "addressesSet", ids: "AllocationId", kind: "eipalloc",
			rows:      func(c *Call) iter.Seq[world.Address] { return c.World.Addresses.All(c.Seen) },
			attribute: wire.View.AddressAttribute, document: wire.View.Address,
		}.action(),
		"DescribeManagedPrefixLists": listing[world.PrefixList, wire.PrefixList]{
			element: "prefixListSet", ids: "PrefixListId", kind: "pl", least: 1, most: 100,
			rows:      func(c *Call) iter.Seq[world.PrefixList] { return c.World.PrefixLists.All(c.Seen) },
			mine:      func(c *Call, r world.Resource) bool { return c.mine(r) || r.Owner == world.Amazon },
			attribute: plain(wire.PrefixListAttribute), document: wire.View.PrefixList,
		}.action(),
		"GetManagedPrefixListEntries": {Run: getEntries},
		"DescribeRegions":             {Run: describeRegions},
		"DescribeAccountAttributes":   {Run: describeAccountAttributes},
	}
}

func getEntries(c *Call) (query.Reply, error) {
	id := c.Need("PrefixListId")
	version := c.Number("TargetVersion")
	page := c.Page(c.Setting.PageKey, 1, 100, "", false)
	if err := c.permit(); err != nil {
		return nil, err
	}
	l, found := c.World.PrefixLists.Get(c.Seen, id)
	if !found || !c.mine(l.Resource) && l.Owner != world.Amazon {
		return nil, c.World.Absent("pl", id)
	}
	if version != nil && int64(*version) != l.Version {
		return nil, world.Refuse("InvalidParameterValue", "The version %d of the prefix list does not exist", *version)
	}
	entries := slices.Clone(l.Entries)
	slices.SortFunc(entries, func(a, b world.ListEntry) int { return a.CIDR.Compare(b.CIDR) })
	list, next := wire.List[wire.ListEntry]{}, ""
	skip := page.After != ""
	for _, e := range entries {
		if skip {
			skip = e.CIDR.String() != page.After
			continue
		}
		if page.Size > 0 && len(list.Items) == page.Size {
			next = page.Token(list.Items[page.Size-1].CIDR)
			break
		}
		list.Items = append(list.Items, wire.NewListEntry(e))
	}
	return query.Reply{{Name: "entrySet", Value: list}, {Name: "nextToken", Value: next}}, nil
}

// A region is one in the list of regions.
type region string

// Head implements head.
func (r region) Head() world.Resource { return world.Resource{ID: string(r), Owner: "", Tags: nil} }

func describeRegions(c *Call) (query.Reply, error) {
	c.Flag("AllRegions") // there are no others
	return listing[region, wire.Region]{
		element: "regionInfo", ids: "RegionName", kind: "region",
		rows: func(c *Call) iter.Seq[region] {
			return func(yield func(region) bool) {
				for _, r := range c.Setting.Regions {
					if !yield(region(r)) {
						return
					}
				}
			}
		},
		mine: func(*Call, world.Resource) bool { return true },
		attribute: func(_ wire.View, r region, name string) ([]string, bool) {
			return wire.NewRegion(string(r)).Attribute(name)
		},
		document: func(_ wire.View, r region) wire.Region { return wire.NewRegion(string(r)) },
	}.run(c)
}
