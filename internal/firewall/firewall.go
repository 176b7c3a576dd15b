// Package firewall holds the provider-neutral values of Sesame: a door (one
// port of one VM), an opening (who may come through, until when), what a
// firewall must show for a door, the layer of rules that it shows, and the mark
// that every Allow of ours carries.
//
// It is the bottom floor: values and their one parser each, no I/O, no clock.
// Values are comparable with ==, canonical (masked prefixes, UTC instants of
// whole milliseconds) and sorted by the Compare function beside them.
package firewall

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/errkind"
)

// An Opening lets one source through a door until an instant.
type Opening struct {
	// From is the source as this firewall sees it, masked.
	From netip.Prefix
	// Until is when it ends, an Instant; the zero time stands for an exempt
	// source, which is let in as long as the lock stands.
	Until time.Time
	// Grants are the grants that need this opening; none for an exempt source.
	Grants Holders
}

// Exempt reports whether o is for an exempt source rather than for a grant.
func (o Opening) Exempt() bool { return o.Until.IsZero() }

// CompareOpenings orders openings by source, end and holders.
func CompareOpenings(a, b Opening) int {
	return cmp.Or(a.From.Compare(b.From), a.Until.Compare(b.Until), cmp.Compare(a.Grants, b.Grants))
}

// Instant returns t as openings and marks keep it: UTC, whole milliseconds
// (rounded down), no monotonic reading. Two equal instants are == .
func Instant(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return time.UnixMilli(t.UnixMilli()).UTC()
}

// Holders is a sorted, comma-separated list of grant ids, so that it compares
// with ==. A door's opening goes when its last holder ends.
type Holders string

// HoldersOf returns the holders with the given ids, in any order.
func HoldersOf(ids ...string) Holders {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	return Holders(strings.Join(slices.Compact(ids), ","))
}

// IDs returns the grant ids, sorted.
func (h Holders) IDs() []string {
	if h == "" {
		return nil
	}
	return strings.Split(string(h), ",")
}

// Join returns the holders in h or in other.
func (h Holders) Join(other Holders) Holders { return HoldersOf(append(h.IDs(), other.IDs()...)...) }

// A Want is what one firewall must show for one door. It says nothing about
// rules: how to show it is the provider's business.
type Want struct {
	Door Door
	// Locked says that only Open may come through. A door that is not locked is
	// given back to whoever governed it before.
	Locked bool
	// Cut asks that established connections end with their opening.
	Cut bool
	// Proof asks that nobody is let in for a grant of whom it is not proven that
	// they come through. It is about the way as a whole, not for the firewall.
	Proof bool
	// Accepts is what may be lost with the lock, since somebody agreed to it.
	Accepts []Loss
	// Spares says that no foreign rule is taken out for this door: more would be
	// lost with it than was agreed to. The lock is shown, and is exposed.
	Spares bool
	// Open lists the exempt sources and the live grants, sorted, one entry for
	// each source.
	Open []Opening
}

// Wants are sorted by door, one for each.
type Wants []Want

// Sort puts ws and the openings of each into order.
func (ws Wants) Sort() {
	slices.SortFunc(ws, func(a, b Want) int { return CompareDoors(a.Door, b.Door) })
	for i := range ws {
		slices.SortFunc(ws[i].Open, CompareOpenings)
	}
}

// Locked returns the wants that lock, sorted and apart from ws. An error of kind
// Invalid says what of ws no firewall can show: a door or a source that is wanted
// twice, a source that is not a masked prefix of one family.
func (ws Wants) Locked() (Wants, error) {
	var out Wants
	doors := make(map[Door]bool, len(ws))
	for _, w := range ws {
		if doors[w.Door] {
			return nil, errkind.New(errkind.Invalid, "%s is wanted twice", w.Door)
		}
		doors[w.Door] = true
		w.Open = slices.SortedFunc(slices.Values(w.Open), CompareOpenings)
		for i, o := range w.Open {
			if !o.From.IsValid() || o.From != o.From.Masked() || o.From.Addr().Is4In6() {
				return nil, errkind.New(errkind.Invalid, "%s cannot be let in to %s: not a masked prefix of one family", o.From, w.Door)
			}
			if i > 0 && w.Open[i-1].From == o.From {
				return nil, errkind.New(errkind.Invalid, "%s is wanted twice at %s", o.From, w.Door)
			}
		}
		if w.Locked {
			out = append(out, w)
		}
	}
	out.Sort()
	return out, nil
}

// Of returns the want for door d.
func (ws Wants) Of(d Door) (Want, bool) {
	i, ok := slices.BinarySearchFunc(ws, d, func(w Want, d Door) int { return CompareDoors(w.Door, d) })
	if !ok {
		return Want{}, false
	}
	return ws[i], true
}

// A Key is what a keyed firewall can look up alone: a source at a door.
type Key struct {
	Door Door
	From netip.Prefix
}

// CompareKeys orders keys by door and source.
func CompareKeys(a, b Key) int {
	return cmp.Or(CompareDoors(a.Door, b.Door), a.From.Compare(b.From))
}
