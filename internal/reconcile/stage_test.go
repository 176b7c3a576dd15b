package reconcile_test

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/broker"
	"github.com/sesame-access/sesame/internal/broker/consent"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/policy"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/memory"
	"github.com/sesame-access/sesame/internal/simtest"
)

// A stage is what the verbs of a script act on: one world, one machine, and on
// it an installation called sesame and, once it is mentioned, others.
type stage struct {
	ctx      context.Context
	ar       *txtar.Archive
	dialect  memory.Dialect
	template string
	dir      string
	world    *memory.World
	walls    []firewall.ID
	vms      map[string]inventory.VM
	clocks   *simtest.Clocks
	sites    map[string]*simtest.Installation
	names    map[string]string // of grants, by id
	ids      map[string]string // of grants, by name
	last     error             // of the last verb that had to fail
	written  map[string]bool   // by -update, in another dialect too
	trouble  error             // of what happened in between
}

func newStage(t *testing.T, ar *txtar.Archive, d memory.Dialect, template, dir string) *stage {
	t.Helper()
	return &stage{
		ctx: t.Context(), ar: ar, dialect: d, template: template, dir: dir, world: memory.NewWorld(keys("sesame")),
		vms: map[string]inventory.VM{}, clocks: simtest.NewClocks(), sites: map[string]*simtest.Installation{},
		names: map[string]string{}, ids: map[string]string{},
	}
}

func keys(instance string) firewall.Keyring {
	return firewall.Keyring{Instance: instance, Keys: []firewall.MarkKey{{ID: "k1", Secret: []byte("0123456789abcdef" + instance)}}}
}

func (s *stage) close(t *testing.T) {
	t.Helper()
	for _, i := range s.sites {
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	}
}

// site returns the installation called name and lets it run.
func (s *stage) site(name string) (*simtest.Installation, error) {
	if s.sites[name] == nil {
		p := provider.Provider(s.world)
		if name != "sesame" {
			p = s.world.As(keys(name))
		}
		i, err := simtest.Install(s.ctx, s.template, filepath.Join(s.dir, name+".db"), s.clocks, p)
		if err != nil {
			return nil, err
		}
		i.Start(s.ctx)
		s.sites[name] = i
		synctest.Wait()
	}
	return s.sites[name], nil
}

func (s *stage) caller(a args) broker.Caller {
	p := simtest.Root()
	if a.named["by"] == "alice" {
		p = simtest.User()
	}
	return broker.Caller{Identity: access.Identity{Principal: p}}
}

// vm NAME FIREWALL,… [fork] [rooms=N] [write=D] [lag=D] [single] [outrank=NAME]: the
// firewalls are on one way, or each on its own.
func (s *stage) vm(_ string, a args) error {
	v := inventory.VM{ID: firewall.HostVM(a.at(0)), Name: a.at(0), Paths: []inventory.Path{{Name: "in"}}}
	for name := range strings.SplitSeq(a.at(1), ",") {
		id := firewall.ID(name)
		if a.has("fork") && len(v.Paths[0].Hops) > 0 {
			v.Paths = append(v.Paths, inventory.Path{Name: "in by " + name, Hops: []inventory.Hop{{Firewall: id}}})
		} else {
			v.Paths[0].Hops = append(v.Paths[0].Hops, inventory.Hop{Firewall: id})
		}
		if slices.Contains(s.walls, id) {
			continue
		}
		c := memory.Config{ID: id, Dialect: s.dialect, Single: a.has("single")}
		var errWrite, errLag error
		c.Rooms, _ = strconv.Atoi(a.named["rooms"])
		c.WriteTime, errWrite = a.duration("write")
		c.ReadLag, errLag = a.duration("lag")
		if err := errors.Join(errWrite, errLag); err != nil {
			return err
		}
		if x := a.named["outrank"]; x != "" {
			c.MayOutrank = []string{x}
		}
		s.world.Add(c)
		s.walls = append(s.walls, id)
		s.skew()
	}
	s.vms[a.at(0)] = v
	s.world.AddVM(v)
	return nil
}

// missing VM [WHAT…]: about the VM WHAT is not known; or all is.
func (s *stage) missing(_ string, a args) error {
	v := s.vms[a.at(0)]
	if len(a.plain) > 1 {
		v.Missing = []string{strings.Join(a.plain[1:], " ")}
	}
	s.world.AddVM(v)
	return nil
}

// detour VM [none]: a second way leads to the VM, and nobody knows who can come it.
func (s *stage) detour(_ string, a args) error {
	defer synctest.Wait()
	v := s.vms[a.at(0)]
	if !a.has("none") {
		v.Paths = append(slices.Clone(v.Paths), inventory.Path{Name: "somebody's bridge", Unsure: true})
	}
	s.world.AddVM(v)
	return nil
}

