package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/sesame-access/sesame/internal/api/client"
	"github.com/sesame-access/sesame/internal/api/rights"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/config"
	"github.com/sesame-access/sesame/internal/daemon"
	"github.com/sesame-access/sesame/internal/demo/ground"
	"github.com/sesame-access/sesame/internal/demo/place"
	"github.com/sesame-access/sesame/internal/demo/program"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/policy"
)

// A server is the daemon, running in this process, and what the demo knows of
// it from the outside: it speaks to it over the local socket, as root would.
type server struct {
	admin *client.Client
	url   string
	ca    string // path

	log    *os.File
	cancel context.CancelFunc
	done   chan struct{}
	err    error // of the daemon; read it when done is closed
}

// startTime is how long the server, and everything that it sets up at the
// beginning, may take.
const startTime = 20 * time.Second

// startServer starts the daemon over the site and returns when it answers, on
// the usual port unless somebody else has it.
func startServer(ctx context.Context, p *place.Place, at ground.Site) (*server, error) {
	const tries = 3
	wanted := config.Default().Listen[0].Port()
	for n := 1; ; n++ {
		port, err := ground.FreePort(ctx, at.You, wanted)
		if err != nil {
			return nil, err
		}
		s, err := startAt(ctx, p, at, netip.AddrPortFrom(at.You, port))
		if n == tries || !errors.Is(err, syscall.EADDRINUSE) {
			return s, err
		}
		wanted = 0
	}
}

// startAt starts the daemon on an address.
func startAt(ctx context.Context, p *place.Place, at ground.Site, listen netip.AddrPort) (*server, error) {
	cfg := config.Default()
	cfg.Listen = []netip.AddrPort{listen}
	cfg.Socket, cfg.StateDir = p.Path(socketFile), p.Path(stateDir)
	cfg.Hosts = at.Hosts
	cfg.Limits.Rate = 10_000 // everybody here is one machine
	s := &server{url: "https://" + listen.String(), done: make(chan struct{})}
	var err error
	if s.log, err = os.OpenFile(p.Path("server.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
		return nil, fmt.Errorf("open the server's log: %w", err)
	}
	ready := make(chan daemon.Running, 1)
	d, err := daemon.New(cfg, daemon.Options{
		Log: slog.New(slog.NewTextHandler(s.log, nil)), Clocks: nil, Providers: at.Providers, NewMarks: false,
		Version: "demo", NotifySocket: "", Ready: func(r daemon.Running) { ready <- r },
	})
	if err != nil {
		return nil, errors.Join(err, s.log.Close())
	}
	// The server outlives ctx until stop, so that what happens at the end of ctx
	// can still be put right.
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	go func() {
		defer close(s.done)
		s.err = d.Run(life)
	}()
	select {
	case r := <-ready:
		s.ca = r.CA
	case <-s.done:
		return nil, errors.Join(errkind.New(errkind.Unavailable, "the server ended as it started"), s.stop())
	case <-time.After(startTime):
		return nil, errors.Join(errkind.New(errkind.Unavailable, "the server was not ready within %v", startTime), s.stop())
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), s.stop())
	}
	if s.admin, err = client.New(client.Config{Socket: cfg.Socket}); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// stop ends the daemon and waits for it.
func (s *server) stop() error {
	if s.admin != nil {
		s.admin.CloseIdle()
	}
	s.cancel()
	<-s.done
	return errors.Join(s.err, s.log.Close())
}

// settle makes a token for each of the people, and the policies, and waits until
// the doors are shut. So many VMs have to be known first.
func (s *server) settle(ctx context.Context, at ground.Site, machines int, story bool) (program.Env, error) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	e := program.Env{URL: s.url, CA: s.ca, SSHConfig: "", Tokens: map[authz.Role]string{}}
	for _, p := range program.People() {
		t, err := s.admin.CreateToken(ctx, rights.NewToken{Name: p.Name, Role: string(p.Role), Person: "new"})
		if err != nil {
			return program.Env{}, fmt.Errorf("make a token for %s: %w", p.Name, err)
		}
		e.Tokens[p.Role] = t.Secret
	}
	policies := []policy.Policy{s.policy("ssh", at, sshPort, web, db)}
	if story {
		policies = append(policies, s.policy("admin-page", at, otherPort, web))
	}
	if err := s.awaitVMs(ctx, machines); err != nil {
		return program.Env{}, err
	}
	for _, p := range policies {
		if _, err := s.admin.PutPolicy(ctx, p.Name, policy.Format(p), false); err != nil {
			return program.Env{}, fmt.Errorf("protect the VMs: %w", err)
		}
	}
	return e, s.awaitLocks(ctx, policies)
}

// policy makes one port of some VMs just-in-time.
func (s *server) policy(name string, at ground.Site, port uint16, vms ...string) policy.Policy {
	p := policy.Policy{
		Name: name, Version: 0, VMs: nil, Exempt: nil, Cut: false,
		Ports: []policy.Port{{
			Port: port, Protocol: firewall.TCP, Max: time.Hour, Sources: at.Allowed,
			WidestIPv4: 0, WidestIPv6: 0,
		}},
	}
	for _, vm := range vms {
		p.VMs = append(p.VMs, firewall.HostVM(vm))
	}
	return p.WithDefaults()
}

// awaitVMs returns when the server has read its inventory.
func (s *server) awaitVMs(ctx context.Context, machines int) error {
	for {
		known, err := s.admin.VMs(ctx)
		if err != nil || len(known) == machines {
			return err
		}
		if err := pause(ctx, pollEvery); err != nil {
			return errkind.Wrap(errkind.Unavailable, err, "the server did not find the VMs in time")
		}
	}
}

// awaitLocks returns when every door of the policies was read back locked.
func (s *server) awaitLocks(ctx context.Context, policies []policy.Policy) error {
	doors := 0
	for _, p := range policies {
		doors += len(p.Doors())
	}
	for {
		known, err := s.admin.VMs(ctx)
		if err != nil {
			return err
		}
		locked, why := 0, "nothing is said about it"
		for _, v := range known {
			for _, d := range v.Doors {
				if d.Locked && d.Failing == "" {
					locked++
				} else if d.Failing != "" {
					why = v.Name + ": " + d.Failing
				}
			}
		}
		if locked == doors {
			return nil
		}
		if err := pause(ctx, pollEvery); err != nil {
			return errkind.Wrap(errkind.Unavailable, err, "the firewalls did not close in time: %s", why)
		}
	}
}
