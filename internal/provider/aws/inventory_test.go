package aws_test

import (
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/fleet"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/packet"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/provider/aws"
	"github.com/sesame-access/sesame/internal/reach"
	"github.com/sesame-access/sesame/internal/reach/reachtest"
)

func TestInventory(t *testing.T) {
	synctest.Test(t, testInventory)
}

func testInventory(t *testing.T) {
	g := newGround(t, ec2.Config{Seed: 5})
	vms, err := g.provider.Inventory(t.Context())
	if err != nil || len(vms) != 2 {
		t.Fatalf("%v, %v", vms, err)
	}
	v := inventory.Of(vms, g.ssh.VM)
	if v.Name != "one" || v.State != "running" || v.System != "Linux/UNIX" || len(v.Paths) != 6 || len(v.Addresses) != 3 || !slices.Equal(v.Firewalls(), []firewall.ID{g.vpc}) {
		t.Errorf("%+v", v)
	}
	g.sim.Fail(ec2.Fault{Kind: ec2.Broken, Action: "DescribeInstances"})
	if vms, err = g.provider.Inventory(t.Context()); err != nil || len(vms) != 2 || len(vms[0].Missing) != 1 || len(vms[1].Missing) != 1 {
		t.Errorf("%d machines, %v, %v", len(vms), vms[0].Missing, err)
	}
	g.sim.Mend()
	if vms, err = g.provider.Inventory(t.Context()); err != nil || len(vms[0].Missing) != 0 {
		t.Errorf("it was read again: %v, %v", vms[0].Missing, err)
	}
}

// What cannot be read of one region is missing there, and nowhere else; nothing is
// made up of half a page set.
func TestUnreadableRegion(t *testing.T) {
	synctest.Test(t, testUnreadableRegion) // the SDK waits before it tries again
}

func testUnreadableRegion(t *testing.T) {
	sim, err := ec2.New(ec2.Config{Regions: []string{"eu-central-1", "eu-west-1"}, Unthrottled: true})
	if err != nil {
		t.Fatal(err)
	}
	const few, pages = 20, 1010 // the second is more than a page
	for region, n := range map[string]int{"eu-central-1": few, "eu-west-1": pages} {
		if err := sim.Fleet(region, n, 3); err != nil {
			t.Fatal(err)
		}
	}
	p := connected(t, awssdk.Config{
		Region: "eu-central-1", BaseEndpoint: awssdk.String("http://ec2.example"), HTTPClient: sim.Client(),
		Credentials: credentials.NewStaticCredentialsProvider(ec2.DefaultKey, ec2.DefaultSecret, ""),
	})
	count := func(vms []inventory.VM, region string, missing bool) (n int) {
		for _, v := range vms {
			if strings.Contains(string(v.ID), region) && missing == (len(v.Missing) > 0) {
				n++
			}
		}
		return n
	}
	for _, action := range []string{"DescribeInstances", "DescribeNetworkInterfaces", "DescribeSubnets"} {
		p = aws.New(p.Config)
		sim.Fail(ec2.Fault{Kind: ec2.Broken, Action: action, Region: "eu-west-1"})
		vms, err := p.Inventory(t.Context())
		if err == nil || count(vms, "eu-central-1", false) != few || len(vms) != few {
			t.Errorf("%s fails, of a region that was never read: %d machines, %v", action, len(vms), err)
		}
		sim.Mend()
		if vms, err = p.Inventory(t.Context()); err != nil || count(vms, "eu-west-1", false) != pages {
			t.Errorf("%d machines, %v", len(vms), err)
		}
		sim.Fail(ec2.Fault{Kind: ec2.Broken, Action: action, Region: "eu-west-1", Skip: 1})
		vms, err = p.Inventory(t.Context())
		if action == "DescribeSubnets" {
			sim.Mend()
			continue // it is one page
		}
		if err != nil || count(vms, "eu-central-1", false) != few || count(vms, "eu-west-1", true) != pages {
			t.Errorf("%s breaks off: %d machines, %v", action, len(vms), err)
		}
		sim.Mend()
	}
	sim.Fail(ec2.Fault{Kind: ec2.Broken, Action: "DescribeRouteTables", Region: "eu-west-1"})
	vms, err := p.Inventory(t.Context())
	if err != nil || count(vms, "eu-west-1", false) != pages {
		t.Errorf("without routes: %d machines, %v", len(vms), err)
	}
	unsure := func(v inventory.VM) bool {
		return slices.ContainsFunc(v.Paths, func(x inventory.Path) bool { return x.Unsure })
	}
	for _, v := range vms {
		if strings.Contains(string(v.ID), "eu-west-1") != unsure(v) {
			t.Fatalf("the ways to %s are known: %v", v.ID, !unsure(v))
		}
	}
}

