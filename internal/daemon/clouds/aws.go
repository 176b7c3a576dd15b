package clouds

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/sesame-access/sesame/internal/config"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/aws"
	"github.com/sesame-access/sesame/internal/provider/aws/securitygroup"
)

// sharing is what the provider calls a way to share groups.
func sharing(s config.Sharing) securitygroup.Sharing {
	switch s {
	case config.Split:
		return securitygroup.Split
	case config.Refuse:
		return securitygroup.Refuse
	case config.Include:
	}
	return securitygroup.Include
}

// connectAWS finds the regions of an account.
func connectAWS(ctx context.Context, cfg config.AWS, a config.AWSAccount, keys firewall.Keyring) (connected, error) {
	way := aws.Access{Endpoint: cfg.Endpoint, Authorities: nil, Key: "", Secret: "", Client: nil}
	if cfg.CAFile != "" {
		pem, err := os.ReadFile(cfg.CAFile)
		if err != nil {
			return connected{}, fmt.Errorf("read the authorities of the endpoint: %w", err)
		}
		way.Authorities = pem
	}
	regions, err := way.Connect(ctx, aws.Account{
		Reader: a.Reader, Opener: a.Opener, Closer: a.Closer, Locker: a.Locker, ExternalID: a.ExternalID, Regions: a.Regions,
	})
	if err != nil {
		return connected{}, err
	}
	names := make([]string, len(regions))
	place := ""
	for i, r := range regions {
		names[i] = r.Name
		place = "account " + r.Account + ", "
	}
	p := aws.New(aws.Config{
		Keys: keys, Regions: regions, Resync: cfg.Resync,
		Network: securitygroup.Network{
			ID: "", Quotas: securitygroup.Quotas{Rules: cfg.RulesPerGroup, Groups: cfg.GroupsPerInterface},
			Keep: cfg.Keep, Shared: sharing(cfg.Shared),
		},
	})
	return connected{Provider: p, place: place + strings.Join(names, ", ")}, nil
}
