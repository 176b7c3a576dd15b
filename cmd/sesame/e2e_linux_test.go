package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/netlab/netlabtest"
	"github.com/sesame-access/sesame/internal/plan"
)

// early and late bound when the kernel closes a door. Its timers run out a few
// milliseconds early, and never late.
const (
	early = 50 * time.Millisecond
	late  = 20 * time.Millisecond
)

// TestEndToEnd runs real servers over real VMs. Grants last a minute at least,
// so that everything begins at once and waits together.
func TestEndToEnd(t *testing.T) {
	b := newBench(t, "one", "other", "reset", "flush", "share", "longer", "six", "crash", "mid", "restart", "sweep")
	steady := b.serve(t, "steady", 8443, "one", "other", "reset", "flush", "share", "longer", "six")
	// Not t.Parallel, which runs no more tests at a time than there are processors.
	var together sync.WaitGroup
	defer together.Wait()
	for name, test := range map[string]func(*server){
		"OneSource": (*server).oneSource, "ProvokedReset": (*server).provokedReset, "Flushed": (*server).flushed,
		"TwoGrants": (*server).twoGrants, "Extension": (*server).extension, "IPv6": (*server).overIPv6,
	} {
		together.Go(func() {
			t.Run(name, func(t *testing.T) {
				s := *steady
				s.t = t
				test(&s)
			})
		})
	}
	for i, c := range []struct {
		name, vm string
		test     func(*server)
	}{
		{"KilledBeforeExpiry", "crash", (*server).killedBeforeExpiry},
		{"KilledAndBackBeforeExpiry", "mid", (*server).killedAndBackBeforeExpiry},
		{"RestartedBeforeExpiry", "restart", (*server).restartedBeforeExpiry},
		{"SweepAlone", "sweep", (*server).sweepAlone},
	} {
		together.Go(func() {
			t.Run(c.name, func(t *testing.T) { c.test(b.serve(t, c.name, uint16(8444+i), c.vm)) })
		})
	}
	together.Go(func() { t.Run("KilledDemo", killedDemo) })
}

// closesOnTime has alice knock at the cheap port around the deadline and fails
// unless it closes then.
func (b *bench) closesOnTime(t testing.TB, vm string, deadline time.Time) {
	t.Helper()
	w := b.watch(t, vm, deadline.Add(-time.Second), deadline.Add(time.Second))
	in, out := w.last.Sub(deadline), w.refused.Sub(deadline)
	t.Logf("%s: %d connections got in, the last one %v after the deadline; the first refused one began %v after it", vm, w.got, in, out)
	if w.got == 0 || w.missed > 0 || in > late || out < -early {
		t.Errorf("%s closed between %v and %v after the deadline, and %d connections were refused before that; want -%v to %v", vm, in, out, w.missed, early, late)
	}
}

// tookEffect logs what the server measured about a grant, and fails if it
// claims what cannot be.
func (s *server) tookEffect(vm string) {
	s.t.Helper()
	for _, r := range s.records(vm, audit.Opened, audit.Closed, audit.Repaired) {
		for _, m := range r.Measures {
			s.t.Logf("%s %s: %s %s", vm, r.Kind, m.Name, m.Took)
		}
	}
}

func (s *server) oneSource() {
	t := s.t
	s.wants(t, false, "one", sshPort, "alice", "bob", "stranger")
	_, errs, code := s.run(s.lab.Client("alice"), "alice", "open", "one", "--from", "0.0.0.0/0")
	if code != 3 || !strings.Contains(errs, "wider") {
		t.Errorf("everybody can be let in: exit code %d, %q", code, errs)
	}
	g := s.open("alice", "one", "--port", "22", "--port", "8080", "--for", "1m", "--reason", "read the logs")
	if len(g) != 2 || g[0].Sources[0] != s.lab.Client("alice").Addr4().String() {
		t.Fatalf("alice got %+v", g)
	}
	session := s.ssh(t, "one")
	s.wants(t, false, "one", sshPort, "bob", "stranger")
	s.wants(t, false, "other", sshPort, "alice") // nobody asked for that machine
	deadline := g[0].Deadline.Time
	s.closesOnTime(t, "one", deadline)
	session.alive(t)
	s.wants(t, false, "one", sshPort, "alice", "bob", "stranger")
	done := s.closed(g[0].ID)
	t.Logf("read back closed %v after the deadline", done.Closed.Sub(deadline))
	s.tookEffect("one")
	session.alive(t)
}

