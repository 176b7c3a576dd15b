// Package proof says what is proven about one door as its clients find it, end to
// end over every layer on every way: that nobody gets through its lock but those
// who are wanted there, and that somebody who was let in by one firewall gets in.
//
// What is not known is neither: a layer that could not be read, a rule whose
// sources are not known. It is not counted as closed where closed has to be proven,
// nor as open where open has to be, and never just left out: whoever is shown a
// lock or an opening is told which layer it was.
package proof

import (
	"fmt"
	"net/netip"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/reach"
)

// Unverified is said before the layer that is not known, of locks and of openings.
const Unverified = "path unverified: "

// Lock says who gets through the door of w, on v, without being wanted there:
// exposed, who certainly does and by which rule; unproven, the layer that keeps it
// from being proven that nobody else does, and who that is about. Each is empty
// when there is nobody.
func Lock(w firewall.Want, v inventory.VM, layers map[firewall.ID]firewall.Layer) (exposed, unproven string) {
	set, wanted := reach.VM(v, layers, w.Door), wantedBy(w)
	if extra := set.Sources(reach.Open).Minus(wanted); !extra.Empty() {
		exposed = fmt.Sprintf("%s can reach it (by %s)", extra, set.At(extra.Witness()).By())
	}
	if extra := set.Sources(reach.Unknown).Minus(wanted); !extra.Empty() {
		unproven = fmt.Sprintf("%s (perhaps %s can reach it)", set.At(extra.Witness()).By(), extra)
	}
	return exposed, unproven
}

// wantedBy returns everybody that w lets in.
func wantedBy(w firewall.Want) reach.Ranges {
	prefixes := make([]netip.Prefix, len(w.Open))
	for i, o := range w.Open {
		prefixes[i] = o.From
	}
	return reach.Of(prefixes...)
}

// Opening names the layer that keeps it from being known whether from gets through
// to d of v; empty when it is proven that it does, or that it does not. Such an
// opening stands, and is shown as what it is.
func Opening(v inventory.VM, layers map[firewall.ID]firewall.Layer, d firewall.Door, from []netip.Prefix) (unproven string) {
	set := reach.VM(v, layers, d)
	for _, p := range from {
		for s := range set.Within(p) {
			if s.Verdict == reach.Unknown {
				return s.By()
			}
		}
	}
	return ""
}
