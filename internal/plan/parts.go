package plan

import (
	"net/netip"
	"slices"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
)

// Lapsed returns shown without the openings whose deadline has passed. It is
// what is wanted when nothing but the firewall itself can be asked: every mark
// carries its own deadline.
func Lapsed(shown firewall.Wants, now access.Reading) firewall.Wants {
	latest := now.Wall
	if now.Third.After(latest) {
		latest = now.Third
	}
	out := make(firewall.Wants, len(shown))
	for i, w := range shown {
		w.Open = slices.DeleteFunc(slices.Clone(w.Open), func(o firewall.Opening) bool {
			return !o.Exempt() && !o.Until.After(latest)
		})
		out[i] = w
	}
	return out
}

// NothingNew returns want with the doors of vm as Narrowed would have them. It is
// for a VM about which something is not known: nothing new is opened there, while
// closing and the repair of a lock go on.
func NothingNew(want, shown firewall.Wants, vm firewall.VMID) firewall.Wants {
	here := func(w firewall.Want) bool { return w.Door.VM == vm }
	elsewhere := func(w firewall.Want) bool { return w.Door.VM != vm }
	rest := slices.DeleteFunc(slices.Clone(want), here)
	out := append(rest, Narrowed(
		slices.DeleteFunc(slices.Clone(want), elsewhere),
		slices.DeleteFunc(slices.Clone(shown), elsewhere),
	)...)
	out.Sort()
	return out
}

// Remembered returns what fw must show while the book cannot be read: what it
// shows, less the openings whose mark has lapsed and those that only grants need
// which are over, as far as they were known when the book was read last; and
// every lock that was known then.
func Remembered(shown firewall.Wants, fw firewall.ID, vms []inventory.VM, locks []access.Lock, grants []access.Grant, now access.Reading) firewall.Wants {
	needed := map[firewall.Key]bool{} // by a grant that is known; false if all of them are over
	for _, g := range grants {
		for _, k := range Keys(fw, vms, g) {
			needed[k] = needed[k] || !g.Over(now)
		}
	}
	want := Lapsed(shown, now)
	for i, w := range want {
		want[i].Open = slices.DeleteFunc(w.Open, func(o firewall.Opening) bool {
			live, known := needed[firewall.Key{Door: w.Door, From: o.From}]
			return known && !live && !o.Exempt()
		})
	}
	return relocked(want, Route(Desired(locks, nil, now), vms)[fw])
}

// relocked returns want with every lock of locks, and the exempt sources of those
// that want does not lock.
func relocked(want, locks firewall.Wants) firewall.Wants {
	out := slices.Clone(want)
	for _, l := range locks {
		w, _ := want.Of(l.Door)
		if w.Locked {
			continue
		}
		w.Door, w.Locked, w.Cut, w.Accepts = l.Door, true, l.Cut, l.Accepts
		w.Open = slices.Clone(w.Open)
		for _, o := range standing(l).Open {
			if !slices.ContainsFunc(w.Open, func(x firewall.Opening) bool { return x.From == o.From }) {
				w.Open = append(w.Open, o)
			}
		}
		out = slices.DeleteFunc(out, func(x firewall.Want) bool { return x.Door == l.Door })
		out = append(out, w)
	}
	out.Sort()
	return out
}

// Additions lists everything in want that is more than closing: sources that are
// not shown or would be extended, and, with an invalid source, doors whose lock
// would be added or given back.
func Additions(want, shown firewall.Wants) []firewall.Key {
	var out []firewall.Key
	for _, w := range want {
		s, _ := shown.Of(w.Door)
		s.Door = w.Door
		if w.Locked != s.Locked {
			out = append(out, firewall.Key{Door: w.Door, From: netip.Prefix{}})
		}
		kept := map[netip.Prefix]firewall.Opening{}
		for _, o := range closingsOf(w, s).Open {
			kept[o.From] = o
		}
		for _, o := range w.Open {
			if k, ok := kept[o.From]; !ok || k.Until != o.Until {
				out = append(out, firewall.Key{Door: w.Door, From: o.From})
			}
		}
	}
	for _, s := range shown {
		if _, ok := want.Of(s.Door); !ok && s.Locked {
			out = append(out, firewall.Key{Door: s.Door, From: netip.Prefix{}})
		}
	}
	slices.SortFunc(out, firewall.CompareKeys)
	return out
}

// Only returns the closings of want together with the given additions and no
// others.
func Only(want, shown firewall.Wants, additions []firewall.Key) firewall.Wants {
	chosen := make(map[firewall.Key]bool, len(additions))
	for _, a := range additions {
		chosen[a] = true
	}
	var held []Refusal
	for _, a := range Additions(want, shown) {
		if !chosen[a] {
			held = append(held, Refusal{Door: a.Door, From: a.From, Why: ""})
		}
	}
	return Hold(want, shown, held...)
}

// Index makes the openings of ws findable by door and source.
func Index(ws firewall.Wants) map[firewall.Key]firewall.Opening {
	out := map[firewall.Key]firewall.Opening{}
	for _, w := range ws {
		for _, o := range w.Open {
			out[firewall.Key{Door: w.Door, From: o.From}] = o
		}
	}
	return out
}
