package path

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/provider/prefix"
)

// A view is an estate with what is computed from it.
type view struct {
	Estate

	subnets map[string]*place
	groups  map[string]Group
	lists   map[string][]netip.Prefix
	layers  map[firewall.ID]firewall.Layer
}

// A place is a subnet with where its sources come from.
type place struct {
	Subnet

	near     []netip.Prefix            // by private ways
	internet []netip.Prefix            // by an internet gateway
	beyond   []netip.Prefix            // what the routes lead to such a gateway for
	blind    map[string][]netip.Prefix // by a target of which nothing is known
	unsure   bool                      // it is not known what comes which way
}

// Machines returns the machines with their paths, sorted by id, and the layers on
// these.
func Machines(e Estate) ([]inventory.VM, map[firewall.ID]firewall.Layer) {
	v := &view{
		Estate: e, subnets: map[string]*place{}, groups: map[string]Group{},
		lists: map[string][]netip.Prefix{}, layers: map[firewall.ID]firewall.Layer{},
	}
	for _, l := range e.PrefixLists {
		v.lists[l.ID] = l.Entries
	}
	for _, g := range e.Groups {
		v.groups[g.ID] = g
	}
	for _, s := range e.Subnets {
		v.subnets[s.ID] = v.place(s)
		if s.ACL != nil && s.Firewall == "" {
			v.add(aclLayer(*s.ACL))
			v.add(returnLayer(*s.ACL))
		}
	}
	of := map[firewall.VMID][]Interface{}
	for _, n := range e.Interfaces {
		of[n.Machine] = append(of[n.Machine], n)
	}
	var out []inventory.VM
	for _, m := range e.Machines {
		vm := inventory.VM{ID: m.ID, Name: m.Name, State: m.State, System: m.System, Addresses: nil, Tags: m.Tags, Paths: nil, Missing: slices.Clone(m.Missing)}
		for _, n := range of[m.ID] {
			s := v.subnets[n.Subnet]
			if s == nil {
				vm.Missing = append(vm.Missing, n.ID+" is in a subnet that was not read: "+n.Subnet)
				continue
			}
			for _, a := range n.Addresses {
				vm.Addresses = append(vm.Addresses, a.Private)
				if a.Public.IsValid() {
					vm.Addresses = append(vm.Addresses, a.Public)
				}
				vm.Paths = append(vm.Paths, v.paths(n, s, a)...)
			}
		}
		slices.SortFunc(vm.Addresses, netip.Addr.Compare)
		if vm.Paths == nil && vm.Missing == nil {
			// Without a path it would have nothing in front of it.
			vm.Paths = []inventory.Path{{Name: "no address", From: []netip.Prefix{}}}
		}
		out = append(out, vm)
	}
	slices.SortFunc(out, func(a, b inventory.VM) int { return cmp.Compare(a.ID, b.ID) })
	return out, v.layers
}

func (v *view) add(l firewall.Layer) { v.layers[l.Firewall] = l }

// unread returns the id of a layer of which only is known why nothing else is.
func (v *view) unread(why string) firewall.ID {
	id := firewall.ID("unknown: " + why)
	v.add(firewall.Unread(id, why, false))
	return id
}

// endpoint reports whether r leads to a service of the cloud, which answers and
// never calls: such an endpoint is routed to by a prefix list, and one that hands
// packets on by networks. (VPC user guide: gateway endpoints, example routing.)
func (r Route) endpoint() bool { return r.PrefixList != "" && strings.HasPrefix(r.Target, "vpce-") }

