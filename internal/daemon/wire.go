package daemon

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/adoption"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/authn"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/authz/scope"
	"github.com/sesame-access/sesame/internal/broker"
	"github.com/sesame-access/sesame/internal/config"
	"github.com/sesame-access/sesame/internal/daemon/clouds"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/fleet"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/nftables"
	"github.com/sesame-access/sesame/internal/reconcile/adopt"
	"github.com/sesame-access/sesame/internal/server"
	"github.com/sesame-access/sesame/internal/server/front"
	"github.com/sesame-access/sesame/internal/signin"
	"github.com/sesame-access/sesame/internal/store"
)

// serve puts everything together over an open database, runs it until ctx is
// done, and ends it in the opposite order. It closes the database.
//
//	listeners → server → broker → store (the book)
//	                        ↓        ↑
//	                      fleet → one loop for each firewall → provider
func (d *Daemon) serve(ctx context.Context, listeners []net.Listener, st *store.Store) (err error) {
	defer func() { err = errors.Join(err, st.Close()) }()
	parts, err := d.assemble(ctx, st)
	if err != nil {
		return errors.Join(err, closeAll(listeners))
	}
	defer func() { err = errors.Join(err, parts.firewalls.Close()) }()
	if err := parts.recordStart(ctx); err != nil {
		return errors.Join(err, closeAll(listeners))
	}

	// The loops outlive the server, and the notary outlives the loops: what the
	// one did last, the next still takes in.
	var loops, signing sync.WaitGroup
	loopsLife, endLoops := context.WithCancel(context.WithoutCancel(ctx))
	signingLife, endSigning := context.WithCancel(context.WithoutCancel(ctx))
	signing.Go(func() { parts.notary.run(signingLife) })
	loops.Go(func() { parts.fleet.Run(loopsLife) })
	defer func() {
		endLoops()
		loops.Wait()
		endSigning()
		signing.Wait()
	}()
	select {
	case <-parts.fleet.Known():
	case <-ctx.Done():
		return closeAll(listeners)
	}
	loops.Go(func() { parts.face.Broker.KeepReviewing(loopsLife, st.Changed) })
	ended := make(chan error, 1)
	serving, endServing := context.WithCancel(ctx)
	defer endServing()
	srv, err := server.New(serving, parts.face)
	if err != nil {
		return errors.Join(err, closeAll(listeners))
	}
	go func() { ended <- srv.Serve(listeners...) }()
	d.log.LogAttrs(ctx, slog.LevelInfo, "ready", slog.String("url", parts.running.URL), slog.String("socket", d.cfg.Socket),
		slog.String("instance", parts.face.Instance), slog.String("version", d.opts.Version))
	d.tell(ctx, notifyReady)
	if d.opts.Ready != nil {
		d.opts.Ready(parts.running)
	}
	err = <-ended // by the end of ctx, or because a listener broke
	d.log.LogAttrs(ctx, slog.LevelInfo, "ending; doors that are open close at their deadlines")
	d.tell(ctx, notifyStopping)
	return err
}

// parts are the concrete parts over one database.
type parts struct {
	log       *slog.Logger
	clocks    func() access.Reading
	store     *store.Store
	firewalls *firewalls
	fleet     *fleet.Fleet
	notary    *notary
	face      server.Config
	running   Running
}

