package path_test

import (
	"encoding/json"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sesame-access/sesame/internal/cloudsim/arm/packet"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/provider/azure/path"
	"github.com/sesame-access/sesame/internal/provider/azure/topology"
	"github.com/sesame-access/sesame/internal/reach"
	"github.com/sesame-access/sesame/internal/reach/reachtest"
)

// A judge sends packets through a world, one by one, and puts together what
// becomes of those of one source.
type judge struct {
	*world

	worlds  map[string]*packet.World // by the network whose machines are asked about
	packets int
}

func newJudge(t testing.TB, w *world) *judge {
	j := &judge{world: w, worlds: map[string]*packet.World{}}
	docs := map[string]json.RawMessage(w.documents)
	for _, network := range []string{"hub", "spoke", "far", "lone"} {
		tags := maps.Clone(w.tags)
		if w.seesGateway(network) {
			tags["VirtualNetwork"] = w.onPrem
		}
		x, err := packet.New(docs, tags)
		if err != nil {
			t.Fatal(err)
		}
		j.worlds[network] = x
	}
	return j
}

// seesGateway reports whether what is behind the hub's gateway comes to network.
func (w *world) seesGateway(network string) bool {
	return network == "hub" && w.gateway || network == "spoke" && w.borrowed && w.connected()
}

// connected reports whether the spoke's side of the peering is up.
func (w *world) connected() bool {
	return strings.Contains(string(w.documents[base+"virtualNetworks/spoke"]), `"Connected"`)
}

// starts returns the networks that a packet from a may start in, on its way to a
// machine in the given one. The empty one is the Internet.
func (j *judge) starts(a netip.Addr, to string) []string {
	in := []string{""}
	for network, prefixes := range j.subnets {
		if slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a) }) {
			in = append(in, network)
		}
	}
	if a == netip.MustParseAddr("168.63.129.16") || a == netip.MustParseAddr("fe80::1234:5678:9abc") {
		in = append(in, to)
	}
	if j.seesGateway(to) && slices.ContainsFunc(j.onPrem, func(p netip.Prefix) bool { return p.Contains(a) }) {
		in = append(in, "hub")
	}
	return in
}

// A finding is the most that packets of one source got.
type finding struct {
	verdict reach.Verdict
	// murky says that some packet went through something that nobody can see
	// into. The engine still knows what comes behind it.
	murky bool
	// blurred says so of a packet to a frontend, of which nobody says to whom it
	// would have come.
	blurred bool
}

func (f *finding) add(o packet.Outcome) {
	v := map[packet.Outcome]reach.Verdict{packet.Denied: reach.Closed, packet.Delivered: reach.Open, packet.Unknown: reach.Unknown}[o]
	f.verdict = max(f.verdict, v)
}

// allows reports whether v is what the engine should say. What becomes of a
// packet behind something that nobody can see into is unknown, unless nobody is let
// in there.
func (f *finding) allows(v reach.Verdict, shut func() bool) bool {
	if f.blurred && v == max(f.verdict, reach.Unknown) {
		return true
	}
	if !f.murky {
		return v == f.verdict
	}
	return v == max(f.verdict, reach.Unknown) || v == f.verdict && shut()
}

// source sends packets from a to door d of v, on every way there is.
func (j *judge) source(v inventory.VM, a netip.Addr, d firewall.Door) finding {
	own := j.vms[string(v.ID)]
	network := own[0].network
	var out finding
	send := func(in string, to netip.Addr, port uint16) {
		if a.Is4() != to.Is4() {
			return
		}
		if in != "" {
			in = base + "virtualNetworks/" + in
		}
		for _, client := range clientPorts() {
			j.packets++
			got := j.worlds[network].Judge(packet.Packet{In: in, From: a, FromPort: client, To: to, ToPort: port, Protocol: packet.Protocol(d.Protocol), Left: true})
			if got.Reached == "" && got.Outcome == packet.Unknown && slices.ContainsFunc(j.fronts, func(p placed) bool { return p.address == to }) {
				out.blurred = out.blurred || strings.Contains(got.By().Why, " leads t")
			}
			direct := slices.ContainsFunc(own, func(p placed) bool { return p.address == got.To })
			ours := strings.Contains(strings.ToLower(got.Reached), "/networkinterfaces/"+v.Name+"/")
			if got.Reached == "" {
				// The network that stands alone has the hub's addresses for its own.
				ours = direct && strings.HasSuffix(in, "/lone") == (network == "lone")
			}
			if ours && got.Port == d.Port {
				if got.Outcome == packet.Unknown && strings.Contains(got.By().Why, " leads t") {
					out.murky = true
					continue
				}
				out.add(got.Outcome)
			}
		}
	}
	for _, in := range j.starts(a, network) {
		if in == "" {
			for _, p := range j.publics {
				for _, port := range append(doors(), 23) {
					if send("", p, port); a.IsPrivate() {
						break // once will do
					}
				}
			}
			continue
		}
		for _, p := range own {
			send(in, p.address, d.Port)
		}
	}
	for _, f := range j.fronts {
		for _, in := range j.starts(a, f.network) {
			if in != "" {
				for _, port := range append(doors(), 23) {
					send(in, f.address, port)
				}
			}
		}
	}
	return out
}

