//go:build linux

package netlab_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/netlab"
)

// holdBase tells this test binary to hold a lab below that directory until it
// is killed.
const holdBase = "NETLAB_TEST_HOLD"

// A holding is what the holder says about its lab.
type holding struct {
	Err        string
	Dir, Link  string
	Namespaces []string // of the VMs and the client
}

// hold is the holder: a lab with a session in a VM and a command on a client.
func hold(base string) {
	ctx := context.Background()
	var h holding
	defer func() {
		if err := json.NewEncoder(os.Stdout).Encode(h); err == nil && h.Err == "" {
			select {}
		}
	}()
	// Many VMs: what goes wrong at a VM's birth goes wrong for a few of them.
	names := []string{"vm-1", "vm-2", "vm-3", "vm-4", "vm-5", "vm-6", "vm-7", "vm-8"}
	lab, err := netlab.New(ctx, netlab.Options{Base: base, VMs: names, Clients: []string{"alice"}, Caller: true})
	if err != nil {
		h.Err = err.Error()
		return
	}
	v4, _ := lab.Subnets()
	h.Dir, h.Link = lab.Dir(), fmt.Sprintf("sesame%d", v4.Addr().As4()[2])
	hosts := []*netlab.Host{lab.Client("alice")}
	for _, vm := range lab.VMs() {
		hosts = append(hosts, vm.Host)
	}
	for _, host := range hosts {
		ns, err := os.Readlink(host.NetnsPath())
		if err != nil {
			h.Err = err.Error()
		}
		h.Namespaces = append(h.Namespaces, ns)
	}
	session := lab.Client("alice").Command(ctx, "ssh", "-F", lab.SSHConfig(), "vm-1", "echo in; sleep 1000")
	out, _ := session.StdoutPipe()
	if err := session.Start(); err != nil {
		h.Err = err.Error()
	}
	bufio.NewScanner(out).Scan()
}

// startHolder starts a holder and hears what it holds.
func startHolder(t *testing.T, base string) (*exec.Cmd, holding) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), holdBase+"="+base)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	var h holding
	if err := json.NewDecoder(out).Decode(&h); err != nil || h.Err != "" {
		t.Fatalf("the holder: %v %s", err, h.Err)
	}
	return cmd, h
}

// inside returns the processes that are in one of the namespaces.
func inside(namespaces []string) (pids []string) {
	links, _ := filepath.Glob("/proc/[0-9]*/ns/net")
	for _, link := range links {
		ns, err := os.Readlink(link)
		if err == nil && strings.Contains(strings.Join(namespaces, " "), ns) {
			pids = append(pids, strings.Split(link, "/")[2])
		}
	}
	return pids
}

// remains says what is left of a lab.
func (h holding) remains() (left []string) {
	if pids := inside(h.Namespaces); len(pids) > 0 {
		left = append(left, "processes "+strings.Join(pids, " "))
	}
	if _, err := net.InterfaceByName(h.Link); err == nil {
		left = append(left, "interface "+h.Link)
	}
	if _, err := os.Stat(h.Dir); err == nil {
		left = append(left, "directory "+h.Dir)
	}
	return left
}

func TestKillLeavesNothing(t *testing.T) {
	newLab(t, netlab.Options{}) // or skip
	for range 3 {
		cmd, h := startHolder(t, t.TempDir())
		if n := len(inside(h.Namespaces)); n < len(h.Namespaces)+2 || len(h.remains()) != 3 {
			t.Fatalf("while it lives: %d processes, %v", n, h.remains())
		}
		start := time.Now()
		if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		cmd.Wait()
		for len(h.remains()) > 0 && time.Since(start) < 10*time.Second {
			time.Sleep(2 * time.Millisecond)
		}
		if left := h.remains(); len(left) > 0 {
			t.Fatalf("10s after kill -9 there are %v", left)
		}
		t.Logf("nothing was left %v after kill -9", time.Since(start))
	}
}

func TestStale(t *testing.T) {
	base := t.TempDir()
	living := newLab(t, netlab.Options{Base: base})
	dead := filepath.Join(base, "sesame-lab-dead")
	open := filepath.Join(base, "sesame-lab-open")   // not private, so no lab's
	young := filepath.Join(base, "sesame-lab-young") // about to be locked
	other := filepath.Join(base, "notes")
	for dir, mode := range map[string]os.FileMode{dead: 0o700, open: 0o755, young: 0o700, other: 0o700} {
		if err := os.Mkdir(dir, mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dead, "ssh_config"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(base, "sesame-lab-link")
	if err := os.Symlink(other, link); err != nil {
		t.Fatal(err)
	}
	if err := netlab.Stale(base); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dead); err == nil {
		t.Error("the dead lab's directory is still there")
	}
	for _, dir := range []string{living.Dir(), open, young, other, link} {
		if _, err := os.Lstat(dir); err != nil {
			t.Errorf("Stale removed %s", dir)
		}
	}
}

func TestNobodyIsTold(t *testing.T) {
	newLab(t, netlab.Options{}) // or skip
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), holdBase+"=/nonexistent")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var h holding
	if err := json.Unmarshal(out, &h); err != nil || h.Err != netlab.ErrNeedsRoot.Error() {
		t.Errorf("without root New said %q, want %q", h.Err, netlab.ErrNeedsRoot)
	}
}
