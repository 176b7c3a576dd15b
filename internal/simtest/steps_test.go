package simtest_test

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/broker"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/policy"
	"github.com/sesame-access/sesame/internal/provider/memory"
	"github.com/sesame-access/sesame/internal/simtest"
)

type planChange = plan.Change

func root() broker.Caller { return broker.Caller{Identity: access.Identity{Principal: simtest.Root()}} }

func user() broker.Caller { return broker.Caller{Identity: access.Identity{Principal: simtest.User()}} }

// do makes one step happen. What people are refused is no failure, as long as
// they are told in a way that they understand.
func (s *sim) do(x step) error {
	switch x.Kind {
	case "request":
		return s.request(x)
	case "close":
		return s.close(x)
	case "extend":
		return s.extend(x)
	case "together":
		return s.together(x)
	case "between":
		return s.between(x)
	case "enable", "disable", "drop":
		return s.lock(x)
	case "wait":
		return s.sleep(time.Duration(1+x.A) * 3 * time.Second)
	case "linger":
		return s.sleep(time.Duration(1+x.A) * 7 * time.Minute)
	case "fault", "mend":
		return s.fault(x)
	case "tamper", "foreign":
		return s.meddle(x)
	case "disk":
		s.inst.Disk.Fail([]simtest.DiskFault{
			simtest.DiskFull, simtest.DiskDead, simtest.DiskAmbiguous, simtest.DiskSlow, simtest.DiskFading,
		}[x.A%5])
	case "disk-good":
		s.inst.Disk.Fail(simtest.DiskGood)
	case "crash":
		s.inst.Dies(simtest.Death{At: 1 + x.B%25, After: x.C%2 == 0})
		return s.do(step{Kind: []string{"request", "close", "extend", "enable", "wait", "disable"}[x.A%6], A: x.C, B: x.A, C: x.B})
	case "restart":
		return s.restart(x)
	case "step", "suspend", "third", "reboot", "clocks-good":
		return s.clock(x)
	case "backup", "restore":
		return s.copies(x)
	case "dark", "light", "missing", "found":
		s.inventory(x)
	default:
		return fmt.Errorf("no such step")
	}
	return nil
}

// told fails on an error that tells nobody anything.
func told(err error) error {
	if err != nil && errkind.Of(err) == errkind.Internal && !errors.Is(err, simtest.ErrDead) {
		return fmt.Errorf("an error without a kind: %w", err)
	}
	return nil
}

func (s *sim) request(x step) error {
	d := doors()[x.A%3]
	long := time.Duration(1+x.C) * time.Minute
	ask := broker.Ask{
		VM: string(d.VM), Ports: []broker.Port{{Number: d.Port, Protocol: d.Protocol}},
		Sources: []netip.Prefix{sources()[x.B%6]}, Duration: long, Reason: "simulated",
	}
	if x.B%7 == 6 {
		ask.Sources = []netip.Prefix{sources()[0], sources()[4]}
	}
	if x.A%5 == 4 {
		ask.Start = s.clocks.Read().Wall.Add(time.Duration(x.B) * time.Minute)
	}
	answer, err := s.inst.Broker().Request(s.ctx, user(), ask)
	if err != nil {
		return told(err)
	}
	for _, g := range answer.Grants {
		// An answer that it is open is true.
		for _, p := range g.Sources {
			if g.State == access.Open && !s.world.Admits(d, p.Addr()) && s.inst.Running() && !s.faulty {
				return fmt.Errorf("%s is said to be open for %s, and is not\n%s", d, p, s.world)
			}
		}
	}
	return nil
}

