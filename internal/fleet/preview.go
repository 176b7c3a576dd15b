package fleet

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/adoption"
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
	// Given are the doors that would be given back.
	Given []firewall.Door
	Plans []plan.Plan // of every firewall that would change, by id
	Doors []ReachChange
	// Refused is what verification would hold back.
	Refused []plan.Refusal
	// Losses is what a supposed lock would take away from others, without what
	// somebody has agreed to. It is held back, too, until somebody does.
	Losses []plan.Loss
	// Restored are the displaced rules that would be given back. Of a supposed change
	// it is those that come back with it: what somebody else has given back already,
	// and is still on its way, is neither here nor among the plans.
	Restored []Restored
	// Others are the locks and openings of other installations at the doors that a
	// supposed change would lock, sorted: who is let in by one is kept out by the other.
	Others []provider.Owned
}

// A ReachChange is who can come through a door before and after.
type ReachChange struct {
	Door          firewall.Door
	Before, After reach.Set
}

// A Restored is a displaced rule that is given back.
type Restored struct {
	plan.Change // with Since, as far as it is known

	Firewall firewall.ID
	// Rules are its lines in the layer: what it lets in.
	Rules []firewall.LayerRule
	// NewID says that it comes back as another rule, for whoever noted its id.
	NewID bool
}

// Supposing changes what the book says, for a preview. It may change its
// arguments in place. Among the locks are those that a firewall shows and the book
// does not know, which are there until they are taken out like any other.
type Supposing func(locks []access.Lock, grants []access.Grant) ([]access.Lock, []access.Grant)

// Preview computes what the firewalls would be asked to show if change were made
// to what the book says: it reads everything afresh and writes nothing. It is about
// some VMs and those that share a firewall with them, or about all if none is
// named.
func (f *Fleet) Preview(ctx context.Context, about []firewall.VMID, change Supposing) (Preview, error) {
	entries, err := book.Read(ctx, f.cfg.Book, nil, nil)
	if err != nil {
		return Preview{}, err
	}
	vms, firewalls := f.concerned(about)
	t := trial{wants: nil, given: nil, read: map[firewall.ID]provider.Snapshot{}, displaced: map[firewall.ID][]plan.Change{}, plans: nil}
	for _, fw := range firewalls {
		if err := t.look(ctx, f.cfg.Book, fw); err != nil {
			return Preview{}, err
		}
	}
	there := slices.Concat(entries.Locks, t.strays(entries))
	locks, grants := there, entries.Grants
	if change != nil {
		locks, grants = change(slices.Clone(there), slices.Clone(grants))
	}
	now := f.cfg.Clocks()
	given := unlocked(there, locks)
	already := t // what is to be written without change
	t.given, already.given = slices.Concat(entries.Unlocked, given), entries.Unlocked
	desired := plan.Desired(t.standing(firewalls, locks, grants), grants, now)
	t.wants = plan.Route(desired, vms)
	if err := t.compileAll(firewalls); err != nil {
		return Preview{}, err
	}
	if change != nil {
		already.wants = plan.Route(plan.Desired(already.standing(firewalls, entries.Locks, entries.Grants), entries.Grants, now), vms)
		if err := already.compileAll(firewalls); err != nil {
			return Preview{}, err
		}
	}
	vms, before := provider.Around(vms, t.read)
	after := maps.Clone(before)
	for _, p := range t.plans {
		after[p.Firewall] = p.After
	}
	out := Preview{Given: given}
	for i, p := range t.plans {
		if p.Empty() && len(p.Refused) == 0 {
			continue
		}
		c := plan.Case{
			Plan: p, Want: t.wants[p.Firewall], Desired: plan.Sticky(desired, t.wants[p.Firewall], nil), VMs: behind(p.Firewall, vms),
			Observed: before, Joint: after, Unlocking: t.given,
		}
		if change != nil {
			losses := slices.DeleteFunc(plan.Losses(c), func(l plan.Loss) bool { return l.Accepted })
			out.Losses = append(out.Losses, losses...)
			c.Want = accepting(c.Want, losses) // they are shown as losses, and not as refused
		}
		out.Refused = slices.Concat(out.Refused, p.Refused, plan.Verify(c))
		if change != nil {
			p.Changes = besides(p.Changes, already.plans[i].Changes)
		}
		if p.Empty() && len(p.Refused) == 0 {
			continue
		}
		out.Plans = append(out.Plans, p)
		fw, _ := f.lookup(p.Firewall)
		out.Restored = append(out.Restored, t.restored(fw, p)...)
	}
	if change != nil {
		out.Others = t.others(there, locks)
	}
	out.Doors = reachChanges(vms, there, locks, before, after)
	return out, nil
}

// concerned returns the given VMs and those that share a firewall with them, and
// all firewalls in front of these.
func (f *Fleet) concerned(about []firewall.VMID) ([]inventory.VM, []reconcile.Firewall) {
	vms, firewalls := f.VMs(), f.all()
	if len(about) == 0 {
		return vms, firewalls
	}
	front := func(vms []inventory.VM) map[firewall.ID]bool {
		out := map[firewall.ID]bool{}
		for _, v := range vms {
			for _, id := range v.Firewalls() {
				out[id] = true
			}
		}
		return out
	}
	shared := front(slices.DeleteFunc(slices.Clone(vms), func(v inventory.VM) bool { return !slices.Contains(about, v.ID) }))
	vms = slices.DeleteFunc(vms, func(v inventory.VM) bool {
		return !slices.Contains(about, v.ID) && !slices.ContainsFunc(v.Firewalls(), func(id firewall.ID) bool { return shared[id] })
	})
	all := front(vms)
	return vms, slices.DeleteFunc(firewalls, func(fw reconcile.Firewall) bool { return !all[fw.ID] })
}

