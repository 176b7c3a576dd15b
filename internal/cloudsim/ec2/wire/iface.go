package wire

import (
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
)

// A NetworkInterface is an interface.
type NetworkInterface struct {
	ID              string               `xml:"networkInterfaceId"`
	Subnet          string               `xml:"subnetId"`
	VPC             string               `xml:"vpcId"`
	Zone            string               `xml:"availabilityZone"`
	Description     string               `xml:"description"`
	Owner           string               `xml:"ownerId"`
	Requester       string               `xml:"requesterId,omitempty"`
	Managed         bool                 `xml:"requesterManaged"`
	Status          string               `xml:"status"`
	MAC             string               `xml:"macAddress"`
	Private         string               `xml:"privateIpAddress"`
	SourceDestCheck bool                 `xml:"sourceDestCheck"`
	Groups          List[GroupName]      `xml:"groupSet"`
	Attachment      *Attachment          `xml:"attachment"`
	Association     *Association         `xml:"association"`
	Tags            List[Tag]            `xml:"tagSet"`
	Addresses       List[PrivateAddress] `xml:"privateIpAddressesSet"`
	IPv6            List[IPv6Address]    `xml:"ipv6AddressesSet"`
	Type            string               `xml:"interfaceType"`
	Tracking        *Tracking            `xml:"connectionTrackingConfiguration"`
}

// An Attachment joins an interface to an instance.
type Attachment struct {
	ID            string `xml:"attachmentId"`
	Instance      string `xml:"instanceId,omitempty"`
	InstanceOwner string `xml:"instanceOwnerId,omitempty"`
	Device        int    `xml:"deviceIndex"`
	Status        string `xml:"status"`
	WithInstance  bool   `xml:"deleteOnTermination"`
}

// An Association joins a public address to a private one.
type Association struct {
	Public        string `xml:"publicIp"`
	PublicDNS     string `xml:"publicDnsName"`
	Owner         string `xml:"ipOwnerId"`
	AllocationID  string `xml:"allocationId,omitempty"`
	AssociationID string `xml:"associationId,omitempty"`
}

// A PrivateAddress is an address of an interface.
type PrivateAddress struct {
	Address     string       `xml:"privateIpAddress"`
	Primary     bool         `xml:"primary"`
	Association *Association `xml:"association"`
}

// An IPv6Address is an address of an interface.
type IPv6Address struct {
	Address string `xml:"ipv6Address"`
	Primary bool   `xml:"isPrimaryIpv6"`
}

// A Tracking is how long idle connections are remembered, in
// seconds.
type Tracking struct {
	TCPEstablished int `xml:"tcpEstablishedTimeout,omitempty"`
	UDPStream      int `xml:"udpStreamTimeout,omitempty"`
	UDP            int `xml:"udpTimeout,omitempty"`
}

// Interface returns an interface as a document.
func (v View) Interface(n world.Interface) NetworkInterface {
	s, _ := v.World.Subnets.Get(v.At, n.Subnet)
	d := NetworkInterface{
		ID: n.ID, Subnet: n.Subnet, VPC: n.VPC, Zone: s.Zone, Description: n.Description, Owner: n.Owner,
		Requester: n.Requester, Managed: n.Requester != "", Status: "available", MAC: n.MAC, SourceDestCheck: true,
		Groups: of(n.Groups, v.groupName), Tags: Tags(n.Tags), Type: n.Type,
	}
	if t := n.Tracking; t != (world.Tracking{}) {
		d.Tracking = &Tracking{t.TCPEstablished, t.UDPStream, t.UDP}
	}
	for i, a := range n.Private {
		x := PrivateAddress{Address: a.Addr.String(), Primary: i == 0, Association: v.association(n, a)}
		if i == 0 {
			d.Private, d.Association = x.Address, x.Association
		}
		d.Addresses.Items = append(d.Addresses.Items, x)
	}
	for i, a := range n.IPv6 {
		d.IPv6.Items = append(d.IPv6.Items, IPv6Address{a.String(), i == 0})
	}
	if n.Instance != "" {
		i, _ := v.World.Instances.Get(v.At, n.Instance)
		d.Status = "in-use"
		d.Attachment = &Attachment{
			ID: n.Attachment, Instance: n.Instance, InstanceOwner: n.Owner,
			Device: max(0, slices.Index(i.Interfaces, n.ID)), Status: "attached", WithInstance: true,
		}
	}
	return d
}

func (v View) association(n world.Interface, a world.PrivateAddress) *Association {
	if !a.Public.IsValid() {
		return nil
	}
	x := &Association{Public: a.Public.String(), PublicDNS: publicName(v.World.Region, a), Owner: "amazon"}
	if e, found := v.World.Addresses.Get(v.At, a.Allocation); found {
		x.Owner, x.AllocationID, x.AssociationID = n.Owner, e.ID, e.Association
	}
	return x
}

// publicName is the name that Amazon gives to a public address.
func publicName(region string, a world.PrivateAddress) string {
	return "ec2-" + strings.ReplaceAll(a.Public.String(), ".", "-") + "." + region + ".compute.amazonaws.com"
}

// InterfaceAttribute answers for the filters of DescribeNetworkInterfaces.
func (v View) InterfaceAttribute(n world.Interface, name string) ([]string, bool) {
	d := v.Interface(n)
	switch name {
	case "network-interface-id":
		return is(n.ID)
	case "vpc-id":
		return is(n.VPC)
	case "subnet-id":
		return is(n.Subnet)
	case "availability-zone":
		return is(d.Zone)
	case "description":
		return is(n.Description)
	case "status":
		return is(d.Status)
	case "mac-address":
		return is(n.MAC)
	case "interface-type":
		return is(n.Type)
	case "requester-id":
		return is(n.Requester)
	case "requester-managed":
		return flag(d.Managed)
	case "group-id":
		return are(n.Groups)
	case "group-name":
		var names []string
		for _, g := range d.Groups.Items {
			names = append(names, g.Name)
		}
		return are(names)
	case "attachment.instance-id":
		return is(n.Instance)
	case "attachment.attachment-id":
		return is(n.Attachment)
	case "attachment.device-index":
		if d.Attachment == nil {
			return nil, true
		}
		return digits(d.Attachment.Device)
	case "attachment.status":
		return is(map[bool]string{true: "attached", false: "detached"}[d.Attachment != nil])
	}
	if values, known := addressAttribute(n, name); known {
		return values, true
	}
	return tagged(name, n.Resource)
}

// addressAttribute answers for the filters that look at addresses.
func addressAttribute(n world.Interface, name string) (out []string, known bool) {
	for i, a := range n.Private {
		switch name {
		case "private-ip-address":
			if i == 0 {
				out = append(out, a.Addr.String())
			}
		case "addresses.private-ip-address":
			out = append(out, a.Addr.String())
		case "association.public-ip":
			if i == 0 {
				out = append(out, address(a.Public))
			}
		case "addresses.association.public-ip":
			out = append(out, address(a.Public))
		case "association.allocation-id":
			out = append(out, a.Allocation)
		}
	}
	if name == "ipv6-addresses.ipv6-address" {
		for _, a := range n.IPv6 {
			out = append(out, a.String())
		}
	}
	return out, slices.Contains([]string{
		"private-ip-address", "addresses.private-ip-address", "association.public-ip", "addresses.association.public-ip",
		"association.allocation-id", "ipv6-addresses.ipv6-address",
	}, name)
}
