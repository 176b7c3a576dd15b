//go:build linux

package netlab_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/netlab"
	"github.com/sesame-access/sesame/internal/netlab/netlabtest"
)

func TestMain(m *testing.M) {
	if code, ran := netlab.Stage(os.Args, os.Stderr); ran {
		os.Exit(code)
	}
	if base := os.Getenv(holdBase); base != "" {
		hold(base)
		return
	}
	goleak.VerifyTestMain(m)
}

// newLab builds a lab that ends with the test.
func newLab(t *testing.T, o netlab.Options) *netlab.Lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("namespaces need root: run the tests with sudo")
	}
	if o.Base == "" {
		o.Base = t.TempDir()
	}
	lab, err := netlab.New(t.Context(), o)
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
	return lab
}

// ssh runs a command in a VM, by ssh from a host, and returns all that a person
// would see.
func ssh(t *testing.T, lab *netlab.Lab, from *netlab.Host, vm, command string) string {
	t.Helper()
	cmd := from.Command(t.Context(), "ssh", "-F", lab.SSHConfig(), vm, command)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("ssh %s from %s: %v: %s", vm, from.Name(), err, out)
	}
	return string(out)
}

func TestLogins(t *testing.T) {
	start := time.Now()
	lab := newLab(t, netlab.Options{
		VMs: []string{"web-1", "db-1"}, Clients: []string{"alice", "stranger"}, Caller: true,
	})
	took := time.Since(start)
	t.Logf("two VMs, two clients and the caller were up after %v", took)
	if took > 2*time.Second {
		t.Errorf("the lab came up in %v, want less than 2s", took)
	}
	for _, from := range []*netlab.Host{lab.Client("alice"), lab.Client("stranger"), lab.Caller()} {
		for _, vm := range lab.VMs() {
			want := fmt.Sprintf("%s %s %s", vm.Name(), from.Addr4(), vm.Addr4())
			if got := ssh(t, lab, from, vm.Name(), seen); got != want {
				t.Errorf("over IPv4, %s saw %q, want %q", from.Name(), got, want)
			}
			want = fmt.Sprintf("%s %s %s", vm.Name(), from.Addr6(), vm.Addr6())
			if got := ssh(t, lab, from, vm.Name()+".v6", seen); got != want {
				t.Errorf("over IPv6, %s saw %q, want %q", from.Name(), got, want)
			}
		}
	}
}

// seen prints the VM's name and the two ends of the connection.
const seen = `set -- $SSH_CONNECTION; printf "%s %s %s" "$(hostname)" "$1" "$3"`

func TestLoginIsCalm(t *testing.T) {
	lab := newLab(t, netlab.Options{VMs: []string{"web-1"}, Clients: []string{"alice"}})
	cmd := lab.Client("alice").Command(t.Context(), "ssh", "-tt", "-F", lab.SSHConfig(), "web-1")
	cmd.Stdin = strings.NewReader("stty -echo; PS1=; echo begin-$((1+1)); pwd; ls -A; ls /var/log; ps -o comm= -p 1; cat /etc/shadow; exit\n")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("log in: %v: %s", err, out)
	}
	before, after, _ := strings.Cut(strings.ReplaceAll(string(out), "\r", ""), "begin-2\n")
	// Before it comes what the terminal echoes and at most a prompt.
	if n := strings.Count(before, "\n"); n > 2 {
		t.Errorf("the login begins with %d lines: %q", n, before)
	}
	want := "/root\nlastlog\nsshd\nroot:*:::::::\n"
	if got := strings.TrimSuffix(after, "logout\n"); got != want {
		t.Errorf("inside the VM: %q, want %q", got, want)
	}
}

func TestFilesArePrivate(t *testing.T) {
	lab := newLab(t, netlab.Options{VMs: []string{"web-1"}})
	var files []string
	err := filepath.WalkDir(lab.Dir(), func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is %v", path, info.Mode())
		}
		files = append(files, path)
		return err
	})
	if err != nil || len(files) < 8 {
		t.Errorf("the lab's directory has %v, %v", files, err)
	}
}

