package path

import (
	"math"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/aws/wall"
)

// Wall returns what an ACL does with connections from outside of its subnet as one
// list, of which the first rule that matches decides: a packet has to pass on its
// way in, and its answer on its way back. It is nil for an ACL that lets everything
// pass; v6 says whether there is anything with an IPv6 address behind it. One that
// was not read may deny anything.
func Wall(a *ACL, v6 bool) []firewall.LayerRule {
	if a == nil {
		const why = "a network ACL that was not read"
		return []firewall.LayerRule{
			{Name: why, Action: firewall.Deny, Maybe: true, Last: math.MaxUint16},
			{Name: why, Action: firewall.Allow, Last: math.MaxUint16},
		}
	}
	var out []firewall.LayerRule
	back := returnLayer(*a).Rules
	for _, x := range aclLayer(*a).Rules {
		x.Name = a.ID + " " + x.Name
		if x.Action == firewall.Deny {
			out = append(out, x)
			continue
		}
		for _, y := range back {
			y.Name = a.ID + toReturn + " " + y.Name
			if both, some := wall.Both(y, x); some {
				out = append(out, both)
			}
		}
	}
	return wall.Decisive(out, v6)
}
