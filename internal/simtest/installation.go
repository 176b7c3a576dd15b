package simtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/adoption"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/authz/scope"
	"github.com/sesame-access/sesame/internal/broker"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/fleet"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/reconcile/adopt"
	"github.com/sesame-access/sesame/internal/store"
)

// An Installation is Sesame on one machine: a database, clocks, a disk, and one
// process after the other.
type Installation struct {
	Clocks *Clocks
	Disk   Disk

	providers []provider.Provider
	path      string // of the database
	store     *store.Store
	process   *process
	ids       sync.Mutex
	lastID    uint64
	signed    audit.Checkpoint // of the log, kept outside of the database
}

// Root and User are the principals that every database knows: an administrator
// and somebody who may ask for anything.
func Root() access.Principal { return access.Principal{Issuer: "local", Subject: "root"} }

// User is who may ask for anything. See [Root].
func User() access.Principal { return access.Principal{Issuer: "local", Subject: "alice"} }

// Template makes an empty database in the file called path, to be copied: that
// is faster than making one each time.
func Template(ctx context.Context, path string) error {
	s, err := store.Open(ctx, path)
	if err != nil {
		return err
	}
	err = s.Save(ctx, store.Change{
		Roles: store.RoleChange{Assign: []authz.Assignment{
			{Principal: Root(), Role: authz.Admin, Scope: scope.All}, {Principal: User(), Role: authz.Requester, Scope: scope.All},
		}},
		Records: []audit.Record{{Kind: audit.Started, Actor: access.System()}},
	})
	return errors.Join(err, s.Close())
}

// Install makes an installation whose database starts as a copy of template and
// lies in the file called path. Nothing runs yet.
func Install(ctx context.Context, template, path string, clocks *Clocks, providers ...provider.Provider) (*Installation, error) {
	i := &Installation{Clocks: clocks, providers: providers, path: path}
	return i, i.Restore(ctx, template)
}

// newID makes ids that are the same in every run.
func (i *Installation) newID(prefix string) string {
	i.ids.Lock()
	defer i.ids.Unlock()
	i.lastID++
	sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(filepath.Base(i.path)), i.lastID))
	return access.NewID(prefix, [access.IDBytes]byte(sum[:]))
}

// reached returns the providers as p reaches them.
func (i *Installation) reached(p *process) []provider.Provider {
	out := make([]provider.Provider, len(i.providers))
	for n, x := range i.providers {
		r := reached{Provider: x, process: p}
		out[n] = r
		if w, ok := x.(provider.Watcher); ok {
			out[n] = watched{reached: r, Watcher: w}
		}
	}
	return out
}

// Start starts a process, which runs until it dies, is stopped, or ctx is done. A
// log that is not the one that was signed last proves that the database lost
// something.
func (i *Installation) Start(ctx context.Context) {
	if i.process == nil {
		i.process = start(ctx, i)
	}
}

// Sign notes outside of the database what the log says, as a notary does.
func (i *Installation) Sign(ctx context.Context) error {
	tree, err := i.store.Tree(ctx)
	i.signed = audit.Checkpoint{Size: tree.N, Root: tree.Hash}
	return err
}

// loss is what the database provably lost.
func (i *Installation) loss(ctx context.Context) (adoption.Loss, error) {
	tree, err := i.store.Tree(ctx)
	if err != nil {
		return adoption.Loss{}, err
	}
	e := adoption.Evidence{Signed: i.signed, Records: tree.N}
	if i.signed.Size > 0 && tree.N >= i.signed.Size {
		now := audit.Checkpoint{Size: tree.N, Root: tree.Hash}
		proof, err := audit.ProveAppendOnly(i.signed, now, i.store.Hashes(ctx))
		if err != nil {
			return adoption.Loss{}, err
		}
		e.Forked = audit.CheckAppendOnly(proof, i.signed, now) != nil
	}
	return adopt.Notice(ctx, i.store, e, i.Clocks.Read())
}

// Stop ends the process as an operator does.
func (i *Installation) Stop() { i.end(false) }

// Kill ends the process as a power failure does.
func (i *Installation) Kill() { i.end(true) }

func (i *Installation) end(dead bool) {
	if i.process == nil {
		return
	}
	i.process.mu.Lock()
	i.process.dead = i.process.dead || dead
	i.process.mu.Unlock()
	i.process.cancel()
	<-i.process.ended
	i.process = nil
}

// Dies makes the process die at some call from now on.
func (i *Installation) Dies(d Death) {
	i.process.mu.Lock()
	defer i.process.mu.Unlock()
	i.process.death = d
}

