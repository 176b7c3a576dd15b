package path_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2/packet"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/provider/aws/path"
	"github.com/sesame-access/sesame/internal/reach"
	"github.com/sesame-access/sesame/internal/reach/reachtest"
)

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

func prefixes(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, t := range texts {
		out = append(out, netip.MustParsePrefix(t))
	}
	return out
}

// sources are prefixes at whose ends verdicts may change.
func sources() []netip.Prefix {
	return prefixes(
		"0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1", "8.8.8.0/24", "8.8.8.8/32", "9.0.0.0/8", "10.0.0.0/16", "10.0.1.0/24", "10.0.1.6/32", "10.0.2.7/32", "172.16.0.0/16", "172.16.0.8/31",
		"192.168.1.0/24", "192.168.1.128/25", "::/0", "2001:db8::/64", "2001:db8::6/127", "2001:db8:1::/64", "2001:db9::/32", "2600::/16",
	)
}

// clientPorts are the ends of all ranges of ports.
func clientPorts() []int {
	return []int{0, 21, 22, 23, 79, 80, 1023, 1024, 3389, 3390, 32767, 32768, 60999, 61000, 65535}
}

func doors() []int { return []int{22, 80, 3389} }

// roll makes a random world.
func roll(r *rand.Rand) *packet.World {
	chance := func(percent int) bool { return r.IntN(100) < percent }
	match := func(ports ...[2]int) packet.Match {
		p := pick(r, ports...)
		m := packet.Match{Protocol: pick(r, packet.TCP, packet.TCP, packet.UDP, packet.All, 47, packet.ICMP), First: p[0], Last: p[1]}
		if m.Protocol == packet.All {
			m.First, m.Last = packet.All, packet.All
		}
		return m
	}
	w := &packet.World{Peerings: []packet.Peering{{ID: "pcx-1", Requester: "vpc-1", Accepter: "vpc-2", Active: chance(80)}}}
	for i, s := range []struct {
		id, vpc string
		cidrs   []netip.Prefix
	}{
		{"subnet-a", "vpc-1", prefixes("10.0.1.0/24", "2001:db8::/64")}, {"subnet-b", "vpc-1", prefixes("10.0.2.0/24")}, {"subnet-p", "vpc-2", prefixes("172.16.0.0/24", "2001:db8:1::/64")},
	} {
		local := []string{"10.0.0.0/16", "10.0.0.0/16", "172.16.0.0/16"}[i]
		sub := packet.Subnet{ID: s.id, VPC: s.vpc, CIDRs: s.cidrs, ACL: "acl-" + s.id}
		sub.Routes = append(sub.Routes, packet.Route{Destination: netip.MustParsePrefix(local), Target: "local"})
		sub.Routes = append(sub.Routes, packet.Route{Destination: []netip.Prefix{netip.MustParsePrefix("2001:db8::/64"), netip.MustParsePrefix("2001:db8::/64"), netip.MustParsePrefix("2001:db8:1::/64")}[i], Target: "local"})
		for range r.IntN(5) {
			sub.Routes = append(sub.Routes, packet.Route{
				Destination: pick(r, prefixes("0.0.0.0/0", "0.0.0.0/0", "::/0", "172.16.0.0/16", "10.0.0.0/16", "192.168.0.0/16", "8.8.8.0/24", "2001:db8:1::/64", "2001:db9::/32", "10.0.1.6/32")...),
				Target:      pick(r, "igw-1", "igw-1", "igw-1", "nat-1", "eigw-1", "pcx-1", "vgw-1", "tgw-1", "eni-x", "xyz-1"), Blackhole: chance(10),
			})
		}
		for n := range r.IntN(7) {
			e := packet.Entry{Number: 100 + 10*r.IntN(50)*10 + n, Egress: chance(50), Allow: chance(50), CIDR: pick(r, sources()...), Match: match([2]int{0, 65535}, [2]int{22, 22}, [2]int{1024, 65535}, [2]int{32768, 60999}, [2]int{80, 3389}, [2]int{0, 1023})}
			sub.Entries = append(sub.Entries, e)
		}
		for n := range 4 { // what most ACLs end with
			if chance(80) {
				sub.Entries = append(sub.Entries, packet.Entry{
					Number: 30000 + n, Egress: n%2 == 0, Allow: true, CIDR: pick(r, prefixes("0.0.0.0/0", "::/0")...), Match: packet.Match{Protocol: packet.All, First: packet.All, Last: packet.All},
				})
			}
		}
		w.Subnets = append(w.Subnets, sub)
	}
	groups := func() []string {
		all := []string{"sg-a", "sg-b", "sg-p", "sg-gone"}
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		return all[:r.IntN(4)]
	}
	public := func(text string) (a netip.Addr) {
		if chance(60) {
			a = netip.MustParseAddr(text)
		}
		return a
	}
	w.Interfaces = []packet.Interface{
		{ID: "eni-web", Instance: "i-web", Subnet: "subnet-a", Groups: groups(), Addresses: []packet.Address{
			{Private: netip.MustParseAddr("10.0.1.5"), Public: public("198.51.100.5")}, {Private: netip.MustParseAddr("10.0.1.55")}, {Private: netip.MustParseAddr("2001:db8::5")},
		}},
		{ID: "eni-two", Instance: "i-web", Subnet: "subnet-b", Groups: groups(), Addresses: []packet.Address{{Private: netip.MustParseAddr("10.0.2.5"), Public: public("198.51.100.7")}}},
		{ID: "eni-sib", Instance: "i-sib", Subnet: "subnet-a", Groups: groups(), Addresses: []packet.Address{{Private: netip.MustParseAddr("10.0.1.6"), Public: public("198.51.100.6")}, {Private: netip.MustParseAddr("2001:db8::6")}}},
		{ID: "eni-far", Subnet: "subnet-b", Groups: groups(), Addresses: []packet.Address{{Private: netip.MustParseAddr("10.0.2.7")}}},
		{ID: "eni-peer", Instance: "i-peer", Subnet: "subnet-p", Groups: groups(), Addresses: []packet.Address{{Private: netip.MustParseAddr("172.16.0.8")}, {Private: netip.MustParseAddr("2001:db8:1::8")}}},
	}
	for _, id := range []string{"sg-a", "sg-b", "sg-p"} {
		g := packet.Group{ID: id, VPC: "vpc-1"}
		for i := range r.IntN(5) {
			x := packet.Rule{ID: fmt.Sprint(id, "-", i), Match: match([2]int{0, 65535}, [2]int{0, 65535}, [2]int{22, 22}, [2]int{80, 3389}, [2]int{0, 22})}
			switch r.IntN(5) {
			case 0:
				x.PrefixList = pick(r, "pl-known", "pl-empty", "pl-unknown")
			case 1, 2:
				x.Group = pick(r, "sg-a", "sg-b", "sg-p", "sg-gone")
			default:
				x.CIDR = pick(r, sources()...)
			}
			g.Rules = append(g.Rules, x)
		}
		w.Groups = append(w.Groups, g)
	}
	w.PrefixLists = []packet.PrefixList{{ID: "pl-known", Known: true, Entries: prefixes("8.8.8.0/24", "2600::/16")}, {ID: "pl-empty", Known: true}, {ID: "pl-unknown"}}
	return w
}

