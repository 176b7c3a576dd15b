//go:build linux

package nftables

import (
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/netlab"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
)

func TestMain(m *testing.M) {
	if code, ran := netlab.Stage(os.Args, os.Stderr); ran {
		os.Exit(code)
	}
	if arg := os.Getenv(opensAndDies); arg != "" {
		openAndDie(arg)
	}
	os.Exit(m.Run())
}

// The names in all tests.
const (
	web = firewall.VMID("host://web-1")
	fw  = firewall.ID("nftables://web-1")
)

func ssh() firewall.Door { return firewall.Door{VM: web, Protocol: firewall.TCP, Port: 22} }

func keys(instance string) firewall.Keyring {
	return firewall.Keyring{Instance: instance, Keys: []firewall.MarkKey{{ID: "k1", Secret: []byte("a secret of 32 bytes, of " + instance)}}}
}

// clocks reads this machine's clocks.
func clocks() access.Reading {
	var boot unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot)
	return access.Reading{Wall: time.Now(), Boot: time.Duration(boot.Nano()), BootID: "this one", Third: time.Time{}}
}

// A stage is a lab with one VM, clients and a provider for the VM.
type stage struct {
	testing.TB
	*netlab.Lab
	vm *netlab.VM
	*Provider
}

// newStage builds a lab. The provider is a fresh one of the installation "here".
func newStage(tb testing.TB, clients ...string) *stage {
	tb.Helper()
	if os.Geteuid() != 0 {
		tb.Skip("needs root: it makes network namespaces and writes to the kernel's firewall inside of them")
	}
	lab, err := netlab.New(tb.Context(), netlab.Options{Base: tb.TempDir(), VMs: []string{"web-1"}, Clients: clients})
	if errors.Is(err, netlab.ErrNoSSHD) {
		tb.Skip(err)
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := lab.Close(); err != nil {
			tb.Error(err)
		}
	})
	s := &stage{TB: tb, Lab: lab, vm: lab.VM("web-1"), Provider: nil}
	s.Provider = s.provider(keys("here"))
	return s
}

// provider returns another provider of the same VM.
func (s *stage) provider(k firewall.Keyring) *Provider {
	s.Helper()
	p, err := New(Config{
		Hosts:   []Host{{Name: "web-1", Addresses: nil, NetnsPath: s.vm.NetnsPath()}},
		Keyring: k, Clocks: clocks, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		if err := p.Close(); err != nil {
			s.Error(err)
		}
	})
	return p
}

// nft runs the nft tool on the VM: as the oracle, and as the hand of others.
func (s *stage) nft(args ...string) string {
	s.Helper()
	return s.run("nft", args...)
}

// load lets nft run a script on the VM.
func (s *stage) load(script string) {
	s.Helper()
	cmd := s.vm.Command(s.Context(), "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		s.Fatalf("nft -f: %v\n%s\n%s", err, out, script)
	}
}

func (s *stage) run(name string, args ...string) string {
	s.Helper()
	out, err := s.vm.Command(s.Context(), name, args...).CombinedOutput()
	if err != nil {
		s.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// others returns every table but ours, byte for byte.
func (s *stage) others() string {
	s.Helper()
	var out strings.Builder
	for line := range strings.Lines(s.nft("list", "tables")) {
		if f := strings.Fields(line); len(f) == 3 && f[2] != "sesame" {
			out.WriteString(s.nft("-a", "list", "table", f[1], f[2]))
		}
	}
	return out.String()
}

func (s *stage) observe(only ...firewall.Key) provider.Snapshot {
	s.Helper()
	snapshot, err := s.Observe(s.Context(), fw, only)
	if err != nil {
		s.Fatal(err)
	}
	return snapshot
}

// show makes the VM show want, and returns the plan that did it.
func (s *stage) show(want ...firewall.Want) plan.Plan {
	s.Helper()
	before := s.observe()
	p, err := s.Compile(before, want, nil)
	if err != nil {
		s.Fatal(err)
	}
	if err := s.Apply(s.Context(), before, p); err != nil {
		s.Fatalf("apply: %v\n%v", err, p)
	}
	return p
}

// converged fails the test unless a plan for want is empty.
func (s *stage) converged(want ...firewall.Want) {
	s.Helper()
	p, err := s.Compile(s.observe(), want, nil)
	if err != nil {
		s.Fatal(err)
	}
	if !p.Empty() || len(p.Refused) > 0 {
		s.Errorf("something is left to do:\n%v", p)
	}
}

func locked(d firewall.Door, open ...firewall.Opening) firewall.Want {
	return firewall.Want{Door: d, Locked: true, Cut: false, Open: open}
}
