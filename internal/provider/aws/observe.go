package aws

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/aws/inventory"
	"github.com/sesame-access/sesame/internal/provider/aws/securitygroup"
)

// pageSize is how much a page holds at most; mostValues how many values the
// filters of a call may have. (EC2 API reference and user guide, filters.)
const (
	pageSize   = 1000
	mostValues = 200
)

// Observe implements [provider.Provider].
func (p *Provider) Observe(ctx context.Context, fw firewall.ID, _ []firewall.Key) (provider.Snapshot, error) {
	region, vpc, err := p.locate(fw)
	if err != nil {
		return provider.Snapshot{}, err
	}
	s := provider.Snapshot{Firewall: fw}
	o := &observer{Region: region, vpc: vpc, snapshot: &s, groups: map[string]*securitygroup.Group{}}
	r := securitygroup.Reading{Network: p.network(region, vpc), Keys: p.Keys, Lists: map[string]securitygroup.List{}}
	// Interfaces come first: a group that is attached meanwhile is read then.
	if r.Interfaces, err = o.interfaces(ctx, r.Network); err != nil {
		return provider.Snapshot{}, fmt.Errorf("read %s: %w", fw, err)
	}
	if r.Groups, err = o.allGroups(ctx); err != nil {
		return provider.Snapshot{}, fmt.Errorf("read %s: %w", fw, err)
	}
	o.lists(ctx, r)
	r.At = s.Clock
	r.Contested = p.truce(fw).Held(time.Now())
	r.Walls = o.walls(ctx, r.Interfaces)
	r.Peers = o.peers(ctx, r)
	s.Layer, s.Owned, s.Raw = r.Layer(), r.Owned(), r
	return s, nil
}

// An observer reads one VPC.
type observer struct {
	Region

	vpc      string
	snapshot *provider.Snapshot
	groups   map[string]*securitygroup.Group
}

func (o *observer) inVPC() []types.Filter {
	return []types.Filter{{Name: aws.String("vpc-id"), Values: []string{o.vpc}}}
}

func (o *observer) interfaces(ctx context.Context, n securitygroup.Network) ([]securitygroup.Interface, error) {
	var out []securitygroup.Interface
	pages := ec2.NewDescribeNetworkInterfacesPaginator(o.Reader, &ec2.DescribeNetworkInterfacesInput{Filters: o.inVPC(), MaxResults: aws.Int32(pageSize)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("list the interfaces: %w", err)
		}
		for _, x := range page.NetworkInterfaces {
			out = append(out, interfaceOf(x, n))
		}
		if at, told := awsmiddleware.GetServerTime(page.ResultMetadata); told {
			o.snapshot.Clock = firewall.Instant(at)
		}
	}
	slices.SortFunc(out, func(a, b securitygroup.Interface) int { return cmp.Compare(a.ID, b.ID) })
	return out, nil
}

// interfaceOf reads an interface. What is no address is of no use to anybody.
func interfaceOf(x types.NetworkInterface, n securitygroup.Network) securitygroup.Interface {
	out := securitygroup.Interface{ID: aws.ToString(x.NetworkInterfaceId), Subnet: aws.ToString(x.SubnetId)}
	if x.Attachment != nil && aws.ToString(x.Attachment.InstanceId) != "" {
		out.VM = n.VM(*x.Attachment.InstanceId)
	}
	for _, g := range x.Groups {
		out.Groups = append(out.Groups, aws.ToString(g.GroupId))
	}
	for _, a := range x.PrivateIpAddresses {
		if addr, err := netip.ParseAddr(aws.ToString(a.PrivateIpAddress)); err == nil {
			out.Addresses = append(out.Addresses, addr)
		}
	}
	for _, a := range x.Ipv6Addresses {
		if addr, err := netip.ParseAddr(aws.ToString(a.Ipv6Address)); err == nil {
			out.Addresses = append(out.Addresses, addr)
		}
	}
	return out
}

