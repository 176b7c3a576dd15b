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
				d.serve(stepUnlock, plan.Drop, door, "its lock has ended", securitygroup.Write{Do: securitygroup.Untag, Group: g.Name, Tag: &securitygroup.Tag{Key: t.Key}})
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
	first := doors[0]
	g, there := d.group(name)
	if !there {
		g = securitygroup.Group{ID: name, Name: name, Egress: 1}
		d.serve(stepMake, plan.Lock, first, "openings need a group of their own", securitygroup.Write{Do: securitygroup.Make, Group: name, VM: vm})
	}
	if g.Egress > 0 {
		d.serve(stepStrip, plan.Lock, first, "a group of ours must not let anything out", securitygroup.Write{Do: securitygroup.Strip, Group: name})
	}
	for _, n := range d.interfaces[vm] {
		attach := securitygroup.Write{Do: securitygroup.Attach, Group: name, Interface: n.ID}
		waits, contested := d.Contested[attach.Contest()]
		switch {
		case slices.Contains(n.Groups, g.ID):
		case contested:
			for _, door := range doors {
				d.hold(door, "%s does not wear the group of the openings: %s", n.ID, waits)
			}
		case len(n.Groups) >= d.Quotas.Groups:
			for _, door := range doors {
				d.hold(door, "%s wears %d groups and has no room for %s", n.ID, len(n.Groups), name)
			}
		default:
			d.serve(stepAttach, plan.Lock, first, n.ID+" does not wear the group of the openings", attach)
		}
	}
	for _, door := range doors {
		if tag := d.Lock(door); !d.shown[door] {
			d.serve(stepLock, plan.Lock, door, "only its openings may reach "+(securitygroup.Port{Protocol: door.Protocol, Number: door.Port}).String(), securitygroup.Write{Do: securitygroup.Tagged, Group: name, Tag: &tag})
		}
	}
}

// undress adds the changes that take an owned group away. An interface cannot be
// without any group: one that has no other keeps it, empty.
func (d *draft) undress(g securitygroup.Group) {
	vm, _ := d.Owner(g)
	door := firewall.Door{VM: vm, Protocol: 0, Port: 0}
	var wearing []securitygroup.Interface
	for _, n := range d.Interfaces { // of whoever: somebody may have put it on another
		if slices.Contains(n.Groups, g.ID) {
			wearing = append(wearing, n)
		}
	}
	if slices.ContainsFunc(wearing, func(n securitygroup.Interface) bool { return len(n.Groups) == 1 }) {
		return
	}
	for _, n := range wearing {
		d.serve(stepDetach, plan.Drop, door, "no lock needs it", securitygroup.Write{Do: securitygroup.Detach, Group: g.Name, Interface: n.ID})
	}
	d.serve(stepDelete, plan.Drop, door, "no lock needs it", securitygroup.Write{Do: securitygroup.Delete, Group: g.Name})
}