// Between does f right before the process's nth call to the world outside from
// now on: what somebody else does in the middle of what Sesame does. F may use
// the store and the world, and may sleep.
func (i *Installation) Between(n int, f func()) {
	i.process.mu.Lock()
	defer i.process.mu.Unlock()
	i.process.until, i.process.between = n, f
}

// End ends a grant in the database behind the process's back.
func (i *Installation) End(ctx context.Context, id string) error {
	g, err := i.store.Grant(ctx, id)
	if err != nil {
		return err
	}
	at := firewall.Instant(i.Clocks.Read().Wall)
	ended := access.Ending{At: at, By: Root(), Why: access.ClosedByUser}
	return i.store.Save(ctx, store.Change{
		GrantUpdates: []store.GrantUpdate{{ID: id, Epoch: g.Epoch, Ended: ended}},
		Records: []audit.Record{{
			Kind: audit.Ended, Time: at, Actor: Root(), Request: g.Request, Grant: id, Door: g.Door, Deadline: g.Deadline.Wall,
		}},
	})
}

// Unlock takes a lock out of the database behind the process's back.
func (i *Installation) Unlock(ctx context.Context, d firewall.Door) error {
	at := firewall.Instant(i.Clocks.Read().Wall)
	return i.store.Save(ctx, store.Change{
		Unlocks: []firewall.Door{d},
		Records: []audit.Record{{Kind: audit.Unlocked, Time: at, Actor: Root(), Door: d}},
	})
}

// Running reports whether a process lives.
func (i *Installation) Running() bool {
	if i.process == nil {
		return false
	}
	i.process.mu.Lock()
	defer i.process.mu.Unlock()
	return !i.process.dead
}

// Calls is how many calls the process has made to the world outside.
func (i *Installation) Calls() int {
	i.process.mu.Lock()
	defer i.process.mu.Unlock()
	return i.process.calls
}

// Broker is the broker of the process.
func (i *Installation) Broker() *broker.Broker { return i.process.broker }

// Fleet is the fleet of the process.
func (i *Installation) Fleet() *fleet.Fleet { return i.process.fleet }

// Store is the database itself, whatever the disk's faults and whoever is dead.
func (i *Installation) Store() *store.Store { return i.store }

// Close ends everything.
func (i *Installation) Close() error {
	i.Kill()
	if i.store == nil {
		return nil
	}
	return i.store.Close()
}

// The files of a SQLite database with a write-ahead log.
var parts = []string{"", "-wal"} //nolint:gochecknoglobals // a list of names

// Backup copies the database while nobody writes to it.
func (i *Installation) Backup(to string) error { return copyDatabase(i.path, to) }

// Restore puts a copy in the place of the database. No process may run.
func (i *Installation) Restore(ctx context.Context, from string) error {
	if i.process != nil {
		return errors.New("restore: a process runs")
	}
	if i.store != nil {
		if err := i.store.Close(); err != nil {
			return fmt.Errorf("restore: %w", err)
		}
	}
	if err := errors.Join(remove(i.path+"-shm"), copyDatabase(from, i.path)); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	var err error
	i.store, err = store.Open(ctx, i.path)
	return err
}

// Path is where the database lies.
func (i *Installation) Path() string { return i.path }

func copyDatabase(from, to string) error {
	for _, part := range parts {
		text, err := os.ReadFile(from + part)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			err = remove(to + part)
		case err == nil:
			err = os.WriteFile(to+part, text, 0o600) //nolint:gosec // a test says where
		}
		if err != nil {
			return fmt.Errorf("copy database: %w", err)
		}
	}
	return nil
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Bundle returns the whole audit log and verifies it with a key of its own.
func (i *Installation) Bundle(ctx context.Context) (audit.Report, []audit.Sealed, error) {
	const origin = "simulated.example/log"
	secret, public, err := audit.NewKey(bytes.NewReader(make([]byte, 64)), origin)
	if err != nil {
		return audit.Report{}, nil, err
	}
	tree, err := i.store.Tree(ctx)
	if err != nil {
		return audit.Report{}, nil, err
	}
	signed, err := audit.Checkpoint{Origin: origin, Size: tree.N, Root: tree.Hash}.Sign(secret)
	if err != nil {
		return audit.Report{}, nil, err
	}
	var out bytes.Buffer
	w, err := audit.NewBundleWriter(&out, audit.Header{Origin: origin, Key: public, Checkpoints: []string{string(signed)}})
	if err != nil {
		return audit.Report{}, nil, err
	}
	records, err := i.store.Sealed(ctx, 0, int(tree.N))
	for _, r := range records {
		err = errors.Join(err, w.Write(r))
	}
	if err := errors.Join(err, w.Close()); err != nil {
		return audit.Report{}, nil, err
	}
	report, err := audit.Verify(&out, public)
	return report, records, err
}
