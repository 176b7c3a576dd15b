package aws

import (
	"context"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// mostGroups is the attribute of an account that says how many groups an
// interface may wear. The SDK lists no names but the two of 2013; the API reference
// does.
const mostGroups types.AccountAttributeName = "vpc-max-security-groups-per-interface"

// askQuota remembers how many groups an interface of the region may wear, as the
// account says now. Who may not ask it, or an endpoint that does not answer, leaves
// what the configuration says, which is believed for the rules of a group anyway:
// EC2 does not tell that quota, and says only when it is reached.
func (p *Provider) askQuota(ctx context.Context, r Region) {
	reply, err := r.Reader.DescribeAccountAttributes(ctx, &ec2.DescribeAccountAttributesInput{AttributeNames: []types.AccountAttributeName{mostGroups}})
	if err != nil {
		return
	}
	for _, a := range reply.AccountAttributes {
		if aws.ToString(a.AttributeName) != string(mostGroups) || len(a.AttributeValues) != 1 {
			continue
		}
		if n, err := strconv.Atoi(aws.ToString(a.AttributeValues[0].AttributeValue)); err == nil && n > 0 {
			p.mu.Lock()
			p.groups[r.prefix()] = n
			p.mu.Unlock()
		}
	}
}
