package memory

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/memory/compile"
)

var (
	_ provider.Provider = (*World)(nil)
	_ provider.Watcher  = (*World)(nil)
)

// A World is a set of VMs with simulated firewalls in front of them, as one
// installation of Sesame sees them.
type World struct {
	keys firewall.Keyring

	mu        sync.Mutex
	vms       map[firewall.VMID]inventory.VM
	firewalls map[firewall.ID]*Firewall
	dark      error // why the inventory cannot be read
	watchers  map[*watcher]bool
}

// NewWorld returns an empty world. The keys make and verify the marks.
func NewWorld(keys firewall.Keyring) *World {
	return &World{
		keys: keys, vms: map[firewall.VMID]inventory.VM{},
		firewalls: map[firewall.ID]*Firewall{}, watchers: map[*watcher]bool{},
	}
}

// As returns the provider of another installation, with keys of its own, for the
// same VMs and firewalls. It is no use on a keyed firewall, where every
// installation has a table of its own.
func (w *World) As(keys firewall.Keyring) provider.Provider { return guest{World: w, keys: keys} }

type guest struct {
	*World
	keys firewall.Keyring
}

// Observe implements [provider.Provider].
func (g guest) Observe(ctx context.Context, id firewall.ID, only []firewall.Key) (provider.Snapshot, error) {
	return g.look(ctx, g.keys, id, only)
}

// Add puts a firewall into the world, in the place of one with the same id.
func (w *World) Add(c Config) *Firewall {
	c = c.Filled()
	f := &Firewall{state: State{Config: c, Keys: w.keys}, uses: map[string]uint64{}}
	f.changed = func() { w.wake(c.ID) }
	w.mu.Lock()
	defer w.mu.Unlock()
	w.firewalls[c.ID] = f
	return f
}

// AddVM puts a VM into the world, in the place of one with the same id. The
// firewalls are those on its paths.
func (w *World) AddVM(v inventory.VM) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.vms[v.ID] = v
}

// RemoveVM takes a VM out of the world.
func (w *World) RemoveVM(id firewall.VMID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.vms, id)
}

// Darken makes the inventory unreadable, or readable again with nil.
func (w *World) Darken(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dark = err
}

// Firewall returns the firewall with the given id; nil when there is none.
func (w *World) Firewall(id firewall.ID) *Firewall {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.firewalls[id]
}

// Inventory implements [provider.Provider].
func (w *World) Inventory(ctx context.Context) ([]inventory.VM, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read the inventory: %w", err)
	}
	if w.dark != nil {
		return nil, fmt.Errorf("read the inventory: %w", w.dark)
	}
	var out []inventory.VM
	for _, id := range slices.Sorted(maps.Keys(w.vms)) {
		v := w.vms[id]
		v.Addresses, v.Missing = slices.Clone(v.Addresses), slices.Clone(v.Missing)
		v.Tags, v.Paths = maps.Clone(v.Tags), slices.Clone(v.Paths)
		for i := range v.Paths {
			v.Paths[i].Hops = slices.Clone(v.Paths[i].Hops)
		}
		out = append(out, v)
	}
	return out, nil
}

// Observe implements [provider.Provider].
func (w *World) Observe(ctx context.Context, id firewall.ID, only []firewall.Key) (provider.Snapshot, error) {
	return w.look(ctx, w.keys, id, only)
}

func (w *World) look(ctx context.Context, keys firewall.Keyring, id firewall.ID, only []firewall.Key) (provider.Snapshot, error) {
	f, err := w.reach(ctx, id)
	if err != nil {
		return provider.Snapshot{}, err
	}
	return f.observe(keys, w.behind(id), only)
}

// Compile implements [provider.Provider].
func (w *World) Compile(s provider.Snapshot, want firewall.Wants, displaced []plan.Change) (plan.Plan, error) {
	r, ok := s.Raw.(compile.Reading)
	if !ok {
		return plan.Plan{}, errkind.New(errkind.Internal, "a snapshot of %s that was not read here", s.Firewall)
	}
	return compile.Plan(r, want, displaced)
}

// Apply implements [provider.Provider].
func (w *World) Apply(ctx context.Context, s provider.Snapshot, p plan.Plan) error {
	f, err := w.reach(ctx, p.Firewall)
	if err != nil || p.Empty() {
		return err
	}
	return f.apply(ctx, s.Version, p.Changes)
}

// Limits implements [provider.Provider].
func (w *World) Limits(id firewall.ID) provider.Limits {
	f := w.Firewall(id)
	if f == nil {
		return provider.Limits{}
	}
	c := f.config()
	keyed := c.Dialect == Keyed
	return provider.Limits{
		Openings: c.Rooms, WriteTime: c.WriteTime, Conditional: c.Versioned(), Atomic: c.Whole(),
		Closes: keyed, Keyed: keyed, NewIDs: c.Dialect == Union, Cuts: keyed,
	}
}

// reach returns the firewall with the given id.
func (w *World) reach(ctx context.Context, id firewall.ID) (*Firewall, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("call %s: %w", id, err)
	}
	f := w.Firewall(id)
	if f == nil {
		return nil, errkind.New(errkind.NotFound, "there is no simulated firewall %s", errkind.Quote(string(id)))
	}
	return f, nil
}

// behind returns the VMs behind a firewall, sorted.
func (w *World) behind(id firewall.ID) []firewall.VMID {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []firewall.VMID
	for _, vm := range slices.Sorted(maps.Keys(w.vms)) {
		if slices.Contains(w.vms[vm].Firewalls(), id) {
			out = append(out, vm)
		}
	}
	return out
}

// Admits reports whether a packet from the given address gets through to d, end
// to end: by any path, through every firewall on it.
func (w *World) Admits(d firewall.Door, from netip.Addr) bool {
	w.mu.Lock()
	v, ok := w.vms[d.VM]
	w.mu.Unlock()
	for _, p := range v.Paths {
		through := true
		for _, h := range p.Hops {
			source := from
			if h.Sees.IsValid() {
				source = h.Sees.Addr()
			}
			f := w.Firewall(h.Firewall)
			through = through && f != nil && f.Admits(d, source)
		}
		if through {
			return true
		}
	}
	return ok && len(v.Paths) == 0
}

// String prints every firewall.
func (w *World) String() string {
	w.mu.Lock()
	all := maps.Clone(w.firewalls)
	w.mu.Unlock()
	var b strings.Builder
	for _, id := range slices.Sorted(maps.Keys(all)) {
		b.WriteString(all[id].String())
	}
	return b.String()
}
