package fleet

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
)

// A Builder puts resources of an account into a region. What it makes was always
// there.
//
// What it builds is written in programs. Its methods panic at a text that is no
// network or no rule, and at the name of a group that was not made before: that is
// a mistake in the program, and no state of the world.
type Builder struct {
	World   *world.World
	Account string

	groups map[string]string // ids by name
	next   map[netip.Prefix]netip.Addr
	public netip.Addr
}

// NewBuilder returns a builder of resources of an account.
func NewBuilder(w *world.World, account string) *Builder {
	return &Builder{
		World: w, Account: account, groups: map[string]string{}, next: map[netip.Prefix]netip.Addr{},
		public: netip.MustParseAddr("198.18.0.1"),
	}
}

// always is when everything came to be: before anybody could look.
func always() (t time.Time) { return t }

// own makes the id and the tags of a resource. The pairs are keys and values.
func (b *Builder) own(prefix string, pairs ...string) world.Resource {
	r := world.Resource{ID: b.World.ID(prefix), Owner: b.Account, Tags: nil}
	for i := 0; i+1 < len(pairs); i += 2 {
		if r.Tags == nil {
			r.Tags = world.Tags{}
		}
		r.Tags[pairs[i]] = pairs[i+1]
	}
	return r
}

// VPC makes a VPC of the given networks with its default network ACL, which lets
// everything pass, and its default group, which lets its members do everything to
// each other. The group is known by the names "default" and NAME/default.
func (b *Builder) VPC(name string, networks ...string) world.VPC {
	v := world.VPC{Resource: b.own("vpc", "Name", name)}
	for _, n := range networks {
		v.CIDRs = append(v.CIDRs, netip.MustParsePrefix(n))
	}
	b.World.VPCs.Put(always(), v)
	a := world.NetworkACL{Resource: b.own("acl"), VPC: v.ID, Default: true}
	for _, egress := range []bool{false, true} {
		for i, everywhere := range []string{"0.0.0.0/0", "::/0"} {
			a.Entries = append(a.Entries, world.Entry{
				Number: 100 + i, Egress: egress, Allow: true, Protocol: world.All, First: world.All, Last: world.All,
				CIDR: netip.MustParsePrefix(everywhere),
			})
		}
	}
	b.World.NetworkACLs.Put(always(), a)
	b.groups["default"] = b.World.ID("sg")
	b.groups[name+"/default"] = b.groups["default"]
	g := world.Group{
		Resource: world.Resource{ID: b.groups["default"], Owner: b.Account, Tags: nil},
		VPC:      v.ID, Name: "default", Description: "default VPC security group",
		Rules: []world.Rule{b.rule("-1 @default"), b.everythingOut()},
	}
	b.World.Groups.Put(always(), g)
	return v
}

func (b *Builder) everythingOut() world.Rule {
	return world.Rule{ID: b.World.ID("sgr"), Egress: true, Protocol: "-1", First: world.All, Last: world.All, CIDR: netip.MustParsePrefix("0.0.0.0/0")}
}

// Gateway makes an internet gateway and returns its id.
func (b *Builder) Gateway(vpc string) string {
	g := world.InternetGateway{Resource: b.own("igw"), VPC: vpc}
	b.World.InternetGateways.Put(always(), g)
	return g.ID
}

// Routes makes a route table. The pairs are destinations and targets.
func (b *Builder) Routes(vpc string, main bool, pairs ...string) world.RouteTable {
	t := world.RouteTable{Resource: b.own("rtb"), VPC: vpc, Main: main}
	for i := 0; i+1 < len(pairs); i += 2 {
		t.Routes = append(t.Routes, world.Route{Destination: netip.MustParsePrefix(pairs[i]), Target: pairs[i+1]})
	}
	b.World.RouteTables.Put(always(), t)
	return t
}

// Subnet makes a subnet with the VPC's default network ACL, of an IPv4 network
// and, unless it is "", an IPv6 one. Interfaces in a public one get public
// addresses.
func (b *Builder) Subnet(vpc, zone, network, network6 string, public bool) world.Subnet {
	s := world.Subnet{Resource: b.own("subnet"), VPC: vpc, Zone: b.World.Region + zone, Public: public, CIDR: netip.MustParsePrefix(network)}
	for a := range b.World.NetworkACLs.All(always()) {
		if a.VPC == vpc && a.Default {
			s.ACL = a.ID
		}
	}
	if network6 != "" {
		s.CIDR6 = netip.MustParsePrefix(network6)
	}
	b.World.Subnets.Put(always(), s)
	return s
}

