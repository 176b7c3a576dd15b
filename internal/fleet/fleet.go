// Package fleet runs one reconcile loop for every firewall in front of every VM
// of the inventory, and answers questions about all of them.
//
// # Running
//
// Run reads the inventory of every provider, at once and then every ten resyncs,
// or after one where it could not be read. Providers do not wait for each other: of
// one that does not answer the VMs are not known yet, and the others are served.
// Each firewall in it gets a loop, and keeps that until Run ends: a VM that the
// inventory does not name any more, or that of an inventory that could not be read,
// keeps its loop and its locks and is marked as missing, so that it is closed and
// never opened. Events of a firewall wake its loop; when they end they are asked for
// again. Where the limits of a firewall say how often it is read, it is read a little
// more often, by its id, so that those of one cloud do not all ask at once. What
// could not be saved is tried again every two seconds, and once more at the end,
// after the last pass.
//
// # Asking
//
// Prepare lets the loops look ahead while grants are being saved. Settle asks the
// loops that some saved grants need for a pass over those grants' keys, and waits until what is there was read back: open means open on every
// firewall in the path. A grant that no firewall stands in front of is an error,
// never "open". End closes a grant of which nothing could be saved; it waits for
// no database. Preview reads everything anew, computes what would be written if
// the book said something else, and writes nothing; Sweep needs no Fleet and no
// database, and closes by the marks alone.
//
// All methods may be called at the same time, from when New returned on; before
// Known is closed the fleet does not know its VMs yet.
package fleet

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/adoption"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/reconcile"
	"github.com/sesame-access/sesame/internal/reconcile/book"
	"github.com/sesame-access/sesame/internal/reconcile/sight"
	"github.com/sesame-access/sesame/internal/spool"
	"github.com/sesame-access/sesame/internal/store"
)

// Config is what a fleet is made of.
type Config struct {
	Book      book.Book
	Providers []provider.Provider
	// Clocks reads every clock there is.
	Clocks func() access.Reading
	// Resync is the longest time between two full passes of a loop, where its
	// firewall's limits say nothing else; 0 means reconcile.DefaultResync.
	Resync time.Duration
	// Loss is what the database provably lost; zero when nothing.
	Loss adoption.Loss
	Log  *slog.Logger
}

// A Fleet runs the loops.
type Fleet struct {
	cfg   Config
	loops reconcile.Config // what every loop shares
	known chan struct{}    // closed once the inventories were asked

	// What is in sources and below changes under mu.
	sources []*source

	mu        sync.RWMutex
	vms       []inventory.VM
	firewalls map[firewall.ID]reconcile.Firewall
	running   map[firewall.ID]*reconcile.Loop
}

// New returns a fleet that is ready to run.
func New(cfg Config) *Fleet {
	cfg.Resync = cmp.Or(cfg.Resync, reconcile.DefaultResync)
	f := &Fleet{
		cfg: cfg, loops: reconcile.Config{}, known: make(chan struct{}), sources: nil, mu: sync.RWMutex{}, vms: nil,
		firewalls: map[firewall.ID]reconcile.Firewall{}, running: map[firewall.ID]*reconcile.Loop{},
	}
	for _, p := range cfg.Providers {
		f.sources = append(f.sources, &source{Provider: p, vms: nil, failed: false})
	}
	f.loops = reconcile.Config{
		Book: cfg.Book, Clocks: cfg.Clocks, Resync: cfg.Resync, Loss: cfg.Loss, Log: cfg.Log, Lookup: f.lookup,
		Sight: sight.New(), Endings: spool.NewEndings(),
		Recorder: spool.NewRecorder(cfg.Book, cfg.Log),
	}
	return f
}

// Known is closed when Run has asked every inventory once, or one of them takes
// its time: before, there are no VMs to name.
func (f *Fleet) Known() <-chan struct{} { return f.known }

