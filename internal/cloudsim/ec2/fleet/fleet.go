// Package fleet fills a simulated region: by hand with a [Builder], or with
// [Build], as real ones are filled.
//
// What Build makes is a default VPC and one for production, a third that is
// peered, subnets with and without a way to the Internet, and instances whose
// security groups were written by many hands. The rules are those that make
// trouble. The default group lets its members do everything to each other, and
// most rules are shared by many instances. Ranges reach over the management
// ports; sources are networks of both families, prefix lists, other groups,
// groups of the peered VPC. The same number and seed make the same fleet.
package fleet

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
)

// Most is how many instances there is room for.
const Most = 20_000

// A fleet is one that is being built.
type fleet struct {
	*Builder

	chance  *rand.Rand
	subnets []world.Subnet // of production; the first three are public
}

// Build puts n instances of an account into a region, and all that they need.
func Build(w *world.World, account string, n int, seed uint64) error {
	if n < 0 || n > Most {
		return fmt.Errorf("build a fleet of %d instances: there is room for %d", n, Most)
	}
	f := &fleet{
		Builder: NewBuilder(w, account),
		chance:  rand.New(rand.NewPCG(seed, 1)), //nolint:gosec // the same seed makes the same fleet
	}
	f.standard()
	f.production()
	for i := range n {
		f.instance(i)
	}
	return nil
}

// standard makes the default VPC that every account has, empty.
func (f *fleet) standard() {
	v := f.VPC("standard", "172.31.0.0/16")
	v.Default = true
	f.World.VPCs.Put(always(), v)
	f.Routes(v.ID, true, "172.31.0.0/16", "local", "0.0.0.0/0", f.Gateway(v.ID))
	for i, zone := range []string{"a", "b", "c"} {
		f.Subnet(v.ID, zone, fmt.Sprintf("172.31.%d.0/20", i*16), "", true)
	}
}

// production makes the VPC that the instances are in, and the one of the tools,
// which is peered with it.
func (f *fleet) production() {
	v, tools := f.VPC("production", "10.0.0.0/16", "2001:db8:a::/56"), f.VPC("tools", "10.1.0.0/16")
	p := world.Peering{Resource: f.own("pcx"), Requester: v.ID, Accepter: tools.ID, AccepterOwner: f.Account, Status: "active"}
	f.World.Peerings.Put(always(), p)
	igw := f.Gateway(v.ID)
	local := []string{"10.0.0.0/16", "local", "2001:db8:a::/56", "local", "10.1.0.0/16", p.ID, "192.168.0.0/16", f.World.ID("vgw")}
	f.Routes(v.ID, true, append(slices.Clone(local), "0.0.0.0/0", f.World.ID("nat"))...)
	outside := f.Routes(v.ID, false, append(slices.Clone(local), "0.0.0.0/0", igw, "::/0", igw)...)
	f.Routes(tools.ID, true, "10.1.0.0/16", "local", "10.0.0.0/16", p.ID)
	f.Subnet(tools.ID, "a", "10.1.0.0/20", "", false)
	for i, zone := range []string{"a", "b", "c", "a", "b", "c"} {
		public := i < 3
		s := f.Subnet(v.ID, zone, fmt.Sprintf("10.0.%d.0/20", i*16), fmt.Sprintf("2001:db8:a:%d::/64", i), public)
		f.subnets = append(f.subnets, s)
		if public {
			outside.Subnets = append(outside.Subnets, s.ID)
		}
	}
	f.World.RouteTables.Put(always(), outside)
	f.shared(v.ID, tools.ID, p.ID)
}

