package aws

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
)

// Inventory implements [provider.Provider]. A region that cannot be read in full
// is an error for all: which of its instances there still are is not known.
func (p *Provider) Inventory(ctx context.Context) ([]inventory.VM, error) {
	var out []inventory.VM
	for _, r := range p.Regions {
		vms, err := p.instances(ctx, r)
		if err != nil {
			return nil, fmt.Errorf("list the instances of %s in %s: %w", r.Account, r.Name, err)
		}
		out = append(out, vms...)
	}
	slices.SortFunc(out, func(a, b inventory.VM) int { return cmp.Compare(a.ID, b.ID) })
	return out, nil
}

func (p *Provider) instances(ctx context.Context, r Region) ([]inventory.VM, error) {
	var out []inventory.VM
	pages := ec2.NewDescribeInstancesPaginator(r.Reader, &ec2.DescribeInstancesInput{
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
				out = append(out, p.instance(r, x))
			}
		}
	}
	return out, nil
}

// instance reads an instance: a way to it for each address of each interface.
func (p *Provider) instance(r Region, x types.Instance) inventory.VM {
	id := aws.ToString(x.InstanceId)
	v := inventory.VM{ID: firewall.VMID(r.prefix() + "instance/" + id), Name: id, Tags: map[string]string{}}
	for _, t := range x.Tags {
		v.Tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	v.Name = cmp.Or(v.Tags["Name"], id)
	for _, n := range x.NetworkInterfaces {
		fw := p.network(r, aws.ToString(n.VpcId)).ID
		for _, to := range waysTo(n) {
			v.Addresses = append(v.Addresses, to...)
			v.Paths = append(v.Paths, inventory.Path{
				Name: aws.ToString(n.NetworkInterfaceId) + " " + to[0].String(), To: to, Hops: []inventory.Hop{{Firewall: fw}},
			})
		}
		if a := n.Association; a != nil {
			if public, err := netip.ParseAddr(aws.ToString(a.PublicIp)); err == nil {
				v.Addresses = append(v.Addresses, public)
			}
		}
	}
	slices.SortFunc(v.Addresses, netip.Addr.Compare)
	v.Addresses = slices.Compact(v.Addresses)
	return v
}

// waysTo pairs the addresses of an interface: at most one of each family to a way.
func waysTo(n types.InstanceNetworkInterface) [][]netip.Addr {
	var out [][]netip.Addr
	for _, a := range n.PrivateIpAddresses {
		if addr, err := netip.ParseAddr(aws.ToString(a.PrivateIpAddress)); err == nil {
			out = append(out, []netip.Addr{addr})
		}
	}
	for i, a := range n.Ipv6Addresses {
		addr, err := netip.ParseAddr(aws.ToString(a.Ipv6Address))
		switch {
		case err != nil:
		case i < len(out):
			out[i] = append(out[i], addr)
		default:
			out = append(out, []netip.Addr{addr})
		}
	}
	return out
}