// estateOf says the same as w in the words of the package.
func estateOf(w *packet.World) path.Estate {
	var e path.Estate
	match := func(m packet.Match) path.Match {
		return path.Match{Protocol: m.Protocol, First: m.First, Last: m.Last}
	}
	for _, s := range w.Subnets {
		x := path.Subnet{ID: s.ID, VPC: s.VPC, CIDRs: s.CIDRs, ACL: &path.ACL{ID: s.ACL}}
		for _, r := range s.Routes {
			x.Routes = append(x.Routes, path.Route{Destination: r.Destination, Target: r.Target, Blackhole: r.Blackhole})
		}
		for _, n := range s.Entries {
			x.ACL.Entries = append(x.ACL.Entries, path.Entry{Number: n.Number, Egress: n.Egress, Allow: n.Allow, CIDR: n.CIDR, Match: match(n.Match)})
		}
		e.Subnets = append(e.Subnets, x)
	}
	for _, n := range w.Interfaces {
		x := path.Interface{ID: n.ID, Machine: firewall.VMID(n.Instance), Subnet: n.Subnet, Groups: n.Groups}
		for _, a := range n.Addresses {
			x.Addresses = append(x.Addresses, path.Address{Private: a.Private, Public: a.Public})
		}
		e.Interfaces = append(e.Interfaces, x)
	}
	for _, g := range w.Groups {
		x := path.Group{ID: g.ID}
		for _, r := range g.Rules {
			if !r.Egress {
				x.Rules = append(x.Rules, path.Rule{ID: r.ID, CIDR: r.CIDR, PrefixList: r.PrefixList, Group: r.Group, Match: match(r.Match)})
			}
		}
		e.Groups = append(e.Groups, x)
	}
	for _, l := range w.PrefixLists {
		if l.Known {
			e.PrefixLists = append(e.PrefixLists, path.PrefixList{ID: l.ID, Entries: l.Entries})
		}
	}
	for _, p := range w.Peerings {
		e.Peerings = append(e.Peerings, path.Peering{Requester: p.Requester, Accepter: p.Accepter, Active: p.Active})
	}
	for _, id := range []string{"i-peer", "i-sib", "i-web"} {
		e.Machines = append(e.Machines, path.Machine{ID: firewall.VMID(id), Name: id})
	}
	return e
}

