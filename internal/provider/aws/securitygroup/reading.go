package securitygroup

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/aws/wall"
)

// A Network is one VPC as a firewall, with what its owner has decided.
type Network struct {
	// ID is the VPC's ARN.
	ID     firewall.ID
	Quotas Quotas
	// Keep lists protocols that are kept of a rule for every protocol, besides
	// TCP, UDP and ICMP.
	Keep []firewall.Protocol
	// Shared is what becomes of a group that VMs wear, too, which are not locked.
	Shared Sharing
}

// Sharing says what is done about a rule that has to go for a lock, and that VMs
// need which are not locked.
type Sharing uint8

// The ways to share a group.
const (
	// Include takes the rule out. What the others lose is in the layer, and judged
	// by whoever asked for the plan.
	Include Sharing = iota
	// Split gives the VM a copy of its own of the group, so that nobody loses
	// anything; where there can be none the lock is refused.
	Split
	// Refuse refuses the lock.
	Refuse
)

// Quotas are the limits of an account in a region.
type Quotas struct {
	// Rules is how many ingress rules a group holds, for each family.
	Rules int
	// Groups is how many groups an interface wears.
	Groups int
}

// DefaultQuotas are those of an account that never asked for more.
func DefaultQuotas() Quotas { return Quotas{Rules: 60, Groups: 5} }

// MostLocks is how many tags of an owned group are left for locks: a resource
// has 50 tags, and some of them are the name and what an organisation wants.
const MostLocks = 35

// MostOut is how many more are left to say what was taken out. What is beyond them
// is in the book alone.
const MostOut = 10

// A Group is a security group.
type Group struct {
	ID, Name string
	Tags     []Tag
	Ingress  []Rule
	Egress   int // how many rules
	// Plain4 and Plain6 say that it lets everything out, for each family, and names
	// nothing else: what a new group does.
	Plain4, Plain6 bool
}

// An Interface is a network interface of the VPC.
type Interface struct {
	ID     string
	Subnet string
	VM     firewall.VMID // empty where no instance wears it
	// Groups are the ids of the groups that it wears, in the cloud's order.
	Groups    []string
	Addresses []netip.Addr // private ones, of both families
}

// A List is a prefix list.
type List struct {
	Entries []netip.Prefix
	V6      bool
	// Max is how many rules it counts as.
	Max int
}

// A Reading is a VPC at one moment, as it was read. It does not change.
type Reading struct {
	Network

	Keys firewall.Keyring
	// At is the cloud's own time when it was read; zero if it told none.
	At         time.Time
	Groups     []Group     // sorted by id
	Interfaces []Interface // sorted by id
	// Lists are the prefix lists by id, without those that could not be read.
	Lists map[string]List
	// Peers are the private addresses of the members of groups of other VPCs, over
	// active peerings, without the groups of which nothing is known.
	Peers map[string][]netip.Addr
	// Contested are the writes that somebody undoes again and again, by what they
	// are for (see Write.Contest), with the reason why they wait. What waits is
	// reported, and not fought over.
	Contested map[string]string
	// Walls stand around subnets, before the groups; those that let everything pass
	// are left out. Nothing of ours is in them.
	Walls map[string]wall.Wall
}

const namesOfSesame = "sesame-"

// VM returns the id of an instance of the network's account and region.
func (n Network) VM(instance string) firewall.VMID {
	arn, _, _ := strings.Cut(string(n.ID), ":vpc/")
	return firewall.VMID(arn + ":instance/" + instance)
}

// OwnName is the name of the owned group of vm. A group's name cannot be changed
// and is unique in its VPC, so that it stands for the group before there is one.
func (r Reading) OwnName(vm firewall.VMID) string {
	return namesOfSesame + r.Keys.Instance + "-" + vm.Name()
}

// Owner returns the VM whose owned group g is.
func (r Reading) Owner(g Group) (firewall.VMID, bool) {
	instance, ours := strings.CutPrefix(g.Name, namesOfSesame+r.Keys.Instance+"-")
	return r.VM(instance), ours && !strings.Contains(instance, ofGroup)
}

// ofGroup stands between the VM and the group in the name of a copy. No id of an
// instance has it.
const ofGroup = "-of-"

// CopyName is the name of the copy of a foreign group that vm wears instead.
func (r Reading) CopyName(vm firewall.VMID, group string) string {
	return r.OwnName(vm) + ofGroup + group
}

// CopyOf returns the VM that g is made for, and the id of the group that it is a
// copy of.
func (r Reading) CopyOf(g Group) (vm firewall.VMID, group string, copied bool) {
	name, ours := strings.CutPrefix(g.Name, namesOfSesame+r.Keys.Instance+"-")
	instance, group, copied := strings.Cut(name, ofGroup)
	return r.VM(instance), group, ours && copied
}

// Find returns the place of the group with that id, or of the owned group with
// that name; -1 when there is none. No name begins as an id does.
func (r Reading) Find(ref string) int {
	return slices.IndexFunc(r.Groups, func(g Group) bool {
		return g.ID == ref || g.Name == ref && strings.HasPrefix(ref, namesOfSesame)
	})
}

// Wearers returns the VMs that wear each group on some interface, sorted.
func (r Reading) Wearers() map[string][]firewall.VMID {
	out := map[string][]firewall.VMID{}
	for _, n := range r.Interfaces {
		for _, id := range n.Groups {
			if n.VM != "" {
				out[id] = append(out[id], n.VM)
			}
		}
	}
	for id, vms := range out {
		slices.Sort(vms)
		out[id] = slices.Compact(vms)
	}
	return out
}

// A Cost is how many rules of each family something counts as.
type Cost struct{ V4, V6 int }

// Plus returns the sum.
func (c Cost) Plus(o Cost) Cost { return Cost{c.V4 + o.V4, c.V6 + o.V6} }

// Minus returns the difference.
func (c Cost) Minus(o Cost) Cost { return Cost{c.V4 - o.V4, c.V6 - o.V6} }

// Fits reports whether a group that holds c takes o, too, in the families that o
// is of: a full family does not stop what is of the other.
func (c Cost) Fits(o Cost, q Quotas) bool {
	sum := c.Plus(o)
	return (o.V4 == 0 || sum.V4 <= q.Rules) && (o.V6 == 0 || sum.V6 <= q.Rules)
}

// CostOf returns what rule counts as: a group in both families, a prefix list as
// often as it may have entries, one that could not be read in full.
func (r Reading) CostOf(rules ...Rule) (sum Cost) {
	for _, x := range rules {
		switch l, known := r.Lists[x.List]; {
		case x.Group != "":
			sum = sum.Plus(Cost{1, 1})
		case x.List != "" && !known:
			sum = sum.Plus(Cost{r.Quotas.Rules, r.Quotas.Rules})
		case x.List != "" && l.V6:
			sum.V6 += l.Max
		case x.List != "":
			sum.V4 += l.Max
		case x.CIDR.Addr().Is6():
			sum.V6++
		default:
			sum.V4++
		}
	}
	return sum
}