// A trial is what a preview found out so far.
type trial struct {
	wants     map[firewall.ID]firewall.Wants
	given     []firewall.Door // back
	read      map[firewall.ID]provider.Snapshot
	displaced map[firewall.ID][]plan.Change
	plans     []plan.Plan
}

// look reads fw, and what is displaced there.
func (t *trial) look(ctx context.Context, b book.Reader, fw reconcile.Firewall) error {
	seen, err := fw.Provider.Observe(ctx, fw.ID, nil)
	if err != nil {
		return fmt.Errorf("observe %s: %w", fw.ID, err)
	}
	displaced, err := b.Displaced(ctx, fw.ID)
	if err != nil {
		return fmt.Errorf("read displaced rules of %s: %w", fw.ID, err)
	}
	t.read[fw.ID], t.displaced[fw.ID] = seen, displaced
	return nil
}

// others returns what other installations have at the doors that now has and old has
// not.
func (t *trial) others(old, now []access.Lock) []provider.Owned {
	var out []provider.Owned
	at := func(d firewall.Door) func(access.Lock) bool { return func(l access.Lock) bool { return l.Door == d } }
	for _, seen := range t.read {
		for _, o := range seen.Others {
			if slices.ContainsFunc(now, at(o.Door)) && !slices.ContainsFunc(old, at(o.Door)) {
				out = append(out, o)
			}
		}
	}
	slices.SortFunc(out, provider.CompareOwned)
	return slices.CompactFunc(out, func(a, b provider.Owned) bool { return provider.CompareOwned(a, b) == 0 })
}

// strays returns a lock for every door that is shown locked and of which the book
// knows nothing, neither its lock nor that it was given back.
func (t *trial) strays(known book.Entries) []access.Lock {
	var out []access.Lock
	for _, seen := range t.read {
		for _, s := range seen.Shown() {
			same := func(l access.Lock) bool { return l.Door == s.Door }
			if s.Locked && !slices.Contains(known.Unlocked, s.Door) && !slices.ContainsFunc(known.Locks, same) && !slices.ContainsFunc(out, same) {
				out = append(out, access.Lock{Door: s.Door})
			}
		}
	}
	return out
}

// standing returns locks without those of which nobody knows, but with those that
// adopted grants stand at, as the firewalls show them.
func (t *trial) standing(firewalls []reconcile.Firewall, locks []access.Lock, grants []access.Grant) []access.Lock {
	out := slices.DeleteFunc(slices.Clone(locks), stray)
	for _, fw := range firewalls {
		out = append(out, adoption.Orphans(out, grants, t.read[fw.ID].Shown(), t.given)...)
	}
	return out
}

// stray reports whether l is a lock that nobody added, as the book has it. It
// stands as it is shown.
func stray(l access.Lock) bool { return l.Since.IsZero() }

// compileAll adds what would be written to each of the firewalls, in their order.
func (t *trial) compileAll(firewalls []reconcile.Firewall) error {
	for _, fw := range firewalls {
		if err := t.compile(fw); err != nil {
			return err
		}
	}
	return nil
}

// compile adds what would be written to fw.
func (t *trial) compile(fw reconcile.Firewall) error {
	seen := t.read[fw.ID]
	t.wants[fw.ID] = plan.Sticky(t.wants[fw.ID], seen.Shown(), t.given)
	p, err := fw.Provider.Compile(seen, t.wants[fw.ID], t.displaced[fw.ID])
	if err != nil {
		return fmt.Errorf("compile %s: %w", fw.ID, err)
	}
	t.plans = append(t.plans, p)
	return nil
}

// besides returns the changes of all that are not among some, each of these as often
// as it is there. A change is the same in whatever step it is made.
func besides(all, some []plan.Change) []plan.Change {
	some = slices.Clone(some)
	return slices.DeleteFunc(slices.Clone(all), func(c plan.Change) bool {
		i := slices.IndexFunc(some, func(x plan.Change) bool {
			x.Step = c.Step
			return x.Undo == c.Undo && plan.Compare(x, c) == 0
		})
		if i >= 0 {
			some = slices.Delete(some, i, i+1)
		}
		return i >= 0
	})
}

// restored returns the displaced rules that p gives back.
func (t *trial) restored(fw reconcile.Firewall, p plan.Plan) []Restored {
	var out []Restored
	for _, c := range p.Changes {
		if c.Op != plan.Restore {
			continue
		}
		r := Restored{Change: c, Firewall: p.Firewall, Rules: nil, NewID: fw.Provider.Limits(fw.ID).NewIDs}
		for _, x := range t.displaced[p.Firewall] {
			if x.Undo == c.Undo {
				r.Since = x.Since
			}
		}
		for _, x := range p.After.Rules {
			if x.Name == c.Rule && !x.Owned {
				r.Rules = append(r.Rules, x)
			}
		}
		out = append(out, r)
	}
	return out
}

// accepting returns want as if somebody had agreed to losses.
func accepting(want firewall.Wants, losses []plan.Loss) firewall.Wants {
	out := slices.Clone(want)
	for i, w := range out {
		out[i].Accepts = slices.Concat(w.Accepts, plan.AcceptedBy(w.Door, losses))
	}
	return out
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
	slices.SortFunc(doors, firewall.CompareDoors)
	return doors
}

// reachChanges compares every door of vms that is locked before or after.
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