// Run reconciles until ctx is done, and returns when every loop has ended. Open
// doors are left to their deadlines: a stopped Sesame closes nothing early.
func (f *Fleet) Run(ctx context.Context) {
	var wg, asking sync.WaitGroup
	saving, stopSaving := context.WithCancel(context.WithoutCancel(ctx))
	var saver sync.WaitGroup
	saver.Go(func() { f.loops.Recorder.Run(saving) })
	for _, s := range f.sources {
		if w, ok := s.Provider.(provider.Watcher); ok {
			wg.Go(func() { f.watch(ctx, w) })
		}
		asking.Add(1)
		wg.Go(func() { f.look(ctx, &wg, s, asking.Done) })
	}
	wg.Go(func() { f.announce(ctx, &asking) })
	unsaved := time.NewTicker(spoolEvery)
	defer unsaved.Stop()
	for {
		select {
		case <-ctx.Done():
			wg.Wait()
			stopSaving() // after the last pass, so that its outcomes are saved
			saver.Wait()
			return
		case <-unsaved.C:
			f.loops.Endings.Save(ctx, f.cfg.Book)
		}
	}
}

// Clocks reads every clock there is. The firewalls' own are somebody else's,
// which a request needs as much as a close; between two looks at them, the time
// since boot says how they have gone on.
func (f *Fleet) Clocks() access.Reading {
	now := f.cfg.Clocks()
	clock, at := f.loops.Sight.Clock()
	if now.Third.IsZero() && !clock.IsZero() && now.BootID == at.BootID {
		now.Third = clock.Add(now.Boot - at.Boot)
	}
	return now
}

func (f *Fleet) lookup(id firewall.ID) (reconcile.Firewall, bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	fw, ok := f.firewalls[id]
	return fw, ok
}

// VMs returns the inventory as it was read last, sorted by id.
func (f *Fleet) VMs() []inventory.VM {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return slices.Clone(f.vms)
}

// Wake asks every loop for a full pass. It never blocks.
func (f *Fleet) Wake(because string) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	for _, l := range f.running {
		l.Wake(because)
	}
}

// event tells the loop of a firewall that somebody changed it, and who, if that is
// known.
func (f *Fleet) event(id firewall.ID, by string) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if l := f.running[id]; l != nil {
		l.Event(by)
	}
}

// End closes a grant whose end could not be saved: at once on the firewalls, and
// in the book as soon as it takes unsaved.
func (f *Fleet) End(grant string, by access.Ending, unsaved store.Change) {
	f.loops.Endings.Add(grant, by, unsaved)
}

// Current returns g, as it was read from the book, with what was read back from
// the firewalls since.
func (f *Fleet) Current(g access.Grant) access.Grant { return f.loops.Recorder.Apply(g) }

// Settle asks for a pass over everything that the given grants need, and says
// how each stands when all of it was read back. It returns when ctx is done at
// the latest; what is not settled then goes on behind.
func (f *Fleet) Settle(ctx context.Context, grants []access.Grant) (map[string]reconcile.Seen, error) {
	waits, err := f.askFor(grants)
	if err != nil {
		return nil, err
	}
	out := make(map[string]reconcile.Seen, len(grants))
	var failed error
	for _, ch := range waits {
		select {
		case <-ctx.Done():
			return out, ctx.Err()
		case a := <-ch:
			if a.Err != nil {
				failed = a.Err
			}
			for _, g := range grants {
				s, ok := a.Seen[g.ID]
				// Whoever was read last has seen what the others showed, and knows.
				if was, told := out[g.ID]; ok && (!told || was.Open == g.Over(f.Clocks())) {
					out[g.ID] = s
				}
			}
		}
	}
	return out, failed
}

// Prepare lets the loops that some grants need look ahead while the grants are
// being saved; done says that they are, or that they will not be. Nothing is
// opened by it.
func (f *Fleet) Prepare(grants []access.Grant) (done func()) {
	shares, err := f.shares(grants)
	if err != nil {
		return func() {} // who asks for a pass over them will hear of it
	}
	var all []func()
	for l, s := range shares {
		all = append(all, l.Prepare(s))
	}
	return func() {
		for _, one := range all {
			one()
		}
	}
}