// provokedReset keeps a connection until its grant is over, resets it, and
// begins a new one from the same port: a firewall that trusts what it remembers
// of connections would let that in.
func (s *server) provokedReset() {
	t := s.t
	g := s.open("alice", "reset", "--port", "8080", "--for", "1m")
	const port = 40123
	to := netip.AddrPortFrom(s.lab.VM("reset").Addr4(), cheapPort)
	c, err := s.lab.Client("alice").DialFrom(t.Context(), "tcp", port, to.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	echo(t, c)
	until(g[0].Deadline.Time.Add(100 * time.Millisecond))
	echo(t, c) // what is established stays
	if err := netlabtest.Abort(c); err != nil {
		t.Fatal(err)
	}
	if s.knock(t, "alice", to, port, refusal) {
		t.Error("after the reset a new connection from the old port got in")
	}
	s.closed(g[0].ID)
}

// echo fails unless the service repeats what it hears.
func echo(t testing.TB, c net.Conn) {
	t.Helper()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	heard := make([]byte, 4)
	if _, err := c.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(heard); err != nil || string(heard[:n]) != "ping" {
		t.Fatalf("the service answers %q, %v", heard[:n], err)
	}
}

// flushed deletes all rules of the VM by hand, ten times, with a busy stranger
// at the door.
func (s *server) flushed() {
	t := s.t
	g := s.open("alice", "flush", "--port", "22", "--port", "8080", "--for", "1m")
	session := s.ssh(t, "flush")
	var gaps []time.Duration
	for range 10 {
		ctx, stop := context.WithCancel(t.Context())
		seen := make(chan [2]time.Time, 1)
		go func() { seen <- s.strangersIn(ctx, "flush") }()
		time.Sleep(20 * time.Millisecond)
		if out, err := s.lab.VM("flush").Command(t.Context(), "nft", "flush", "ruleset").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		time.Sleep(300 * time.Millisecond)
		stop()
		in := <-seen
		gap := in[1].Sub(in[0]) // zero when nobody was quick enough
		gaps = append(gaps, gap)
		s.wants(t, false, "flush", sshPort, "stranger")
		s.wants(t, true, "flush", sshPort, "alice")
	}
	session.alive(t)
	slices.Sort(gaps)
	t.Logf("a busy stranger got in for %v after a flush (median %v)", gaps, gaps[len(gaps)/2])
	if gaps[len(gaps)-1] > 2*time.Second {
		t.Errorf("the longest gap was %v", gaps[len(gaps)-1])
	}
	repaired := s.records("flush", audit.Repaired)
	for _, r := range repaired {
		t.Logf("repaired %s: %s, by %v", r.Door, r.Text, r.By)
		if len(r.By) == 0 || !strings.HasPrefix(r.By[0], "nft (pid ") {
			t.Errorf("the repair of what nft did was recorded with %v", r.By)
		}
	}
	if len(repaired) == 0 { // what is repaired soon after is in the next record
		t.Errorf("%d flushes, and no record of a repair", len(gaps))
	}
	s.tookEffect("flush")
	s.closesOnTime(t, "flush", g[0].Deadline.Time)
	s.wants(t, false, "flush", sshPort, "alice", "stranger")
}

// strangersIn has eight strangers knock at the cheap port until ctx is done (a
// packet that is dropped keeps one waiting), and returns when one first and last
// got through; zero if none did.
func (b *bench) strangersIn(ctx context.Context, vm string) (in [2]time.Time) {
	to := netip.AddrPortFrom(b.lab.VM(vm).Addr4(), cheapPort).String()
	var all sync.WaitGroup
	var mu sync.Mutex
	for i := range 8 {
		all.Go(func() {
			for time.Sleep(time.Duration(i) * time.Millisecond); ctx.Err() == nil; {
				limit, cancel := context.WithTimeout(ctx, 8*time.Millisecond)
				at := time.Now()
				c, err := b.lab.Client("stranger").Dial(limit, "tcp", to)
				cancel()
				if err != nil {
					continue
				}
				netlabtest.Abort(c)
				mu.Lock()
				if in[0].IsZero() || at.Before(in[0]) {
					in[0] = at
				}
				in[1] = time.Now()
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return in
}

// twoGrants has two people open one door for one source.
func (s *server) twoGrants() {
	t := s.t
	shared := s.lab.Client("alice").Addr4().String()
	first := s.open("alice", "share", "--port", "8080", "--for", "1h")
	second := s.open("bob", "share", "--port", "8080", "--for", "1m", "--from", shared)
	s.wants(t, true, "share", cheapPort, "alice")
	s.wants(t, false, "share", cheapPort, "bob")
	s.must(s.lab.Client("alice"), "alice", "close", first[0].ID)
	s.wants(t, true, "share", cheapPort, "alice") // for bob's grant
	if _, errs, code := s.run(s.lab.Client("bob"), "bob", "close", first[0].ID); code == 0 {
		t.Errorf("bob closes what is not his: %s", errs)
	}
	third := s.open("alice", "share", "--port", "8080", "--for", "1h")
	s.closedOnly(second[0], "share")
	s.wants(t, true, "share", cheapPort, "alice") // bob's has expired, alice's has not
	s.must(s.lab.Client("alice"), "alice", "close", third[0].ID)
	s.wants(t, false, "share", cheapPort, "alice", "bob")
}

// closedOnly waits for the end of one of two grants on a key and fails if a
// connection was refused meanwhile.
func (s *server) closedOnly(g api.Grant, vm string) {
	s.t.Helper()
	s.staysOpen(vm, "around the end of one grant of two", g.Deadline.Add(-time.Second), g.Deadline.Add(time.Second))
	s.closed(g.ID)
}

// staysOpen fails if alice is refused at the cheap port meanwhile.
func (s *server) staysOpen(vm, when string, begin, end time.Time) {
	s.t.Helper()
	w := s.watch(s.t, vm, begin, end)
	s.t.Logf("%s %d connections got in", when, w.got)
	if w.got == 0 || !w.refused.IsZero() {
		s.t.Errorf("%s %d connections got in, and one that began at %v did not", when, w.got, w.refused)
	}
}

// extension extends a grant through its first deadline.
func (s *server) extension() {
	t := s.t
	g := s.open("alice", "longer", "--port", "8080", "--for", "1m")
	until(g[0].Deadline.Add(-30 * time.Second))
	s.must(s.lab.Client("alice"), "alice", "extend", g[0].ID, "--for", "1m")
	s.staysOpen("longer", "through the first deadline", g[0].Deadline.Add(-time.Second), g[0].Deadline.Add(time.Second))
	now, err := s.admin.Grant(t.Context(), g[0].ID)
	if err != nil || !now.Deadline.After(g[0].Deadline.Add(20*time.Second)) {
		t.Fatalf("the extended grant ends at %v, %v", now.Deadline, err)
	}
	s.closesOnTime(t, "longer", now.Deadline.Time)
}

func (s *server) overIPv6() {
	t := s.t
	six, vm := s.lab.Client("alice").Addr6(), s.lab.VM("six")
	if !six.IsValid() {
		t.Skip("this machine has no IPv6")
	}
	at := netip.AddrPortFrom(vm.Addr6(), cheapPort)
	if s.knock(t, "alice", at, 0, refusal) {
		t.Error("the door is open over IPv6 before anybody asked")
	}
	g := s.open("alice", "six", "--port", "22", "--port", "8080", "--for", "1m", "--from", six.String())
	session := s.ssh(t, "six.v6")
	if s.knock(t, "stranger", at, 0, refusal) {
		t.Error("the stranger gets in over IPv6")
	}
	s.wants(t, false, "six", sshPort, "alice") // over IPv4 nothing was asked for
	until(g[0].Deadline.Add(100 * time.Millisecond))
	if s.knock(t, "alice", at, 0, refusal) {
		t.Error("the door is open over IPv6 after the deadline")
	}
	session.alive(t)
	s.closed(g[0].ID)
}

// killedBeforeExpiry kills the server and lets nobody take its place until the
// grant is over.
func (s *server) killedBeforeExpiry() {
	t := s.t
	g := s.open("alice", "crash", "--port", "22", "--port", "8080", "--for", "1m")
	session := s.ssh(t, "crash")
	s.end(syscall.SIGKILL)
	s.wants(t, true, "crash", cheapPort, "alice")
	s.wants(t, false, "crash", cheapPort, "stranger")
	s.closesOnTime(t, "crash", g[0].Deadline.Time)
	s.wants(t, false, "crash", sshPort, "alice", "stranger")
	session.alive(t)
	begin := time.Now()
	s.start()
	for _, x := range g {
		done := s.closed(x.ID)
		t.Logf("back after %v, %s is recorded as closed %v after its deadline", time.Since(begin), x.Door, done.Closed.Sub(x.Deadline.Time))
	}
	s.wants(t, false, "crash", sshPort, "alice", "stranger")
	if out := s.must(nil, "", "audit", "verify"); !strings.Contains(out, "2") {
		t.Errorf("the audit log of the killed server: %s", out)
	}
	s.open("alice", "crash", "--port", "8080", "--for", "1m")
	s.wants(t, true, "crash", cheapPort, "alice")
}

// killedAndBackBeforeExpiry kills the server and starts it again within the
// grant.
func (s *server) killedAndBackBeforeExpiry() {
	t := s.t
	g := s.open("alice", "mid", "--port", "8080", "--for", "1m")
	for range 3 {
		s.end(syscall.SIGKILL)
		s.start()
		s.wants(t, true, "mid", cheapPort, "alice")
		s.wants(t, false, "mid", cheapPort, "stranger")
	}
	s.closesOnTime(t, "mid", g[0].Deadline.Time)
	s.closed(g[0].ID)
	if opened := s.records("mid", audit.Opened); len(opened) != 1 {
		t.Errorf("%d records say that the grant was opened", len(opened))
	}
}

// restartedBeforeExpiry restarts the server in order while somebody knocks.
func (s *server) restartedBeforeExpiry() {
	t := s.t
	g := s.open("alice", "restart", "--port", "22", "--port", "8080", "--for", "1m")
	session := s.ssh(t, "restart")
	begin := time.Now()
	var watching sync.WaitGroup
	watching.Go(func() { s.staysOpen("restart", "during the restart", begin, begin.Add(5*time.Second)) })
	s.end(syscall.SIGTERM)
	s.start()
	watching.Wait()
	s.wants(t, false, "restart", sshPort, "stranger")
	s.closesOnTime(t, "restart", g[0].Deadline.Time)
	session.alive(t)
	s.closed(g[0].ID)
}

// sweepAlone has somebody prolong an opening by hand while no server runs, and
// sweeps with nothing but the key of the marks.
func (s *server) sweepAlone() {
	t := s.t
	doomed := s.open("alice", "sweep", "--port", "22", "--for", "1m")[0]
	kept := s.open("bob", "sweep", "--port", "8080", "--for", "1h")[0]
	s.end(syscall.SIGKILL)
	for _, name := range []string{"sesame.db", "sesame.db-wal", "sesame.db-shm", "audit.key"} {
		if err := os.Remove(filepath.Join(s.cfg.StateDir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	listed := s.nft(t, "list", "set", "inet", "sesame", "host4")
	mark := regexp.MustCompile(`comment "(\S*` + regexp.QuoteMeta(doomed.ID[len("g-"):]) + `\S*)"`).FindStringSubmatch(listed)
	if mark == nil {
		t.Fatalf("no element carries %s: %s", doomed.ID, listed)
	}
	key := s.lab.Client("alice").Addr4().String() + " . tcp . 22"
	s.nft(t, "delete element inet sesame host4 { "+key+" }; add element inet sesame host4 { "+key+" timeout 1h comment \""+mark[1]+"\" }")
	s.wants(t, true, "sweep", sshPort, "alice")

	until(doomed.Deadline.Add(10 * time.Second))
	out := s.must(nil, "", "sweep", "--config", s.config, "-o", "json")
	if strings.Contains(out, `"op"`) {
		t.Errorf("within the grace a sweep closes %s", out)
	}
	s.wants(t, true, "sweep", sshPort, "alice")
	until(doomed.Deadline.Add(plan.SweepGrace + time.Second))
	before := s.nft(t, "list", "table", "inet", "sesame")
	out = s.must(nil, "", "sweep", "--config", s.config)
	t.Logf("the sweep says: %s", out)
	s.wants(t, false, "sweep", sshPort, "alice", "stranger")
	s.wants(t, true, "sweep", cheapPort, "bob")
	s.wants(t, false, "sweep", cheapPort, "stranger")
	after := s.nft(t, "list", "table", "inet", "sesame")
	wantMarks := slices.DeleteFunc(marks(before), func(m string) bool { return m == mark[1] })
	if got := marks(after); len(got) != 1 || !slices.Equal(got, wantMarks) || !strings.Contains(got[0], kept.ID[len("g-"):]) {
		t.Errorf("after the sweep there are %v, want %v", got, wantMarks)
	}
	if diff := cmp.Diff(frame(before), frame(after)); diff != "" {
		t.Errorf("the sweep changed more than an element:\n%s", diff)
	}
}

// marks returns the marks of the elements in a listing of the table.
func marks(listing string) (all []string) {
	for _, m := range regexp.MustCompile(`comment "(sesame1\S+)"`).FindAllStringSubmatch(listing, -1) {
		all = append(all, m[1])
	}
	slices.Sort(all)
	return all
}

// frame is a listing of the table without its openings and counters.
func frame(listing string) string {
	listing = regexp.MustCompile(`elements = \{[^}]*comment[^}]*\}`).ReplaceAllString(listing, "elements")
	return regexp.MustCompile(`packets \d+ bytes \d+`).ReplaceAllString(listing, "counted")
}

// killedDemo kills a demo and looks for what is left.
func killedDemo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), self)
	cmd.Args = []string{asSesame}
	cmd.Env = append(os.Environ(), demoDir+"="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out := new(strings.Builder)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() { cmd.Wait(); close(gone) }()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-gone
		if t.Failed() {
			t.Logf("the demo said:\n%s", out)
		}
	})
	eventually(t, "the demo is ready", func() bool {
		_, err := os.Stat(dir + ".env")
		return err == nil
	})
	env, err := os.ReadFile(dir + ".env")
	if err != nil {
		t.Fatal(err)
	}
	address := regexp.MustCompile(`SESAME_URL='https://([0-9.]+):`).FindSubmatch(env)
	if address == nil || !strings.Contains(string(env), "SESAME_TOKEN_REQUESTER='sesame_") {
		t.Fatalf("the environment says %s", env)
	}
	children := descendants(cmd.Process.Pid)
	if !hasAddress(t, string(address[1])) || len(children) < 3 {
		t.Fatalf("while the demo lives there is no %s here, or there are too few processes: %v", address[1], children)
	}
	begin := time.Now()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-gone
	eventually(t, "the demo's address is gone", func() bool { return !hasAddress(t, string(address[1])) })
	for _, path := range []string{dir, dir + ".env"} {
		eventually(t, path+" is gone", func() bool { _, err := os.Lstat(path); return err != nil })
	}
	for _, pid := range children {
		eventually(t, fmt.Sprintf("process %d is gone", pid), func() bool { return syscall.Kill(pid, 0) != nil })
	}
	t.Logf("nothing was left %v after kill -9", time.Since(begin))
}

func hasAddress(t testing.TB, address string) bool {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(addrs, func(a net.Addr) bool { return strings.HasPrefix(a.String(), address+"/") })
}

// descendants returns the children of a process, and theirs.
func descendants(pid int) (all []int) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, path := range tasks {
		text, _ := os.ReadFile(path)
		for word := range strings.FieldsSeq(string(text)) {
			if child, err := strconv.Atoi(word); err == nil {
				all = append(append(all, child), descendants(child)...)
			}
		}
	}
	return all
}
