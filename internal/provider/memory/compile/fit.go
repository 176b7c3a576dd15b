package compile

import (
	"maps"
	"slices"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider/memory/dialect"
)

// sorted returns the keys of m in order.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// closing is how many rules of ours the plan takes away before anything else.
func (d *draft) closing() int {
	n := 0
	for name, r := range d.have {
		if _, stays := d.targets[name]; !stays && r.Action == firewall.Allow && d.locked(r.Door()) {
			n++
		}
	}
	return n
}

// fit takes out what there is no room for, write by write: locks go before
// openings, exempt sources before grants. Closings need no room. It returns the
// displaced rule that has none to come back, if there is one.
func (d *draft) fit() (stuck string) {
	used, locks := d.Used(), 0
	there, tags := map[string]bool{}, map[string]bool{}
	for _, r := range d.Rules {
		there[r.Name], tags[r.Name] = true, d.Tag(r)
	}
	for _, c := range d.changes {
		if c.Op == plan.Lock && d.grows(c, there) {
			locks++
		}
	}
	order := slices.SortedStableFunc(slices.Values(d.changes), func(a, b plan.Change) int {
		if a.Step != b.Step || a.Op != plan.Open || b.Op != plan.Open || a.Opening.Exempt() == b.Opening.Exempt() {
			return 0
		}
		if a.Opening.Exempt() {
			return -1
		}
		return 1
	})
	var kept []plan.Change
	for _, c := range order {
		grows := d.grows(c, there)
		if c.Op == plan.Lock && grows {
			locks--
		}
		e, _ := dialect.Decode(c.Native) // it is our own
		switch {
		case grows && c.Op == plan.Open && used+locks >= d.Config.Rooms:
			d.refuse(c.Door, c.Opening.From, "no room for another rule: %d of %d used", used, d.Config.Rooms)
			continue
		case grows && c.Op == plan.Restore && used >= d.Config.Rooms:
			return e.Put.Name
		case grows && used >= d.Config.Rooms:
			d.hold(c.Door, "no room for another rule: %d of %d used", used, d.Config.Rooms)
			continue
		case grows:
			used++
		case e.Put == nil && there[e.Delete] && !tags[e.Delete]:
			used--
		}
		there[e.Name()] = e.Put != nil
		kept = append(kept, c)
	}
	d.changes = slices.SortedFunc(slices.Values(kept), plan.Compare)
	return ""
}

// grows reports whether c takes up room.
func (d *draft) grows(c plan.Change, there map[string]bool) bool {
	e, _ := dialect.Decode(c.Native) // it is our own
	return e.Put != nil && !there[e.Put.Name] && !d.Tag(*e.Put)
}
