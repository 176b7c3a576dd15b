package plan

import (
	"net/netip"
	"slices"

	"github.com/sesame-access/sesame/internal/firewall"
)

// Closings returns the part of want that only narrows what is shown: nothing new
// is opened, locked or given back, and what want ends goes. It is what is
// written when anything else is refused, unknown or forbidden: closing waits for
// nothing.
func Closings(want, shown firewall.Wants) firewall.Wants {
	out := make(firewall.Wants, 0, len(shown))
	for _, s := range shown {
		w, ok := want.Of(s.Door)
		if !ok {
			w = standing(s)
		}
		out = append(out, closingsOf(w, s))
	}
	out.Sort()
	return out
}

// Narrowed returns Closings and with them every lock of want that is not shown,
// together with its exempt sources, which are part of it. It is what is written
// while half an input is missing: that forbids opening, never a close or the
// repair of a lock.
func Narrowed(want, shown firewall.Wants) firewall.Wants {
	out := slices.DeleteFunc(Closings(want, shown), func(w firewall.Want) bool { return lockMissing(want, shown, w.Door) })
	for _, w := range want {
		if !lockMissing(want, shown, w.Door) {
			continue
		}
		s, _ := shown.Of(w.Door)
		s.Door = w.Door
		lock := closingsOf(w, s)
		lock.Locked = true
		for _, o := range standing(w).Open {
			if !slices.ContainsFunc(lock.Open, func(x firewall.Opening) bool { return x.From == o.From }) {
				lock.Open = append(lock.Open, o)
			}
		}
		out = append(out, lock)
	}
	out.Sort()
	return out
}

// lockMissing reports whether want locks d and shown does not.
func lockMissing(want, shown firewall.Wants, d firewall.Door) bool {
	w, _ := want.Of(d)
	s, _ := shown.Of(d)
	return w.Locked && !s.Locked
}

// Sticky returns want with every lock put back that is shown and that want does
// not mention, together with its exempt sources, unless its door is among
// unlocking. A door that is not mentioned is given back, and neither a VM that
// left the inventory nor a row that left the database may do that: a lock ends
// only by an explicit unlock.
func Sticky(want, shown firewall.Wants, unlocking []firewall.Door) firewall.Wants {
	out := slices.Clone(want)
	for _, s := range shown {
		if _, mentioned := want.Of(s.Door); !mentioned && s.Locked && !slices.Contains(unlocking, s.Door) {
			out = append(out, standing(s))
		}
	}
	out.Sort()
	return out
}

// standing returns what is left of w when nobody has a grant: its lock and its
// exempt sources.
func standing(w firewall.Want) firewall.Want {
	w.Open = slices.DeleteFunc(slices.Clone(w.Open), func(o firewall.Opening) bool { return !o.Exempt() })
	return w
}

// closingsOf returns what is left of s once what w ends is gone. Where s shows a
// source more than once, the last to end counts.
func closingsOf(w, s firewall.Want) firewall.Want {
	keep := firewall.Want{Door: s.Door, Locked: s.Locked, Cut: w.Cut, Accepts: w.Accepts, Open: nil}
	wanted := make(map[netip.Prefix]firewall.Opening, len(w.Open))
	for _, o := range w.Open {
		wanted[o.From] = o
	}
	last := make(map[netip.Prefix]firewall.Opening, len(s.Open))
	for _, o := range s.Open {
		if x, twice := last[o.From]; !twice || outlasts(o, x) {
			last[o.From] = o
		}
	}
	for from, o := range last {
		x, ok := wanted[from]
		switch {
		case !ok:
			continue
		case outlasts(x, o):
			x = o // more would be an extension
		}
		keep.Open = append(keep.Open, x)
	}
	slices.SortFunc(keep.Open, firewall.CompareOpenings)
	return keep
}

// outlasts reports whether a lets its source in for longer than b.
func outlasts(a, b firewall.Opening) bool {
	if a.Exempt() || b.Exempt() {
		return a.Exempt() && !b.Exempt()
	}
	return a.Until.After(b.Until)
}

// Hold returns want with what is refused held back at what shown shows, as
// Closings would have it: one source of a door, or the whole door where the
// refusal names no source. No foreign rule is taken out for a whole door; where
// that is all that is refused, and the lock is shown, its openings go on. Its cost
// does not grow with the number of refusals times the openings.
func Hold(want, shown firewall.Wants, refused ...Refusal) firewall.Wants {
	held := map[firewall.Door]map[netip.Prefix]bool{} // the invalid source is the whole door
	spare := map[firewall.Door]bool{}
	for _, r := range refused {
		if s, _ := shown.Of(r.Door); r.Spare && s.Locked {
			spare[r.Door] = true
			continue
		}
		if held[r.Door] == nil {
			held[r.Door] = map[netip.Prefix]bool{}
		}
		held[r.Door][r.From] = true
	}
	out := make(firewall.Wants, 0, len(want)+len(held))
	for _, w := range want {
		s, isShown := shown.Of(w.Door)
		s.Door, w.Spares = w.Door, w.Spares || spare[w.Door]
		switch from := held[w.Door]; {
		case from == nil:
			out = append(out, w)
		case !from[netip.Prefix{}]:
			out = append(out, holdSources(w, s, from))
		case isShown:
			out = append(out, spared(closingsOf(w, s)))
		}
		delete(held, w.Door)
	}
	for d := range held { // shown at most, and not to be given back
		if s, isShown := shown.Of(d); isShown {
			out = append(out, spared(closingsOf(standing(s), s)))
		}
	}
	out.Sort()
	return out
}

// spared returns w without any foreign rule taken out for it.
func spared(w firewall.Want) firewall.Want {
	w.Spares = true
	return w
}

// holdSources returns w with some of its sources as in the closings of s; the
// others stay as wanted.
func holdSources(w, s firewall.Want, from map[netip.Prefix]bool) firewall.Want {
	elsewhere := func(o firewall.Opening) bool { return !from[o.From] }
	kept := slices.DeleteFunc(closingsOf(w, s).Open, elsewhere)
	w.Open = slices.DeleteFunc(slices.Clone(w.Open), func(o firewall.Opening) bool { return from[o.From] })
	w.Open = append(w.Open, kept...)
	return w
}
