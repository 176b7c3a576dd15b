package inventory

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/provider/aws/path"
)

// A Place is a region of an account, as it is read.
type Place struct {
	Client *ec2.Client
	// Prefix is what the ARNs of everything there begin with.
	Prefix string // "arn:aws:ec2:eu-central-1:111122223333:"
}

// VPC returns the id of a VPC as a firewall.
func (p Place) VPC(id string) firewall.ID { return firewall.ID(p.Prefix + "vpc/" + id) }

// Machine returns the id of an instance.
func (p Place) Machine(id string) firewall.VMID { return firewall.VMID(p.Prefix + "instance/" + id) }

// The most rows that a page has, and that one of route tables or prefix lists has.
// (EC2 API reference.)
const (
	pageSize  = 1000
	shortPage = 100
)

// A Region is what was read of a place.
type Region struct {
	Estate path.Estate

	// balancers and endpoints are the interfaces of load balancers and of Instance
	// Connect endpoints.
	balancers, endpoints []appliance
	groups               []types.SecurityGroup
	lists                map[string]types.ManagedPrefixList
}

// connectEndpoint is the type of the interface of an Instance Connect endpoint.
// (EC2 API reference, NetworkInterface.)
const connectEndpoint types.NetworkInterfaceType = "ec2_instance_connect_endpoint"

// Machines returns the machines with their paths, sorted by id.
func (r Region) Machines() []inventory.VM {
	vms, _ := path.Machines(r.Estate)
	proposed := r.proposed()
	for i, v := range vms {
		vms[i].Proposed = proposed[v.ID]
	}
	return vms
}

// Read reads a place. An error means that nothing is known of it, but for the
// machines where the error came after they were read.
func Read(ctx context.Context, p Place) (Region, error) {
	r := Region{lists: map[string]types.ManagedPrefixList{}}
	var err error
	if r.Estate.Machines, err = p.machines(ctx); err != nil {
		return Region{}, fmt.Errorf("list the instances: %w", err)
	}
	if err := p.interfaces(ctx, &r); err != nil {
		return r, fmt.Errorf("list the interfaces: %w", err)
	}
	if r.Estate.Subnets, err = p.subnets(ctx); err != nil {
		return r, fmt.Errorf("list the subnets: %w", err)
	}
	routes, err := p.routes(ctx)
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return r, err
	}
	for i, s := range r.Estate.Subnets {
		own, known := routes.of(s)
		r.Estate.Subnets[i].Routes, r.Estate.Subnets[i].Unrouted = own, err != nil || !known
	}
	if r.groups, err = p.groups(ctx); err != nil {
		r.groups = nil // nobody is proposed; what they let in is read with the firewall
	}
	p.prefixLists(ctx, &r)
	return r, ctx.Err()
}

func (p Place) machines(ctx context.Context) ([]path.Machine, error) {
	var out []path.Machine
	pages := ec2.NewDescribeInstancesPaginator(p.Client, &ec2.DescribeInstancesInput{
		Filters:    []types.Filter{{Name: aws.String("instance-state-name"), Values: []string{"pending", "running", "stopping", "stopped"}}},
		MaxResults: aws.Int32(pageSize),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, reservation := range page.Reservations {
			for _, x := range reservation.Instances {
				out = append(out, p.machine(x))
			}
		}
	}
	return out, nil
}

func (p Place) machine(x types.Instance) path.Machine {
	id := aws.ToString(x.InstanceId)
	m := path.Machine{ID: p.Machine(id), Name: id, State: "", System: aws.ToString(x.PlatformDetails), Tags: map[string]string{}, Missing: nil}
	if x.State != nil {
		m.State = string(x.State.Name)
	}
	for _, t := range x.Tags {
		m.Tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	if name := m.Tags["Name"]; name != "" {
		m.Name = name
	}
	return m
}

// interfaces reads all interfaces: those of instances, and those of others that
// may be members of a group.
func (p Place) interfaces(ctx context.Context, r *Region) error {
	pages := ec2.NewDescribeNetworkInterfacesPaginator(p.Client, &ec2.DescribeNetworkInterfacesInput{MaxResults: aws.Int32(pageSize)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, x := range page.NetworkInterfaces {
			n := p.iface(x)
			r.Estate.Interfaces = append(r.Estate.Interfaces, n)
			switch {
			case x.InterfaceType == connectEndpoint:
				r.endpoints = append(r.endpoints, applianceOf(x, n))
			case ofBalancer(x):
				r.balancers = append(r.balancers, applianceOf(x, n))
			}
		}
	}
	return nil
}

func (p Place) iface(x types.NetworkInterface) path.Interface {
	n := path.Interface{ID: aws.ToString(x.NetworkInterfaceId), Subnet: aws.ToString(x.SubnetId)}
	if x.Attachment != nil && aws.ToString(x.Attachment.InstanceId) != "" {
		n.Machine = p.Machine(*x.Attachment.InstanceId)
	}
	for _, g := range x.Groups {
		n.Groups = append(n.Groups, aws.ToString(g.GroupId))
	}
	for _, a := range x.PrivateIpAddresses {
		address := path.Address{Private: addressOf(a.PrivateIpAddress)}
		if a.Association != nil {
			address.Public = addressOf(a.Association.PublicIp)
		}
		if address.Private.IsValid() {
			n.Addresses = append(n.Addresses, address)
		}
	}
	for _, a := range x.Ipv6Addresses {
		if six := addressOf(a.Ipv6Address); six.IsValid() {
			n.Addresses = append(n.Addresses, path.Address{Private: six})
		}
	}
	return n
}

// addressOf reads an address; what is none is of no use to anybody.
func addressOf(text *string) netip.Addr {
	a, err := netip.ParseAddr(aws.ToString(text))
	if err != nil {
		return netip.Addr{}
	}
	return a
}