// corners returns the addresses at and beside the ends of all prefixes.
func corners() []netip.Addr {
	var all []netip.Prefix
	for _, text := range slices.Concat(sources(), sixes(), []string{"9.0.0.0/29", "9.0.0.8/31", "10.1.0.4/32", "20.0.0.1/32", "13.0.0.0/16"}) {
		all = append(all, netip.MustParsePrefix(text))
	}
	return reachtest.Corners(all...)
}

// agree compares layers, paths and engine with the evaluator of single packets,
// in one random world, at a few of the addresses where anything can change, and
// returns how many packets that took.
func agree(t testing.TB, seed uint64) int {
	w := newWorld(seed)
	j := newJudge(t, w)
	vms, layers := path.Machines(topology.Read(w.documents), path.Known{Tags: w.tags, Gateways: map[string][]netip.Prefix{base + "virtualNetworks/HUB": w.onPrem}})
	model := reach.NewModel(layers)
	var q reach.Query
	all := corners()
	for _, v := range vms {
		for range 2 {
			d := firewall.Door{VM: v.ID, Protocol: pick(w.r, firewall.TCP, firewall.TCP, firewall.UDP), Port: pick(w.r, doors()...)}
			got := q.VM(v, model, d)
			for range 2 {
				a := pick(w.r, all...)
				if w.chance(70) { // where somebody comes from
					a = pick(w.r, reachtest.Inhabited(all, got)...)
				}
				want := j.source(v, a, d)
				if is := got.At(a); !want.allows(is.Verdict, func() bool { return j.shut(v, d, a) }) {
					t.Fatalf("seed %d: %s at %s is %v, want %+v\n%s", seed, a, d, is.Verdict, want, explain(is))
				}
			}
		}
	}
	return j.packets
}

// shut reports whether nobody gets through d of v of those for whom something that
// nobody can see into might let a pass: a itself, and who stands
// in a network of appliances.
func (j *judge) shut(v inventory.VM, d firewall.Door, a netip.Addr) bool {
	there := append(corners(), a)
	for i, own := range j.vms[string(v.ID)] {
		id := base + "networkInterfaces/" + v.Name + "/ipConfigurations/c" + strconv.Itoa(i)
		for _, x := range there {
			stands := slices.ContainsFunc([]string{"10.0.0.0/24", "fd00::/64", "10.0.9.0/28", "fd00:0:0:9::/124"}, func(text string) bool {
				return netip.MustParsePrefix(text).Contains(x)
			})
			if x != a && !stands || x.Is4() != own.address.Is4() || a.Is4() != x.Is4() {
				continue
			}
			for _, client := range clientPorts() {
				p := packet.Packet{In: base + "virtualNetworks/" + own.network, From: x, FromPort: client, To: own.address, ToPort: d.Port, Protocol: packet.Protocol(d.Protocol), Left: true}
				if j.worlds[own.network].Arrive(p, id).Outcome != packet.Denied {
					return false
				}
			}
		}
	}
	return true
}

func explain(s reach.Span) string {
	text := s.Path()
	for _, step := range s.Steps() {
		text += "\n" + step.String()
	}
	return strings.ReplaceAll(text, strings.ToLower(base), "")
}

// TestAgainstPackets compares on random worlds. Without more to do it is short;
// `make fuzz` asks for 10^8 packets.
func TestAgainstPackets(t *testing.T) { reachtest.Agree(t, 100_000, agree) }

// An appliance that nobody knows, with an address among some that a rule denies,
// may have an interface among others that another rule lets in.
func TestUnknownApplianceMayStandInTwoSubnets(t *testing.T) { agree(t, 12585015540402403011) }

func FuzzAgainstPackets(f *testing.F) {
	f.Add(uint64(0))
	f.Add(uint64(12585015540402403011))
	f.Fuzz(func(t *testing.T, seed uint64) { agree(t, seed) })
}
