// Package daemon puts the concrete parts of Sesame together, runs them, and ends
// them in order. What is put together, and how, is one file: wire.go.
//
// # Starting
//
// New makes what must be there before anything can run: the state directory and
// the certificates. Run opens the database. While that cannot be opened, the
// daemon does the one thing that waits for nothing: it closes what is past its
// deadline, by the marks that the firewalls show, says at /readyz why it does no
// more, and tries again. Once the database is open it serves everything.
//
// # Ending
//
// When the context of Run ends, no new requests are taken, those that are being
// answered have a few seconds, the loops end, what was read back is saved, the
// last checkpoint is signed, and the database is closed. Doors that are open are
// left to their deadlines.
//
// # The state directory
//
// It is for its owner's eyes only, and holds
//
//	sesame.db         the database: rules, grants, requests, the audit log
//	marks.key         the keys of the marks; with it alone a sweep can close.
//	                  Where it is gone and the database is not new, the daemon
//	                  does not start; see Options.NewMarks
//	audit.key         the keys of the audit log: one signs, one verifies
//	audit.checkpoint  the last checkpoint that was signed; see notary
//	ca.crt, ca.key, server.crt, server.key
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/config"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/fleet"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/store"
)

// Options are what a configuration file cannot say. Only Log is needed.
type Options struct {
	Log *slog.Logger
	// Clocks reads every clock there is; nil for this machine's.
	Clocks func() access.Reading
	// Providers makes firewalls to write besides those of the configuration; nil
	// for none.
	Providers func(firewall.Keyring) []provider.Provider
	// NewMarks says that keys of the marks that are gone are to be made anew,
	// although the database has been in use: the marks of before cannot be
	// verified any more.
	NewMarks bool
	// Version is what the server says it is.
	Version string
	// NotifySocket is where a service manager wants to be told; empty for none.
	NotifySocket string
	// Ready is called once, when requests are being taken and the database is
	// open.
	Ready func(Running)
}

// Running says where a daemon is reached.
type Running struct {
	// URL is that of the first address, by a name where that is every address, and
	// CA the path of the authority to pin; empty when the certificate is not the
	// daemon's own.
	URL, CA string
	// First is the link of the first administrator, good once; empty when there is a
	// token, or somebody has signed in.
	First string
}

// A Daemon is everything that `sesame serve` runs.
type Daemon struct {
	cfg    config.Config
	opts   Options
	log    *slog.Logger
	clocks func() access.Reading
	certs  certificates
}

// New prepares a daemon: it makes the state directory and the certificates.
func New(cfg config.Config, opts Options) (*Daemon, error) {
	if err := config.Validate(cfg); err != nil {
		return nil, err
	}
	d := &Daemon{cfg: cfg, opts: opts, log: opts.Log, clocks: opts.Clocks, certs: certificates{}}
	var err error
	if d.clocks == nil {
		if d.clocks, err = MachineClocks(); err != nil {
			return nil, err
		}
	}
	if err := makeStateDir(cfg.StateDir); err != nil {
		return nil, err
	}
	d.certs, err = d.openCertificates()
	return d, err
}

// reopenEvery is how often a database that cannot be opened is tried again.
const reopenEvery = 5 * time.Second

// Run runs the daemon until ctx is done, and returns when everything has ended.
func (d *Daemon) Run(ctx context.Context) error {
	st, err := d.openStore(ctx)
	if kind := errkind.Of(err); kind == errkind.Conflict || kind == errkind.Invalid {
		return err // another daemon is at work, or the keys of the marks are damaged
	}
	if err != nil {
		if st, err = d.closeUntilOpen(ctx, err); err != nil || st == nil {
			return err
		}
	}
	listeners, err := d.listen(ctx)
	if err != nil {
		return errors.Join(err, st.Close())
	}
	return d.serve(ctx, listeners, st)
}

// outcomePatience is longer than an answer takes to get to whoever asked, so that
// the disk and its processor are theirs alone until then.
const outcomePatience = 5 * time.Millisecond

// openStore opens the database. A new one is that of the installation whose marks
// are there: what carries them stays ours when the book is lost.
func (d *Daemon) openStore(ctx context.Context) (*store.Store, error) {
	known, err := ReadMarks(d.cfg.StateDir)
	if err != nil && !errors.Is(err, ErrNoMarks) {
		return nil, err
	}
	st, err := store.OpenAs(ctx, filepath.Join(d.cfg.StateDir, databaseFile), known.Instance)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	st.Patience = outcomePatience
	return st, nil
}

