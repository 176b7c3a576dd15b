// Package fleet fills a simulated region with what is found in real ones: a
// default VPC and one for production, a third that is peered, subnets with and
// without a way to the Internet, and instances whose security groups were
// written by many hands.
//
// The rules are those that make trouble. The default group lets its members do
// everything to each other, and most rules are shared by many instances. Ranges
// reach over the management ports; sources are networks of both families, prefix
// lists, other groups, groups of the peered VPC. The same number and seed make
// the same fleet.
package fleet

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
)

// Most is how many instances there is room for.
const Most = 20_000

// A builder is a fleet while it is made.
type builder struct {
	w       *world.World
	account string
	chance  *rand.Rand
	groups  map[string]string // ids by name
	subnets []world.Subnet    // of production
	next    map[string]netip.Addr
	public  netip.Addr
}

// birth is when everything was launched.
func birth() time.Time { return time.Date(2026, time.January, 5, 9, 0, 0, 0, time.UTC) }

// Build puts n instances of an account into a region, and all that they need.
func Build(w *world.World, account string, n int, seed uint64) error {
	if n < 0 || n > Most {
		return fmt.Errorf("build a fleet of %d instances: there is room for %d", n, Most)
	}
	b := &builder{
		w: w, account: account, groups: map[string]string{}, next: map[string]netip.Addr{},
		chance: rand.New(rand.NewPCG(seed, 1)), //nolint:gosec // the same seed makes the same fleet
		public: netip.MustParseAddr("198.18.0.1"),
	}
	b.standard()
	b.production()
	for i := range n {
		b.instance(i)
	}
	return nil
}

func (b *builder) own(prefix string, tags ...string) world.Resource {
	r := world.Resource{ID: b.w.ID(prefix), Owner: b.account, Tags: nil}
	for i := 0; i+1 < len(tags); i += 2 {
		if r.Tags == nil {
			r.Tags = world.Tags{}
		}
		r.Tags[tags[i]] = tags[i+1]
	}
	return r
}

func prefixes(texts ...string) (out []netip.Prefix) {
	for _, t := range texts {
		out = append(out, netip.MustParsePrefix(t))
	}
	return out
}

// always is when everything came to be: before anybody could look.
func always() (t time.Time) { return t }

// vpc makes a VPC with its default network ACL and its default group.
func (b *builder) vpc(name string, standard bool, cidrs ...string) (vpc, acl string) {
	v := world.VPC{Resource: b.own("vpc", "Name", name), CIDRs: prefixes(cidrs...), Default: standard}
	b.w.VPCs.Put(always(), v)
	a := world.NetworkACL{Resource: b.own("acl"), VPC: v.ID, Default: true}
	for _, egress := range []bool{false, true} {
		for i, everywhere := range prefixes("0.0.0.0/0", "::/0") {
			a.Entries = append(a.Entries, world.Entry{Number: 100 + i, Egress: egress, Allow: true, Protocol: world.All, CIDR: everywhere, First: world.All, Last: world.All})
		}
	}
	b.w.NetworkACLs.Put(always(), a)
	g := world.Group{Resource: b.own("sg"), VPC: v.ID, Name: "default", Description: "default VPC security group"}
	g.Rules = []world.Rule{
		{ID: b.w.ID("sgr"), Protocol: "-1", First: world.All, Last: world.All, Group: g.ID, GroupOwner: b.account},
		b.everythingOut(),
	}
	b.w.Groups.Put(always(), g)
	b.groups[name+"/default"] = g.ID
	return v.ID, a.ID
}

func (b *builder) everythingOut() world.Rule {
	return world.Rule{ID: b.w.ID("sgr"), Egress: true, Protocol: "-1", First: world.All, Last: world.All, CIDR: netip.MustParsePrefix("0.0.0.0/0")}
}

// gateway makes an internet gateway.
func (b *builder) gateway(vpc string) string {
	g := world.InternetGateway{Resource: b.own("igw"), VPC: vpc}
	b.w.InternetGateways.Put(always(), g)
	return g.ID
}

// routes makes a route table. The pairs are destinations and targets.
func (b *builder) routes(vpc string, main bool, pairs ...string) string {
	t := world.RouteTable{Resource: b.own("rtb"), VPC: vpc, Main: main}
	for i := 0; i+1 < len(pairs); i += 2 {
		t.Routes = append(t.Routes, world.Route{Destination: netip.MustParsePrefix(pairs[i]), Target: pairs[i+1]})
	}
	b.w.RouteTables.Put(always(), t)
	return t.ID
}

func (b *builder) subnet(vpc, acl, zone, cidr, cidr6 string, public bool) world.Subnet {
	s := world.Subnet{Resource: b.own("subnet"), VPC: vpc, Zone: b.w.Region + zone, ACL: acl, Public: public, CIDR: netip.MustParsePrefix(cidr)}
	if cidr6 != "" {
		s.CIDR6 = netip.MustParsePrefix(cidr6)
	}
	b.w.Subnets.Put(always(), s)
	return s
}

// standard makes the default VPC that every account has, empty.
func (b *builder) standard() {
	vpc, acl := b.vpc("standard", true, "172.31.0.0/16")
	b.routes(vpc, true, "172.31.0.0/16", "local", "0.0.0.0/0", b.gateway(vpc))
	for i, zone := range []string{"a", "b", "c"} {
		b.subnet(vpc, acl, zone, fmt.Sprintf("172.31.%d.0/20", i*16), "", true)
	}
}

