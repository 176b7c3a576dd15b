// Package inventory describes virtual machines: what they are called, which
// hops a packet takes to reach them, and what about them is not known.
//
// An inventory is never shorter because something could not be read: what is
// missing is said, VM by VM.
package inventory

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
)

// A VM is a machine with lockable ports.
type VM struct {
	ID   firewall.VMID
	Name string // what people call it; not unique
	// Spelled is the id as the cloud spells it, where that is not ID; Region is
	// where the machine runs, where the id does not say. Both are only shown.
	Spelled, Region string
	// Interfaces are the VM's network interfaces, sorted by id, where its cloud gives
	// them ids of their own. They are only shown.
	Interfaces []Interface
	Addresses  []netip.Addr
	// State and System are what the cloud says about the machine, in its own words:
	// "running", "deallocated"; "Linux/UNIX", "Windows". Empty where it says nothing.
	State, System string
	// Tags are written by the VM's owner: they may narrow, and select nothing.
	Tags map[string]string
	// Paths are the ways a packet can take to the VM. A source gets in if any
	// path lets it in.
	Paths []Path
	// Proposed are sources that should stay exempt when a port of the VM is locked,
	// sorted by kind, name and port: who uses it without being able to ask.
	Proposed []Proposal
	// Cuts says that something in front of the VM can end connections that it let in.
	// It is a firewall's to know, and no provider's inventory says it.
	Cuts bool
	// Missing lists what could not be read about this VM, each as a sentence.
	// While it is not empty nothing is opened here; closing goes on.
	Missing []string
	// Gone says that a complete inventory has not named the VM any more; whoever keeps
	// it in mind says so. What could not be read is no evidence that it is gone.
	Gone bool
}

// An Interface is a network interface with the group of rules on it, if it has one.
type Interface struct {
	ID, Group string
	Addresses []netip.Addr
}

// A Proposal is a source that the VM's surroundings show to need it without
// asking. It is shown before a lock and decides nothing by itself.
type Proposal struct {
	Kind ProposalKind
	// Name says who it is, in the cloud's own words: a load balancer's probe, a
	// Bastion host's subnet.
	Name string
	// Protocol and Port say what it uses; 0 means all of them.
	Protocol firewall.Protocol
	Port     uint16
	From     []netip.Prefix // sorted
}

// ProposalKind says what a proposed source does.
type ProposalKind uint8

// The kinds of proposed sources. A port that a probe uses is not locked without
// exempting it: the VM would leave its load balancer.
const (
	Probe ProposalKind = iota
	Bastion
	Backup
	Management
)

func (k ProposalKind) String() string {
	switch k {
	case Probe:
		return "probe"
	case Bastion:
		return "bastion"
	case Backup:
		return "backup"
	case Management:
		return "management"
	}
	return "unknown"
}

// A Path is one way to a VM. It lets a source in if every hop does.
//
// Every network interface is a path, and so is every translation to one: a
// public address, an inbound NAT rule of a load balancer, a DNAT rule of a
// firewall. What is not known about a way is said; a way that may exist is a path
// with Unsure.
type Path struct {
	Name string
	// Protocol and Port say which door of the VM this way leads to, as an inbound
	// NAT rule does to one; 0 means all of them.
	Protocol firewall.Protocol
	Port     uint16
	// From lists who can come this way at all, masked: the virtual network and
	// what is connected to it, where the VM has no public address. Nil means
	// anybody, unless Unsure.
	From []netip.Prefix
	// Unsure says that it is not known who else can come this way.
	Unsure bool
	// To is the VM's own address on this way, at most one of a family: an
	// interface with more is more paths. A source of another family cannot come
	// this way. Nil means not known: rules for some destinations may or may not
	// be about this VM.
	To   []netip.Addr
	Hops []Hop
}

// Leads reports whether the way leads to d of its VM.
func (p Path) Leads(d firewall.Door) bool {
	return (p.Protocol == 0 || p.Protocol == d.Protocol) && (p.Port == 0 || p.Port == d.Port)
}

// Seen returns d and the VM's address as the firewall at h sees them.
func (p Path) Seen(h Hop, d firewall.Door) (firewall.Door, []netip.Addr) {
	to := p.To
	if h.To != nil {
		to = h.To
	}
	if h.Port != 0 {
		d.Port = h.Port
	}
	return d, to
}

// A Hop is a place that a packet passes, with the firewall that stands there.
type Hop struct {
	Firewall firewall.ID
	// Sees is the source that this firewall sees instead of the client's own,
	// where one before it translates addresses; invalid where none does. The
	// client's port is then not known either.
	Sees netip.Prefix
	// To is the destination that this firewall sees instead of the path's own,
	// and Port the destination port instead of the door's, where one behind it
	// translates them. Nil and 0 where none does.
	To   []netip.Addr
	Port uint16
	// Always says that a packet passes here even after a layer has delivered it:
	// the VM's own firewall is not skipped by the network's.
	Always bool
}

// Beside returns v with a hop of the firewall other behind every one of id:
// something else stands at the same place.
func (v VM) Beside(id, other firewall.ID) VM {
	v.Paths = slices.Clone(v.Paths)
	for i, p := range v.Paths {
		var hops []Hop
		for _, h := range p.Hops {
			hops = append(hops, h)
			if h.Firewall == id {
				h.Firewall = other
				hops = append(hops, h)
			}
		}
		v.Paths[i].Hops = hops
	}
	return v
}

// Firewalls returns the firewalls in front of v, sorted.
func (v VM) Firewalls() []firewall.ID {
	var ids []firewall.ID
	for _, p := range v.Paths {
		for _, h := range p.Hops {
			ids = append(ids, h.Firewall)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// Firewalls returns the ids of every firewall in front of some of the VMs, sorted.
func Firewalls(vms []VM) []firewall.ID {
	var ids []firewall.ID
	for _, v := range vms {
		ids = append(ids, v.Firewalls()...)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// Of returns the VM with that id; one without an id if there is none.
func Of(vms []VM, id firewall.VMID) VM {
	for _, v := range vms {
		if v.ID == id {
			return v
		}
	}
	return VM{}
}

// IDs returns the ids of vms, in their order.
func IDs(vms []VM) []firewall.VMID {
	out := make([]firewall.VMID, len(vms))
	for i, v := range vms {
		out[i] = v.ID
	}
	return out
}

// Find returns the VM that a person means by s: its id in any spelling, or its
// name when only one VM has that name. Names may be equal within a cloud and
// between clouds; who means one of several has to say which.
func Find(vms []VM, s string) (VM, error) {
	id, err := firewall.ParseVMID(s)
	if err != nil {
		id = firewall.VMID(s)
	}
	var named []VM
	for _, v := range vms {
		if v.ID == id {
			return v, nil
		}
		if v.Name == s {
			named = append(named, v)
		}
	}
	switch len(named) {
	case 1:
		return named[0], nil
	case 0:
		return VM{}, errkind.New(errkind.NotFound, "there is no VM called %s here; `sesame vms` lists those you may see", errkind.Quote(s))
	}
	ids := make([]string, len(named))
	for i, v := range named {
		ids[i] = string(v.ID)
	}
	return VM{}, errkind.New(errkind.Conflict, "%d VMs are called %s; name one by its id: %s", len(named), errkind.Quote(s), strings.Join(ids, ", "))
}
