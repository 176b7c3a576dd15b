package wire

import (
	"strconv"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
)

// A Reservation is the instances that were launched together.
type Reservation struct {
	ID        string          `xml:"reservationId"`
	Owner     string          `xml:"ownerId"`
	Groups    List[GroupName] `xml:"groupSet"` // of EC2-Classic, empty
	Instances List[Instance]  `xml:"instancesSet"`
}

// An Instance is a virtual machine.
type Instance struct {
	ID              string                  `xml:"instanceId"`
	Image           string                  `xml:"imageId"`
	State           State                   `xml:"instanceState"`
	PrivateDNS      string                  `xml:"privateDnsName"`
	PublicDNS       string                  `xml:"dnsName"`
	KeyName         string                  `xml:"keyName,omitempty"`
	LaunchIndex     int                     `xml:"amiLaunchIndex"`
	Type            string                  `xml:"instanceType"`
	Launched        string                  `xml:"launchTime"`
	Placement       Placement               `xml:"placement"`
	Platform        string                  `xml:"platform,omitempty"`
	PlatformDetails string                  `xml:"platformDetails"`
	Subnet          string                  `xml:"subnetId,omitempty"`
	VPC             string                  `xml:"vpcId,omitempty"`
	Private         string                  `xml:"privateIpAddress,omitempty"`
	Public          string                  `xml:"ipAddress,omitempty"`
	IPv6            string                  `xml:"ipv6Address,omitempty"`
	SourceDestCheck bool                    `xml:"sourceDestCheck"`
	Groups          List[GroupName]         `xml:"groupSet"`
	Architecture    string                  `xml:"architecture"`
	RootDeviceType  string                  `xml:"rootDeviceType"`
	Virtualization  string                  `xml:"virtualizationType"`
	Hypervisor      string                  `xml:"hypervisor"`
	Interfaces      List[InstanceInterface] `xml:"networkInterfaceSet"`
	Tags            List[Tag]               `xml:"tagSet"`
}

// A State is what an instance is doing.
type State struct {
	Code int    `xml:"code"`
	Name string `xml:"name"`
}

// A Placement is where an instance is.
type Placement struct {
	Zone    string `xml:"availabilityZone"`
	Tenancy string `xml:"tenancy"`
}

// An InstanceInterface is an interface as its instance tells of it.
type InstanceInterface struct {
	ID              string               `xml:"networkInterfaceId"`
	Subnet          string               `xml:"subnetId"`
	VPC             string               `xml:"vpcId"`
	Description     string               `xml:"description"`
	Owner           string               `xml:"ownerId"`
	Status          string               `xml:"status"`
	MAC             string               `xml:"macAddress"`
	Private         string               `xml:"privateIpAddress"`
	SourceDestCheck bool                 `xml:"sourceDestCheck"`
	Groups          List[GroupName]      `xml:"groupSet"`
	Attachment      Attachment           `xml:"attachment"`
	Association     *Association         `xml:"association"`
	Addresses       List[PrivateAddress] `xml:"privateIpAddressesSet"`
	IPv6            List[IPv6Address]    `xml:"ipv6AddressesSet"`
	Type            string               `xml:"interfaceType"`
	Tracking        *Tracking            `xml:"connectionTrackingConfiguration"`
}

// StateOf returns a state with its number.
func StateOf(name string) State {
	return State{map[string]int{
		"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80,
	}[name], name}
}

// Reservation returns an instance as a document. Every instance was launched
// alone.
func (v View) Reservation(i world.Instance) Reservation {
	return Reservation{ID: i.Reservation, Owner: i.Owner, Instances: List[Instance]{Items: []Instance{v.Instance(i)}}}
}

