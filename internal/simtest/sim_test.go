package simtest_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing/synctest"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/provider/memory"
	"github.com/sesame-access/sesame/internal/simtest"
)

// sim is a world in which a history is played, and what is expected of it.
type sim struct {
	ctx    context.Context
	h      history
	world  *memory.World
	walls  []*memory.Firewall
	vms    []inventory.VM
	clocks *simtest.Clocks
	inst   *simtest.Installation
	path   string

	// What the history has done to the world.
	faulty    bool      // some call to a firewall goes wrong
	late      bool      // some write lands later
	lateUntil time.Time // no write lands later than that
	stale     bool      // some read may show what was before
	handled   bool      // a hand has changed the firewalls since the last check
	refusing  bool      // some rules are refused
	dark      bool      // the inventory cannot be read
	blind     bool      // and a process has started since
	missing   bool      // of some machine something is not known
	backup    bool      // there is one
	displaced bool      // the database may have lost displaced rules
	offWall   time.Duration
	offThird  time.Duration
	boots     int
	// noise is the last moment at which something kept Sesame from closing, storm
	// the last at which something kept it from anything. Both are true times.
	noise, storm time.Time
	mortal       simtest.Death // the first process dies so, whatever the steps are
	calls        int           // that the last process made until the end of the steps

	model
}

const policies = 2

func newSim(ctx context.Context, h history, template, path string) (*sim, error) {
	keys := firewall.Keyring{Instance: "simulated", Keys: []firewall.MarkKey{{ID: "k1", Secret: []byte("0123456789abcdef")}}}
	s := &sim{
		ctx: ctx, h: h, world: memory.NewWorld(keys), clocks: simtest.NewClocks(), path: path,
		model: newModel(),
	}
	ids := []firewall.ID{"fw"}
	if h.Stacked {
		ids = append(ids, "host")
	}
	for _, id := range ids {
		s.walls = append(s.walls, s.world.Add(memory.Config{
			ID: id, Dialect: h.Dialect, Single: h.Single, WriteTime: h.Write, ReadLag: h.Lag,
		}))
	}
	for _, name := range []string{"web-1", "web-2"} {
		v := inventory.VM{ID: firewall.HostVM(name), Name: name, Paths: []inventory.Path{{Name: "in"}}}
		for _, id := range ids {
			v.Paths[0].Hops = append(v.Paths[0].Hops, inventory.Hop{Firewall: id})
		}
		s.vms = append(s.vms, v)
		s.world.AddVM(v)
	}
	for range s.walls {
		s.foreign = append(s.foreign, map[string]bool{})
		s.shown = append(s.shown, map[string]bool{})
	}
	var err error
	s.inst, err = simtest.Install(ctx, template, path, s.clocks, s.world)
	if err != nil {
		return nil, err
	}
	s.inst.Start(ctx)
	s.disturb()
	synctest.Wait()
	return s, nil
}

// delta is how long after the end of all noise everything must be right.
func (s *sim) delta() time.Duration { return time.Minute + 4*s.h.Write + 2*s.h.Lag }