// shared makes the prefix lists and the groups that many instances wear.
func (f *fleet) shared(vpc, tools, peering string) {
	office := world.PrefixList{Resource: f.own("pl", "Name", "office"), Name: "office", MaxEntries: 5, Version: 3}
	for _, p := range []string{"203.0.113.0/25", "203.0.113.128/26"} {
		office.Entries = append(office.Entries, world.ListEntry{CIDR: netip.MustParsePrefix(p), Description: "site"})
	}
	f.World.PrefixLists.Put(always(), office)
	amazon := world.PrefixList{
		Resource: world.Resource{ID: f.World.ID("pl"), Owner: world.Amazon, Tags: nil}, Name: "com.amazonaws." + f.World.Region + ".ec2-instance-connect",
		MaxEntries: 1, Version: 1, Entries: []world.ListEntry{{CIDR: netip.MustParsePrefix("198.51.100.0/29")}},
	}
	f.World.PrefixLists.Put(always(), amazon)

	f.Group(tools, "scanner", "compliance")
	f.Group(vpc, "bastion", "ssh for the world, until somebody has time",
		"tcp 22 0.0.0.0/0 # temporary", "tcp 22 ::/0", "icmp 8:-1 0.0.0.0/0")
	f.Group(vpc, "web", "web servers",
		"tcp 80 0.0.0.0/0", "tcp 80 ::/0", "tcp 443 0.0.0.0/0", "tcp 443 ::/0")
	f.Group(vpc, "from-bastion", "everything that is not a bastion",
		"tcp 22 @bastion # ssh by way of the bastion", "tcp 3389 @bastion", "tcp 5985:5986 @bastion")
	f.Group(vpc, "office", "people",
		"tcp 22 "+office.ID+" # people", "tcp 3389 "+office.ID, "tcp 22 "+amazon.ID, "tcp 443 "+office.ID)
	f.Group(vpc, "wide", "an afternoon of debugging",
		"tcp 20:25 10.0.0.0/8", "tcp 3000:4000 10.0.0.0/16 # everything of the team", "udp 0:65535 10.0.0.0/16", "tcp 20:25 2001:db8:a::/56")
	f.Group(vpc, "scanned", "compliance", "-1 @scanner "+peering+" # compliance")
	f.Group(vpc, "legacy", "from before there were rules",
		"-1 192.168.0.0/16 # data centre", "tcp 0:65535 203.0.113.77/32", "50 192.168.0.0/16", "icmpv6 ::/0")
	f.Group(vpc, "database", "databases", "tcp 5432 @web", "tcp 5432 10.0.0.0/16", "tcp 22 10.0.0.0/20")
}

// instance makes one instance: its role chooses its groups, and chance the rest.
func (f *fleet) instance(i int) {
	role := f.pick("web", "web", "app", "app", "app", "database", "windows", "legacy", "bastion")
	s := f.subnets[f.chance.IntN(len(f.subnets))]
	if role == "bastion" {
		s = f.subnets[f.chance.IntN(3)]
	}
	x := world.Instance{State: "running", Type: f.pick("t3.micro", "m7i.large", "m8i.large", "c6i.xlarge")}
	x.Tags = world.Tags{"env": f.pick("production", "staging", "test"), "team": f.pick("red", "green", "blue")}
	if role == "windows" {
		x.Platform = "windows"
	}
	if f.chance.IntN(20) == 0 {
		x.State = "stopped"
	}
	legs := []Leg{{
		Subnet: s, Groups: f.wears(role, i), Addresses: 1 + f.chance.IntN(8)/7, IPv6: f.chance.IntN(3) == 0,
		Public: true, Elastic: role == "bastion",
	}}
	if f.chance.IntN(10) == 0 { // a second leg, without a public address
		legs = append(legs, Leg{Subnet: s, Groups: []string{f.groups["production/default"]}})
	}
	f.Instance(fmt.Sprintf("%s-%d", role, i), x, legs...)
}

func (f *fleet) pick(of ...string) string { return of[f.chance.IntN(len(of))] }

// wears chooses the groups of an instance. Some have one of their own, and some
// only the default one.
func (f *fleet) wears(role string, i int) []string {
	names := map[string][]string{
		"web":      {"web", "from-bastion"},
		"app":      {"production/default", "from-bastion"},
		"database": {"database", "scanned"},
		"windows":  {"from-bastion", "office"},
		"legacy":   {"legacy", "wide", "production/default"},
		"bastion":  {"bastion", "office"},
	}[role]
	var ids []string
	for _, n := range names {
		ids = append(ids, f.groups[n])
	}
	switch f.chance.IntN(4) {
	case 0:
		return []string{f.groups["production/default"]}
	case 1:
		port, host := 8000+f.chance.IntN(1000), 1+f.chance.IntN(250)
		return append(ids, f.Group(f.subnets[0].VPC, fmt.Sprintf("app-%d", i), "of one machine",
			fmt.Sprintf("tcp %d @web", port), fmt.Sprintf("tcp 22 198.51.100.%d/32 # on call", host), fmt.Sprintf("tcp %d 10.0.0.0/16", port)))
	}
	return ids
}
