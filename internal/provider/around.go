package provider

import (
	"slices"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
)

// Around returns what the reach engine is asked about: the layers of all that was
// read, by firewall, and vms with a hop for what stands beside one of them. It is
// the one way to both, so that a verdict, an explanation and a preview cannot
// disagree about what is in the way. What is beside a firewall stays as it is
// whatever a plan does to the firewall.
func Around(vms []inventory.VM, seen map[firewall.ID]Snapshot) ([]inventory.VM, map[firewall.ID]firewall.Layer) {
	layers := make(map[firewall.ID]firewall.Layer, len(seen))
	out := vms
	for id, s := range seen {
		layers[id] = s.Layer
		if s.Beside.Firewall == "" {
			continue
		}
		layers[s.Beside.Firewall] = s.Beside
		if len(out) > 0 && &out[0] == &vms[0] {
			out = slices.Clone(vms)
		}
		for i, v := range out {
			if slices.Contains(v.Firewalls(), id) {
				out[i] = v.Beside(id, s.Beside.Firewall)
			}
		}
	}
	return out, layers
}
