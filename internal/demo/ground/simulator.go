package ground

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/memory"
)

// Simulator is a ground without ground: firewalls in the memory of this process
// in front of VMs that do not exist. Whether a connection gets through is asked
// of the simulated firewall.
type Simulator struct {
	vms   []string
	world *memory.World // nil until the server wants its firewalls
}

// NewSimulator returns a ground for VMs of the given names.
func NewSimulator(vms ...string) *Simulator { return &Simulator{vms: vms, world: nil} }

// The simulated addresses. This terminal's own is where the server sees it call
// from; the others are for documentation.
const (
	loopback      = "127.0.0.1"
	strangersAddr = "203.0.113.9"
	firstVMAddr   = "192.0.2.11"
)

// Site implements Ground.
func (m *Simulator) Site() Site {
	s := Site{
		Hosts: nil, You: netip.MustParseAddr(loopback), Stranger: netip.MustParseAddr(strangersAddr),
		Allowed: []netip.Prefix{netip.MustParsePrefix(loopback + "/32")}, SSHConfig: "", Providers: nil,
	}
	s.Providers = func(keys firewall.Keyring) []provider.Provider {
		m.world = newWorld(keys, m.vms)
		return []provider.Provider{m.world}
	}
	return s
}

// newWorld makes the VMs, each behind a firewall of its own that closes what is
// over by itself, as a host's kernel does.
func newWorld(keys firewall.Keyring, vms []string) *memory.World {
	w := memory.NewWorld(keys)
	addr := netip.MustParseAddr(firstVMAddr)
	for _, name := range vms {
		id := firewallOf(name)
		w.Add(memory.Config{ID: id, Dialect: memory.Keyed})
		w.AddVM(inventory.VM{
			ID: firewall.HostVM(name), Name: name, Addresses: []netip.Addr{addr},
			Tags: nil, Missing: nil,
			Paths: []inventory.Path{{Name: "simulated", Hops: []inventory.Hop{{Firewall: id, Sees: netip.Prefix{}}}}},
		})
		addr = addr.Next()
	}
	return w
}

func firewallOf(vm string) firewall.ID { return firewall.ID("memory://" + vm) }

func (m *Simulator) door(vm string, port uint16) firewall.Door {
	return firewall.Door{VM: firewall.HostVM(vm), Protocol: firewall.TCP, Port: port}
}

// Knock implements Ground.
func (m *Simulator) Knock(_ context.Context, from Side, vm string, port uint16) (bool, error) {
	addr := netip.MustParseAddr(loopback)
	if from == Stranger {
		addr = netip.MustParseAddr(strangersAddr)
	}
	return m.world.Admits(m.door(vm, port), addr), nil
}

// Login implements Ground.
func (m *Simulator) Login(_ context.Context, vm string) (Session, error) {
	s := m.world.Firewall(firewallOf(vm)).Connect(m.door(vm, sshPort), netip.MustParseAddr(loopback))
	if s == nil {
		return nil, fmt.Errorf("connect to %s: the simulated firewall does not let it through", vm)
	}
	return memorySession{s}, nil
}

// Flush implements Ground.
func (m *Simulator) Flush(_ context.Context, vm string) error {
	m.world.Firewall(firewallOf(vm)).FlushOwned()
	return nil
}

// Close implements Ground.
func (m *Simulator) Close() error { return nil }

type memorySession struct{ *memory.Session }

func (s memorySession) Alive(context.Context) error {
	if !s.Session.Alive() {
		return errors.New("the simulated session was cut")
	}
	return nil
}

func (s memorySession) Close() error {
	s.Session.Close()
	return nil
}
