//go:build linux

package foreign

import (
	"encoding/binary"
	"slices"

	"github.com/sesame-access/sesame/internal/provider/nftables/nfnetlink/ruleset"
)

// A class is ports, from the first to the last, that no rule tells apart.
type class struct{ first, last uint16 }

// A cutter finds out where rules tell ports apart. It follows the same loads as a
// packet does, and notes what they are compared with.
type cutter struct {
	*Ruleset
	rules map[ruleset.ChainID][]ruleset.Rule
	seen  map[ruleset.ChainID]bool
	cuts  [2]map[uint32]bool // by the header's field: the source port, the destination port
}

// classes returns the classes of the door's ports and of the client's at s. The
// client's port 0, which no system sends from, is taken for the port above it.
func (r *Ruleset) classes(s station, rules map[ruleset.ChainID][]ruleset.Rule) (doors, clients []class) {
	c := cutter{Ruleset: r, rules: rules, seen: map[ruleset.ChainID]bool{}, cuts: [2]map[uint32]bool{{}, {}}}
	c.chain(s.ChainID)
	from, to := c.cuts[0], c.cuts[1]
	if s.leg == answered {
		from, to = to, from
	}
	delete(from, 1)
	return classesOf(to), classesOf(from)
}

func classesOf(cuts map[uint32]bool) (out []class) {
	at := []uint32{0}
	for c := range cuts {
		if c > 0 && c < 1<<16 {
			at = append(at, c)
		}
	}
	slices.Sort(at)
	for i, first := range at {
		last := uint32(1<<16 - 1)
		if i+1 < len(at) {
			last = at[i+1] - 1
		}
		out = append(out, class{first: uint16(first), last: uint16(last)}) //nolint:gosec // They are ports.
	}
	return out
}

// chain notes what the rules of a chain, and of those that they lead to, compare.
func (c *cutter) chain(id ruleset.ChainID) {
	if c.seen[id] {
		return
	}
	c.seen[id] = true
	for _, r := range c.rules[id] {
		where := map[ruleset.Reg]int{} // the header's offset that a register was loaded from
		for _, x := range r.Exprs {
			switch x := x.(type) {
			case ruleset.Payload:
				if delete(where, x.Dst); x.Base == ruleset.TransportHeader && x.Offset < 4 {
					where[x.Dst] = int(x.Offset)
				}
			case ruleset.Cmp:
				c.port(where, x.Src, x.Data)
			case ruleset.Lookup:
				c.set(where, x.Src, r.Table.Set(x.Set))
			case ruleset.Verdict:
				c.follow(r, x)
			case ruleset.Raw:
				if m, ok := mapLookup(x); ok && m.verdict {
					c.set(where, m.Src, r.Table.Set(m.Set))
					for _, e := range c.Elements[r.Table.Set(m.Set)] {
						if e.Verdict != nil {
							c.follow(r, *e.Verdict)
						}
					}
				}
				if src, _, lo, hi, ok := rangeOf(x); x.Name == "range" && ok {
					c.port(where, src, lo)
					c.port(where, src, hi)
				}
			}
		}
	}
}

func (c *cutter) follow(r ruleset.Rule, v ruleset.Verdict) {
	if v.Code == ruleset.VerdictJump || v.Code == ruleset.VerdictGoto {
		c.chain(r.Table.Chain(v.Chain))
	}
}

// set notes the keys of a set, wherever in them a port stands.
func (c *cutter) set(where map[ruleset.Reg]int, src ruleset.Reg, id ruleset.SetID) {
	for _, e := range c.Elements[id] {
		for _, key := range [][]byte{e.Key, e.KeyEnd} {
			for word := 0; word*4 < len(key); word++ {
				c.port(where, src+ruleset.Reg(word), key[word*4:min(len(key), word*4+4)])
			}
		}
	}
}

// port notes that a register is compared with b.
func (c *cutter) port(where map[ruleset.Reg]int, src ruleset.Reg, b []byte) {
	offset, loaded := where[src]
	for ; loaded && len(b) >= 2 && offset < 4; offset, b = offset+2, b[2:] {
		if offset%2 == 0 {
			port := uint32(binary.BigEndian.Uint16(b))
			c.cuts[offset/2][port], c.cuts[offset/2][port+1] = true, true
		}
	}
}