// Instance returns an instance as a document.
func (v View) Instance(i world.Instance) Instance {
	s, _ := v.World.Subnets.Get(v.At, i.Subnet)
	d := Instance{
		ID: i.ID, Image: i.Image, State: StateOf(i.State), KeyName: i.KeyName, Type: i.Type, Launched: stamp(i.Launched),
		Placement: Placement{s.Zone, "default"}, Platform: i.Platform, PlatformDetails: "Linux/UNIX",
		Subnet: i.Subnet, VPC: i.VPC, SourceDestCheck: true, Architecture: "x86_64", RootDeviceType: "ebs",
		Virtualization: "hvm", Hypervisor: "xen", Tags: Tags(i.Tags),
	}
	if i.Platform == "windows" {
		d.PlatformDetails = "Windows"
	}
	if i.State == "terminated" { // what is left of it has no network
		d.Subnet, d.VPC = "", ""
		return d
	}
	for device, id := range i.Interfaces {
		n, found := v.World.Interfaces.Get(v.At, id)
		if !found {
			continue
		}
		x := v.Interface(n)
		if device == 0 {
			d.Private, d.Groups = x.Private, x.Groups
			if x.Association != nil {
				d.Public = x.Association.Public
			}
			if len(n.IPv6) > 0 {
				d.IPv6 = n.IPv6[0].String()
			}
		}
		d.Interfaces.Items = append(d.Interfaces.Items, InstanceInterface{
			ID: x.ID, Subnet: x.Subnet, VPC: x.VPC, Description: x.Description, Owner: x.Owner, Status: x.Status, MAC: x.MAC,
			Private: x.Private, SourceDestCheck: true, Groups: x.Groups, Attachment: *x.Attachment, Association: x.Association,
			Addresses: x.Addresses, IPv6: x.IPv6, Type: x.Type, Tracking: x.Tracking,
		})
	}
	return d
}

// InstanceAttribute answers for the filters of DescribeInstances.
func (v View) InstanceAttribute(i world.Instance, name string) ([]string, bool) {
	s, _ := v.World.Subnets.Get(v.At, i.Subnet)
	switch name {
	case "instance-id":
		return is(i.ID)
	case "instance-state-name":
		return is(i.State)
	case "instance-state-code":
		return digits(StateOf(i.State).Code)
	case "instance-type":
		return is(i.Type)
	case "platform":
		return is(i.Platform)
	case "image-id":
		return is(i.Image)
	case "key-name":
		return is(i.KeyName)
	case "reservation-id":
		return is(i.Reservation)
	case "vpc-id":
		return is(i.VPC)
	case "subnet-id":
		return is(i.Subnet)
	case "availability-zone":
		return is(s.Zone)
	}
	of, all := map[string]string{
		"private-ip-address":                                "private-ip-address",
		"ip-address":                                        "association.public-ip",
		"instance.group-id":                                 "group-id",
		"instance.group-name":                               "group-name",
		"network-interface.group-id":                        "group-id",
		"network-interface.network-interface-id":            "network-interface-id",
		"network-interface.subnet-id":                       "subnet-id",
		"network-interface.addresses.private-ip-address":    "addresses.private-ip-address",
		"network-interface.addresses.association.public-ip": "addresses.association.public-ip",
		"network-interface.ipv6-addresses.ipv6-address":     "ipv6-addresses.ipv6-address",
		"network-interface.availability-zone":               "availability-zone",
		"network-interface.vpc-id":                          "vpc-id",
		"network-interface.requester-managed":               "requester-managed",
	}[name], name
	if of == "" {
		return tagged(all, i.Resource)
	}
	var out []string
	for device, id := range i.Interfaces {
		if n, found := v.World.Interfaces.Get(v.At, id); found && (device == 0 || len(name) > len("network-interface") && name[:len("network-interface")] == "network-interface") {
			values, _ := v.InterfaceAttribute(n, of)
			out = append(out, values...)
		}
	}
	return out, true
}

// An InstanceStatus is what is known of an instance's health.
type InstanceStatus struct {
	ID       string  `xml:"instanceId"`
	Zone     string  `xml:"availabilityZone"`
	State    State   `xml:"instanceState"`
	System   Summary `xml:"systemStatus"`
	Instance Summary `xml:"instanceStatus"`
}

// A Summary is the result of checks.
type Summary struct {
	Status string `xml:"status"`
}

// Status returns the health of an instance.
func (v View) Status(i world.Instance) InstanceStatus {
	s, _ := v.World.Subnets.Get(v.At, i.Subnet)
	status := map[bool]string{true: "ok", false: "not-applicable"}[i.Running()]
	return InstanceStatus{i.ID, s.Zone, StateOf(i.State), Summary{status}, Summary{status}}
}

// StatusAttribute answers for the filters of DescribeInstanceStatus.
func (v View) StatusAttribute(i world.Instance, name string) ([]string, bool) {
	switch d := v.Status(i); name {
	case "instance-state-name":
		return is(d.State.Name)
	case "instance-state-code":
		return is(strconv.Itoa(d.State.Code))
	case "availability-zone":
		return is(d.Zone)
	case "instance-status.status":
		return is(d.Instance.Status)
	case "system-status.status":
		return is(d.System.Status)
	}
	return nil, false
}