// production makes the VPC that the instances are in, and the one of the tools,
// which is peered with it.
func (b *builder) production() {
	vpc, acl := b.vpc("production", false, "10.0.0.0/16", "2001:db8:a::/56")
	tools, toolsACL := b.vpc("tools", false, "10.1.0.0/16")
	p := world.Peering{Resource: b.own("pcx"), Requester: vpc, Accepter: tools, AccepterOwner: b.account, Status: "active"}
	b.w.Peerings.Put(always(), p)
	igw := b.gateway(vpc)
	local := []string{"10.0.0.0/16", "local", "2001:db8:a::/56", "local", "10.1.0.0/16", p.ID, "192.168.0.0/16", b.w.ID("vgw")}
	b.routes(vpc, true, append(slices.Clone(local), "0.0.0.0/0", b.w.ID("nat"))...)
	outside := b.routes(vpc, false, append(slices.Clone(local), "0.0.0.0/0", igw, "::/0", igw)...)
	b.routes(tools, true, "10.1.0.0/16", "local", "10.0.0.0/16", p.ID)
	b.subnet(tools, toolsACL, "a", "10.1.0.0/20", "", false)

	table, _ := b.w.RouteTables.Get(always(), outside)
	for i, zone := range []string{"a", "b", "c", "a", "b", "c"} {
		public := i < 3
		s := b.subnet(vpc, acl, zone, fmt.Sprintf("10.0.%d.0/20", i*16), fmt.Sprintf("2001:db8:a:%d::/64", i), public)
		b.subnets = append(b.subnets, s)
		if public {
			table.Subnets = append(table.Subnets, s.ID)
		}
	}
	b.w.RouteTables.Put(always(), table)
	b.shared(vpc, tools, p.ID)
}

// instance makes one instance with its interfaces.
func (b *builder) instance(i int) {
	s := b.subnets[b.chance.IntN(len(b.subnets))]
	role := []string{"web", "web", "app", "app", "app", "database", "windows", "legacy", "bastion"}[b.chance.IntN(9)]
	if role == "bastion" {
		s = b.subnets[b.chance.IntN(3)]
	}
	x := world.Instance{
		Resource: b.own("i", "Name", fmt.Sprintf("%s-%d", role, i), "env", b.pick("production", "staging", "test"), "team", b.pick("red", "green", "blue")),
		VPC:      s.VPC, Subnet: s.ID, State: "running", Type: b.pick("t3.micro", "m7i.large", "m8i.large", "c6i.xlarge"),
		Image: "ami-0123456789abcdef0", KeyName: "ops", Launched: birth(), Reservation: b.w.ID("r"),
	}
	if role == "windows" {
		x.Platform = "windows"
	}
	if b.chance.IntN(20) == 0 {
		x.State = "stopped"
	}
	x.Interfaces = []string{b.iface(x.ID, s, b.wears(role, i), role)}
	if b.chance.IntN(10) == 0 { // a second leg, in the same zone
		x.Interfaces = append(x.Interfaces, b.iface(x.ID, s, []string{b.groups["production/default"]}, "back"))
	}
	b.w.Instances.Put(always(), x)
}

func (b *builder) pick(of ...string) string { return of[b.chance.IntN(len(of))] }

// iface makes an interface with one or two private addresses, a public one where
// the subnet gives it, an Elastic IP address for a bastion, and often IPv6.
func (b *builder) iface(instance string, s world.Subnet, groups []string, role string) string {
	n := world.Interface{
		Resource: b.own("eni"), VPC: s.VPC, Subnet: s.ID, Instance: instance, Attachment: b.w.ID("eni-attach"),
		Description: role, Type: "interface", Groups: groups,
	}
	n.MAC = fmt.Sprintf("0a:%02x:%02x:%02x:%02x:%02x", b.chance.IntN(256), b.chance.IntN(256), b.chance.IntN(256), b.chance.IntN(256), b.chance.IntN(256))
	for range 1 + b.chance.IntN(8)/7 {
		n.Private = append(n.Private, world.PrivateAddress{Addr: b.address(s.CIDR, 4)})
	}
	if s.Public && role != "back" {
		b.public = b.public.Next()
		n.Private[0].Public = b.public
		if role == "bastion" {
			e := world.Address{Resource: b.own("eipalloc"), Public: b.public, Association: b.w.ID("eipassoc"), Interface: n.ID, Private: n.Private[0].Addr}
			b.w.Addresses.Put(always(), e)
			n.Private[0].Allocation = e.ID
		}
	}
	if b.chance.IntN(3) == 0 {
		n.IPv6 = []netip.Addr{b.address(s.CIDR6, 16)}
	}
	b.w.Interfaces.Put(always(), n)
	return n.ID
}

// address takes the next free address of a network; the first few are Amazon's.
func (b *builder) address(of netip.Prefix, reserved int) netip.Addr {
	a, begun := b.next[of.String()]
	if !begun {
		a = of.Addr()
		for range reserved - 1 {
			a = a.Next()
		}
	}
	a = a.Next()
	b.next[of.String()] = a
	return a
}
