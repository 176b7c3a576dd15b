// Package clouds makes providers of the clouds that a configuration names.
//
// A cloud is somebody else's: it may not answer when the daemon starts, or
// credentials for it may be missing. That must not keep the daemon from starting,
// or from the others, so that a Cloud speaks to nobody before its inventory is
// asked for, and tries again whenever it is. Until then it knows no VMs.
//
// The loops of many firewalls may all want to look at once, at a start or after a
// change of the rules. A Cloud lets few of them: an API that is asked too often
// answers nobody. Writing does not wait.
package clouds

import (
	"context"
	"fmt"
	"sync"

	"github.com/sesame-access/sesame/internal/config"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
)

// looksAtOnce is how many firewalls of one cloud are read at the same time.
const looksAtOnce = 8

// A Cloud is a provider that connects when it is first asked for its inventory.
type Cloud struct {
	name    string
	connect func(context.Context) (connected, error)
	room    chan struct{} // for looks

	mu    sync.Mutex
	there connected // zero until connect succeeded
}

// connected is a provider that has found its cloud, and what it found.
type connected struct {
	provider.Provider

	place string // "account 123456789012, eu-central-1"
}

var _ provider.Provider = (*Cloud)(nil)

// Open returns the clouds of a configuration, sorted by name. It does no I/O. Keys
// are those that marks are made with.
func Open(cfg config.Config, keys firewall.Keyring) []*Cloud {
	var out []*Cloud
	for _, a := range cfg.AWS.Accounts {
		out = append(out, newCloud("AWS account "+a.Name, func(ctx context.Context) (connected, error) {
			return connectAWS(ctx, cfg.AWS, a, keys)
		}))
	}
	if cfg.Azure.Any() {
		out = append(out, newCloud("Azure", func(ctx context.Context) (connected, error) {
			return connectAzure(ctx, cfg.Azure, keys)
		}))
	}
	return out
}

func newCloud(name string, connect func(context.Context) (connected, error)) *Cloud {
	return &Cloud{name: name, connect: connect, room: make(chan struct{}, looksAtOnce), mu: sync.Mutex{}, there: connected{}}
}

// Name is what people call the cloud: "AWS account production".
func (c *Cloud) Name() string { return c.name }

// reach returns the provider, and connects where that was not done yet. One caller
// at a time does.
func (c *Cloud) reach(ctx context.Context) (connected, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.there.Provider != nil {
		return c.there, nil
	}
	there, err := c.connect(ctx)
	if err != nil {
		return connected{}, fmt.Errorf("reach %s: %w", c.name, err)
	}
	c.there = there
	return there, nil
}

// known returns the provider of a firewall, which an inventory has named.
func (c *Cloud) known(fw firewall.ID) (provider.Provider, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.there.Provider == nil {
		return nil, errkind.New(errkind.Unavailable, "%s was not reached yet, so nothing is known of %s", c.name, fw)
	}
	return c.there.Provider, nil
}

// Inventory implements [provider.Provider].
func (c *Cloud) Inventory(ctx context.Context) ([]inventory.VM, error) {
	p, err := c.reach(ctx)
	if err != nil {
		return nil, err
	}
	vms, err := p.Inventory(ctx)
	if err != nil {
		return vms, fmt.Errorf("%s: %w", c.name, err)
	}
	return vms, nil
}

// Observe implements [provider.Provider].
func (c *Cloud) Observe(ctx context.Context, fw firewall.ID, only []firewall.Key) (provider.Snapshot, error) {
	p, err := c.known(fw)
	if err != nil {
		return provider.Snapshot{}, err
	}
	select {
	case <-ctx.Done():
		return provider.Snapshot{}, ctx.Err()
	case c.room <- struct{}{}:
	}
	defer func() { <-c.room }()
	return p.Observe(ctx, fw, only)
}

// Compile implements [provider.Provider].
func (c *Cloud) Compile(s provider.Snapshot, want firewall.Wants, displaced []plan.Change) (plan.Plan, error) {
	p, err := c.known(s.Firewall)
	if err != nil {
		return plan.Plan{}, err
	}
	return p.Compile(s, want, displaced)
}

// Apply implements [provider.Provider].
func (c *Cloud) Apply(ctx context.Context, s provider.Snapshot, pl plan.Plan) error {
	p, err := c.known(s.Firewall)
	if err != nil {
		return err
	}
	return p.Apply(ctx, s, pl)
}

// Limits implements [provider.Provider].
func (c *Cloud) Limits(fw firewall.ID) provider.Limits {
	p, err := c.known(fw)
	if err != nil {
		return provider.Limits{}
	}
	return p.Limits(fw)
}

// Found is what a look at a whole cloud found.
type Found struct {
	Place          string // whose it is, and where: "account 123456789012, eu-central-1"
	VMs, Firewalls int
}

// Try connects, reads the inventory and one firewall of it, and says what it
// found; as far as it came, if there is an error.
func (c *Cloud) Try(ctx context.Context) (Found, error) {
	p, err := c.reach(ctx)
	if err != nil {
		return Found{}, err
	}
	out := Found{Place: p.place, VMs: 0, Firewalls: 0}
	vms, err := c.Inventory(ctx)
	if err != nil {
		return out, err
	}
	firewalls := inventory.Firewalls(vms)
	out.VMs, out.Firewalls = len(vms), len(firewalls)
	if len(firewalls) == 0 {
		return out, nil
	}
	if _, err := c.Observe(ctx, firewalls[0], nil); err != nil {
		return out, fmt.Errorf("read %s: %w", firewalls[0], err)
	}
	return out, nil
}