// disturb notes that closing may have been kept from working until now, or will
// be for a while.
func (s *sim) disturb(ahead ...time.Duration) {
	at := s.clocks.Now()
	for _, d := range ahead {
		at = at.Add(d)
	}
	s.noise, s.storm = later(s.noise, at), later(s.storm, at)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// noisy reports whether something keeps Sesame from closing now. A disk, half an
// inventory, a refused rule or one wrong clock do not.
func (s *sim) noisy() bool {
	skewed := s.offWall != 0 || s.offThird != 0
	return s.faulty || s.blind || !s.inst.Running() || s.inst.Disk.Fault() == simtest.DiskDead && skewed
}

// stormy reports whether something keeps Sesame from opening now.
func (s *sim) stormy() bool {
	return s.noisy() || s.refusing || s.dark || s.missing || s.inst.Disk.Fault() != simtest.DiskGood || s.offWall != 0 || s.offThird != 0
}

// play plays the steps, then heals everything and sees it end well.
func (s *sim) play(steps []step) error {
	s.inst.Dies(s.mortal)
	for i, x := range steps {
		if err := s.check(); err != nil {
			return fmt.Errorf("before step %d: %w", i, err)
		}
		if err := s.do(x); err != nil {
			return fmt.Errorf("step %d (%s %d %d %d): %w", i, x.Kind, x.A, x.B, x.C, err)
		}
		synctest.Wait()
		s.reap()
		if err := s.check(); err != nil {
			return fmt.Errorf("after step %d (%s %d %d %d): %w", i, x.Kind, x.A, x.B, x.C, err)
		}
	}
	s.calls = s.inst.Calls()
	s.mortal = simtest.Death{}
	s.inst.Dies(s.mortal)
	return s.end()
}

// reap starts another process when the last one has died. A death that has not
// come yet will not come any more.
func (s *sim) reap() {
	if !s.inst.Running() {
		s.inst.Kill()
		s.rise()
	}
	if s.mortal.At == 0 {
		s.inst.Dies(simtest.Death{At: 0, After: false})
	}
	s.inst.Between(0, nil)
}

// rise starts a process.
func (s *sim) rise() {
	s.inst.Start(s.ctx)
	s.blind = s.dark
	s.disturb()
	s.forgetUnsaved()
	synctest.Wait()
}

// sleep lets time pass and looks in between, so that nothing short is missed.
func (s *sim) sleep(d time.Duration) error {
	for d > 0 {
		nap := min(d, 5*time.Minute)
		time.Sleep(nap)
		synctest.Wait()
		s.reap()
		d -= nap
		if err := s.check(); err != nil {
			return err
		}
	}
	return nil
}

// end heals everything, waits until it has settled and until every grant is over,
// and checks that nothing is left to do.
func (s *sim) end() error {
	for _, w := range s.walls {
		w.Mend()
	}
	s.mended()
	s.inst.Disk.Fail(simtest.DiskGood)
	s.world.Darken(nil)
	s.dark, s.blind, s.missing = false, false, false
	for _, v := range s.vms {
		s.world.AddVM(v)
	}
	s.mendClocks()
	s.disturb()
	if err := s.sleep(10 * time.Minute); err != nil {
		return fmt.Errorf("healed: %w", err)
	}
	if err := s.empty(); err != nil {
		return fmt.Errorf("healed and settled: %w", err)
	}
	last := s.clocks.Now()
	for _, g := range s.grants {
		if !g.lost && g.end.After(last) {
			last = g.end
		}
	}
	if err := s.sleep(last.Sub(s.clocks.Now()) + 2*s.delta()); err != nil {
		return fmt.Errorf("waiting for the end of all grants: %w", err)
	}
	if err := errors.Join(s.empty(), s.allClosed(), s.log()); err != nil {
		return fmt.Errorf("at the end: %w", err)
	}
	return nil
}

// empty fails unless a fresh plan has nothing to do. A grant may end just now, and
// a read may lag behind; so it looks more than once.
func (s *sim) empty() error {
	var err error
	for range 3 {
		if err = s.todo(); err == nil {
			return nil
		}
		time.Sleep(7*time.Second + 3*s.h.Write)
	}
	return err
}

func (s *sim) todo() error {
	p, err := s.inst.Fleet().Preview(s.ctx, nil, nil)
	if err != nil {
		return err
	}
	for _, x := range p.Plans {
		if !x.Empty() {
			return fmt.Errorf("there is something left to do on %s:\n%s%s", x.Firewall, x, s.world)
		}
	}
	return nil
}

// doors are the doors of the world.
func doors() []firewall.Door {
	var out []firewall.Door
	for _, d := range []struct {
		name string
		port uint16
	}{{"web-1", 22}, {"web-1", 3389}, {"web-2", 22}} {
		out = append(out, firewall.Door{VM: firewall.HostVM(d.name), Protocol: firewall.TCP, Port: d.port})
	}
	return out
}

// sources are what is asked for.
func sources() []netip.Prefix {
	var out []netip.Prefix
	for _, p := range []string{"203.0.113.1/32", "203.0.113.2/32", "203.0.113.3/32", "203.0.113.0/29", "2001:db8::1/128", "2001:db8::/64"} {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

// probes are where packets come from: one address of every kind that the sources
// tell apart, and some that nobody asks for.
func probes() []netip.Addr {
	var out []netip.Addr
	for _, a := range []string{
		"203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.4", "203.0.113.9", "198.51.100.7",
		"192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2", "2001:db8:1::1",
	} {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

// exempt is who is exempt where a policy exempts somebody.
func exempt() netip.Prefix { return netip.MustParsePrefix("192.0.2.1/32") }

func covered(sources []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(sources, func(p netip.Prefix) bool { return p.Contains(a) })
}
