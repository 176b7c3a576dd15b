package ec2_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2"
)

func large(b *testing.B) (*ec2.Simulator, *sdk.Client) {
	b.Helper()
	sim, client := direct(b, ec2.Config{Unthrottled: true})
	ok(b, sim.Fleet(ec2.DefaultRegion, 10_000, 1))
	return sim, client
}

func BenchmarkFleet(b *testing.B) {
	for b.Loop() {
		large(b)
	}
}

// BenchmarkInventory reads 10,000 instances in pages of 1,000, with the SDK's own
// share.
func BenchmarkInventory(b *testing.B) {
	_, client := large(b)
	for b.Loop() {
		n := 0
		for p := sdk.NewDescribeInstancesPaginator(client, &sdk.DescribeInstancesInput{MaxResults: aws.Int32(1000)}); p.HasMorePages(); {
			page, err := p.NextPage(b.Context())
			ok(b, err)
			n += len(page.Reservations)
		}
		if n != 10_000 {
			b.Fatal(n)
		}
	}
}

// BenchmarkGrant opens, reads back and closes one door among 10,000 instances.
func BenchmarkGrant(b *testing.B) {
	sim, client := large(b)
	group := &sim.Groups(ec2.DefaultRegion)[0].ID
	for i := 0; b.Loop(); i++ {
		rule := tcp(22, 22, fmt.Sprintf("203.0.%d.%d/32", i/256%256, i%256))
		_, err := client.AuthorizeSecurityGroupIngress(b.Context(), &sdk.AuthorizeSecurityGroupIngressInput{GroupId: group, IpPermissions: []types.IpPermission{rule}})
		ok(b, err)
		got, err := client.DescribeSecurityGroupRules(b.Context(), &sdk.DescribeSecurityGroupRulesInput{Filters: []types.Filter{{Name: aws.String("group-id"), Values: []string{*group}}}})
		ok(b, err)
		if len(got.SecurityGroupRules) < 2 {
			b.Fatal(got)
		}
		_, err = client.RevokeSecurityGroupIngress(b.Context(), &sdk.RevokeSecurityGroupIngressInput{GroupId: group, IpPermissions: []types.IpPermission{rule}})
		ok(b, err)
	}
}

func BenchmarkConnect(b *testing.B) {
	sim, _ := large(b)
	id := sim.Instances(ec2.DefaultRegion)[5000].ID
	for b.Loop() {
		sim.Connect(netip.MustParseAddr("203.0.113.7"), id, 22)
	}
}
