package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/api/client"
	"github.com/sesame-access/sesame/internal/api/rights"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/config"
	"github.com/sesame-access/sesame/internal/demo"
	"github.com/sesame-access/sesame/internal/netlab"
	"github.com/sesame-access/sesame/internal/netlab/netlabtest"
)

// asSesame is what this test binary is called when it is to be the program.
const asSesame = "sesame"

// demoDir tells the program to run a demo in that directory.
const demoDir = "SESAME_TEST_DEMO_DIR"

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(demoDir) != "" && os.Args[0] == asSesame:
		dir := os.Getenv(demoDir)
		err := demo.Run(context.Background(), demo.Options{Dir: dir, EnvFile: dir + ".env", Out: os.Stdout, Err: os.Stderr})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case !strings.HasSuffix(os.Args[0], ".test"):
		main()
	default:
		os.Exit(m.Run())
	}
}

// self is this test binary. It is still there when it has been rebuilt.
const self = "/proc/self/exe"

// The ports of the VMs that are just-in-time: that of sshd, and one with a
// service so cheap that it can be asked a thousand times a second.
const (
	sshPort   = 22
	cheapPort = 8080
)

// A bench is a laboratory: VMs, two people and a stranger, each with a host of
// their own, and a place on the network for servers.
type bench struct {
	lab *netlab.Lab
	dir string
}

// people are the principals; all but the last have a host of that name.
var people = []struct{ name, role string }{{"alice", "requester"}, {"bob", "requester"}, {"ada", "admin"}}

func newBench(t testing.TB, vms ...string) *bench {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root: run the tests with sudo")
	}
	lab, err := netlab.New(t.Context(), netlab.Options{
		Base: t.TempDir(), VMs: vms, Clients: []string{"alice", "bob", "stranger"}, Caller: true,
	})
	if errors.Is(err, netlab.ErrNoSSHD) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lab.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, vm := range lab.VMs() {
		l, err := vm.Listen(t.Context(), "tcp", fmt.Sprintf(":%d", cheapPort))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() { io.Copy(c, c); c.Close() }() // it repeats what it hears
			}
		}()
	}
	return &bench{lab: lab, dir: t.TempDir()}
}

// A server is `sesame serve` in a process of its own.
type server struct {
	*bench
	t      testing.TB
	config string // path
	cfg    config.Config
	tokens map[string]string // by the principal's name
	env    []string          // what the server and its sweeps need besides
	admin  *client.Client
	cmd    *exec.Cmd
	gone   chan struct{}
}

// serve starts a server for some of the VMs, protects them, and returns when
// their doors are shut.
func (b *bench) serve(t testing.TB, name string, port uint16, vms ...string) *server {
	t.Helper()
	v4, v6 := b.lab.Subnets()
	dir := filepath.Join(b.dir, name)
	s := &server{bench: b, t: t, config: dir + ".yaml", cfg: config.Default(), tokens: map[string]string{}}
	s.cfg.Listen = []netip.AddrPort{netip.AddrPortFrom(b.lab.Caller().Addr4(), port)}
	s.cfg.StateDir, s.cfg.Socket = dir, dir+".sock"
	s.cfg.Limits.Rate = 100_000
	for _, vm := range vms {
		v := b.lab.VM(vm)
		s.cfg.Hosts = append(s.cfg.Hosts, config.Host{Name: vm, Addresses: []netip.Addr{v.Addr4(), v.Addr6()}, NetNS: v.NetnsPath()})
	}
	slices.SortFunc(s.cfg.Hosts, func(a, b config.Host) int { return strings.Compare(a.Name, b.Name) })
	if err := os.WriteFile(s.config, config.Format(s.cfg), 0o600); err != nil {
		t.Fatal(err)
	}
	s.start()
	s.eventually("the VMs are known", func() bool { return len(s.vms()) == len(vms) })
	for _, p := range people {
		out := s.must(nil, "", "token", "create", p.name, "--role", p.role, "-o", "json")
		s.tokens[p.name] = decode[rights.CreatedToken](t, out).Secret
	}
	args := append([]string{"enable"}, vms...)
	s.must(nil, "ada", append(args, "--name", "doors", "--port", "22", "--port", "8080", "--max", "2h",
		"--source", v4.String(), "--source", v6.String(), "--yes")...)
	s.eventually("every door is locked", func() bool {
		for _, vm := range s.vms() {
			for _, d := range vm.Doors {
				if !d.Locked || len(vm.Doors) != 2 {
					return false
				}
			}
		}
		return true
	})
	return s
}

