package wire

import (
	"net/netip"
	"strings"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
)

// A VPC is a network.
type VPC struct {
	ID      string          `xml:"vpcId"`
	Owner   string          `xml:"ownerId"`
	State   string          `xml:"state"`
	CIDR    string          `xml:"cidrBlock"`
	Options string          `xml:"dhcpOptionsId"`
	Tenancy string          `xml:"instanceTenancy"`
	Default bool            `xml:"isDefault"`
	IPv4    List[CIDRBlock] `xml:"cidrBlockAssociationSet"`
	IPv6    List[CIDRBlock] `xml:"ipv6CidrBlockAssociationSet"`
	Tags    List[Tag]       `xml:"tagSet"`
}

// A CIDRBlock is one network of a VPC or a subnet.
type CIDRBlock struct {
	Association string      `xml:"associationId"`
	IPv4        string      `xml:"cidrBlock,omitempty"`
	IPv4State   *BlockState `xml:"cidrBlockState"`
	IPv6        string      `xml:"ipv6CidrBlock,omitempty"`
	IPv6State   *BlockState `xml:"ipv6CidrBlockState"`
}

// A BlockState says whether a network is in use.
type BlockState struct {
	State string `xml:"state"`
}

func block(of string, p netip.Prefix) CIDRBlock {
	b := CIDRBlock{Association: strings.Replace(of, "-", "-cidr-assoc-", 1)}
	if b.IPv4, b.IPv6 = families(p); b.IPv6 != "" {
		b.IPv6State = &BlockState{"associated"}
	} else {
		b.IPv4State = &BlockState{"associated"}
	}
	return b
}

// NewVPC returns a VPC as a document.
func NewVPC(x world.VPC) VPC {
	d := VPC{ID: x.ID, Owner: x.Owner, State: "available", Options: "default", Tenancy: "default", Default: x.Default, Tags: Tags(x.Tags)}
	for i, p := range x.CIDRs {
		if p.Addr().Is6() {
			d.IPv6.Items = append(d.IPv6.Items, block(x.ID, p))
			continue
		}
		if i == 0 {
			d.CIDR = p.String()
		}
		d.IPv4.Items = append(d.IPv4.Items, block(x.ID, p))
	}
	return d
}

// VPCAttribute answers for the filters of DescribeVpcs.
func VPCAttribute(x world.VPC, name string) ([]string, bool) {
	switch name {
	case "vpc-id":
		return is(x.ID)
	case "state":
		return is("available")
	case "is-default", "isDefault":
		return flag(x.Default)
	case "cidr", "cidr-block", "cidrBlock":
		return is(NewVPC(x).CIDR)
	}
	return tagged(name, x.Resource)
}

// A Subnet is a part of a VPC.
type Subnet struct {
	ID        string          `xml:"subnetId"`
	ARN       string          `xml:"subnetArn"`
	State     string          `xml:"state"`
	Owner     string          `xml:"ownerId"`
	VPC       string          `xml:"vpcId"`
	CIDR      string          `xml:"cidrBlock"`
	IPv6      List[CIDRBlock] `xml:"ipv6CidrBlockAssociationSet"`
	Available int             `xml:"availableIpAddressCount"`
	Zone      string          `xml:"availabilityZone"`
	Default   bool            `xml:"defaultForAz"`
	Public    bool            `xml:"mapPublicIpOnLaunch"`
	Tags      List[Tag]       `xml:"tagSet"`
}

// Subnet returns a subnet as a document.
func (v View) Subnet(x world.Subnet) Subnet {
	vpc, _ := v.World.VPCs.Get(v.At, x.VPC)
	d := Subnet{
		ID: x.ID, ARN: v.World.ARN(x.Resource), State: "available", Owner: x.Owner, VPC: x.VPC, CIDR: cidr(x.CIDR),
		Available: 1, Zone: x.Zone, Default: vpc.Default, Public: x.Public, Tags: Tags(x.Tags),
	}
	if x.CIDR6.IsValid() {
		d.IPv6.Items = append(d.IPv6.Items, block(x.ID, x.CIDR6))
	}
	return d
}

// SubnetAttribute answers for the filters of DescribeSubnets.
func (v View) SubnetAttribute(x world.Subnet, name string) ([]string, bool) {
	switch name {
	case "subnet-id":
		return is(x.ID)
	case "vpc-id":
		return is(x.VPC)
	case "state":
		return is("available")
	case "cidr-block", "cidr", "cidrBlock":
		return is(cidr(x.CIDR))
	case "ipv6-cidr-block-association.ipv6-cidr-block":
		return is(cidr(x.CIDR6))
	case "availability-zone", "availabilityZone":
		return is(x.Zone)
	case "map-public-ip-on-launch":
		return flag(x.Public)
	}
	return tagged(name, x.Resource)
}