// Group makes a group with rules like "tcp 20:25 10.0.0.0/8 # why", and one that
// lets everything out, and returns its id. A source is a network, the id of a
// prefix list, or the name of a group that was made before: "-1 @web". The group
// may be in a peered VPC: "-1 @scanner pcx-…". For ICMP the range is type and
// code.
func (b *Builder) Group(vpc, name, description string, rules ...string) string {
	g := world.Group{Resource: b.own("sg", "Name", name), VPC: vpc, Name: name, Description: description}
	b.groups[name] = g.ID
	for _, text := range rules {
		g.Rules = append(g.Rules, b.rule(text))
	}
	g.Rules = append(g.Rules, b.everythingOut())
	b.World.Groups.Put(always(), g)
	return g.ID
}

func (b *Builder) rule(text string) world.Rule {
	text, why, _ := strings.Cut(text, " # ")
	words := strings.Fields(text)
	r := world.Rule{ID: b.World.ID("sgr"), Description: why, Protocol: words[0], First: world.All, Last: world.All}
	words = words[1:]
	if first, last, ranged := strings.Cut(words[0], ":"); len(words) > 1 && words[0][0] != '@' {
		r.First = mustNumber(first)
		if r.Last = r.First; ranged {
			r.Last = mustNumber(last)
		}
		words = words[1:]
	}
	switch source := words[0]; {
	case source[0] == '@':
		r.Group, r.GroupOwner = b.groups[source[1:]], b.Account
		if r.Group == "" {
			panic("there is no group " + source[1:])
		}
		if len(words) > 1 {
			r.Peering = words[1]
		}
	case strings.HasPrefix(source, "pl-"):
		r.List = source
	default:
		r.CIDR = netip.MustParsePrefix(source)
	}
	return r
}

// mustNumber reads a number of a rule in a program's text.
func mustNumber(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		panic(fmt.Sprintf("a port is a number, and %q is none", text))
	}
	return n
}

// A Leg is an interface that is to be made.
type Leg struct {
	Subnet    world.Subnet
	Groups    []string // ids
	Addresses int      // private IPv4 addresses; 0 means 1
	IPv6      bool
	Public    bool // the first address gets a public one, if the subnet gives any
	Elastic   bool // and that is an Elastic IP address
}

// Instance makes an instance with interfaces, the first of which is the primary
// one. What is not set in x gets a value.
func (b *Builder) Instance(name string, x world.Instance, legs ...Leg) world.Instance {
	x.Resource = world.Resource{ID: b.World.ID("i"), Owner: b.Account, Tags: x.Tags}
	if x.Tags == nil {
		x.Tags = world.Tags{}
	}
	x.Tags["Name"] = name
	x.VPC, x.Subnet = legs[0].Subnet.VPC, legs[0].Subnet.ID
	x.Reservation = b.World.ID("r")
	x.Image, x.KeyName, x.Launched = "ami-0123456789abcdef0", "ops", time.Date(2026, time.January, 5, 9, 0, 0, 0, time.UTC)
	if x.State == "" {
		x.State = "running"
	}
	if x.Type == "" {
		x.Type = "m7i.large"
	}
	for _, l := range legs {
		x.Interfaces = append(x.Interfaces, b.iface(name, x.ID, l))
	}
	b.World.Instances.Put(always(), x)
	return x
}

// iface makes an interface and returns its id.
func (b *Builder) iface(name, instance string, l Leg) string {
	n := world.Interface{
		Resource: b.own("eni"), VPC: l.Subnet.VPC, Subnet: l.Subnet.ID, Instance: instance, Attachment: b.World.ID("eni-attach"),
		Description: name, Type: "interface", Groups: slices.Clone(l.Groups),
	}
	digits := n.ID[len("eni-0"):]
	n.MAC = "0a:" + digits[:2] + ":" + digits[2:4] + ":" + digits[4:6] + ":" + digits[6:8] + ":" + digits[8:10]
	for range max(1, l.Addresses) {
		n.Private = append(n.Private, world.PrivateAddress{Addr: b.address(l.Subnet.CIDR)})
	}
	if l.Public && l.Subnet.Public {
		b.public = b.public.Next()
		n.Private[0].Public = b.public
		if l.Elastic {
			e := world.Address{Resource: b.own("eipalloc"), Public: b.public, Association: b.World.ID("eipassoc"), Interface: n.ID, Private: n.Private[0].Addr}
			b.World.Addresses.Put(always(), e)
			n.Private[0].Allocation = e.ID
		}
	}
	if l.IPv6 && l.Subnet.CIDR6.IsValid() {
		n.IPv6 = []netip.Addr{b.address(l.Subnet.CIDR6)}
	}
	b.World.Interfaces.Put(always(), n)
	return n.ID
}

// address takes the next free address of a network, whose first few are Amazon's.
func (b *Builder) address(of netip.Prefix) netip.Addr {
	a, begun := b.next[of]
	if !begun {
		a = of.Addr().Next().Next().Next()
	}
	a = a.Next()
	b.next[of] = a
	return a
}
