package plan

import (
	"fmt"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/reach"
)

// Exposed says who certainly gets through the door of w, on v, without being
// wanted there, and by which rule; empty when nobody does, or when it is not
// known.
func Exposed(w firewall.Want, v inventory.VM, layers map[firewall.ID]firewall.Layer) string {
	set := reach.VM(v, layers, w.Door)
	extra := set.Sources(reach.Open).Minus(sourcesOf(w))
	if extra.Empty() {
		return ""
	}
	return fmt.Sprintf("%s can reach it (by %s)", extra, set.At(extra.Witness()).By())
}
