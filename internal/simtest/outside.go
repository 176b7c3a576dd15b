package simtest

import (
	"context"
	"sync"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/store"
)

// reached is a provider as one process reaches it.
type reached struct {
	provider.Provider
	process *process
}

// Inventory implements [provider.Provider].
func (r reached) Inventory(ctx context.Context) ([]inventory.VM, error) {
	return get(r.process, func() ([]inventory.VM, error) { return r.Provider.Inventory(ctx) })
}

// Observe implements [provider.Provider].
func (r reached) Observe(ctx context.Context, fw firewall.ID, only []firewall.Key) (provider.Snapshot, error) {
	return get(r.process, func() (provider.Snapshot, error) { return r.Provider.Observe(ctx, fw, only) })
}

// Apply implements [provider.Provider].
func (r reached) Apply(ctx context.Context, s provider.Snapshot, p plan.Plan) error {
	return r.process.call(func() error { return r.Provider.Apply(ctx, s, p) })
}

// watched is a reached provider that notices changes.
type watched struct {
	reached
	provider.Watcher
}

// A DiskFault is a way in which the database goes wrong.
type DiskFault uint8

// The faults of a disk.
const (
	DiskGood      DiskFault = iota
	DiskFull                // nothing can be saved
	DiskDead                // nothing can be saved or read
	DiskAmbiguous           // what is saved is saved, and fails
	DiskSlow                // what is saved takes DiskTime
	DiskFading              // nothing can be saved, and it takes DiskTime to find out
)

// DiskTime is how long a disk takes that is slow.
const DiskTime = 50 * time.Millisecond

// A Disk is what the database lies on.
type Disk struct {
	mu    sync.Mutex
	fault DiskFault
}

// Fail makes the disk go wrong from now on, or right again.
func (d *Disk) Fail(f DiskFault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fault = f
}

// Fault is how the disk goes wrong.
func (d *Disk) Fault() DiskFault {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.fault
}

func (d *Disk) reads() error {
	if d.Fault() == DiskDead {
		return errkind.New(errkind.Unavailable, "simulated fault: the disk cannot be read")
	}
	return nil
}

// ledger is a store as one process reaches it.
type ledger struct {
	process *process
	disk    *Disk
	store   *store.Store
}

func read[T any](l ledger, f func() (T, error)) (T, error) {
	return get(l.process, func() (T, error) {
		if err := l.disk.reads(); err != nil {
			var none T
			return none, err
		}
		return f()
	})
}

func (l ledger) Rules(ctx context.Context) (store.Rules, error) {
	return read(l, func() (store.Rules, error) { return l.store.Rules(ctx) })
}

func (l ledger) Pending(ctx context.Context, of ...firewall.VMID) ([]access.Grant, error) {
	return read(l, func() ([]access.Grant, error) { return l.store.Pending(ctx, of...) })
}

func (l ledger) GrantsAt(ctx context.Context, keys []firewall.Key) ([]access.Grant, error) {
	return read(l, func() ([]access.Grant, error) { return l.store.GrantsAt(ctx, keys) })
}

func (l ledger) Epochs(ctx context.Context, ids []string) (map[string]int64, error) {
	return read(l, func() (map[string]int64, error) { return l.store.Epochs(ctx, ids) })
}

func (l ledger) Displaced(ctx context.Context, fw firewall.ID) ([]plan.Change, error) {
	return read(l, func() ([]plan.Change, error) { return l.store.Displaced(ctx, fw) })
}

func (l ledger) Grant(ctx context.Context, id string) (access.Grant, error) {
	return read(l, func() (access.Grant, error) { return l.store.Grant(ctx, id) })
}

func (l ledger) Request(ctx context.Context, id string) (store.Request, error) {
	return read(l, func() (store.Request, error) { return l.store.Request(ctx, id) })
}

func (l ledger) Idempotency(ctx context.Context, p access.Principal, key string) (store.Idempotency, error) {
	return read(l, func() (store.Idempotency, error) { return l.store.Idempotency(ctx, p, key) })
}

func (l ledger) Tokens(ctx context.Context) ([]store.Token, error) {
	return read(l, func() ([]store.Token, error) { return l.store.Tokens(ctx) })
}

func (l ledger) Grants(ctx context.Context, f store.GrantFilter) (grants []access.Grant, next string, err error) {
	grants, err = read(l, func() (grants []access.Grant, err error) {
		grants, next, err = l.store.Grants(ctx, f)
		return grants, err
	})
	return grants, next, err
}

func (l ledger) Waiting(ctx context.Context) ([]store.Request, error) {
	return read(l, func() ([]store.Request, error) { return l.store.Waiting(ctx) })
}

func (l ledger) Tally(ctx context.Context, p access.Principal, since time.Time) (store.Tally, error) {
	return read(l, func() (store.Tally, error) { return l.store.Tally(ctx, p, since) })
}

func (l ledger) Identity(ctx context.Context, p access.Principal) (who access.Identity, known bool, err error) {
	who, err = read(l, func() (who access.Identity, err error) {
		who, known, err = l.store.Identity(ctx, p)
		return who, err
	})
	return who, known, err
}

func (l ledger) Activity(ctx context.Context, f store.ActivityFilter) (entries []store.Entry, next string, err error) {
	entries, err = read(l, func() (entries []store.Entry, err error) {
		entries, next, err = l.store.Activity(ctx, f)
		return entries, err
	})
	return entries, next, err
}

func (l ledger) Save(ctx context.Context, c store.Change) error {
	return l.process.call(func() error {
		fault := l.disk.Fault()
		if fault == DiskSlow || fault == DiskFading {
			time.Sleep(DiskTime)
		}
		failed := errkind.New(errkind.Unavailable, "simulated fault: the disk cannot be written")
		if fault == DiskFull || fault == DiskDead || fault == DiskFading {
			return failed
		}
		err := l.store.Save(ctx, c)
		if err == nil && fault == DiskAmbiguous {
			return failed
		}
		return err
	})
}
