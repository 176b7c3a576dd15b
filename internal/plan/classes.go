package plan

import (
	"slices"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/reach"
)

// doorsOf returns the doors of v to look at: those that the plan names, and one
// of every class of ports and protocols that any rule on the way, or being
// named, tells apart, as far as a changed rule speaks about it.
func (j *judge) doorsOf(v inventory.VM) []firewall.Door {
	doors := j.named(v.ID)
	classes := make([]firewall.Door, 0, len(doors))
	for _, d := range doors {
		if d.Port < 65535 {
			d.Port++ // the class that a named door stands in goes on behind it
			classes = append(classes, d)
		}
	}
	layers := []firewall.Layer{j.Plan.After, j.Observed[j.Plan.Firewall]}
	for _, fw := range v.Firewalls() {
		layers = append(layers, j.Observed[fw])
	}
	for _, proto := range protocols(layers) {
		ports := reach.Ports(v, proto, layers...)
		if proto == 0 {
			ports = ports[:1] // the others have no ports: a rule about some is not about them
		}
		for _, port := range ports {
			classes = append(classes, firewall.Door{VM: v.ID, Protocol: proto, Port: port})
		}
	}
	doors = append(doors, slices.DeleteFunc(classes, func(d firewall.Door) bool { return !j.touches(v, d) })...)
	slices.SortFunc(doors, firewall.CompareDoors)
	return slices.Compact(doors)
}

// named returns the doors of vm that the plan is about.
func (j *judge) named(vm firewall.VMID) []firewall.Door {
	var doors []firewall.Door
	for _, w := range j.Want {
		doors = append(doors, w.Door)
	}
	for d := range j.changes {
		doors = append(doors, d)
	}
	doors = append(doors, j.Unlocking...)
	return slices.DeleteFunc(doors, func(d firewall.Door) bool { return d.VM != vm })
}

// touches reports whether a changed rule speaks about d, as its firewall sees it.
func (j *judge) touches(v inventory.VM, d firewall.Door) bool {
	for _, p := range v.Paths {
		for _, h := range p.Hops {
			seen, _ := p.Seen(h, d)
			matches := func(r firewall.LayerRule) bool { return r.Matches(seen) }
			if p.Leads(d) && slices.Contains(h.Firewalls(), j.Plan.Firewall) && slices.ContainsFunc(j.changed, matches) {
				return true
			}
		}
	}
	return false
}

// protocols returns one protocol of every class that the rules tell apart: TCP
// and UDP, those that a rule names, and 0 for all the others.
func protocols(layers []firewall.Layer) []firewall.Protocol {
	all := []firewall.Protocol{0, firewall.TCP, firewall.UDP}
	for _, l := range layers {
		for _, r := range l.Rules {
			all = append(all, r.Protocol)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