// grant picks a grant of the book.
func (s *sim) grant(n int) (string, bool) {
	var ids []string
	for id, g := range s.grants {
		if !g.lost && g.Closed.IsZero() {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return "", false
	}
	slices.Sort(ids)
	return ids[n%len(ids)], true
}

func (s *sim) close(x step) error {
	id, ok := s.grant(x.A)
	if !ok {
		return nil
	}
	caller := user()
	if x.B%2 == 0 {
		caller = root()
	}
	was := s.grants[id]
	_, err := s.inst.Broker().Close(s.ctx, caller, id)
	if err != nil {
		return told(err)
	}
	full := s.inst.Disk.Fault() == simtest.DiskFull || s.inst.Disk.Fault() == simtest.DiskFading
	if s.inst.Running() && full && was.end.After(s.clocks.Now()) && was.Ended.At.IsZero() {
		s.unsaved[id] = true
		s.noise = later(s.noise, s.clocks.Now()) // it has the time that any close has
	}
	return nil
}

func (s *sim) extend(x step) error {
	id, ok := s.grant(x.A)
	if !ok {
		return nil
	}
	_, err := s.inst.Broker().Extend(s.ctx, user(), id, time.Duration(1+x.C)*time.Minute)
	return told(err)
}

// together closes and extends a grant, and asks for the same, all at once.
func (s *sim) together(x step) error {
	var all sync.WaitGroup
	errs := make([]error, 3)
	for i, f := range []func(step) error{s.close, s.extend, s.request} {
		if i == 0 && s.inst.Disk.Fault() != simtest.DiskGood {
			continue // closing without a book is tried alone
		}
		all.Go(func() { errs[i] = f(x) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// between lets somebody else end a grant in the middle of what is done to extend
// it, without telling anybody.
func (s *sim) between(x step) error {
	id, ok := s.grant(x.A)
	if !ok {
		return nil
	}
	s.inst.Between(1+x.B%12, func() {
		_ = s.inst.End(s.ctx, id) // it may have ended
		time.Sleep(time.Second)
	})
	return s.extend(x)
}

func (s *sim) lock(x step) error {
	name := []string{"ssh", "rdp"}[x.A%policies]
	switch x.Kind {
	case "enable":
		p := policy.Policy{Name: name, Cut: x.C%4 == 0}
		if name == "ssh" {
			p.VMs = []firewall.VMID{firewall.HostVM("web-1"), firewall.HostVM("web-2")}
			p.Ports = []policy.Port{{Port: 22, Protocol: firewall.TCP}}
		} else {
			p.VMs = []firewall.VMID{firewall.HostVM("web-1")}
			p.Ports = []policy.Port{{Port: 3389, Protocol: firewall.TCP}}
		}
		p.Ports[0].Max, p.Ports[0].WidestIPv4, p.Ports[0].WidestIPv6 = 50*time.Minute, 29, 64
		if x.B%3 == 0 {
			p.Exempt = []netip.Prefix{exempt()}
		}
		_, err := s.inst.Broker().Enable(s.ctx, root(), p.WithDefaults(), broker.Agreed{})
		return told(err)
	case "disable":
		d := doors()[x.B%3]
		delete(s.secured, d)
		return told(s.inst.Broker().Disable(s.ctx, root(), []firewall.Door{d}, broker.Agreed{Restore: true}))
	}
	return told(s.inst.Broker().DropPolicy(s.ctx, root(), name))
}

func (s *sim) fault(x step) error {
	if err := s.check(); err != nil {
		return err
	}
	wall := s.walls[x.B%len(s.walls)]
	if x.Kind == "mend" {
		for _, w := range s.walls {
			w.Mend()
		}
		s.mended()
		return nil
	}
	f := memory.Fault{Kind: memory.FaultKind(1 + x.A%8), Times: x.C % 4}
	if f.Kind == memory.Late {
		s.late = true
		f.Delay, f.Quiet, f.Times = time.Duration(1+x.C)*4*time.Second, x.B%2 == 0, 1
	}
	s.stale = s.stale || f.Kind == memory.Stale
	if f.Kind == memory.Refuse {
		f.Door, s.refusing = doors()[x.C%3], true
	} else {
		s.faulty = true
	}
	wall.Fail(f)
	return nil
}

const latest = 240 * time.Second

// mended notes that the firewalls answer again. What is late still comes.
func (s *sim) mended() {
	s.disturb()
	if s.late {
		s.disturb(latest)
		s.lateUntil = s.noise
	}
	s.handled = s.handled || s.stale
	s.faulty, s.refusing, s.late, s.stale = false, false, false, false
}

// meddle is what hands do to a firewall.
func (s *sim) meddle(x step) error {
	if err := s.check(); err != nil { // what happened before was nobody's hand
		return err
	}
	i := x.B % len(s.walls)
	w := s.walls[i]
	if x.Kind == "foreign" {
		return s.addForeign(x, i)
	}
	rules := w.State().Rules
	owned := slices.DeleteFunc(slices.Clone(rules), func(r memory.Rule) bool { return !w.State().Ours(r) })
	switch {
	case x.A%6 == 0:
		w.FlushOwned()
	case x.A%6 == 1 && len(rules) > 0:
		r := rules[x.C%len(rules)]
		w.Remove(r.Name)
		delete(s.foreign[i], r.Text())
	case len(owned) == 0:
		return nil
	default:
		r := owned[x.C%len(owned)]
		w.Edit(r.Name, func(r *memory.Rule) {
			switch x.A % 6 {
			case 2:
				r.From = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
			case 3:
				r.Note = ""
			case 4:
				r.Closes = time.Time{}
			case 5:
				r.First, r.Last = 22, 23
			}
		})
		if found, ok := w.Rule(r.Name); ok && !w.State().Ours(found) && r.Text() != found.Text() {
			s.foreign[i][found.Text()] = true // without its mark nobody knows it as ours
		}
	}
	s.undone()
	return nil
}

// undone notes that hands were on the firewalls.
func (s *sim) undone() {
	clear(s.secured)
	s.handled = true
	s.disturb()
}

// addForeign adds a rule of somebody else.
func (s *sim) addForeign(x step, i int) error {
	port := []uint16{22, 3389, 443}[x.A%3]
	r := memory.Rule{
		Name: fmt.Sprintf("theirs-%d", x.C%5), Action: firewall.Allow, Protocol: firewall.TCP, First: port, Last: port,
		From: []netip.Prefix{netip.MustParsePrefix([]string{"0.0.0.0/0", "198.51.100.0/24", "203.0.113.2/32"}[x.B%3])}, Extra: "kept as it is",
	}
	if s.h.Dialect == memory.Numbered {
		r.Priority = 3000 + x.C
	}
	if s.h.Dialect != memory.Union && x.B%4 == 3 && port == 443 {
		r.Action = firewall.Deny
	}
	if was, ok := s.walls[i].Rule(r.Name); ok {
		delete(s.foreign[i], was.Text())
	}
	if s.walls[i].Put(r) == nil {
		s.foreign[i][r.Text()] = true
	}
	s.undone()
	return nil
}

// restart ends the process, as an operator or a power failure does, and starts
// another after a while.
func (s *sim) restart(x step) error {
	if x.A%2 == 0 {
		s.inst.Stop()
	} else {
		s.inst.Kill()
	}
	time.Sleep(time.Duration(x.B) * 10 * time.Second)
	s.rise()
	return nil
}

func (s *sim) clock(x step) error {
	by := []time.Duration{
		-time.Hour, time.Hour, -10 * 365 * 24 * time.Hour, 10 * 365 * 24 * time.Hour, -40 * time.Second, 40 * time.Second, -time.Second, time.Second,
	}[x.A%8]
	switch x.Kind {
	case "step":
		s.clocks.Step(by)
		s.offWall += by
	case "third":
		s.clocks.StepThird(by)
		s.offThird += by
	case "suspend":
		s.clocks.Suspend(time.Duration(1+x.A) * 2 * time.Minute)
		s.handled = true // the bubble's clock is behind from here on
		s.disturb()
	case "reboot":
		s.inst.Kill()
		s.clocks.Reboot()
		s.boots++
		s.skew()
		s.rise()
	case "clocks-good":
		s.mendClocks()
	}
	s.skew()
	return nil
}

func (s *sim) mendClocks() {
	s.clocks.Mend()
	s.offWall, s.offThird = 0, 0
	s.skew()
}

// skew tells the firewalls what their own clocks show.
func (s *sim) skew() {
	others, own := s.clocks.Skews()
	for _, w := range s.walls {
		if s.h.Dialect == memory.Keyed {
			w.Skew(own)
		} else {
			w.Skew(others)
		}
	}
}

// copies takes a copy of the database, or puts it back.
func (s *sim) copies(x step) error {
	if x.Kind == "backup" {
		s.backup = true
		return s.inst.Backup(s.path + ".copy")
	}
	if !s.backup {
		return nil
	}
	if x.A%2 == 0 { // then the loss is proven, and what is open is adopted
		if err := s.inst.Sign(s.ctx); err != nil {
			return err
		}
	}
	s.inst.Kill()
	if err := s.inst.Restore(s.ctx, s.path+".copy"); err != nil {
		return err
	}
	s.displaced = true
	clear(s.ever)
	maps.DeleteFunc(s.secured, func(firewall.Door, bool) bool { return true })
	s.rise()
	return s.learn(true)
}

func (s *sim) inventory(x step) {
	vm := s.vms[x.A%2]
	switch x.Kind {
	case "dark":
		s.world.Darken(errors.New("simulated fault"))
		s.dark = true
	case "light":
		s.world.Darken(nil)
		s.dark, s.blind = false, false
		s.disturb()
	case "missing":
		vm.Missing = []string{"something could not be read"}
		s.world.AddVM(vm)
		s.missing = true
	case "found":
		for _, v := range s.vms {
			s.world.AddVM(v)
		}
		s.missing = false
		s.storm = later(s.storm, s.clocks.Now().Add(5*time.Minute)) // until the inventory is read again
	}
}