// inventory dark|light|without VM|with VM
func (s *stage) inventory(_ string, a args) error {
	switch a.at(0) {
	case "dark":
		s.world.Darken(errors.New("simulated fault"))
	case "light":
		s.world.Darken(nil)
	case "without":
		s.world.RemoveVM(s.vms[a.at(1)].ID)
	case "with":
		s.world.AddVM(s.vms[a.at(1)])
	default:
		return errors.New("dark, light, without or with?")
	}
	return nil
}

// enable POLICY VM:PORT,… [max=D] [exempt=SOURCE,…] [cut] [accept]: with accept,
// whatever is lost with it was shown and agreed to.
func (s *stage) enable(site string, a args) error {
	i, err := s.site(site)
	if err != nil {
		return err
	}
	most, err := a.duration("max")
	if err != nil {
		return err
	}
	p := policy.Policy{Name: a.at(0), Cut: a.has("cut")}
	for text := range strings.SplitSeq(a.at(1), ",") {
		d, err := door(text)
		if err != nil {
			return err
		}
		if !slices.Contains(p.VMs, d.VM) {
			p.VMs = append(p.VMs, d.VM)
		}
		port := policy.Port{Port: d.Port, Protocol: d.Protocol, Max: cmp.Or(most, 24*time.Hour), WidestIPv4: 8, WidestIPv6: 16}
		if !slices.ContainsFunc(p.Ports, func(x policy.Port) bool { return x.Port == d.Port && x.Protocol == d.Protocol }) {
			p.Ports = append(p.Ports, port)
		}
	}
	if p.Exempt, err = sources(a.named["exempt"]); err != nil {
		return err
	}
	var agreed broker.Agreed
	if p = p.WithDefaults(); a.has("accept") {
		shown, err := i.Broker().PreviewEnable(s.ctx, s.caller(a), p)
		if err != nil {
			return err
		}
		agreed.Losses = consent.Fingerprint(shown.Losses)
	}
	_, err = i.Broker().Enable(s.ctx, s.caller(a), p, agreed)
	synctest.Wait()
	return err
}

