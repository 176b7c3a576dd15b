package path

import (
	"slices"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/azure/topology"
)

// A landing is an IP configuration that a frontend leads to.
type landing struct {
	to       *topology.Config
	by       string // the rule
	protocol firewall.Protocol
	// first and last are the ports of the frontend, and backend that of the
	// configuration; 0, 0 and 0 where they are the same.
	first, last, backend uint16
	choice               bool // whether this port leads here, or to another one
}

// landings returns where frontend f of b leads to.
func (e *estate) landings(b *topology.Balancer, f topology.Frontend) []landing {
	var out []landing
	configs := e.Configs()
	for _, r := range b.NAT {
		if r.Frontend != f.ID {
			continue
		}
		l := landing{by: r.Name, protocol: r.Protocol, first: r.First, last: r.Last, backend: r.Backend}
		// A range of ports is dealt out to the members of a pool, by Azure.
		l.choice = len(r.Pools) > 0
		for _, c := range configs {
			if c.ID == r.Target || slices.Contains(c.InboundNAT, r.ID) || l.choice && common(c.Pools, r.Pools) {
				l.to = c
				out = append(out, l)
			}
		}
	}
	for _, r := range b.Pools {
		if r.Frontend != f.ID {
			continue
		}
		l := landing{by: r.Name, protocol: r.Protocol, first: r.First, last: r.Last, backend: r.Backend}
		if r.First == 0 {
			l.backend = 0
		}
		for _, c := range configs {
			if common(c.Pools, r.Pools) {
				l.to = c
				out = append(out, l)
			}
		}
	}
	return out
}

func common(a, b []string) bool {
	return slices.ContainsFunc(a, func(id string) bool { return slices.Contains(b, id) })
}
