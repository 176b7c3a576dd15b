package packet

import (
	"strings"

	"github.com/sesame-access/sesame/internal/cloudsim/arm/packet/topology"
)

// balance follows p through a frontend of a load balancer. The client's address
// stays. Inbound NAT rules lead to one IP configuration, load-balancing rules to
// any of a pool.
func (k *walk) balance(p Packet, b *topology.Balancer, f *topology.Frontend, standard bool) Verdict {
	for _, r := range b.NATRules {
		if !topology.Same(r.Frontend, f.ID) || !carries(r, p.Protocol) {
			continue
		}
		if r.Last != 0 {
			if p.ToPort >= r.First && p.ToPort <= r.Last {
				return k.lost(p, Unknown, r.ID, "which member of the pool a port leads to is Azure's choice")
			}
			continue
		}
		if p.ToPort != r.First {
			continue
		}
		for _, e := range k.Endpoints {
			if topology.Same(e.ID, r.Target) || topology.OneOf(e.NATRules, r.ID) {
				k.decide(r.ID, "", Delivered, "to port %d of %s", r.BackendPort, e.ID)
				p.ToPort = r.BackendPort
				return k.arrive(p, e, standard)
			}
		}
		return k.lost(p, Denied, r.ID, "the rule has no target")
	}
	for _, r := range b.PoolRules {
		if !topology.Same(r.Frontend, f.ID) || !carries(r, p.Protocol) || (p.ToPort != r.First && r.First != 0) {
			continue
		}
		return k.pool(p, r, standard)
	}
	return k.lost(p, Denied, b.ID, "no rule for port %d of this frontend", p.ToPort)
}

// pool lets p arrive at every member; only what all of them do is certain.
func (k *walk) pool(p Packet, r *topology.BalancerRule, standard bool) Verdict {
	var v Verdict
	for _, e := range k.Endpoints {
		if !anyOf(e.Pools, r.Pools) {
			continue
		}
		q := p
		if r.First != 0 {
			q.ToPort = r.BackendPort
		}
		got := k.arrive(q, e, standard)
		got.Outcome |= v.Outcome
		v = got
	}
	if v.Outcome == 0 {
		return k.lost(p, Denied, r.ID, "the pool is empty")
	}
	return v
}

func anyOf(a, b []string) bool {
	for _, x := range a {
		if topology.OneOf(b, x) {
			return true
		}
	}
	return false
}

// carries reports whether a rule of a load balancer is for protocol p.
func carries(r *topology.BalancerRule, p Protocol) bool {
	switch strings.ToLower(r.Protocol) {
	case "tcp":
		return p == TCP
	case "udp":
		return p == UDP
	}
	return p == TCP || p == UDP // All
}
