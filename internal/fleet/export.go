package fleet

import (
	"context"
	"fmt"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/reconcile"
)

// Export returns what Terraform has to know about the VM of that id, or else about
// the firewall, or the part of one, that is called so; none where nothing is called
// so, or Terraform does not write it. Firewalls are read afresh.
func (f *Fleet) Export(ctx context.Context, part string) ([]provider.Snippet, error) {
	vm := inventory.Of(f.VMs(), firewall.VMID(part))
	if vm.ID == "" {
		return f.exportPart(ctx, part)
	}
	var out []provider.Snippet
	for _, id := range vm.Firewalls() {
		if fw, known := f.lookup(id); known {
			found, err := f.export(ctx, fw, part)
			if err != nil {
				return nil, err
			}
			out = append(out, found...)
		}
	}
	return out, nil
}

// exportPart looks for part in the firewalls that may have it, one after the other.
func (f *Fleet) exportPart(ctx context.Context, part string) ([]provider.Snippet, error) {
	var unread error
	for _, fw := range f.all() {
		x, can := fw.Provider.(provider.Exporter)
		if !can || !x.Writes(fw.ID, part) {
			continue
		}
		found, err := f.export(ctx, fw, part)
		if len(found) > 0 || ctx.Err() != nil {
			return found, err
		}
		if err != nil { // it may be in another
			unread = err
		}
	}
	return nil, unread
}

func (f *Fleet) export(ctx context.Context, fw reconcile.Firewall, part string) ([]provider.Snippet, error) {
	x, can := fw.Provider.(provider.Exporter)
	if !can {
		return nil, nil
	}
	seen, err := fw.Provider.Observe(ctx, fw.ID, nil)
	if err != nil {
		return nil, fmt.Errorf("observe %s: %w", fw.ID, err)
	}
	displaced, err := f.cfg.Book.Displaced(ctx, fw.ID)
	if err != nil {
		return nil, fmt.Errorf("read displaced rules of %s: %w", fw.ID, err)
	}
	return x.Export(seen, part, displaced)
}