// closeUntilOpen closes what is past its deadline until the database can be
// opened, and returns that; nil when ctx ended first.
func (d *Daemon) closeUntilOpen(ctx context.Context, why error) (st *store.Store, err error) {
	d.log.LogAttrs(ctx, slog.LevelError, "the database cannot be opened; closing goes on, and nothing else", slog.Any("error", why))
	listeners, err := d.listen(ctx)
	if err != nil {
		// Closing does not wait for a port to be free either.
		d.log.LogAttrs(ctx, slog.LevelError, "nobody can be answered", slog.Any("error", err))
	}
	b := standBy(ctx, listeners, why, d.log)
	defer func() { err = errors.Join(err, b.end(ctx)) }()
	d.tell(ctx, notifyReady)
	ticker := time.NewTicker(reopenEvery)
	defer ticker.Stop()
	var f *firewalls
	defer func() { err = errors.Join(err, f.Close()) }()
	for {
		if f == nil {
			f = d.firewallsByMarks(ctx)
		}
		d.sweepOnce(ctx, f)
		select {
		case <-ctx.Done():
			d.tell(ctx, notifyStopping)
			return nil, nil
		case <-ticker.C:
		}
		st, err := d.openStore(ctx)
		if err == nil {
			d.log.LogAttrs(ctx, slog.LevelInfo, "the database is open again")
			return st, nil
		}
		b.say(err)
	}
}

// firewallsByMarks makes the providers without a database; nil, and a line in the
// log, where that cannot be.
func (d *Daemon) firewallsByMarks(ctx context.Context) *firewalls {
	keys, err := ReadMarks(d.cfg.StateDir)
	if err != nil {
		d.log.LogAttrs(ctx, slog.LevelError, "nothing can be closed by its mark", slog.Any("error", err))
		return nil
	}
	f, err := d.firewalls(keys)
	if err != nil {
		d.log.LogAttrs(ctx, slog.LevelError, "reach the firewalls", slog.Any("error", err))
		return nil
	}
	return f
}

// sweepOnce closes by the marks alone, and logs what came of it.
func (d *Daemon) sweepOnce(ctx context.Context, f *firewalls) {
	if f == nil {
		return
	}
	swept, err := fleet.Sweep(ctx, f.all, d.clocks, false)
	if err != nil {
		d.log.LogAttrs(ctx, slog.LevelError, "sweep", slog.Any("error", err))
	}
	for _, s := range swept {
		for _, c := range s.Closed {
			d.log.LogAttrs(ctx, slog.LevelWarn, "closed by its mark", slog.String("firewall", string(s.Firewall)), slog.String("change", c.String()))
		}
		if s.Err != nil || len(s.Stuck) > 0 {
			d.log.LogAttrs(ctx, slog.LevelError, "not everything could be closed", slog.String("firewall", string(s.Firewall)),
				slog.Int("stuck", len(s.Stuck)), slog.Any("error", s.Err))
		}
	}
}

// tell tells the service manager how the daemon is; whether it listens changes
// nothing.
func (d *Daemon) tell(ctx context.Context, state string) {
	if err := notify(context.WithoutCancel(ctx), d.opts.NotifySocket, state); err != nil {
		d.log.LogAttrs(ctx, slog.LevelWarn, "notify", slog.Any("error", err))
	}
}

// Sweep closes what is past its deadline on the firewalls of a configuration,
// with nothing but the keys of the marks: no server, no database. When dry is
// set nothing is written.
func Sweep(ctx context.Context, cfg config.Config, log *slog.Logger, dry bool) ([]fleet.Swept, error) {
	clocks, err := MachineClocks()
	if err != nil {
		return nil, err
	}
	keys, err := ReadMarks(cfg.StateDir)
	if errors.Is(err, ErrNoMarks) {
		return nil, errkind.Wrap(errkind.NotFound, err, "there are no mark keys in %s, so no rule can be told to be ours; is that the state directory? --state-dir names another one", cfg.StateDir)
	}
	if err != nil {
		return nil, err
	}
	f, err := openFirewalls(cfg, keys, clocks, log)
	if err != nil {
		return nil, err
	}
	swept, err := fleet.Sweep(ctx, f.all, clocks, dry)
	return swept, errors.Join(err, f.Close())
}
