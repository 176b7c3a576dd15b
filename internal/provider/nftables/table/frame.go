//go:build linux

package table

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/nftables/nfnetlink/ruleset"
)

// Parts are the parts of a frame as the kernel lists them.
type Parts struct {
	Tables []ruleset.Table // of the whole namespace; ours is among them if it is there
	Chains []ruleset.Chain // those of our table, sorted by name
	Rules  []ruleset.Rule  // likewise, in their order in each chain
	Sets   []ruleset.Set   // likewise
	Ports  map[string][]ruleset.Element
}

// A Frame is everything of the table but the openings: chains, rules, sets and
// the locked ports. It does not change.
type Frame struct {
	table  *ruleset.Table // nil when there is none
	chains []ruleset.Chain
	rules  []ruleset.Rule
	sets   []ruleset.Set
	ports  map[string]map[uint16]bool // by set
	good   []string                   // the sets of openings that are as they must be, sorted
	wrong  string
}

// PortSets returns the sets of ports that must be read to know a frame, of those
// that are there.
func PortSets(sets []ruleset.Set) []string {
	var names []string
	for _, s := range sets {
		if want, ok := shape(s.Name); ok && slices.Contains(portSets(), s.Name) && sameSet(s, want) {
			names = append(names, s.Name)
		}
	}
	return names
}

// NewFrame returns the frame that the kernel listed.
func NewFrame(p Parts) *Frame {
	f := &Frame{chains: p.Chains, rules: p.Rules, sets: p.Sets, ports: map[string]map[uint16]bool{}}
	for _, t := range p.Tables {
		if t.TableID == ID() {
			f.table = &t
		}
	}
	for name, elements := range p.Ports {
		f.ports[name] = make(map[uint16]bool, len(elements))
		for _, e := range elements {
			if len(e.Key) == 2 {
				f.ports[name][binary.BigEndian.Uint16(e.Key)] = true
			}
		}
	}
	for _, s := range f.sets {
		want, known := shape(s.Name)
		if _, slotted := parseSlot(s.Name); known && slotted && sameSet(s, want) {
			f.good = append(f.good, s.Name)
		}
	}
	f.wrong = f.fault()
	return f
}

func sameSet(a, b ruleset.Set) bool {
	a.Comment = b.Comment
	return a == b
}

// fault says what about the frame is not as we would write it; empty when
// nothing is.
func (f *Frame) fault() string {
	if f.table == nil {
		return "the table is not there"
	}
	if f.table.Flags&ruleset.TableDormant != 0 {
		return "the table is switched off"
	}
	for _, s := range f.sets {
		if want, known := shape(s.Name); s.Flags&ruleset.SetAnonymous == 0 && !(known && sameSet(s, want)) {
			return fmt.Sprintf("set %s is not ours or not as we made it", s.Name)
		}
	}
	for _, name := range firstSets() {
		if !slices.ContainsFunc(f.sets, func(s ruleset.Set) bool { return s.Name == name }) {
			return fmt.Sprintf("set %s is not there", name)
		}
	}
	want := chains()
	for _, c := range f.chains {
		if !slices.Contains(want, c) {
			return fmt.Sprintf("chain %s is not ours or not as we made it", c.Name)
		}
	}
	for _, c := range want {
		if !slices.Contains(f.chains, c) {
			return fmt.Sprintf("chain %s is not there", c.Name)
		}
		in := func(r ruleset.Rule) bool { return r.ChainID != c.ChainID }
		if !slices.EqualFunc(slices.DeleteFunc(rules(f.good), in), slices.DeleteFunc(slices.Clone(f.rules), in), ruleset.Rule.Equal) {
			return fmt.Sprintf("the rules of chain %s are not as we wrote them", c.Name)
		}
	}
	return ""
}

// Exists reports whether there is a table of our name.
func (f *Frame) Exists() bool { return f.table != nil }

// Wrong says what about the frame is not as we would write it; empty when
// nothing is.
func (f *Frame) Wrong() string { return f.wrong }

// Stranger returns the other installation that the table belongs to; empty when
// there is none.
func (f *Frame) Stranger(instance string) string {
	if f.table == nil {
		return ""
	}
	return stranger(*f.table, instance)
}

// Sets returns the names of the sets of openings, sorted.
func (f *Frame) Sets() []string { return f.good }

// openingSets returns the sets of openings that a frame has once it is written,
// when no new one is needed: those there are, and those that every frame has.
func (f *Frame) openingSets() []string {
	sets := slices.Clone(f.good)
	for _, name := range firstSets() {
		if _, ok := parseSlot(name); ok {
			sets = append(sets, name)
		}
	}
	slices.Sort(sets)
	return slices.Compact(sets)
}

// Same reports whether two readings show the same frame.
func (f *Frame) Same(o *Frame) bool {
	sameTable := f.table == nil && o.table == nil || f.table != nil && o.table != nil && *f.table == *o.table
	return sameTable && slices.Equal(f.chains, o.chains) && slices.Equal(f.sets, o.sets) &&
		slices.EqualFunc(f.rules, o.rules, ruleset.Rule.Equal) && maps.EqualFunc(f.ports, o.ports, maps.Equal)
}

// stands reports whether packets meet the gate at all.
func (f *Frame) stands() bool {
	return f.table != nil && f.table.Flags&ruleset.TableDormant == 0 &&
		slices.ContainsFunc(f.chains, func(c ruleset.Chain) bool {
			return c.Name == chainGate && c.Hook.Num == ruleset.Prerouting && c.Hook.Type != ""
		})
}

// Locked returns the locked ports as doors of vm, sorted.
func (f *Frame) Locked(vm firewall.VMID) []firewall.Door {
	var doors []firewall.Door
	for name, protocol := range map[string]firewall.Protocol{lockedTCP: firewall.TCP, lockedUDP: firewall.UDP} {
		for port := range f.ports[name] {
			doors = append(doors, firewall.Door{VM: vm, Protocol: protocol, Port: port})
		}
	}
	slices.SortFunc(doors, firewall.CompareDoors)
	return doors
}

// locks reports whether d is locked.
func (f *Frame) locks(d firewall.Door) bool { return f.ports[lockedBy(d.Protocol)][d.Port] }

// cuts reports whether connections to d end with their opening. Every datagram
// is judged, so that those of UDP always do.
func (f *Frame) cuts(d firewall.Door) bool {
	return d.Protocol == firewall.UDP || f.ports[cutTCP][d.Port]
}

// lockedBy is the set that locks ports of the protocol.
func lockedBy(p firewall.Protocol) string {
	if p == firewall.UDP {
		return lockedUDP
	}
	return lockedTCP
}
