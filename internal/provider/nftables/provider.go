//go:build linux

package nftables

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/nftables/table"
)

var (
	_ provider.Provider = (*Provider)(nil)
	_ provider.Watcher  = (*Provider)(nil)
)

// A Provider reads and writes the firewalls of Linux hosts.
type Provider struct {
	hosts  []*host // sorted by name
	clocks func() access.Reading
	log    *slog.Logger
}

// New returns the provider of the given hosts. It opens nothing yet: a host that
// cannot be reached is said when it is asked for.
func New(c Config) (*Provider, error) {
	p := &Provider{hosts: nil, clocks: c.Clocks, log: c.Log}
	for _, h := range c.Hosts {
		if _, err := firewall.ParseName("host", h.Name); err != nil {
			return nil, err
		}
		owner := table.Owner{Firewall: FirewallID(h.Name), VM: firewall.HostVM(h.Name), Keys: c.Keyring}
		p.hosts = append(p.hosts, &host{Host: h, owner: owner})
	}
	slices.SortFunc(p.hosts, func(a, b *host) int { return cmp.Compare(a.Name, b.Name) })
	for i := 1; i < len(p.hosts); i++ {
		if p.hosts[i-1].Name == p.hosts[i].Name {
			return nil, errkind.Bad("host", p.hosts[i].Name, "a name that no other host has")
		}
	}
	return p, nil
}

// Close lets go of the kernel. What is locked stays locked.
func (p *Provider) Close() error {
	var errs []error
	for _, h := range p.hosts {
		errs = append(errs, h.close())
	}
	return errors.Join(errs...)
}

// Inventory implements [provider.Provider].
func (p *Provider) Inventory(ctx context.Context) ([]inventory.VM, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read the hosts: %w", err)
	}
	var vms []inventory.VM
	for _, h := range p.hosts {
		v := inventory.VM{
			ID: h.owner.VM, Name: h.Name, Addresses: slices.Clone(h.Addresses), Tags: nil,
			Paths: []inventory.Path{{
				Name: "network", Hops: []inventory.Hop{{Firewall: h.owner.Firewall}},
			}},
			Missing: nil,
		}
		if err := h.reachable(ctx); err != nil {
			v.Missing = []string{fmt.Sprintf("the kernel of host %s does not answer: %v", h.Name, err)}
		}
		vms = append(vms, v)
	}
	return vms, nil
}

// Compile implements [provider.Provider].
func (p *Provider) Compile(s provider.Snapshot, want firewall.Wants, _ []plan.Change) (plan.Plan, error) {
	state, ok := s.Raw.(table.State)
	if !ok {
		return plan.Plan{}, errkind.New(errkind.Internal, "a snapshot of %s that no kernel gave", s.Firewall)
	}
	return state.Compile(want)
}

// Limits implements [provider.Provider].
func (p *Provider) Limits(firewall.ID) provider.Limits {
	return provider.Limits{
		Openings: table.MostOpenings,
		// A transaction takes microseconds; there is nothing to start early for.
		WriteTime: 0,
		// Adding and deleting elements needs no condition. Where the frame is
		// written, Apply compares it itself.
		Conditional: false,
		Atomic:      true,
		Closes:      true,
		Keyed:       true,
		Cuts:        true,
	}
}

// host returns the host of a firewall.
func (p *Provider) host(id firewall.ID) (*host, error) {
	for _, h := range p.hosts {
		if h.owner.Firewall == id {
			return h, nil
		}
	}
	return nil, errkind.New(errkind.NotFound, "there is no host with the firewall %s here", errkind.Quote(string(id)))
}