// The VM's own files cover parts of this machine's. A lab that lives in such a
// part works all the same, and its directory is all that is left to see there.
func TestBaseBelowWhatAVMCovers(t *testing.T) {
	newLab(t, netlab.Options{})                       // or skip
	base, err := os.MkdirTemp("/run", "netlab-test-") //nolint:usetesting // the place is the point
	if err != nil {
		t.Skip("there is no /run to make a directory in:", err)
	}
	t.Cleanup(func() { os.Remove(base) })
	lab := newLab(t, netlab.Options{Base: base, VMs: []string{"web-1"}, Clients: []string{"alice"}})
	want := filepath.Base(base) + "\nsshd\n"
	if got := ssh(t, lab, lab.Client("alice"), "web-1", "ls /run"); got != want {
		t.Errorf("/run of the VM has %q, want %q", got, want)
	}
}

func TestConnections(t *testing.T) {
	lab := newLab(t, netlab.Options{VMs: []string{"web-1"}, Clients: []string{"alice"}})
	vm, alice := lab.VM("web-1"), lab.Client("alice")
	l, err := vm.Listen(t.Context(), "tcp", ":8080")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, to := range []netip.Addr{vm.Addr4(), vm.Addr6()} {
		// The same four numbers again and again: a port is free after a reset.
		for range 3 {
			c, err := alice.DialFrom(t.Context(), "tcp", 40000, netip.AddrPortFrom(to, 8080).String())
			if err != nil {
				t.Fatal(err)
			}
			accepted, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			from := netip.MustParseAddrPort(accepted.RemoteAddr().String())
			if got := from.Addr().Unmap(); from.Port() != 40000 || (got != alice.Addr4() && got != alice.Addr6()) {
				t.Errorf("the VM was called from %s, want port 40000 of %s or %s", from, alice.Addr4(), alice.Addr6())
			}
			if err := netlabtest.Abort(c); err != nil {
				t.Fatal(err)
			}
			if _, err := accepted.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
				t.Errorf("after an abort the VM read %v, want a reset", err)
			}
			accepted.Close()
		}
	}
}

// The kernel remembers an orderly end for a minute, at the end that closed first.
func TestPortFreeForAnotherPeerAfterAnOrderlyEnd(t *testing.T) {
	lab := newLab(t, netlab.Options{VMs: []string{"web-1", "db-1"}, Clients: []string{"alice"}})
	for _, vm := range lab.VMs() {
		c, err := lab.Client("alice").DialFrom(t.Context(), "tcp", 40000, netip.AddrPortFrom(vm.Addr4(), 22).String())
		if err != nil {
			t.Fatal(err)
		}
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, c); err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
}

func TestPackets(t *testing.T) {
	lab := newLab(t, netlab.Options{VMs: []string{"web-1"}, Clients: []string{"alice"}})
	vm, alice := lab.VM("web-1"), lab.Client("alice")
	p, err := vm.ListenPacket(t.Context(), "udp", ":5353")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	c, err := alice.DialFrom(t.Context(), "udp", 40001, netip.AddrPortFrom(vm.Addr6(), 5353).String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if err := p.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 16)
	n, from, err := p.ReadFrom(b)
	want := netip.AddrPortFrom(alice.Addr6(), 40001).String()
	if err != nil || string(b[:n]) != "hello" || from.String() != want {
		t.Errorf("the VM read %q from %v, %v; want hello from %s", b[:n], from, err, want)
	}
}