// start starts the process and returns when it answers.
func (s *server) start() {
	s.t.Helper()
	log, err := os.OpenFile(s.config+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.CommandContext(context.WithoutCancel(s.t.Context()), self)
	cmd.Args = []string{asSesame, "serve", "--config", s.config}
	cmd.Env = append(os.Environ(), s.env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() { cmd.Wait(); close(gone) }()
	s.cmd, s.gone = cmd, gone
	s.t.Cleanup(func() {
		cmd.Process.Kill()
		<-gone
		if s.t.Failed() {
			text, _ := os.ReadFile(s.config + ".log")
			s.t.Logf("the log of %s:\n%s", filepath.Base(s.config), text)
		}
	})
	if s.admin, err = client.New(client.Config{Socket: s.cfg.Socket}); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(s.admin.CloseIdle)
	s.eventually("the server is ready", func() bool {
		h, err := s.admin.Health(s.t.Context())
		return err == nil && h.Ready
	})
}

// end ends the process by a signal and waits for it.
func (s *server) end(sig os.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
	select {
	case <-s.gone:
	case <-time.After(20 * time.Second):
		s.t.Fatalf("20s after %v the server is still there", sig)
	}
}

// run runs a command line as somebody, from a host or, if that is nil, from the
// server's own machine. Without a name it goes over the local socket.
func (s *server) run(host *netlab.Host, who string, args ...string) (stdout, stderr string, code int) {
	s.t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(s.t.Context(), self)
	if host != nil {
		in := host.Command(s.t.Context(), self)
		cmd = in.Cmd
		defer func() { _ = in }()
		return s.finish(in.Run, cmd, who, &out, &errs, args)
	}
	return s.finish(cmd.Run, cmd, who, &out, &errs, args)
}

func (s *server) finish(run func() error, cmd *exec.Cmd, who string, out, errs *bytes.Buffer, args []string) (stdout, stderr string, code int) {
	s.t.Helper()
	cmd.Args = append([]string{asSesame}, args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent"}, s.env...)
	if who == "" {
		cmd.Args = append(cmd.Args, "--socket", s.cfg.Socket)
	} else {
		cmd.Env = append(cmd.Env, "SESAME_URL=https://"+s.cfg.Listen[0].String(),
			"SESAME_CA="+filepath.Join(s.cfg.StateDir, "ca.crt"), "SESAME_TOKEN="+s.tokens[who])
	}
	cmd.Stdout, cmd.Stderr = out, errs
	if err := run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		s.t.Fatalf("run %v: %v", args, err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// must is run for what has to succeed; it returns what was written.
func (s *server) must(host *netlab.Host, who string, args ...string) string {
	s.t.Helper()
	out, errs, code := s.run(host, who, args...)
	if code != 0 {
		s.t.Fatalf("%s: sesame %s exits with %d: %s%s", who, strings.Join(args, " "), code, out, errs)
	}
	return out
}

// open asks for access as somebody from their own host, and returns the grants.
func (s *server) open(who, vm string, args ...string) []api.Grant {
	s.t.Helper()
	out := s.must(s.lab.Client(who), who, append([]string{"open", vm, "-o", "json"}, args...)...)
	grants := decode[api.Request](s.t, out).Grants
	for _, g := range grants {
		if g.State != "open" {
			s.t.Fatalf("%s asked for %s, and it is %s: %s", who, vm, g.State, g.Pending)
		}
	}
	return grants
}

func decode[T any](t testing.TB, text string) T {
	t.Helper()
	var v T
	if err := api.DecodeAnswer([]byte(text), &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

func (s *server) vms() []api.VM {
	s.t.Helper()
	vms, err := s.admin.VMs(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return vms
}

// records returns what the log says of a kind about a VM, oldest first.
func (s *server) records(vm string, kinds ...audit.Kind) []api.Record {
	s.t.Helper()
	f := client.Filter{VM: vm, Limit: 1000}
	for _, k := range kinds {
		f.Kinds = append(f.Kinds, string(k))
	}
	page, err := s.admin.Activity(s.t.Context(), f)
	if err != nil {
		s.t.Fatal(err)
	}
	slices.Reverse(page.Items)
	return page.Items
}

// closed waits until a grant was read back closed, and returns it.
func (s *server) closed(id string) api.Grant {
	s.t.Helper()
	var g api.Grant
	s.eventually(id+" is closed", func() bool {
		var err error
		g, err = s.admin.Grant(s.t.Context(), id)
		return err == nil && g.State == "closed"
	})
	return g
}

func (s *server) eventually(what string, is func() bool) {
	s.t.Helper()
	eventually(s.t, what, is)
}

// eventually waits for what happens by itself.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	const most = 30 * time.Second
	for begin := time.Now(); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Since(begin) > most {
			t.Fatalf("after %v it is still not so that %s", most, what)
		}
	}
}

// until sleeps to an instant.
func until(at time.Time) { time.Sleep(time.Until(at)) }

// refusal is how long a connection has to fail to count as refused, and patience
// how long one that should get through may take on a busy machine.
const (
	refusal  = 900 * time.Millisecond
	patience = 10 * time.Second
)

// knock reports whether a new connection from the host gets through, from a
// port of choice if that is not 0. What is dropped is sent again after a second.
func (b *bench) knock(t testing.TB, from string, to netip.AddrPort, port uint16, limit time.Duration) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	c, err := b.lab.Client(from).DialFrom(ctx, "tcp", port, to.String())
	if err == nil {
		netlabtest.Abort(c)
		return true
	}
	if e := net.Error(nil); errors.As(err, &e) && e.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	t.Fatalf("%s connects to %s: %v", from, to, err)
	return false
}

// wants fails unless new connections of the host get through, or do not.
func (b *bench) wants(t testing.TB, open bool, vm string, port uint16, from ...string) {
	t.Helper()
	limit := map[bool]time.Duration{true: patience, false: refusal}[open]
	for _, who := range from {
		if got := b.knock(t, who, netip.AddrPortFrom(b.lab.VM(vm).Addr4(), port), 0, limit); got != open {
			t.Errorf("%s gets through to %s:%d: %v; want %v", who, vm, port, got, open)
		}
	}
}

// A watched is what somebody saw who knocked all the time.
type watched struct {
	got     int       // connections that got in
	last    time.Time // when the last of them began
	refused time.Time // when the first one began that was refused; zero if none was
	missed  int       // how many were refused before the last one got in
}

// watch has alice knock at the cheap port over and over, from begin to end.
func (b *bench) watch(t testing.TB, vm string, begin, end time.Time) (w watched) {
	t.Helper()
	to := netip.AddrPortFrom(b.lab.VM(vm).Addr4(), cheapPort).String()
	refused := 0
	for until(begin); time.Now().Before(end); time.Sleep(time.Millisecond) {
		at := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), refusal)
		c, err := b.lab.Client("alice").Dial(ctx, "tcp", to)
		cancel()
		if err != nil {
			refused++
			if w.refused.IsZero() {
				w.refused = at
			}
			continue
		}
		netlabtest.Abort(c)
		w.got++
		w.last, w.missed = at, refused
	}
	return w
}

// ssh logs alice in and returns a session that repeats every line.
func (b *bench) ssh(t testing.TB, host string) *session {
	t.Helper()
	cmd := b.lab.Client("alice").Command(t.Context(), "ssh", "-F", b.lab.SSHConfig(), host, "cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &session{in: in, out: out}
	t.Cleanup(func() { in.Close(); cmd.Process.Kill(); cmd.Wait() })
	s.alive(t)
	return s
}

// A session is an established connection.
type session struct {
	in  io.Writer
	out io.Reader
}

// alive fails unless data goes both ways.
func (s *session) alive(t testing.TB) {
	t.Helper()
	word := fmt.Sprintf("%d\n", time.Now().UnixNano())
	if _, err := io.WriteString(s.in, word); err != nil {
		t.Fatalf("write into the session: %v", err)
	}
	heard := make([]byte, len(word))
	done := make(chan error, 1)
	go func() { _, err := io.ReadFull(s.out, heard); done <- err }()
	select {
	case err := <-done:
		if err != nil || string(heard) != word {
			t.Fatalf("the session answers %q, %v; want %q", heard, err, word)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the session does not answer")
	}
}

// nft runs nft in the VM that is swept: it is the hand that tampers, and an eye
// of its own.
func (b *bench) nft(t testing.TB, args ...string) string {
	t.Helper()
	out, err := b.lab.VM("sweep").Command(t.Context(), "nft", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("nft %v: %v: %s", args, err, out)
	}
	return string(out)
}
