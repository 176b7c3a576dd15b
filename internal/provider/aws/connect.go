package aws

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// An Account says how to get into an account. Without roles the credentials of
// the SDK's default chain are used as they are; a role that is not named is
// Reader's.
type Account struct {
	Reader, Opener, Closer, Locker string // ARNs of roles
	ExternalID                     string
	Regions                        []string
}

// DefaultChain returns the SDK's configuration as its environment says: keys,
// profiles, endpoints, certificates.
func DefaultChain(ctx context.Context) (aws.Config, error) {
	c, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return aws.Config{}, fmt.Errorf("read the AWS configuration: %w", err)
	}
	return c, nil
}

// Connect returns the regions of an account. It asks AWS whose they are.
func Connect(ctx context.Context, base aws.Config, a Account) ([]Region, error) {
	roles := map[string]aws.Config{}
	as := func(role string) aws.Config {
		if role == "" {
			role = a.Reader
		}
		c, known := roles[role]
		if !known {
			c = base.Copy()
			if role != "" {
				c.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(base), role, func(o *stscreds.AssumeRoleOptions) {
					o.RoleSessionName = "sesame"
					if a.ExternalID != "" {
						o.ExternalID = aws.String(a.ExternalID)
					}
				}))
			}
			roles[role] = c
		}
		return c
	}
	who, err := sts.NewFromConfig(as(a.Reader)).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return nil, fmt.Errorf("ask AWS who is calling: %w", err)
	}
	caller, err := arn.Parse(aws.ToString(who.Arn))
	if err != nil {
		return nil, fmt.Errorf("ask AWS who is calling: %w", err)
	}
	names := a.Regions
	if len(names) == 0 {
		if names, err = regions(ctx, ec2.NewFromConfig(as(a.Reader))); err != nil {
			return nil, err
		}
	}
	out := make([]Region, 0, len(names))
	for _, name := range names {
		in := func(role string) *ec2.Client {
			return ec2.NewFromConfig(as(role), func(o *ec2.Options) { o.Region = name })
		}
		out = append(out, Region{
			Partition: caller.Partition, Account: aws.ToString(who.Account), Name: name,
			Clients: Clients{Reader: in(a.Reader), Opener: in(a.Opener), Closer: in(a.Closer), Locker: in(a.Locker)},
		})
	}
	return out, nil
}

// regions returns those that are enabled for the account.
func regions(ctx context.Context, client *ec2.Client) ([]string, error) {
	reply, err := client.DescribeRegions(ctx, &ec2.DescribeRegionsInput{})
	if err != nil {
		return nil, fmt.Errorf("list the regions: %w", err)
	}
	var names []string
	for _, r := range reply.Regions {
		names = append(names, aws.ToString(r.RegionName))
	}
	return names, nil
}
