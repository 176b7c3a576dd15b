package compile

import (
	"maps"
	"slices"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider/aws/securitygroup"
)

// dress adds the changes to owned groups but for their rules: every VM with a
// Lock has one, that lets nothing out, is attached to each of its interfaces, and
// carries a tag for each lock; nobody else has one.
func (d *draft) dress() {
	locks := map[firewall.VMID][]firewall.Door{}
	for _, door := range slices.Concat(d.locks, slices.Collect(maps.Keys(d.stuck))) {
		locks[door.VM] = append(locks[door.VM], door)
	}
	for vm, doors := range locks {
		slices.SortFunc(doors, firewall.CompareDoors)
		d.dressOne(vm, doors)
	}
	for _, g := range d.Groups {
		vm, ours := d.Owner(g)
		if !ours {
			continue
		}
		for _, t := range g.Tags {
			if door, isLock := d.Locked(vm, t); isLock && !slices.Contains(locks[vm], door) {
				d.change(stepUnlock, plan.Drop, door, firewall.Opening{}, "its lock has ended", securitygroup.Write{Do: securitygroup.Untag, Group: g.Name, Tag: &securitygroup.Tag{Key: t.Key}})
			}
		}
		if len(locks[vm]) == 0 {
			d.undress(g)
		}
	}
}

// dressOne adds what the owned group of vm lacks.
func (d *draft) dressOne(vm firewall.VMID, doors []firewall.Door) {
	name := d.OwnName(vm)
	i, first := d.Find(name), doors[0]
	g := securitygroup.Group{ID: name, Name: name, Egress: 1}
	if i >= 0 {
		g = d.Groups[i]
	} else {
		d.change(stepMake, plan.Lock, first, firewall.Opening{}, "openings need a group of their own", securitygroup.Write{Do: securitygroup.Make, Group: name, VM: vm})
	}
	if g.Egress > 0 {
		d.change(stepStrip, plan.Lock, first, firewall.Opening{}, "a group of ours must not let anything out", securitygroup.Write{Do: securitygroup.Strip, Group: name})
	}
	for _, n := range d.Interfaces {
		switch {
		case n.VM != vm || slices.Contains(n.Groups, g.ID):
		case len(n.Groups) >= d.Quotas.Groups:
			for _, door := range doors {
				d.hold(door, "%s wears %d groups and has no room for %s", n.ID, len(n.Groups), name)
			}
		default:
			d.change(stepAttach, plan.Lock, first, firewall.Opening{}, n.ID+" does not wear the group of the openings", securitygroup.Write{Do: securitygroup.Attach, Group: name, Interface: n.ID})
		}
	}
	for _, door := range doors {
		if tag := d.Lock(door); !d.shown[door] {
			d.change(stepLock, plan.Lock, door, firewall.Opening{}, "only its openings may reach "+(securitygroup.Port{Protocol: door.Protocol, Number: door.Port}).String(), securitygroup.Write{Do: securitygroup.Tagged, Group: name, Tag: &tag})
		}
	}
}

// undress adds the changes that take an owned group away. An interface cannot be
// without any group: one that has no other keeps it, empty.
func (d *draft) undress(g securitygroup.Group) {
	vm, _ := d.Owner(g)
	door := firewall.Door{VM: vm}
	var wearing []securitygroup.Interface
	for _, n := range d.Interfaces {
		if slices.Contains(n.Groups, g.ID) {
			wearing = append(wearing, n)
		}
	}
	if slices.ContainsFunc(wearing, func(n securitygroup.Interface) bool { return len(n.Groups) == 1 }) {
		return
	}
	for _, n := range wearing {
		d.change(stepDetach, plan.Drop, door, firewall.Opening{}, "no lock needs it", securitygroup.Write{Do: securitygroup.Detach, Group: g.Name, Interface: n.ID})
	}
	d.change(stepDelete, plan.Drop, door, firewall.Opening{}, "no lock needs it", securitygroup.Write{Do: securitygroup.Delete, Group: g.Name})
}
