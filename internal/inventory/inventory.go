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
	ID        firewall.VMID
	Name      string // what people call it; not unique
	Addresses []netip.Addr
	// Tags are written by the VM's owner: they may narrow, and select nothing.
	Tags map[string]string
	// Paths are the ways a packet can take to the VM. A source gets in if any
	// path lets it in.
	Paths []Path
	// Missing lists what could not be read about this VM, each as a sentence.
	// While it is not empty nothing is opened here; closing goes on.
	Missing []string
}

// A Path is one way to a VM. It lets a source in if every hop does.
type Path struct {
	Name string
	Hops []Hop
}

// A Hop is a firewall that a packet passes.
type Hop struct {
	Firewall firewall.ID
	// Sees is the source that this firewall sees instead of the client's own,
	// where one before it translates addresses; invalid where none does.
	Sees netip.Prefix
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

// Find returns the VM that a person means by s: its id, or its name when only
// one VM has that name.
func Find(vms []VM, s string) (VM, error) {
	var named []VM
	for _, v := range vms {
		if string(v.ID) == s {
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
