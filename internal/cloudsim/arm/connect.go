package arm

import (
	"cmp"
	"encoding/json"
	"net/netip"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/cloudsim/arm/packet"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/packet/topology"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/world"
)

// Connect says whether client could open a TCP connection to port of the virtual
// machine with this id now, by the first way on which it could: to an address of
// its own or through a load balancer or a firewall. A client with an address of
// the machine's network, of a peer of it, or that is not one of the Internet is
// taken to be there; one that belongs to no network to be behind a gateway.
func (s *Simulator) Connect(client netip.Addr, vm string, port uint16) packet.Verdict {
	ground, endpoints, running := s.around(vm)
	best := packet.Verdict{Outcome: packet.Denied, Reached: "", Source: client, To: netip.Addr{}, Port: port, Steps: nil}
	nowhere := packet.Step{At: vm, Rule: "", Outcome: packet.Denied, Why: "no way leads there from " + client.String()}
	if !running {
		nowhere.Why = "it does not run"
	}
	for _, e := range endpoints {
		for _, p := range ways(ground, client, e, port) {
			p.FromPort, p.Protocol = 50000, packet.TCP
			v := ground.Judge(p)
			reached := v.Reached == "" || v.Reached == e.ID && v.Port == port
			if reached && (best.Steps == nil || v.Outcome != packet.Denied) {
				best = v
			}
			if best.Outcome == packet.Delivered {
				return best
			}
		}
	}
	if best.Steps == nil {
		best.Steps = []packet.Step{nowhere}
	}
	return best
}

// Ground returns what packets meet now.
func (s *Simulator) Ground() (*packet.World, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rp.Ground(time.Now())
}

// around returns the IP configurations of a virtual machine, and whether it
// runs.
func (s *Simulator) around(vm string) (*packet.World, []*topology.Endpoint, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, err := world.ParseID(vm)
	if err != nil {
		return nil, nil, false
	}
	ground, err := s.rp.Ground(time.Now())
	r := s.rp.World.Get(id)
	if err != nil || r == nil || r.Power != "running" {
		return nil, nil, false
	}
	var properties struct {
		NetworkProfile struct{ NetworkInterfaces []struct{ ID string } }
	}
	if json.Unmarshal(r.Live.Get("properties"), &properties) != nil {
		return nil, nil, false
	}
	var out []*topology.Endpoint
	for _, nic := range properties.NetworkProfile.NetworkInterfaces {
		for _, e := range ground.Endpoints {
			if strings.HasPrefix(strings.ToLower(e.ID), strings.ToLower(nic.ID)+"/") {
				out = append(out, e)
			}
		}
	}
	return ground, out, true
}

// ways returns the packets that might get client to port of e.
func ways(w *packet.World, client netip.Addr, e *topology.Endpoint, port uint16) []packet.Packet {
	from := func(in string, to netip.Addr, port uint16) packet.Packet {
		return packet.Packet{In: in, From: client, FromPort: 0, To: to, ToPort: port, Protocol: 0}
	}
	home := e.Subnet.Network
	for _, other := range append([]*topology.Network{home}, w.Peers(home)...) {
		if other.SubnetOf(client) != nil {
			return []packet.Packet{from(other.ID, e.Address, port)}
		}
	}
	if !client.IsGlobalUnicast() || client.IsPrivate() {
		return []packet.Packet{from(home.ID, e.Address, port)}
	}
	var out []packet.Packet
	public := func(id string, port uint16) {
		for _, p := range w.PublicAddresses {
			if topology.Same(p.ID, id) {
				out = append(out, from("", p.Address, port))
			}
		}
	}
	public(e.PublicAddress, port)
	for _, b := range w.Balancers {
		for _, r := range append(append([]*topology.BalancerRule{}, b.NATRules...), b.PoolRules...) {
			for _, f := range b.Frontends {
				if topology.Same(f.ID, r.Frontend) && (r.BackendPort == port || r.First == 0) {
					public(f.PublicAddress, cmp.Or(r.First, port)) // 0 stands for all ports
				}
			}
		}
	}
	for _, f := range w.Firewalls {
		for _, p := range w.Translations(f, e.Address, port) {
			for _, id := range f.PublicAddresses {
				public(id, p)
			}
		}
	}
	return out
}