// place finds out where the sources of s come from.
func (v *view) place(s Subnet) *place {
	p := &place{Subnet: s, blind: map[string][]netip.Prefix{}, unsure: s.Unrouted}
	type way struct {
		to     netip.Prefix
		target string
	}
	var ways []way
	for _, r := range s.Routes {
		list, known := v.lists[r.PrefixList]
		if r.PrefixList == "" {
			list, known = []netip.Prefix{r.Destination}, true
		}
		p.unsure = p.unsure || !known
		target := r.Target
		if r.Blackhole || r.endpoint() {
			target = "nat" // brings nobody either
		}
		for _, to := range list {
			ways = append(ways, way{to: to.Masked(), target: target})
		}
	}
	// The most specific route decides, and of equal ones the first.
	slices.SortStableFunc(ways, func(a, b way) int { return b.to.Bits() - a.to.Bits() })
	taken := slices.Clone(s.CIDRs) // inside the subnet nothing is routed
	for _, w := range ways {
		from := prefix.Minus([]netip.Prefix{w.to}, taken)
		taken = append(taken, w.to)
		switch kind, _, _ := strings.Cut(w.target, "-"); kind {
		case "igw":
			p.beyond = append(p.beyond, from...)
		case "nat", "eigw":
		case "local", "pcx", "vgw", "tgw", "lgw", "cagw", "eni", "i":
			p.near = append(p.near, from...)
		default:
			p.blind[w.target] = append(p.blind[w.target], from...)
		}
	}
	// The lists are made once, and shared by the paths of all machines.
	p.CIDRs, p.near, p.internet = prefix.Union(p.CIDRs), prefix.Union(p.near), prefix.Minus(p.beyond, prefix.Private())
	for target, from := range p.blind {
		p.blind[target] = prefix.Union(from)
	}
	if p.unsure { // a route that was not read may be the one that decides
		p.near, p.internet, p.beyond, p.blind = nil, nil, nil, nil
	}
	return p
}

// paths returns the ways to address a of interface n, which is in s.
func (v *view) paths(n Interface, s *place, a Address) []inventory.Path {
	var out []inventory.Path
	lead := func(how string, from []netip.Prefix, unsure, acl bool, blind ...inventory.Hop) {
		if from == nil {
			from = []netip.Prefix{} // nobody, which nil would not be
		}
		if len(from) == 0 && !unsure {
			return
		}
		hops := blind
		switch {
		case s.Firewall != "":
			hops = []inventory.Hop{{Firewall: s.Firewall}}
		case acl:
			hops = append(hops, v.aclHop(s, ""), v.groupHop(n), v.aclHop(s, toReturn))
		default:
			hops = append(hops, v.groupHop(n))
		}
		out = append(out, inventory.Path{
			Name: n.ID + " " + a.Private.String() + " " + how, Protocol: 0, Port: 0, From: from, Unsure: unsure, To: []netip.Addr{a.Private}, Hops: hops,
		})
	}
	lead("from its subnet", s.CIDRs, false, false)
	lead("from the network", s.near, s.unsure, true)
	for _, target := range sorted(s.blind) {
		if s.Firewall != "" {
			lead("through "+target, nil, true, true)
			continue
		}
		// Nothing is known about it, so that not even who it is about is certain.
		lead("through "+target, s.blind[target], false, true, inventory.Hop{Firewall: v.unread("what " + target + " is")})
	}
	if a.Public.IsValid() || !a.Private.Is4() {
		lead("from the Internet", s.internet, s.unsure, true)
	}
	return out
}

// toReturn is what the id of an ACL ends with where it is about answers.
const toReturn = "/return"

func (v *view) aclHop(s *place, way string) inventory.Hop {
	if s.ACL == nil {
		return inventory.Hop{Firewall: v.unread("the network ACL of " + s.ID + " was not read")}
	}
	return inventory.Hop{Firewall: firewall.ID(s.ACL.ID + way)}
}

// groupHop is where the security groups of n stand: they judge as one. Interfaces
// that wear the same have one layer.
func (v *view) groupHop(n Interface) inventory.Hop {
	ids := slices.Clone(n.Groups)
	slices.Sort(ids)
	ids = slices.Compact(ids)
	id := firewall.ID(strings.Join(ids, "+"))
	if len(ids) == 0 {
		id = "no security group"
	}
	if _, made := v.layers[id]; !made {
		v.add(v.groupLayer(id, ids))
	}
	return inventory.Hop{Firewall: id}
}

func sorted[V any](m map[string]V) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
