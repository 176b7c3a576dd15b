package survey

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/reach"
	"github.com/sesame-access/sesame/internal/reach/sieve"
)

// A round is one go over the fleet, with what its VMs share.
//
// A frame is everything about a VM that is the same for all ports: its ways, and
// the firewalls on them. VMs of one frame differ at most in their address and
// name, and where no rule for a port looks at these they share its answer; where
// one does, those share it that it does not tell apart.
type round struct {
	model  reach.Model
	ports  []Port
	query  reach.Query
	layers []*sieve.Layer // on the ways of one VM

	numbers  map[firewall.ID]int
	fronts   []front // by number
	expected []int   // fronts, of every hop of every VM
	begins   []int   // by VM, and where the last ends

	frames  map[string]*frame
	current *frame         // of the VM that was entered; nil when it shares nothing
	entered bool           // by the query, too
	way     []int          // of the current VM, its fronts
	packets []sieve.Packet // to the VM, as each of its fronts sees them
	key     []byte         // of the frame
	class   []byte         // within it
}

// A front is a firewall of the fleet, with what it tells apart for each port.
type front struct {
	layer *sieve.Layer // nil if there is none
	vms   int
	aims  []*sieve.Aims // once it is shared
}

// A frame is the answers of VMs that are alike but for name and address.
type frame struct {
	sets  []reach.Set            // by port, where all are alike
	finer []map[string]reach.Set // by port, where rules tell them apart; else nil
}

// newRound returns a round past about so many firewalls.
func newRound(m reach.Model, ports []Port, fronts int) *round {
	return &round{model: m, ports: ports, numbers: make(map[firewall.ID]int, fronts), fronts: make([]front, 0, fronts), begins: []int{0}, frames: map[string]*frame{}}
}

// expect says that v will be asked about, and counts the VMs behind a firewall.
// What it looks up is looked up once.
func (r *round) expect(v *inventory.VM) {
	for i := range v.Paths {
		for h := range v.Paths[i].Hops {
			r.meet(v.Paths[i].Hops[h].Firewall)
		}
	}
	r.begins = append(r.begins, len(r.expected))
}

func (r *round) meet(id firewall.ID) {
	n, met := r.numbers[id]
	if !met {
		n = len(r.fronts)
		r.numbers[id], r.fronts = n, append(r.fronts, front{layer: r.model[id], vms: 0, aims: nil})
	}
	r.fronts[n].vms++
	r.expected = append(r.expected, n)
}

// enter finds the frame of v, the nth that was expected. There is none where the answer may say something of
// v alone, what is missing about it or that no way leads to a port, where ports
// are translated, and where nobody else is behind one of its firewalls.
func (r *round) enter(n int, v *inventory.VM) {
	r.current, r.key, r.way, r.packets = nil, r.key[:0], r.expected[r.begins[n]:r.begins[n+1]], r.packets[:0]
	r.entered = false
	alone := func(f int) bool { return r.fronts[f].vms < 2 }
	if len(v.Paths) == 0 || len(v.Missing) > 0 || slices.ContainsFunc(r.way, alone) {
		return
	}
	for i := range v.Paths {
		if !r.path(v.ID, &v.Paths[i]) {
			return
		}
	}
	if r.current = r.frames[string(r.key)]; r.current == nil {
		f := &frame{sets: make([]reach.Set, len(r.ports)), finer: make([]map[string]reach.Set, len(r.ports))}
		r.frames[string(r.key)], r.current = f, f
		for n := range r.ports {
			if len(r.classes(n)) > 0 {
				f.finer[n] = map[string]reach.Set{}
			}
		}
	}
}

// path appends p to the key, but for the VM's addresses, of which only matters to the
// way itself of which families they are; what they are to rules is in classes. It is
// false where p cannot be shared.
func (r *round) path(vm firewall.VMID, p *inventory.Path) bool {
	if p.Protocol != 0 || p.Port != 0 {
		return false
	}
	r.text(p.Name)
	r.number(len(p.From))
	for _, x := range p.From {
		r.prefix(x)
	}
	r.flag(p.From == nil)
	r.flag(p.Unsure)
	door := firewall.Door{VM: vm, Protocol: 0, Port: 0}
	own := sieve.NewPacket(door, p.To)
	r.flag(len(p.To) > 0)
	r.flag(own.Aimed[sieve.IPv4])
	r.flag(own.Aimed[sieve.IPv6])
	r.number(len(p.Hops))
	for i := range p.Hops {
		h := &p.Hops[i]
		if h.Port != 0 {
			return false
		}
		r.number(r.way[len(r.packets)])
		r.packets = append(r.packets, sieve.NewPacket(p.Seen(*h, door)))
		r.prefix(h.Sees)
		r.flag(h.Always)
	}
	return true
}

func (r *round) text(s string) {
	r.number(len(s))
	r.key = append(r.key, s...)
}

func (r *round) prefix(p netip.Prefix) {
	if p.IsValid() {
		r.key = p.AppendTo(r.key)
	}
	r.key = append(r.key, 0)
}

func (r *round) number(n int) {
	r.key = binary.AppendUvarint(r.key, uint64(n)) //nolint:gosec // It counts something.
}

func (r *round) flag(b bool) {
	n := 0
	if b {
		n = 1
	}
	r.number(n)
}

// classes returns which of the VMs that rules for port n tell apart the current one
// is; empty where they tell none apart.
func (r *round) classes(n int) []byte {
	r.class = r.class[:0]
	for i, f := range r.way {
		if aims := r.aims(&r.fronts[f])[n]; aims != nil {
			r.class = aims.Append(r.class, &r.packets[i])
		}
	}
	return r.class
}

// aims returns what f tells apart, by port.
func (r *round) aims(f *front) []*sieve.Aims {
	if f.aims == nil {
		f.aims = make([]*sieve.Aims, len(r.ports))
		if f.layer != nil {
			for n, p := range r.ports {
				f.aims[n] = f.layer.Aims(p.of(""))
			}
		}
	}
	return f.aims
}

// ask returns who can come through port n of v, the VM that was entered.
func (r *round) ask(v *inventory.VM, n int) reach.Set {
	d := r.ports[n].of(v.ID)
	f := r.current
	switch {
	case f == nil:
		return r.alone(v, d)
	case f.finer[n] == nil:
		if f.sets[n].Len() == 0 {
			f.sets[n] = r.alone(v, d)
		}
		return f.sets[n]
	}
	key := r.classes(n)
	set, ok := f.finer[n][string(key)]
	if !ok {
		set = r.alone(v, d)
		f.finer[n][string(key)] = set
	}
	return set
}

// alone asks about a door whose answer is not known yet.
func (r *round) alone(v *inventory.VM, d firewall.Door) reach.Set {
	if !r.entered {
		r.layers = r.layers[:0]
		for _, f := range r.way {
			r.layers = append(r.layers, r.fronts[f].layer)
		}
		r.query.EnterPast(v, r.layers)
		r.entered = true
	}
	return r.query.Ask(d)
}
