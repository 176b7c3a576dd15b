package sieve

import (
	"encoding/binary"
	"slices"

	"github.com/sesame-access/sesame/internal/firewall"
)

// Aims are what the rules of a layer that may speak about one port tell apart
// among the VMs behind it: two that are alike to the aims, from the same sources
// and to the same port, are alike to the layer.
type Aims struct {
	vms  map[firewall.VMID]uint32
	cuts [2][]Key // where destinations begin, or have ended, by family
}

// Aims returns the aims at the port of d, of any VM; nil when all are alike.
func (l *Layer) Aims(d firewall.Door) *Aims {
	if !l.aimed && l.vms == nil {
		return nil
	}
	var a Aims
	for _, n := range l.speakers(nil, d) {
		x := &l.lines[n]
		if l.whom[x.at] != 0 {
			a.vms = l.vms
		}
		for f := range Family(2) {
			to, _ := l.cuts(x, f)
			for _, cut := range to {
				a.cuts[f] = append(a.cuts[f], l.key(cut, f))
			}
		}
	}
	for f := range a.cuts {
		slices.SortFunc(a.cuts[f], Key.Compare)
		a.cuts[f] = slices.Compact(a.cuts[f])
	}
	if a.vms == nil && len(a.cuts[IPv4])+len(a.cuts[IPv6]) == 0 {
		return nil
	}
	return &a
}

// Append appends to key which of the VMs that a tells apart p is for.
func (a *Aims) Append(key []byte, p *Packet) []byte {
	key = binary.AppendUvarint(key, uint64(a.vms[p.Door.VM]))
	for f, cuts := range a.cuts {
		class := 0
		if p.Aimed[f] {
			n, exact := slices.BinarySearchFunc(cuts, p.To[f], Key.Compare)
			if class = 1 + n; exact {
				class++
			}
		}
		key = binary.AppendUvarint(key, uint64(class))
	}
	return key
}
