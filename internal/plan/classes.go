package plan

import (
	"cmp"
	"slices"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/reach"
)

// A class is doors of one VM that nothing on the way tells apart: those from its
// door up to last, and for the protocol 0 all but some.
type class struct {
	firewall.Door

	last uint16
	but  []firewall.Protocol
}

// classesOf returns the doors of v to look at, sorted: those that the plan names,
// and one of every class of ports and protocols that any rule on the way, or being
// named, tells apart, as far as a changed rule speaks about it.
func (j *judge) classesOf(v inventory.VM) []class {
	named := j.named(v.ID)
	layers := []firewall.Layer{j.Plan.After, j.Observed[j.Plan.Firewall]}
	for _, fw := range v.Firewalls() {
		layers = append(layers, j.Observed[fw])
	}
	protocols := protocols(layers)
	var out []class
	for _, proto := range protocols {
		ports := reach.Ports(v, proto, layers...)
		for _, d := range named {
			if d.Protocol != proto {
				continue
			}
			if ports = append(ports, d.Port); d.Port < 65535 {
				ports = append(ports, d.Port+1) // its class goes on behind it
			}
		}
		slices.Sort(ports)
		if ports = slices.Compact(ports); proto == 0 {
			ports = ports[:1] // the others have no ports: a rule about some is not about them
		}
		for i, port := range ports {
			c := class{Door: firewall.Door{VM: v.ID, Protocol: proto, Port: port}, last: 65535, but: protocols[1:]}
			switch {
			case proto == 0:
				c.last = 0
			case i+1 < len(ports):
				c.last = ports[i+1] - 1
			}
			if slices.Contains(named, c.Door) || j.touches(v, c.Door) {
				out = append(out, c)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b class) int {
		return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), firewall.CompareDoors(a.Door, b.Door))
	})
	return out
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
	return j.speak(v, d, j.effect.Rules...)
}

// speak reports whether one of rules, of the firewall of the plan, is about d as
// that sees it.
func (j *judge) speak(v inventory.VM, d firewall.Door, rules ...firewall.LayerRule) bool {
	for _, p := range v.Paths {
		for _, h := range p.Hops {
			seen, _ := p.Seen(h, d)
			matches := func(r firewall.LayerRule) bool { return r.Matches(seen) }
			if p.Leads(d) && h.Firewall == j.Plan.Firewall && slices.ContainsFunc(rules, matches) {
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