// askFor gives the loops concerned their work and returns what they will answer
// on.
func (f *Fleet) askFor(grants []access.Grant) ([]<-chan reconcile.Passed, error) {
	shares, err := f.shares(grants)
	if err != nil {
		return nil, err
	}
	var waits []<-chan reconcile.Passed
	for l, s := range shares {
		waits = append(waits, l.Ask(s))
	}
	return waits, nil
}

// shares returns what the grants need of each loop. Each must need something of
// one.
func (f *Fleet) shares(grants []access.Grant) (map[*reconcile.Loop]book.Share, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	shares := map[*reconcile.Loop]book.Share{}
	for _, g := range grants {
		found := false
		for id, fw := range f.firewalls {
			if keys := fw.Keys(g); len(keys) > 0 {
				l := f.running[id]
				shares[l] = shares[l].And(book.Share{Grants: []access.Grant{g}, Keys: keys})
				found = true
			}
		}
		if !found {
			return nil, errkind.New(errkind.Unavailable, "no firewall that Sesame can write stands in front of %s", g.Door.VM)
		}
	}
	return shares, nil
}

// Doors returns what was last read about the doors of vm, sorted.
func (f *Fleet) Doors(vm firewall.VMID) []sight.DoorState {
	var out []sight.DoorState
	for _, id := range inventory.Of(f.VMs(), vm).Firewalls() {
		for _, d := range f.loops.Sight.Doors(id) {
			if d.Door.VM == vm {
				out = append(out, d)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b sight.DoorState) int { return firewall.CompareDoors(a.Door, b.Door) })
	return out
}

// Locked returns every door that was read from some firewall, and whether all that
// show it show it locked.
func (f *Fleet) Locked() map[firewall.Door]bool {
	f.mu.RLock()
	ids := slices.Collect(maps.Keys(f.running))
	f.mu.RUnlock()
	out := map[firewall.Door]bool{}
	for _, id := range ids {
		for _, d := range f.loops.Sight.Doors(id) {
			before, known := out[d.Door]
			out[d.Door] = d.Locked && (before || !known)
		}
	}
	return out
}

// Standings returns how many doors stand how; known are those whose lock is in
// the book.
func (f *Fleet) Standings(known []firewall.Door) map[sight.Standing]int {
	return f.loops.Sight.Count(known)
}

// Orphans returns the doors of vm that its firewalls show locked and the book
// knows no lock of, as locks that no policy brought: the book was lost, or an
// older one was put back.
func (f *Fleet) Orphans(vm firewall.VMID, known []access.Lock) []access.Lock {
	var out []access.Lock
	for _, d := range f.Doors(vm) {
		same := func(l access.Lock) bool { return l.Door == d.Door }
		if d.Locked && !slices.ContainsFunc(known, same) && !slices.ContainsFunc(out, same) {
			out = append(out, access.Lock{Door: d.Door})
		}
	}
	return out
}

// Failing returns an error that names every firewall whose last pass failed, or
// nil.
func (f *Fleet) Failing() error {
	failing := f.loops.Sight.Failing()
	if len(failing) == 0 {
		return nil
	}
	ids := make([]firewall.ID, 0, len(failing))
	for id := range failing {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return fmt.Errorf("%d firewalls do not answer as they should; %s: %s", len(ids), ids[0], failing[ids[0]])
}

// FailingFirewalls returns the firewalls whose last pass failed, sorted.
func (f *Fleet) FailingFirewalls() []firewall.ID {
	return slices.Sorted(maps.Keys(f.loops.Sight.Failing()))
}

// Passes returns how many passes there were over all firewalls, and how many of
// them failed.
func (f *Fleet) Passes() (ok, failed uint64) { return f.loops.Sight.Passes() }

// Issued returns how long after their time openings and closings were sent.
func (f *Fleet) Issued() (opens, closes sight.Issued) { return f.loops.Sight.Issued() }