func TestProposed(t *testing.T) {
	sim, err := ec2.New(ec2.Config{Unthrottled: true})
	if err != nil {
		t.Fatal(err)
	}
	var vm world.Instance
	sim.Build(ec2.DefaultRegion, func(w *world.World) {
		b := fleet.NewBuilder(w, ec2.DefaultAccount)
		v := b.VPC("net", "10.0.0.0/16")
		s := b.Subnet(v.ID, "a", "10.0.0.0/20", "", false)
		connect := world.PrefixList{Resource: world.Resource{ID: "pl-0c0", Owner: world.Amazon}, Name: "com.amazonaws.eu-central-1.ec2-instance-connect", MaxEntries: 1, Version: 1, Entries: []world.ListEntry{{CIDR: netip.MustParsePrefix("198.51.100.0/29")}}}
		w.PrefixLists.Put(time.Time{}, connect)
		lb, eice := b.Group(v.ID, "lb", "lb"), b.Group(v.ID, "eice", "eice")
		mine := b.Group(v.ID, "mine", "mine", "tcp 8080 @lb", "tcp 22 @eice", "tcp 22 pl-0c0", "tcp 22 203.0.113.7/32 # on call", "tcp 20:25 10.0.9.0/24", "tcp 22 10.0.0.0/8", "tcp 443 203.0.113.7/32", "-1 192.0.2.9/32")
		vm = b.Instance("vm", world.Instance{}, fleet.Leg{Subnet: s, Groups: []string{mine}})
		for id, x := range map[string]world.Interface{
			"eni-0a": {Type: "interface", Requester: "amazon-elb", Description: "ELB app/front/50dc6c495c0c9188", Groups: []string{lb}},
			"eni-0b": {Type: "ec2_instance_connect_endpoint", Requester: "eice", Description: "EC2 Instance Connect Endpoint eice-1", Groups: []string{eice}},
		} {
			x.Resource, x.VPC, x.Subnet = world.Resource{ID: id, Owner: ec2.DefaultAccount}, v.ID, s.ID
			x.Private = []world.PrivateAddress{{Addr: netip.MustParseAddr("10.0.1." + strconv.Itoa(len(x.Description)))}}
			w.Interfaces.Put(time.Time{}, x)
		}
	})
	p := connected(t, awssdk.Config{
		Region: ec2.DefaultRegion, BaseEndpoint: awssdk.String("http://ec2.example"), HTTPClient: sim.Client(),
		Credentials: credentials.NewStaticCredentialsProvider(ec2.DefaultKey, ec2.DefaultSecret, ""),
	})
	vms, err := p.Inventory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, v := range vms {
		if v.ID.Name() == vm.ID {
			for _, x := range v.Proposed {
				got = append(got, fmt.Sprintf("%s %q %d/%s %v", x.Kind, x.Name, x.Port, x.Protocol, x.From))
			}
		}
	}
	want := []string{
		`probe "app/front/50dc6c495c0c9188" 8080/tcp [10.0.1.30/32]`,
		`bastion "EC2 Instance Connect Endpoint eice-1" 22/tcp [10.0.1.36/32]`,
		`bastion "com.amazonaws.eu-central-1.ec2-instance-connect" 22/tcp [198.51.100.0/29]`,
		`management "10.0.9.0/24" 22/tcp [10.0.9.0/24]`,
		`management "192.0.2.9/32" 22/tcp [192.0.2.9/32]`,
		`management "192.0.2.9/32" 3389/tcp [192.0.2.9/32]`,
		`management "192.0.2.9/32" 5985/tcp [192.0.2.9/32]`,
		`management "192.0.2.9/32" 5986/tcp [192.0.2.9/32]`,
		`management "on call" 22/tcp [203.0.113.7/32]`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("proposed\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A trial is a simulated region of random networks.
type trial struct {
	*rand.Rand

	sim *ec2.Simulator
	p   *aws.Provider
}

func (r trial) of(texts ...string) string { return texts[r.IntN(len(texts))] }

func (r trial) chance(percent int) bool { return r.IntN(100) < percent }

// network makes a VPC with an instance in each of its subnets.
func (r trial) network(b *fleet.Builder, n int, peer string) world.VPC {
	w := b.World
	var always time.Time
	six := n == 1
	v := b.VPC(fmt.Sprint("net", n), fmt.Sprintf("10.%d.0.0/16", n), "2001:db8:a::/56")
	igw := b.Gateway(v.ID)
	for i := range 3 {
		v6 := ""
		if six && i > 0 {
			v6 = fmt.Sprintf("2001:db8:a:%d::/64", i)
		}
		s := b.Subnet(v.ID, "a", fmt.Sprintf("10.%d.%d.0/24", n, i), v6, r.chance(70))
		pairs := []string{fmt.Sprintf("10.%d.0.0/16", n), "local", "2001:db8:a::/56", "local"}
		for _, to := range []string{"0.0.0.0/0", "::/0", "8.8.8.0/24", "192.168.0.0/16", fmt.Sprintf("10.%d.0.0/16", 3-n)} {
			target := r.of(igw, igw, igw, "nat-0a", "vgw-0b", "")
			switch {
			case to == "::/0":
				target = r.of(igw, "eigw-0c", "")
			case strings.HasPrefix(to, "10."):
				target = r.of(peer, peer, "")
			}
			if target != "" {
				pairs = append(pairs, to, target)
			}
		}
		table := b.Routes(v.ID, false, pairs...)
		table.Subnets = []string{s.ID}
		w.RouteTables.Put(always, table)
		if r.chance(70) {
			a := world.NetworkACL{Resource: world.Resource{ID: w.ID("acl"), Owner: b.Account}, VPC: v.ID}
			for k := range r.IntN(6) {
				a.Entries = append(a.Entries, r.entry(10+k, r.chance(50)))
			}
			for k, to := range []string{"0.0.0.0/0", "::/0"} {
				for _, egress := range []bool{false, true} {
					if r.chance(85) {
						a.Entries = append(a.Entries, world.Entry{Number: 100 + k, Egress: egress, Allow: true, Protocol: -1, First: -1, Last: -1, CIDR: netip.MustParsePrefix(to)})
					}
				}
			}
			slices.SortFunc(a.Entries, func(x, y world.Entry) int {
				if x.Egress != y.Egress {
					return map[bool]int{false: -1, true: 1}[x.Egress]
				}
				return x.Number - y.Number
			})
			w.NetworkACLs.Put(always, a)
			s.ACL = a.ID
			w.Subnets.Put(always, s)
		}
		var groups []string
		for k := range 1 + r.IntN(2) {
			var rules []string
			for range r.IntN(4) {
				source := r.of("0.0.0.0/0", "::/0", "8.8.8.0/24", "10.1.1.0/24", "10.0.0.0/8", "192.168.7.0/24", "2001:db8:a::/56", "2600::/16", "pl-0123", "@default", "@net1/default")
				if source == "@net1/default" && n == 2 {
					source += " " + peer
				}
				rules = append(rules, r.of("tcp 22 ", "tcp 22 ", "tcp 20:25 ", "tcp 80 ", "-1 ", "udp 22 ")+source)
			}
			groups = append(groups, b.Group(v.ID, fmt.Sprintf("g%d-%d-%d", n, i, k), "random", slices.Compact(slices.Sorted(slices.Values(rules)))...))
		}
		if r.chance(40) {
			for x := range w.Groups.All(always) {
				if x.VPC == v.ID && x.Name == "default" {
					groups = append(groups, x.ID)
				}
			}
		}
		b.Instance(fmt.Sprintf("vm-%d-%d", n, i), world.Instance{}, fleet.Leg{Subnet: s, Groups: groups, Addresses: 1 + r.IntN(2), IPv6: true, Public: r.chance(70)})
	}
	return v
}

// entry makes an entry of a network ACL. The simulated clients call from one port
// above 49152: no entry may tell that from all others.
func (r trial) entry(number int, egress bool) world.Entry {
	e := world.Entry{Number: number, Egress: egress, Allow: r.chance(50), Protocol: -1, First: -1, Last: -1}
	e.CIDR = netip.MustParsePrefix(r.of("0.0.0.0/0", "8.8.8.0/24", "10.1.1.0/24", "192.168.7.0/24", "::/0", "2600::/16", "8.0.0.0/5"))
	switch {
	case egress && e.Allow && r.chance(60):
		e.Protocol, e.First, e.Last = 6, 1024, 65535
	case !egress && r.chance(60):
		e.Protocol, e.First, e.Last = 6, []int{22, 0, 80}[r.IntN(3)], 0
		e.Last = e.First + []int{0, 22}[r.IntN(2)]
	case r.chance(30):
		e.Protocol, e.First, e.Last = 17, 0, 65535
	}
	return e
}

// agree compares what the engine makes of inventory and layers with what becomes
// of packets, and returns how many it sent.
func (r trial) agree(t *testing.T) (packets int) {
	t.Helper()
	vms, err := r.p.Inventory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(vms) != 6 {
		t.Fatalf("%d machines", len(vms))
	}
	layers := map[firewall.ID]firewall.Layer{}
	for _, v := range vms {
		for _, fw := range v.Firewalls() {
			if _, read := layers[fw]; read {
				continue
			}
			s, err := r.p.Observe(t.Context(), fw, nil)
			if err != nil {
				t.Fatal(err)
			}
			layers[fw] = s.Layer
		}
	}
	for _, v := range vms {
		for _, port := range []uint16{22, 25, 80} {
			set := reach.VM(v, layers, firewall.Door{VM: v.ID, Protocol: firewall.TCP, Port: port})
			for _, from := range []string{
				"1.1.1.1", "8.8.8.8", "9.9.9.9", "10.1.0.4", "10.1.1.4", "10.1.1.200", "10.1.2.4", "10.2.0.4", "10.2.1.4", "10.2.2.5",
				"172.16.0.1", "192.168.7.7", "192.168.8.1", "203.0.113.9", "2600::1", "2001:db8:a:1::4", "2001:db8:a:2::4", "2a00::1",
			} {
				a := netip.MustParseAddr(from)
				want := map[packet.Outcome]reach.Verdict{packet.Denied: reach.Closed, packet.Delivered: reach.Open, packet.Unknown: reach.Unknown}
				truth := r.sim.Connect(a, v.ID.Name(), int(port))
				packets++
				if is := set.At(a); is.Verdict != want[truth.Outcome] {
					t.Errorf("%s port %d from %s is %v by %s (%v); a packet is %v", v.Name, port, a, is.Verdict, is.Path(), is.Steps(), truth)
					return packets
				}
			}
		}
	}
	return packets
}

// Inventory and layers, read over a connection, say of every packet what becomes
// of it. Without more to do the test is short; `make fuzz` asks for more.
func TestAgainstSimulatedPackets(t *testing.T) {
	const costly = 1000 // times as much as a packet through a model
	want, seed := reachtest.Packets(t, 20_000*costly)
	want /= costly
	packets, worlds := 0, uint64(0)
	for ; packets < want && !t.Failed(); worlds++ {
		sim, err := ec2.New(ec2.Config{Unthrottled: true, Seed: seed + worlds, ShortPages: worlds%2 == 0})
		if err != nil {
			t.Fatal(err)
		}
		r := trial{Rand: rand.New(rand.NewPCG(seed+worlds, 4)), sim: sim, p: nil}
		sim.Build(ec2.DefaultRegion, func(w *world.World) {
			b := fleet.NewBuilder(w, ec2.DefaultAccount)
			w.PrefixLists.Put(time.Time{}, world.PrefixList{Resource: world.Resource{ID: "pl-0123", Owner: ec2.DefaultAccount}, Name: "x", MaxEntries: 2, Version: 1, Entries: []world.ListEntry{{CIDR: netip.MustParsePrefix("9.9.9.0/24")}}})
			peering := w.ID("pcx")
			one := r.network(b, 1, peering)
			two := r.network(b, 2, peering)
			w.Peerings.Put(time.Time{}, world.Peering{
				Resource: world.Resource{ID: peering, Owner: b.Account}, Requester: one.ID, Accepter: two.ID, AccepterOwner: b.Account,
				Status: r.of("active", "active", "deleted"),
			})
		})
		server := httptest.NewServer(sim)
		r.p = connected(t, awssdk.Config{
			Region: ec2.DefaultRegion, BaseEndpoint: awssdk.String(server.URL), HTTPClient: server.Client(),
			Credentials: credentials.NewStaticCredentialsProvider(ec2.DefaultKey, ec2.DefaultSecret, ""),
		})
		if packets += r.agree(t); t.Failed() {
			t.Logf("seed %d", seed+worlds)
		}
		server.Close()
	}
	t.Logf("%d packets through %d worlds", packets, worlds)
}