// A RouteTable says where packets go.
type RouteTable struct {
	ID           string                 `xml:"routeTableId"`
	VPC          string                 `xml:"vpcId"`
	Owner        string                 `xml:"ownerId"`
	Routes       List[Route]            `xml:"routeSet"`
	Associations List[RouteAssociation] `xml:"associationSet"`
	Tags         List[Tag]              `xml:"tagSet"`
}

// A Route is one line of a route table.
type Route struct {
	IPv4       string `xml:"destinationCidrBlock,omitempty"`
	IPv6       string `xml:"destinationIpv6CidrBlock,omitempty"`
	List       string `xml:"destinationPrefixListId,omitempty"`
	Gateway    string `xml:"gatewayId,omitempty"`
	NAT        string `xml:"natGatewayId,omitempty"`
	EgressOnly string `xml:"egressOnlyInternetGatewayId,omitempty"`
	Transit    string `xml:"transitGatewayId,omitempty"`
	Local      string `xml:"localGatewayId,omitempty"`
	Carrier    string `xml:"carrierGatewayId,omitempty"`
	Interface  string `xml:"networkInterfaceId,omitempty"`
	Instance   string `xml:"instanceId,omitempty"`
	Peering    string `xml:"vpcPeeringConnectionId,omitempty"`
	Origin     string `xml:"origin"`
	State      string `xml:"state"`
}

// A RouteAssociation gives a route table to a subnet, or makes it the main one.
type RouteAssociation struct {
	ID     string     `xml:"routeTableAssociationId"`
	Table  string     `xml:"routeTableId"`
	Subnet string     `xml:"subnetId,omitempty"`
	Main   bool       `xml:"main"`
	State  BlockState `xml:"associationState"`
}

// RouteTable returns a route table as a document.
func (v View) RouteTable(x world.RouteTable) RouteTable {
	d := RouteTable{ID: x.ID, VPC: x.VPC, Owner: x.Owner, Routes: of(x.Routes, route), Tags: Tags(x.Tags)}
	associate := func(subnet string, main bool) {
		id := "rtbassoc-" + strings.TrimPrefix(subnet+x.ID, "subnet-")
		d.Associations.Items = append(d.Associations.Items, RouteAssociation{id[:min(len(id), 26)], x.ID, subnet, main, BlockState{"associated"}})
	}
	if x.Main {
		associate("", true)
	}
	for _, s := range x.Subnets {
		associate(s, false)
	}
	return d
}

func route(r world.Route) Route {
	d := Route{List: r.List, Origin: "CreateRoute", State: "active"}
	d.IPv4, d.IPv6 = families(r.Destination)
	if r.Blackhole {
		d.State = "blackhole"
	}
	switch kind, _, _ := strings.Cut(r.Target, "-"); kind {
	case "local":
		d.Gateway, d.Origin = r.Target, "CreateRouteTable"
	case "nat":
		d.NAT = r.Target
	case "eigw":
		d.EgressOnly = r.Target
	case "tgw":
		d.Transit = r.Target
	case "lgw":
		d.Local = r.Target
	case "cagw":
		d.Carrier = r.Target
	case "eni":
		d.Interface = r.Target
	case "i":
		d.Instance = r.Target
	case "pcx":
		d.Peering = r.Target
	default:
		d.Gateway = r.Target
	}
	return d
}

// RouteTableAttribute answers for the filters of DescribeRouteTables.
func RouteTableAttribute(x world.RouteTable, name string) ([]string, bool) {
	switch name {
	case "route-table-id", "association.route-table-id":
		return is(x.ID)
	case "vpc-id":
		return is(x.VPC)
	case "association.subnet-id":
		return are(x.Subnets)
	case "association.main":
		return flag(x.Main)
	}
	read := map[string]func(Route) string{
		"route.destination-cidr-block":      func(r Route) string { return r.IPv4 },
		"route.destination-ipv6-cidr-block": func(r Route) string { return r.IPv6 },
		"route.gateway-id":                  func(r Route) string { return r.Gateway },
		"route.nat-gateway-id":              func(r Route) string { return r.NAT },
		"route.vpc-peering-connection-id":   func(r Route) string { return r.Peering },
		"route.transit-gateway-id":          func(r Route) string { return r.Transit },
		"route.state":                       func(r Route) string { return r.State },
	}[name]
	if read == nil {
		return tagged(name, x.Resource)
	}
	var out []string
	for _, r := range x.Routes {
		out = append(out, read(route(r)))
	}
	return are(out)
}
