package aws

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sesame-access/sesame/internal/inventory"
	region "github.com/sesame-access/sesame/internal/provider/aws/inventory"
)

// Inventory implements [provider.Provider]. The machines of a region that cannot
// be read in full are those of its last reading, each with what is missing; those
// of the other regions are as they are now. The error is about regions of which
// nothing is known at all, or about ctx, and does not keep the others back.
func (p *Provider) Inventory(ctx context.Context) ([]inventory.VM, error) {
	var out []inventory.VM
	var unknown []error
	for _, r := range p.Regions {
		vms, err := p.machines(ctx, r)
		out = append(out, vms...)
		if err != nil {
			unknown = append(unknown, err)
		}
	}
	slices.SortFunc(out, func(a, b inventory.VM) int { return cmp.Compare(a.ID, b.ID) })
	return out, errors.Join(append(unknown, ctx.Err())...)
}

// machines reads the machines of a region.
func (p *Provider) machines(ctx context.Context, r Region) ([]inventory.VM, error) {
	p.askQuota(ctx, r)
	now, err := region.Read(ctx, r.place())
	if err == nil {
		vms := now.Machines()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.last[r.prefix()] = vms
		return slices.Clone(vms), nil
	}
	err = fmt.Errorf("read %s in %s: %w", r.Account, r.Name, err)
	p.mu.Lock()
	last, known := p.last[r.prefix()]
	p.mu.Unlock()
	if !known {
		return nil, err
	}
	out := slices.Clone(last)
	for i := range out {
		out[i].Missing = append(slices.Clone(out[i].Missing), err.Error())
	}
	return out, nil
}

// place returns r as it is read.
func (r Region) place() region.Place { return region.Place{Client: r.Reader, Prefix: r.prefix()} }
