package clouds

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/config"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/azure"
	"github.com/sesame-access/sesame/internal/provider/azure/estate"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg"
)

// connectAzure makes the clients of the identities. Whether the credentials are
// good the first call tells.
func connectAzure(_ context.Context, cfg config.Azure, keys firewall.Keyring) (connected, error) {
	way := azure.Cloud{
		Name: cfg.Cloud, Endpoint: cfg.Endpoint, Audience: cfg.Audience, Authority: cfg.Authority, CAFile: cfg.CAFile,
		Tenant: cfg.Tenant, Reader: cfg.Reader, Opener: cfg.Opener, Closer: cfg.Closer, Locker: cfg.Locker,
	}
	clients, err := azure.Connect(way)
	if err != nil {
		return connected{}, err
	}
	surveyor, err := way.Survey(estate.Config{
		Subscriptions: cfg.Subscriptions, ManagementGroups: cfg.ManagementGroups, Instance: keys.Instance, OwnGroups: cfg.OwnGroups,
	})
	if err != nil {
		return connected{}, err
	}
	window := func(p config.Priorities) nsg.Window { return nsg.Window{First: p.First, Last: p.Last} }
	p := azure.New(azure.Config{
		Keys: keys, Clients: clients, Surveyor: surveyor, MayOutrank: cfg.MayOutrank,
		Windows: nsg.Windows{Grants: window(cfg.Grants), Exempt: window(cfg.Exempt), Locks: window(cfg.Locks), Anywhere: !cfg.OnlyThere},
	})
	var scope []string
	for _, id := range cfg.Subscriptions {
		scope = append(scope, "subscription "+id)
	}
	for _, name := range cfg.ManagementGroups {
		scope = append(scope, fmt.Sprintf("management group %s", name))
	}
	return connected{Provider: seldom{p, cfg.Resync}, place: strings.Join(scope, ", ")}, nil
}

// seldom is a provider whose firewalls may go unread for some time.
type seldom struct {
	*azure.Provider

	resync time.Duration
}

// Limits implements [provider.Provider].
func (p seldom) Limits(fw firewall.ID) provider.Limits {
	l := p.Provider.Limits(fw)
	l.Resync = p.resync
	return l
}