// allGroups reads the groups of the VPC and their rules, which are asked for by
// group: there is no filter on rules by VPC.
func (o *observer) allGroups(ctx context.Context) ([]securitygroup.Group, error) {
	pages := ec2.NewDescribeSecurityGroupsPaginator(o.Reader, &ec2.DescribeSecurityGroupsInput{Filters: o.inVPC(), MaxResults: aws.Int32(pageSize)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("list the security groups: %w", err)
		}
		for _, x := range page.SecurityGroups {
			id := aws.ToString(x.GroupId)
			o.groups[id] = &securitygroup.Group{ID: id, Name: aws.ToString(x.GroupName), Tags: tagsOf(x.Tags), Egress: len(x.IpPermissionsEgress)}
			o.groups[id].Plain4, o.groups[id].Plain6 = plain(x.IpPermissionsEgress)
		}
	}
	ids := slices.Sorted(maps.Keys(o.groups))
	for some := range slices.Chunk(ids, mostValues) {
		if err := o.rules(ctx, some); err != nil {
			return nil, err
		}
	}
	out := make([]securitygroup.Group, 0, len(ids))
	for _, id := range ids {
		out = append(out, *o.groups[id])
	}
	return out, nil
}

// plain reports whether permissions let everything out, for each family, and say
// nothing else.
func plain(out []types.IpPermission) (v4, v6 bool) {
	if len(out) != 1 || aws.ToString(out[0].IpProtocol) != "-1" || len(out[0].UserIdGroupPairs)+len(out[0].PrefixListIds) > 0 {
		return false, false
	}
	v4 = len(out[0].IpRanges) == 1 && aws.ToString(out[0].IpRanges[0].CidrIp) == "0.0.0.0/0"
	v6 = len(out[0].Ipv6Ranges) == 1 && aws.ToString(out[0].Ipv6Ranges[0].CidrIpv6) == "::/0"
	return v4, v6
}

// rules reads the rules of some groups.
func (o *observer) rules(ctx context.Context, ids []string) error {
	pages := ec2.NewDescribeSecurityGroupRulesPaginator(o.Reader, &ec2.DescribeSecurityGroupRulesInput{
		Filters: []types.Filter{{Name: aws.String("group-id"), Values: ids}}, MaxResults: aws.Int32(pageSize),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("list the rules: %w", err)
		}
		for _, x := range page.SecurityGroupRules {
			g, known := o.groups[aws.ToString(x.GroupId)]
			switch {
			case !known || aws.ToBool(x.IsEgress):
			default:
				r, err := ruleOf(x, o.Account)
				if err != nil {
					return err
				}
				g.Ingress = append(g.Ingress, r)
			}
		}
	}
	return nil
}

// lists reads the prefix lists that rules name. What of them cannot be read is
// not known, which a reading can say.
func (o *observer) lists(ctx context.Context, r securitygroup.Reading) {
	var ids []string
	for _, g := range r.Groups {
		for _, rule := range g.Ingress {
			if rule.List != "" {
				ids = append(ids, rule.List)
			}
		}
	}
	slices.Sort(ids)
	for some := range slices.Chunk(slices.Compact(ids), mostValues) {
		reply, err := o.Reader.DescribeManagedPrefixLists(ctx, &ec2.DescribeManagedPrefixListsInput{
			Filters: []types.Filter{{Name: aws.String("prefix-list-id"), Values: some}},
		})
		if err != nil {
			continue
		}
		for _, x := range reply.PrefixLists {
			l := securitygroup.List{V6: aws.ToString(x.AddressFamily) == "IPv6", Max: int(aws.ToInt32(x.MaxEntries))}
			if l.Entries, err = inventory.Entries(ctx, o.Reader, aws.ToString(x.PrefixListId)); err == nil {
				r.Lists[aws.ToString(x.PrefixListId)] = l
			}
		}
	}
}
