package wire

import (
	"strconv"
	"strings"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
)

// An InternetGateway joins a VPC to the Internet.
type InternetGateway struct {
	ID          string                  `xml:"internetGatewayId"`
	Owner       string                  `xml:"ownerId"`
	Attachments List[GatewayAttachment] `xml:"attachmentSet"`
	Tags        List[Tag]               `xml:"tagSet"`
}

// A GatewayAttachment is a VPC that a gateway is attached to.
type GatewayAttachment struct {
	VPC   string `xml:"vpcId"`
	State string `xml:"state"`
}

// NewInternetGateway returns a gateway as a document.
func NewInternetGateway(x world.InternetGateway) InternetGateway {
	d := InternetGateway{ID: x.ID, Owner: x.Owner, Tags: Tags(x.Tags)}
	if x.VPC != "" {
		d.Attachments.Items = append(d.Attachments.Items, GatewayAttachment{x.VPC, "available"})
	}
	return d
}

// InternetGatewayAttribute answers for the filters of DescribeInternetGateways.
func InternetGatewayAttribute(x world.InternetGateway, name string) ([]string, bool) {
	switch name {
	case "internet-gateway-id":
		return is(x.ID)
	case "attachment.vpc-id":
		return is(x.VPC)
	case "attachment.state":
		return is(map[bool]string{true: "available", false: ""}[x.VPC != ""])
	}
	return tagged(name, x.Resource)
}

// A NetworkACL judges what enters and leaves its subnets.
type NetworkACL struct {
	ID           string               `xml:"networkAclId"`
	VPC          string               `xml:"vpcId"`
	Owner        string               `xml:"ownerId"`
	Default      bool                 `xml:"default"`
	Entries      List[ACLEntry]       `xml:"entrySet"`
	Associations List[ACLAssociation] `xml:"associationSet"`
	Tags         List[Tag]            `xml:"tagSet"`
}

// An ACLEntry is one line of a network ACL.
type ACLEntry struct {
	Number   int        `xml:"ruleNumber"`
	Protocol string     `xml:"protocol"`
	Action   string     `xml:"ruleAction"`
	Egress   bool       `xml:"egress"`
	IPv4     string     `xml:"cidrBlock,omitempty"`
	IPv6     string     `xml:"ipv6CidrBlock,omitempty"`
	ICMP     *ICMPMatch `xml:"icmpTypeCode"`
	Ports    *PortRange `xml:"portRange"`
}

// An ICMPMatch is a type and a code.
type ICMPMatch struct {
	Type int `xml:"type"`
	Code int `xml:"code"`
}

// A PortRange is ports.
type PortRange struct {
	From int `xml:"from"`
	To   int `xml:"to"`
}

// An ACLAssociation is a subnet that an ACL is for.
type ACLAssociation struct {
	ID     string `xml:"networkAclAssociationId"`
	ACL    string `xml:"networkAclId"`
	Subnet string `xml:"subnetId"`
}

// lastNumbers are those of the entries that deny everything, for both families.
const (
	lastNumber4 = 32767
	lastNumber6 = 32768
)

// NetworkACL returns an ACL as a document, with the entries that deny what is
// left. The one for IPv6 is there when the VPC has such addresses.
func (v View) NetworkACL(x world.NetworkACL) NetworkACL {
	d := NetworkACL{ID: x.ID, VPC: x.VPC, Owner: x.Owner, Default: x.Default, Entries: of(x.Entries, aclEntry), Tags: Tags(x.Tags)}
	vpc, _ := v.World.VPCs.Get(v.At, x.VPC)
	for _, egress := range []bool{false, true} {
		d.Entries.Items = append(d.Entries.Items, ACLEntry{Number: lastNumber4, Protocol: "-1", Action: "deny", Egress: egress, IPv4: "0.0.0.0/0"})
		for _, p := range vpc.CIDRs {
			if p.Addr().Is6() {
				d.Entries.Items = append(d.Entries.Items, ACLEntry{Number: lastNumber6, Protocol: "-1", Action: "deny", Egress: egress, IPv6: "::/0"})
				break
			}
		}
	}
	for _, s := range v.subnetsOf(x.ID) {
		d.Associations.Items = append(d.Associations.Items, ACLAssociation{"aclassoc-" + strings.TrimPrefix(s, "subnet-"), x.ID, s})
	}
	return d
}

func (v View) subnetsOf(acl string) (out []string) {
	for s := range v.World.Subnets.All(v.At) {
		if s.ACL == acl {
			out = append(out, s.ID)
		}
	}
	return out
}

func aclEntry(e world.Entry) ACLEntry {
	d := ACLEntry{Number: e.Number, Protocol: strconv.Itoa(e.Protocol), Action: "deny", Egress: e.Egress}
	d.IPv4, d.IPv6 = families(e.CIDR)
	if e.Allow {
		d.Action = "allow"
	}
	switch e.Protocol {
	case 6, 17:
		d.Ports = &PortRange{e.First, e.Last}
	case 1, 58:
		d.ICMP = &ICMPMatch{e.First, e.Last}
	}
	return d
}

// NetworkACLAttribute answers for the filters of DescribeNetworkAcls.
func (v View) NetworkACLAttribute(x world.NetworkACL, name string) ([]string, bool) {
	switch name {
	case "network-acl-id", "association.network-acl-id":
		return is(x.ID)
	case "vpc-id":
		return is(x.VPC)
	case "default":
		return flag(x.Default)
	case "association.subnet-id":
		return are(v.subnetsOf(x.ID))
	}
	return tagged(name, x.Resource)
}