func TestNamespacePath(t *testing.T) {
	lab := newLab(t, netlab.Options{VMs: []string{"web-1", "db-1"}})
	seen := map[string]bool{}
	for _, vm := range lab.VMs() {
		var inside string
		err := vm.Do(func() (err error) {
			inside, err = os.Readlink("/proc/thread-self/ns/net")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		byPath, err := os.Readlink(vm.NetnsPath())
		if err != nil {
			t.Fatal(err)
		}
		ofSSHD, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", vm.PID()))
		if err != nil {
			t.Fatal(err)
		}
		if inside != byPath || inside != ofSSHD {
			t.Errorf("%s: Do is in %s, NetnsPath is %s, sshd is in %s", vm.Name(), inside, byPath, ofSSHD)
		}
		seen[inside] = true
	}
	here, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	if seen[here] || len(seen) != 2 {
		t.Errorf("the namespaces are not apart: VMs %v, this process %s", seen, here)
	}
}

func TestDoReportsAnUnfinishedFunction(t *testing.T) {
	lab := newLab(t, netlab.Options{Clients: []string{"alice"}})
	if err := lab.Client("alice").Do(func() error { runtime.Goexit(); return nil }); err == nil {
		t.Error("Do of a function that never returned: no error")
	}
}

func TestTwoLabsOfOneCaller(t *testing.T) {
	o := netlab.Options{VMs: []string{"web-1"}, Caller: true}
	one, two := newLab(t, o), newLab(t, o)
	for _, lab := range []*netlab.Lab{one, two} {
		if got := ssh(t, lab, lab.Caller(), "web-1", "hostname"); got != "web-1\n" {
			t.Errorf("the VM is called %q", got)
		}
	}
	first, _ := one.Subnets()
	if second, _ := two.Subnets(); first.Overlaps(second) {
		t.Errorf("both labs are on %s", first)
	}
}

// The caller is the namespace of the thread that calls New: here alice's, where
// the first subnet is in use under another name.
func TestLabWithinALab(t *testing.T) {
	outer := newLab(t, netlab.Options{Clients: []string{"alice"}})
	base := t.TempDir()
	err := outer.Client("alice").Do(func() error {
		inner, err := netlab.New(t.Context(), netlab.Options{Base: base, VMs: []string{"web-1"}, Caller: true})
		if err != nil {
			return err
		}
		if got := ssh(t, inner, inner.Caller(), "web-1", "hostname"); got != "web-1\n" {
			t.Errorf("the VM is called %q", got)
		}
		taken, _ := outer.Subnets()
		if got, _ := inner.Subnets(); got.Overlaps(taken) {
			t.Errorf("the inner lab is on %s, which its caller uses", got)
		}
		return inner.Close()
	})
	if err != nil {
		t.Error(err)
	}
}

func TestCloseTakesEverything(t *testing.T) {
	base := t.TempDir()
	lab := newLab(t, netlab.Options{Base: base, VMs: []string{"web-1"}, Clients: []string{"alice"}, Caller: true})
	alice, link := lab.Client("alice"), callerLink(t, lab)
	sleeper := alice.Command(t.Context(), "sleep", "1000")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := lab.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("closed in %v", time.Since(start))
	if err := sleeper.Wait(); err == nil {
		t.Error("a command outlived the lab")
	}
	if _, err := net.InterfaceByName(link); err == nil {
		t.Errorf("%s is still there", link)
	}
	if left, err := os.ReadDir(base); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if err := lab.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
	if err := alice.Command(t.Context(), "true").Run(); err == nil {
		t.Error("a command ran on a host of a closed lab")
	}
	if _, err := alice.Dial(t.Context(), "tcp", "198.18.77.11:22"); err == nil {
		t.Error("a host of a closed lab could dial")
	}
}

func TestNewGivesUpCleanly(t *testing.T) {
	newLab(t, netlab.Options{}) // or skip
	base := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := netlab.New(ctx, netlab.Options{Base: base, VMs: []string{"web-1"}}); !errors.Is(err, context.Canceled) {
		t.Errorf("New after cancel = %v", err)
	}
	if left, err := os.ReadDir(base); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	many := make([]string, 81)
	for i := range many {
		many[i] = fmt.Sprintf("vm-%d", i)
	}
	for field, o := range map[string]netlab.Options{
		"vms":        {VMs: many},
		"vms[0]":     {VMs: []string{"Web_1"}},
		"vms[1]":     {VMs: []string{"web-1", "web-1"}},
		"clients[0]": {VMs: []string{"web-1"}, Clients: []string{"web-1"}},
		"clients[1]": {Clients: []string{"alice", "../etc"}},
	} {
		_, err := netlab.New(t.Context(), o)
		if got := errkind.FieldOf(err).Name; got != field {
			t.Errorf("New(%v): field %q (%v), want %q", o, got, err, field)
		}
	}
	if os.Geteuid() != 0 {
		return
	}
	odd := filepath.Join(t.TempDir(), "a b")
	if err := os.Mkdir(odd, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := netlab.New(t.Context(), netlab.Options{Base: odd}); errkind.FieldOf(err).Name != "base" {
		t.Errorf("New below a path with a blank = %v, want a word about base", err)
	}
}

// callerLink returns the name of the caller's interface.
func callerLink(t *testing.T, lab *netlab.Lab) string {
	t.Helper()
	v4, _ := lab.Subnets()
	name := fmt.Sprintf("sesame%d", v4.Addr().As4()[2])
	if _, err := net.InterfaceByName(name); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return name
}
