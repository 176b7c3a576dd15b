package aws

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"
)

// An Account says how to get into an account. Without roles the credentials of
// the SDK's default chain are used as they are; a role that is not named is
// Reader's.
type Account struct {
	Reader, Opener, Closer, Locker string // ARNs of roles
	ExternalID                     string
	Regions                        []string
}

// An Access says how to speak to AWS. What it leaves open is as the environment of
// the SDK says: keys, profiles, endpoints, certificates.
type Access struct {
	Endpoint    string // a URL instead of AWS's own
	Authorities []byte // PEM, of who vouches for the endpoint
	// Key and Secret are credentials that are no secret, as those of a simulator.
	// With them nothing is asked of the environment, and Client is needed.
	Key, Secret string
	Client      *http.Client
}

// fallbackRegion is asked who is calling where nobody says which region to ask.
const fallbackRegion = "us-east-1"

// Connect returns the regions of an account. It asks AWS whose they are.
func (x Access) Connect(ctx context.Context, a Account) ([]Region, error) {
	if x.Key != "" {
		return Connect(ctx, aws.Config{
			Region: a.Regions[0], BaseEndpoint: aws.String(x.Endpoint), HTTPClient: x.Client,
			Credentials: credentials.NewStaticCredentialsProvider(x.Key, x.Secret, ""),
		}, a)
	}
	// What goes wrong comes back as an error; the SDK's own words are for nobody.
	options := []func(*config.LoadOptions) error{config.WithLogger(logging.Nop{})}
	if x.Endpoint != "" {
		options = append(options, config.WithBaseEndpoint(x.Endpoint))
	}
	if x.Authorities != nil {
		options = append(options, config.WithCustomCABundle(bytes.NewReader(x.Authorities)))
	}
	if len(a.Regions) > 0 {
		options = append(options, config.WithRegion(a.Regions[0]))
	}
	base, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("read the AWS configuration: %w", err)
	}
	base.Region = cmp.Or(base.Region, fallbackRegion)
	return Connect(ctx, base, a)
}

// Connect returns the regions of an account as base gets there.
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