// A Peering joins two VPCs.
type Peering struct {
	ID        string      `xml:"vpcPeeringConnectionId"`
	Requester PeeringSide `xml:"requesterVpcInfo"`
	Accepter  PeeringSide `xml:"accepterVpcInfo"`
	Status    PeeringCode `xml:"status"`
	Tags      List[Tag]   `xml:"tagSet"`
}

// A PeeringSide is one of the VPCs.
type PeeringSide struct {
	Owner  string `xml:"ownerId"`
	VPC    string `xml:"vpcId"`
	CIDR   string `xml:"cidrBlock,omitempty"`
	Region string `xml:"region"`
}

// A PeeringCode is how far a peering has come.
type PeeringCode struct {
	Code    string `xml:"code"`
	Message string `xml:"message"`
}

// Peering returns a peering as a document.
func (v View) Peering(x world.Peering) Peering {
	side := func(vpc, owner string) PeeringSide {
		n, _ := v.World.VPCs.Get(v.At, vpc)
		return PeeringSide{owner, vpc, NewVPC(n).CIDR, v.World.Region}
	}
	return Peering{
		ID: x.ID, Requester: side(x.Requester, x.Owner), Accepter: side(x.Accepter, x.AccepterOwner),
		Status: PeeringCode{x.Status, x.Status}, Tags: Tags(x.Tags),
	}
}

// PeeringAttribute answers for the filters of DescribeVpcPeeringConnections.
func PeeringAttribute(x world.Peering, name string) ([]string, bool) {
	switch name {
	case "vpc-peering-connection-id":
		return is(x.ID)
	case "status-code":
		return is(x.Status)
	case "requester-vpc-info.vpc-id":
		return is(x.Requester)
	case "accepter-vpc-info.vpc-id":
		return is(x.Accepter)
	case "requester-vpc-info.owner-id":
		return is(x.Owner)
	case "accepter-vpc-info.owner-id":
		return is(x.AccepterOwner)
	}
	return tagged(name, x.Resource)
}

// An ElasticAddress is an Elastic IP address.
type ElasticAddress struct {
	Public         string    `xml:"publicIp"`
	AllocationID   string    `xml:"allocationId"`
	AssociationID  string    `xml:"associationId,omitempty"`
	Domain         string    `xml:"domain"`
	Instance       string    `xml:"instanceId,omitempty"`
	Interface      string    `xml:"networkInterfaceId,omitempty"`
	InterfaceOwner string    `xml:"networkInterfaceOwnerId,omitempty"`
	Private        string    `xml:"privateIpAddress,omitempty"`
	Tags           List[Tag] `xml:"tagSet"`
}

// Address returns an Elastic IP address as a document.
func (v View) Address(x world.Address) ElasticAddress {
	n, found := v.World.Interfaces.Get(v.At, x.Interface)
	d := ElasticAddress{Public: address(x.Public), AllocationID: x.ID, Domain: "vpc", Tags: Tags(x.Tags)}
	if found {
		d.AssociationID, d.Instance, d.Interface, d.InterfaceOwner, d.Private = x.Association, n.Instance, n.ID, n.Owner, address(x.Private)
	}
	return d
}

// AddressAttribute answers for the filters of DescribeAddresses.
func (v View) AddressAttribute(x world.Address, name string) ([]string, bool) {
	switch d := v.Address(x); name {
	case "allocation-id":
		return is(d.AllocationID)
	case "association-id":
		return is(d.AssociationID)
	case "public-ip":
		return is(d.Public)
	case "private-ip-address":
		return is(d.Private)
	case "instance-id":
		return is(d.Instance)
	case "network-interface-id":
		return is(d.Interface)
	case "network-interface-owner-id":
		return is(d.InterfaceOwner)
	case "domain":
		return is(d.Domain)
	case "owner-id":
		return nil, false
	}
	return tagged(name, x.Resource)
}

// A PrefixList is a managed prefix list.
type PrefixList struct {
	ID         string    `xml:"prefixListId"`
	Family     string    `xml:"addressFamily"`
	State      string    `xml:"state"`
	ARN        string    `xml:"prefixListArn"`
	Name       string    `xml:"prefixListName"`
	MaxEntries *int      `xml:"maxEntries"` // not told of Amazon's own
	Version    *int64    `xml:"version"`
	Tags       List[Tag] `xml:"tagSet"`
	Owner      string    `xml:"ownerId"`
}

// PrefixList returns a prefix list as a document.
func (v View) PrefixList(x world.PrefixList) PrefixList {
	d := PrefixList{
		ID: x.ID, Family: map[bool]string{false: "IPv4", true: "IPv6"}[x.IPv6], State: "create-complete",
		ARN: v.World.ARN(x.Resource), Name: x.Name, Tags: Tags(x.Tags), Owner: x.Owner,
	}
	if x.Owner != world.Amazon {
		d.MaxEntries, d.Version = &x.MaxEntries, &x.Version
	}
	return d
}

// PrefixListAttribute answers for the filters of DescribeManagedPrefixLists.
func PrefixListAttribute(x world.PrefixList, name string) ([]string, bool) {
	switch name {
	case "owner-id":
		return is(x.Owner)
	case "prefix-list-id":
		return is(x.ID)
	case "prefix-list-name":
		return is(x.Name)
	}
	return nil, false
}

// A ListEntry is one network of a prefix list.
type ListEntry struct {
	CIDR        string `xml:"cidr"`
	Description string `xml:"description,omitempty"`
}

// NewListEntry returns an entry of a prefix list as a document.
func NewListEntry(e world.ListEntry) ListEntry { return ListEntry{cidr(e.CIDR), e.Description} }