// assemble makes the parts. Nothing runs yet.
func (d *Daemon) assemble(ctx context.Context, st *store.Store) (*parts, error) {
	marks, made, err := d.marks(ctx, st)
	if err != nil {
		return nil, err
	}
	key, err := ensureLogKey(d.cfg.StateDir, marks.Instance)
	if err != nil {
		return nil, err
	}
	p := &parts{log: d.log, clocks: d.clocks, store: st}
	if p.firewalls, err = d.firewalls(marks); err != nil {
		return nil, err
	}
	p.notary = &notary{
		log: st, key: key, file: filepath.Join(d.cfg.StateDir, checkpointFile), logger: d.log,
		tell: p.recordBreak, mu: sync.Mutex{}, problem: nil,
	}
	loss, err := p.loss(ctx, !made)
	if err != nil {
		return nil, errors.Join(err, p.firewalls.Close())
	}
	p.fleet = fleet.New(fleet.Config{
		Book: st, Providers: p.firewalls.all, Clocks: d.clocks, Resync: d.cfg.Resync, Loss: loss, Log: d.log,
	})
	b := broker.New(broker.Config{
		Ledger: st, Enforcer: p.fleet, Clocks: p.fleet.Clocks, NewID: newID, Own: ownDoors(d.cfg), Log: d.log,
		Groups: signin.Groups(d.cfg.Identity.Groups),
		Quotas: broker.Quotas{Live: d.cfg.Limits.Grants, Waiting: d.cfg.Limits.Waiting, Asked: d.cfg.Limits.Asked},
	})
	issuers, err := d.issuers(ctx)
	if err != nil {
		return nil, errors.Join(err, p.firewalls.Close())
	}
	desk := d.desk(p, issuers)
	p.face = server.Config{
		Desk: desk, Issuers: issuers, Identity: d.cfg.Identity,
		Broker: b, Fleet: p.fleet, Store: st, Clocks: p.fleet.Clocks, Instance: marks.Instance,
		LogKey:   server.LogKey{Origin: key.origin, Secret: key.secret, Public: key.public},
		LogBreak: p.notary.Break,
		Names:    d.certs.names,
		Proxies:  d.cfg.TrustedProxies,
		UID:      uint32(os.Geteuid()), //nolint:gosec // the kernel's own range
		Limits:   d.cfg.Limits, Version: d.opts.Version, Log: d.log,
	}
	p.running = Running{URL: d.certs.url(d.cfg.Listen[0]), CA: d.certs.ca, First: ""}
	p.running.First, err = firstLink(ctx, st, desk)
	return p, err
}

// loss returns what the database provably lost, and logs it: until it is over,
// openings that nobody knows any more stay for a while. keys says that the keys of
// the marks were there before the database.
func (p *parts) loss(ctx context.Context, keys bool) (adoption.Loss, error) {
	e, err := p.notary.evidence(ctx, keys)
	if err != nil {
		return adoption.Loss{}, fmt.Errorf("see whether the database is whole: %w", err)
	}
	now := p.clocks()
	l, err := adopt.Notice(ctx, p.store, e, now)
	if l.Fresh(now) {
		p.log.LogAttrs(ctx, slog.LevelWarn, "the database lost something; what is open by marks of ours is adopted and closes soon",
			slog.String("why", l.Why), slog.Time("since", l.At), slog.Duration("for_at_most", adoption.Window))
	}
	return l, err
}

// marks returns the keys of the marks, and whether they were made just now. They
// are made for a new database only, or when Options say so: whoever has lost them
// should know what that means.
func (d *Daemon) marks(ctx context.Context, st *store.Store) (k firewall.Keyring, made bool, err error) {
	_, err = ReadMarks(d.cfg.StateDir)
	if errors.Is(err, ErrNoMarks) {
		log, errLog := st.Tree(ctx)
		if errLog != nil {
			return firewall.Keyring{}, false, fmt.Errorf("see whether the database is new: %w", errLog)
		}
		if log.N > 0 && !d.opts.NewMarks {
			return firewall.Keyring{}, false, lostMarks(d.cfg.StateDir)
		}
	}
	k, made, err = ensureMarks(d.cfg.StateDir, st.Instance())
	if made {
		d.log.LogAttrs(ctx, slog.LevelInfo, "made the keys of the marks; keep a copy of the file apart from the database",
			slog.String("file", filepath.Join(d.cfg.StateDir, marksFile)))
	}
	return k, made, err
}

// firewalls are the providers of a configuration.
type firewalls struct {
	all     []provider.Provider
	closers []func() error
}

// Close lets go of all of them. What is locked stays locked.
func (f *firewalls) Close() error {
	if f == nil {
		return nil
	}
	var errs []error
	for _, c := range f.closers {
		errs = append(errs, c())
	}
	return errors.Join(errs...)
}