// source sends packets from a to door d of v, to every address and from every port
// that is worth trying, and returns the most that they got.
func source(w *packet.World, v inventory.VM, a netip.Addr, d firewall.Door) (out reach.Verdict, packets int) {
	for _, n := range w.Interfaces {
		if n.Instance != string(v.ID) {
			continue
		}
		for _, x := range n.Addresses {
			for _, to := range []netip.Addr{x.Private, x.Public} {
				if !to.IsValid() || to.Is4() != a.Is4() {
					continue
				}
				for _, client := range clientPorts() {
					packets++
					got := w.Arrive(packet.Packet{From: a, FromPort: client, Interface: n.ID, To: to, Protocol: int(d.Protocol), Port: int(d.Port)})
					out = max(out, map[packet.Outcome]reach.Verdict{packet.Denied: reach.Closed, packet.Unknown: reach.Unknown, packet.Delivered: reach.Open}[got.Outcome])
				}
			}
		}
	}
	return out, packets
}

// agree compares layers, paths and engine with the evaluator of single packets, in
// one random world, and returns how many packets that took.
func agree(t testing.TB, seed uint64) (packets int) {
	r := rand.New(rand.NewPCG(seed, 3))
	w := roll(r)
	vms, layers := path.Machines(estateOf(w))
	model := reach.NewModel(layers)
	var q reach.Query
	all := reachtest.Corners(sources()...)
	for _, v := range vms {
		d := firewall.Door{VM: v.ID, Protocol: pick(r, firewall.TCP, firewall.TCP, firewall.UDP), Port: uint16(pick(r, doors()...))}
		got := q.VM(v, model, d)
		for range 12 {
			a := pick(r, all...)
			if r.IntN(100) < 70 { // where somebody comes from
				a = pick(r, reachtest.Inhabited(all, got)...)
			}
			want, n := source(w, v, a, d)
			packets += n
			if is := got.At(a); is.Verdict != want {
				t.Fatalf("seed %d: %s at %s is %v, want %v\n%s %v\n%+v", seed, a, d, is.Verdict, want, is.Path(), is.Steps(), w)
			}
		}
	}
	return packets
}

// TestAgainstPackets compares on random worlds. Without more to do it is short;
// `make fuzz` asks for 10^8 packets.
func TestAgainstPackets(t *testing.T) { reachtest.Agree(t, 400_000, agree) }

func FuzzAgainstPackets(f *testing.F) {
	f.Add(uint64(0))
	f.Fuzz(func(t *testing.T, seed uint64) { agree(t, seed) })
}
