package ec2

import (
	"net/netip"
	"slices"
	"time"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2/packet"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
)

// clientPort is where the simulated clients call from.
const clientPort = 50000

// Connect says what becomes of a TCP connection from a client to a port of an
// instance now, at the address where it gets furthest. Nobody gets through to an
// instance that does not run. The region is the one that has the instance.
func (s *Simulator) Connect(client netip.Addr, instance string, port int) packet.Verdict {
	v, _ := s.connect(client, instance, port)
	return v
}

func (s *Simulator) connect(client netip.Addr, instance string, port int) (best packet.Verdict, made *Session) {
	s.mu.Lock()
	now := time.Now()
	done := s.settle(now)
	for _, region := range s.cfg.Regions {
		w := s.regions[region]
		i, found := w.Instances.Get(now, instance)
		if !found || !i.Running() {
			continue
		}
		for _, id := range i.Interfaces {
			n, _ := w.Interfaces.Get(now, id)
			for _, to := range addresses(n) {
				if to.Is4() != client.Is4() {
					continue
				}
				p := packet.Packet{From: client, FromPort: clientPort, Interface: id, To: to, Protocol: packet.TCP, Port: port, Code: 0}
				v := s.packets(w, now).Arrive(p)
				if made == nil || v.Outcome > best.Outcome {
					best, made = v, &Session{sim: s, world: w, packet: p, used: now}
				}
			}
		}
	}
	if best.Outcome == packet.Delivered {
		made.tracked = made.isTracked(now)
	} else {
		made = nil
	}
	s.mu.Unlock()
	s.tell(done)
	return best, made
}

// addresses returns all addresses of an interface, public ones first.
func addresses(n world.Interface) []netip.Addr {
	var public, private []netip.Addr
	for _, a := range n.Private {
		private = append(private, a.Addr)
		if a.Public.IsValid() {
			public = append(public, a.Public)
		}
	}
	return slices.Concat(public, private, n.IPv6)
}

// A Session is a TCP connection that got through when it was made.
//
// If it is tracked, its security groups have forgotten which rule let it in: it
// outlives that rule, until it was idle for too long. If it is not, every packet
// is judged by the rules that there are. It is not tracked if, when it was made,
// a rule let in everybody of its family and another let everything out. The
// network ACL judges every packet anyway. (EC2 user guide, connection tracking.)
type Session struct {
	sim     *Simulator
	world   *world.World
	packet  packet.Packet
	tracked bool
	used    time.Time
}

// Dial makes a connection, or returns nil where Connect would not deliver.
func (s *Simulator) Dial(client netip.Addr, instance string, port int) *Session {
	_, made := s.connect(client, instance, port)
	return made
}

// Tracked reports whether the connection outlives the rule that let it in.
func (x *Session) Tracked() bool { return x.tracked }

// Use sends a packet, and reports whether it got through.
func (x *Session) Use() bool {
	x.sim.mu.Lock()
	now := time.Now()
	done := x.sim.settle(now)
	alive := x.alive(now)
	if alive {
		x.used = now
	} else {
		x.used = time.Time{} // what was forgotten does not come back
	}
	x.sim.mu.Unlock()
	x.sim.tell(done)
	return alive
}

func (x *Session) alive(now time.Time) bool {
	n, found := x.world.Interfaces.Get(now, x.packet.Interface)
	i, _ := x.world.Instances.Get(now, n.Instance)
	if !found || !i.Running() || x.used.IsZero() || now.Sub(x.used) > x.world.Idle(now, n) {
		return false
	}
	v := x.sim.packets(x.world, now).Arrive(x.packet)
	if v.Outcome == packet.Delivered || !x.tracked {
		return v.Outcome == packet.Delivered
	}
	// The groups do not count any more, but everything else does.
	w := *x.sim.packets(x.world, now)
	w.Groups = append(slices.Clone(w.Groups), packet.Group{ID: "tracked", VPC: n.VPC, Rules: []packet.Rule{{
		ID: "tracked", CIDR: netip.PrefixFrom(x.packet.From, x.packet.From.BitLen()), Match: packet.Match{Protocol: packet.All},
	}}})
	w.Interfaces = slices.Clone(w.Interfaces)
	for j := range w.Interfaces {
		if w.Interfaces[j].ID == n.ID {
			w.Interfaces[j].Groups = []string{"tracked"}
		}
	}
	return w.Arrive(x.packet).Outcome == packet.Delivered
}

// isTracked reports whether the groups would remember the connection.
func (x *Session) isTracked(now time.Time) bool {
	n, _ := x.world.Interfaces.Get(now, x.packet.Interface)
	var in, out bool
	for _, id := range n.Groups {
		g, _ := x.world.Groups.Get(now, id)
		for _, r := range g.Rules {
			everybody := r.CIDR.IsValid() && r.CIDR.Bits() == 0 && r.CIDR.Addr().Is4() == x.packet.From.Is4()
			all := r.Protocol == "-1" || r.Protocol == "tcp" && r.First == 0 && r.Last == 65535
			switch {
			case !everybody:
			case r.Egress:
				out = out || all
			default:
				in = in || all || r.Protocol == "tcp" && r.First <= x.packet.Port && x.packet.Port <= r.Last
			}
		}
	}
	return !in || !out
}