// firewalls makes the providers, with the keys that their marks are made with.
func (d *Daemon) firewalls(keys firewall.Keyring) (*firewalls, error) {
	out, err := openFirewalls(d.cfg, keys, d.clocks, d.log)
	if err == nil && d.opts.Providers != nil {
		out.all = append(out.all, d.opts.Providers(keys)...)
	}
	return out, err
}

// openFirewalls makes the providers that the configuration has: one of the hosts,
// and one for each cloud, which connects by itself.
func openFirewalls(cfg config.Config, keys firewall.Keyring, clocks func() access.Reading, log *slog.Logger) (*firewalls, error) {
	out := &firewalls{all: nil, closers: nil}
	if len(cfg.Hosts) > 0 {
		hosts := make([]nftables.Host, len(cfg.Hosts))
		for i, h := range cfg.Hosts {
			hosts[i] = nftables.Host{Name: h.Name, Addresses: h.Addresses, NetnsPath: h.NetNS}
		}
		p, err := nftables.New(nftables.Config{Hosts: hosts, Keyring: keys, Clocks: clocks, Log: log})
		if err != nil {
			return nil, fmt.Errorf("protect the hosts: %w", err)
		}
		out.all, out.closers = append(out.all, p), append(out.closers, p.Close)
	}
	for _, c := range clouds.Open(cfg, keys) {
		out.all = append(out.all, c)
	}
	return out, nil
}

// ownDoors returns the doors of this machine that the daemon listens on.
func ownDoors(cfg config.Config) []firewall.Door {
	var out []firewall.Door
	for _, h := range cfg.Hosts {
		for _, l := range cfg.Listen {
			if h.NetNS == "" {
				out = append(out, firewall.Door{VM: h.VM(), Protocol: firewall.TCP, Port: l.Port()})
			}
		}
	}
	return out
}

// newID makes an id from random bytes.
func newID(prefix string) string {
	var random [access.IDBytes]byte
	_, _ = rand.Read(random[:]) // never fails: it ends the process instead
	return access.NewID(prefix, random)
}

// recordStart records that the server started, and sees to it that root on the
// local socket is an administrator: whoever may write the state directory is one
// anyway, and somebody has to make the first token.
func (p *parts) recordStart(ctx context.Context) error {
	rec := p.record(audit.Started)
	rec.Text = "version " + p.face.Version
	root := authz.Assignment{Principal: authn.LocalAdmin(), Role: authz.Admin, Scope: scope.All}
	c := store.Change{Roles: store.RoleChange{Assign: []authz.Assignment{root}}, Records: []audit.Record{rec}}
	if err := p.store.Save(ctx, c); err != nil {
		return fmt.Errorf("record the start: %w", err)
	}
	return nil
}

// recordBreak records that the audit log is not the one that was signed.
func (p *parts) recordBreak(ctx context.Context, what string) error {
	rec := p.record(audit.LogBroken)
	rec.Text = what
	return p.store.Save(ctx, store.Change{Records: []audit.Record{rec}})
}

func (p *parts) record(kind audit.Kind) audit.Record {
	now := p.clocks()
	return audit.Record{Kind: kind, Time: firewall.Instant(now.Wall), Actor: access.System(), Clocks: now}
}

// listen opens every address, and the local socket.
func (d *Daemon) listen(ctx context.Context) ([]net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(d.cfg.Socket), 0o755); err != nil { //nolint:gosec // the socket itself is closed to others
		return nil, fmt.Errorf("make the local socket's directory: %w", err)
	}
	room := front.NewRoom(d.cfg.Limits.Connections)
	var all []net.Listener
	for _, addr := range d.cfg.Listen {
		l, err := front.Listen(ctx, addr, d.certs.config, room)
		if err != nil {
			return nil, errors.Join(err, closeAll(all))
		}
		all = append(all, l)
	}
	l, err := front.ListenSocket(ctx, d.cfg.Socket)
	if err != nil {
		return nil, errors.Join(err, closeAll(all))
	}
	return append(all, l), nil
}

func closeAll(listeners []net.Listener) error {
	var errs []error
	for _, l := range listeners {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
