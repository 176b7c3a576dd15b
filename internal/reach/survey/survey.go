// Package survey asks the question of package reach for a whole fleet: who can
// come through each of some ports of each VM.
//
// VMs that nothing in front of them tells apart share one answer: the same ways,
// past the same firewalls, whose rules for that port do not care which of the
// two it is. So where VMs share their security groups the work is done once, and
// where each has its own nothing is lost but a look. A Survey remembers its
// answers; when a layer is replaced it asks again only where a rule that changed
// may be about the door.
package survey

import (
	"iter"
	"maps"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/reach"
)

// A Port is what is asked about of every VM.
type Port struct {
	Protocol firewall.Protocol
	Number   uint16
}

func (p Port) of(vm firewall.VMID) firewall.Door {
	return firewall.Door{VM: vm, Protocol: p.Protocol, Port: p.Number}
}

// Ask returns who can come through each of the ports of each VM, in the order in
// which they are given. Nothing is kept but what is shared.
func Ask(vms []inventory.VM, m reach.Model, ports ...Port) iter.Seq2[firewall.Door, reach.Set] {
	return func(yield func(firewall.Door, reach.Set) bool) {
		r := newRound(m, ports, min(len(m), 4*len(vms)))
		for i := range vms {
			r.expect(&vms[i])
		}
		for i := range vms {
			r.enter(i, &vms[i])
			for n, p := range ports {
				if !yield(p.of(vms[i].ID), r.ask(&vms[i], n)) {
					return
				}
			}
		}
	}
}

// A Survey is the answers about a fleet. It is not for use by two goroutines at
// once.
type Survey struct {
	vms    []inventory.VM
	model  reach.Model
	ports  []Port
	sets   []reach.Set // by VM and port
	behind map[firewall.ID][]int
}

// New asks about all doors.
func New(vms []inventory.VM, m reach.Model, ports ...Port) *Survey {
	s := &Survey{
		vms: vms, model: maps.Clone(m), ports: ports,
		sets: make([]reach.Set, 0, len(vms)*len(ports)), behind: map[firewall.ID][]int{},
	}
	for _, set := range Ask(vms, m, ports...) {
		s.sets = append(s.sets, set)
	}
	for i, v := range vms {
		for _, id := range v.Firewalls() {
			s.behind[id] = append(s.behind[id], i)
		}
	}
	return s
}

// All returns every door and who can come through it, by VM and port.
func (s *Survey) All() iter.Seq2[firewall.Door, reach.Set] {
	return func(yield func(firewall.Door, reach.Set) bool) {
		for i, set := range s.sets {
			if !yield(s.ports[i%len(s.ports)].of(s.vms[i/len(s.ports)].ID), set) {
				return
			}
		}
	}
}

// A Shift is what becomes of one door.
type Shift struct {
	Door   firewall.Door
	Change reach.Change
}

// Replace puts after in the place of before, which is what the survey was made
// with, and returns the doors whose reach is not what it was. Only those that a
// changed rule may be about are asked about again, one that has another name among
// them; their number is asked.
func (s *Survey) Replace(before, after firewall.Layer) (shifts []Shift, asked int) {
	changed := before.Edited(after)
	s.model.Put(after)
	r := newRound(s.model, s.ports, 0)
	for _, i := range s.behind[after.Firewall] {
		r.expect(&s.vms[i])
	}
	for n, i := range s.behind[after.Firewall] {
		v, entered := &s.vms[i], false
		for at, p := range s.ports {
			if d := p.of(v.ID); about(v, after.Firewall, d, changed) {
				if !entered {
					r.enter(n, v)
					entered = true
				}
				was := &s.sets[i*len(s.ports)+at]
				set := r.ask(v, at)
				if c := reach.Diff(*was, set); len(c) > 0 {
					shifts = append(shifts, Shift{Door: d, Change: c})
				}
				*was = set
				asked++
			}
		}
	}
	return shifts, asked
}

// about reports whether one of rules, of the firewall id, may be about d of v.
func about(v *inventory.VM, id firewall.ID, d firewall.Door, rules []firewall.LayerRule) bool {
	for _, p := range v.Paths {
		for _, h := range p.Hops {
			if !p.Leads(d) || h.Firewall != id {
				continue
			}
			seen, to := p.Seen(h, d)
			for _, r := range rules {
				if r.Matches(seen) && r.Aims(to) {
					return true
				}
			}
		}
	}
	return false
}
