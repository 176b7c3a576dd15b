package reach

// A Shift is a range of sources whose verdict is not what it was.
type Shift struct {
	Range

	Before, After Span
}

// A Change is what becomes of the sources of one door when something changes: a
// plan that is applied, an edit by somebody else. It is sorted, and says nothing
// of sources whose verdict stays the same, whatever rule decides it then.
type Change []Shift

// Diff compares who could come through a door before with who can after.
func Diff(before, after Set) Change {
	var out Change
	i, j := 0, 0
	for i < before.Len() && j < after.Len() {
		a, b := before.span(i), after.span(j)
		if a.Verdict != b.Verdict {
			x := Shift{Range: a.Range, Before: a, After: b}
			if x.From.Less(b.From) {
				x.From = b.From
			}
			if b.To.Less(x.To) {
				x.To = b.To
			}
			out = append(out, x)
		}
		if a.To == b.To || a.To.Less(b.To) {
			i++
		}
		if a.To == b.To || b.To.Less(a.To) {
			j++
		}
	}
	return out
}

// Admits returns the part of c in which sources get further than before: from
// closed to unknown or open, or from unknown to open. Who has to answer for a
// change answers for all of it.
func (c Change) Admits() Change {
	return c.part(func(x Shift) bool { return x.After.Verdict > x.Before.Verdict })
}

// Shuts returns the part of c in which sources get less far than before.
func (c Change) Shuts() Change {
	return c.part(func(x Shift) bool { return x.After.Verdict < x.Before.Verdict })
}

// To returns the part of c in which the verdict becomes v: what it opens, what it
// closes, and of whom it is not known any more.
func (c Change) To(v Verdict) Change {
	return c.part(func(x Shift) bool { return x.After.Verdict == v })
}

// From returns the part of c in which the verdict was v.
func (c Change) From(v Verdict) Change {
	return c.part(func(x Shift) bool { return x.Before.Verdict == v })
}

func (c Change) part(of func(Shift) bool) Change {
	var out Change
	for _, x := range c {
		if of(x) {
			out = append(out, x)
		}
	}
	return out
}

// Sources returns the sources that c is about.
func (c Change) Sources() Ranges {
	var out Ranges
	for _, x := range c {
		out = append(out, x.Range)
	}
	return out.normal()
}

// Within returns the part of c that is about those in r, shift by shift.
func (c Change) Within(r Ranges) Change { return c.Outside(r.complement()) }

// Outside returns the part of c that is not about those in allowed, shift by
// shift.
func (c Change) Outside(allowed Ranges) Change {
	var out Change
	for _, x := range c {
		for _, r := range (Ranges{x.Range}).Minus(allowed) {
			x.Range = r
			out = append(out, x)
		}
	}
	return out
}
