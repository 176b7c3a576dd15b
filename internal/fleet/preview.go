package fleet

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/reach"
	"github.com/sesame-access/sesame/internal/reconcile"
	"github.com/sesame-access/sesame/internal/reconcile/book"
)

// A Preview shows what would be written and who would get in, before anything is.
type Preview struct {
	Plans []plan.Plan // of every firewall that would change, by id
	Doors []ReachChange
	// Refused is what verification would hold back.
	Refused []plan.Refusal
}

// A ReachChange is who can come through a door before and after.
type ReachChange struct {
	Door          firewall.Door
	Before, After reach.Set
}

// Supposing changes what the book says, for a preview. It may change its
// arguments in place.
type Supposing func(locks []access.Lock, grants []access.Grant) ([]access.Lock, []access.Grant)

// Preview computes what the firewalls would be asked to show if change were made
// to what the book says: it reads everything afresh and writes nothing.
func (f *Fleet) Preview(ctx context.Context, change Supposing) (Preview, error) {
	entries, err := book.Read(ctx, f.cfg.Book, nil)
	if err != nil {
		return Preview{}, err
	}
	now := f.cfg.Clocks()
	locks, grants := entries.Locks, entries.Grants
	if change != nil {
		locks, grants = change(slices.Clone(locks), slices.Clone(grants))
	}
	vms := f.VMs()
	desired := plan.Desired(locks, grants, now)
	wants := plan.Route(desired, vms)
	given := slices.Concat(entries.Unlocked, unlocked(entries.Locks, locks))
	read := map[firewall.ID]provider.Snapshot{}
	var plans []plan.Plan
	var out Preview
	for _, fw := range f.all() {
		seen, err := fw.Provider.Observe(ctx, fw.ID, nil)
		if err != nil {
			return Preview{}, fmt.Errorf("observe %s: %w", fw.ID, err)
		}
		displaced, err := f.cfg.Book.Displaced(ctx, fw.ID)
		if err != nil {
			return Preview{}, fmt.Errorf("read displaced rules of %s: %w", fw.ID, err)
		}
		wants[fw.ID] = plan.Sticky(wants[fw.ID], seen.Shown(), given)
		p, err := fw.Provider.Compile(seen, wants[fw.ID], displaced)
		if err != nil {
			return Preview{}, fmt.Errorf("compile %s: %w", fw.ID, err)
		}
		read[fw.ID], plans = seen, append(plans, p)
		if !p.Empty() || len(p.Refused) > 0 {
			out.Plans = append(out.Plans, p)
			out.Refused = append(out.Refused, p.Refused...)
		}
	}
	vms, before := provider.Around(vms, read)
	after := maps.Clone(before)
	for _, p := range plans {
		after[p.Firewall] = p.After
	}
	for _, p := range out.Plans {
		out.Refused = append(out.Refused, plan.Verify(plan.Case{
			Plan: p, Want: wants[p.Firewall], Desired: plan.Sticky(desired, wants[p.Firewall], nil), VMs: behind(p.Firewall, vms),
			Observed: before, Joint: after, Unlocking: given,
		})...)
	}
	out.Doors = reachChanges(vms, entries.Locks, locks, before, after)
	return out, nil
}

// Explain returns who can come through d now, read afresh.
func (f *Fleet) Explain(ctx context.Context, d firewall.Door) (reach.Set, error) {
	v := inventory.Of(f.VMs(), d.VM)
	if v.ID == "" {
		return reach.Set{}, fmt.Errorf("explain %s: no such VM", d)
	}
	seen := map[firewall.ID]provider.Snapshot{}
	for _, id := range v.Firewalls() {
		fw, _ := f.lookup(id)
		s, err := fw.Provider.Observe(ctx, id, nil)
		if err != nil {
			continue // not read is unknown, and reach says so
		}
		seen[id] = s
	}
	vms, layers := provider.Around([]inventory.VM{v}, seen)
	return reach.VM(vms[0], layers, d), nil
}

// all returns every firewall, sorted by id.
func (f *Fleet) all() []reconcile.Firewall {
	f.mu.RLock()
	defer f.mu.RUnlock()
	var out []reconcile.Firewall
	for _, fw := range f.firewalls {
		out = append(out, fw)
	}
	slices.SortFunc(out, func(a, b reconcile.Firewall) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// behind returns those of vms that are behind a firewall.
func behind(id firewall.ID, vms []inventory.VM) []inventory.VM {
	return slices.DeleteFunc(slices.Clone(vms), func(v inventory.VM) bool { return !slices.Contains(v.Firewalls(), id) })
}

// unlocked returns the doors that are in before and not in after.
func unlocked(before, after []access.Lock) []firewall.Door {
	var doors []firewall.Door
	for _, l := range before {
		if !slices.ContainsFunc(after, func(x access.Lock) bool { return x.Door == l.Door }) {
			doors = append(doors, l.Door)
		}
	}
	return doors
}

// reachChanges compares every door that is locked before or after.
func reachChanges(vms []inventory.VM, old, now []access.Lock, before, after map[firewall.ID]firewall.Layer) []ReachChange {
	var doors []firewall.Door
	for _, l := range slices.Concat(old, now) {
		doors = append(doors, l.Door)
	}
	slices.SortFunc(doors, firewall.CompareDoors)
	var out []ReachChange
	for _, d := range slices.Compact(doors) {
		if v := inventory.Of(vms, d.VM); v.ID != "" {
			out = append(out, ReachChange{Door: d, Before: reach.VM(v, before, d), After: reach.VM(v, after, d)})
		}
	}
	return out
}