func sources(list string) (out []netip.Prefix, err error) {
	if list == "" {
		return nil, nil
	}
	for text := range strings.SplitSeq(list, ",") {
		p, err := firewall.ParseSource(text)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// disable VM:PORT [restore]: with restore, rules that are open or old, too.
func (s *stage) disable(site string, a args) error {
	i, err := s.site(site)
	if err != nil {
		return err
	}
	d, err := door(a.at(0))
	if err != nil {
		return err
	}
	return i.Broker().Disable(s.ctx, s.caller(a), []firewall.Door{d}, broker.Agreed{Restore: a.has("restore")})
}

// drop POLICY
func (s *stage) drop(site string, a args) error {
	i, err := s.site(site)
	if err != nil {
		return err
	}
	return i.Broker().DropPolicy(s.ctx, s.caller(a), a.at(0))
}

// open NAME VM:PORT from=SOURCE,… for=D [in=D]: a grant, which the script calls
// NAME. It fails unless the grant is read back open, or is to start later.
func (s *stage) open(site string, a args) error {
	i, err := s.site(site)
	if err != nil {
		return err
	}
	d, err := door(a.at(1))
	if err != nil {
		return err
	}
	from, errFrom := sources(a.named["from"])
	long, errFor := a.duration("for")
	ahead, errIn := a.duration("in")
	if err := errors.Join(errFrom, errFor, errIn); err != nil {
		return err
	}
	ask := broker.Ask{
		VM: string(d.VM), Ports: []broker.Port{{Number: d.Port, Protocol: d.Protocol}},
		Sources: from, Duration: long, Reason: "script", IdempotencyKey: a.named["key"],
	}
	if ahead > 0 {
		ask.Start = s.clocks.Read().Wall.Add(ahead)
	}
	answer, err := i.Broker().Request(s.ctx, broker.Caller{Identity: access.Identity{Principal: simtest.User()}}, ask)
	if err != nil {
		return err
	}
	g := answer.Grants[0]
	s.names[g.ID], s.ids[a.at(0)] = a.at(0), g.ID
	if g.State != "open" && ahead == 0 {
		return fmt.Errorf("%s: %s", g.State, g.Pending)
	}
	return nil
}

// close NAME. It fails unless the grant is read back closed.
func (s *stage) closeGrant(site string, a args) error {
	i, err := s.site(site)
	if err != nil {
		return err
	}
	g, err := i.Broker().Close(s.ctx, s.caller(a), s.ids[a.at(0)])
	if err == nil && g.State != "closed" {
		err = fmt.Errorf("%s: %s", g.State, g.Pending)
	}
	return err
}

// extend NAME for=D
func (s *stage) extend(site string, a args) error {
	i, err := s.site(site)
	if err != nil {
		return err
	}
	long, err := a.duration("for")
	if err != nil {
		return err
	}
	g, err := i.Broker().Extend(s.ctx, broker.Caller{Identity: access.Identity{Principal: simtest.User()}}, s.ids[a.at(0)], long)
	if err == nil && g.State != "open" {
		err = fmt.Errorf("%s: %s", g.State, g.Pending)
	}
	return err
}

// store up|full|dead|ambiguous|slow|fading|save FILE|restore FILE|lose|sign
func (s *stage) disk(site string, a args) error {
	i, err := s.site(site)
	if err != nil {
		return err
	}
	faults := map[string]simtest.DiskFault{
		"up": simtest.DiskGood, "full": simtest.DiskFull, "dead": simtest.DiskDead, "ambiguous": simtest.DiskAmbiguous,
		"slow": simtest.DiskSlow, "fading": simtest.DiskFading,
	}
	switch fault, ok := faults[a.at(0)]; {
	case ok:
		i.Disk.Fail(fault)
		return nil
	case a.at(0) == "save":
		return i.Backup(filepath.Join(s.dir, a.at(1)))
	case a.at(0) == "restore":
		return i.Restore(s.ctx, filepath.Join(s.dir, a.at(1)))
	case a.at(0) == "lose":
		return i.Restore(s.ctx, s.template)
	case a.at(0) == "sign":
		return i.Sign(s.ctx)
	}
	return errors.New("up, full, dead, ambiguous, slow, fading, save, restore, lose or sign?")
}

// row NAME COLUMN=VALUE…: somebody edits the row of a grant by hand.
func (s *stage) row(site string, a args) error {
	i, err := s.site(site)
	if err != nil {
		return err
	}
	db, err := sql.Open("sqlite", i.Path())
	if err != nil {
		return err
	}
	for column, value := range a.named {
		_, e := db.ExecContext(s.ctx, "UPDATE grants SET "+column+" = ? WHERE id = ?", value, s.ids[a.at(0)])
		err = errors.Join(err, e)
	}
	return errors.Join(err, db.Close())
}

// restart: the process dies, and another one starts.
func (s *stage) restart(site string, _ args) error {
	i, err := s.site(site)
	if err != nil {
		return err
	}
	i.Kill()
	i.Start(s.ctx)
	synctest.Wait()
	return nil
}

// stop: an operator stops the process.
func (s *stage) stop(site string, _ args) error {
	i, err := s.site(site)
	if err != nil {
		return err
	}
	i.Stop()
	return nil
}

func (s *stage) start(site string, _ args) error {
	i, err := s.site(site)
	if err != nil {
		return err
	}
	i.Start(s.ctx)
	synctest.Wait()
	return nil
}

// dies N [after]: the process dies at its Nth call from now on.
func (s *stage) dies(site string, a args) error {
	i, err := s.site(site)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(a.at(0))
	i.Dies(simtest.Death{At: n, After: a.has("after")})
	return err
}

// between N end GRANT, between N disable VM:PORT, between N step D: right before
// the process's Nth call from now on, somebody does that behind its back, or sets
// the wall clock.
func (s *stage) between(site string, a args) error {
	i, err := s.site(site)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(a.at(0))
	if err != nil {
		return err
	}
	behind := map[string]func(string) error{
		"end": func(grant string) error { return i.End(s.ctx, s.ids[grant]) },
		"disable": func(text string) error {
			d, err := door(text)
			return errors.Join(err, i.Unlock(s.ctx, d))
		},
		"step": func(text string) error {
			d, err := time.ParseDuration(text)
			s.clocks.Step(d)
			s.skew()
			return err
		},
	}[a.at(1)]
	if behind == nil {
		return errors.New("end, disable or step?")
	}
	i.Between(n, func() {
		s.trouble = errors.Join(s.trouble, behind(a.at(2)))
		time.Sleep(time.Second)
	})
	return nil
}

// clock step|suspend|third D, clock reboot|mend
func (s *stage) clock(site string, a args) error {
	d, err := time.ParseDuration(cmp.Or(a.at(1), "0"))
	if err != nil {
		return err
	}
	switch a.at(0) {
	case "step":
		s.clocks.Step(d)
	case "suspend":
		s.clocks.Suspend(d)
	case "third":
		s.clocks.StepThird(d)
	case "mend":
		s.clocks.Mend()
	case "reboot":
		i, err := s.site(site)
		if err != nil {
			return err
		}
		i.Kill()
		s.clocks.Reboot()
		s.skew()
		i.Start(s.ctx)
	default:
		return errors.New("step, suspend, third, mend or reboot?")
	}
	s.skew()
	return nil
}

// skew tells the firewalls what their own clocks show: a kernel's is the
// machine's, a cloud's is somebody else's.
func (s *stage) skew() {
	others, own := s.clocks.Skews()
	for _, id := range s.walls {
		if s.dialect == memory.Keyed {
			s.world.Firewall(id).Skew(own)
		} else {
			s.world.Firewall(id).Skew(others)
		}
	}
}

// sleep D, to the nanosecond.
func (s *stage) sleep(_ string, a args) error {
	d, err := time.ParseDuration(a.at(0))
	time.Sleep(d)
	synctest.Wait()
	return err
}
