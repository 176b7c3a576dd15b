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
				return k.behind(p, r, f, e, standard)
			}
		}
		return k.lost(p, Denied, r.ID, "the rule has no target")
	}
	for _, r := range b.PoolRules {
		if !topology.Same(r.Frontend, f.ID) || !carries(r, p.Protocol) || (p.ToPort != r.First && r.First != 0) {
			continue
		}
		return k.pool(p, b, r, f, standard)
	}
	return k.lost(p, Denied, b.ID, "no rule for port %d of this frontend", p.ToPort)
}

// pool lets p arrive at every member; only what all of them do is certain.
func (k *walk) pool(p Packet, b *topology.Balancer, r *topology.BalancerRule, f *topology.Frontend, standard bool) Verdict {
	var v Verdict
	for _, e := range k.Endpoints {
		if !anyOf(e.Pools, r.Pools) && !listed(b, r, e) {
			continue
		}
		q := p
		if r.First != 0 {
			q.ToPort = r.BackendPort
		}
		got := k.behind(q, r, f, e, standard)
		got.Outcome |= v.Outcome
		v = got
	}
	if v.Outcome == 0 {
		return k.lost(p, Denied, r.ID, "the pool is empty")
	}
	return v
}

// listed reports whether e is in a pool of r by its address.
func listed(b *topology.Balancer, r *topology.BalancerRule, e *topology.Endpoint) bool {
	for _, m := range b.Members {
		if topology.OneOf(r.Pools, m.Pool) && topology.Same(m.Network, e.Subnet.Network.ID) && m.Address == e.Address {
			return true
		}
	}
	return false
}

// behind lets p arrive at e. With a floating IP nothing translates the
// destination: rules at e see the frontend's.
func (k *walk) behind(p Packet, r *topology.BalancerRule, f *topology.Frontend, e *topology.Endpoint, standard bool) Verdict {
	if !r.Floating {
		return k.arrive(p, e, standard)
	}
	p.To = f.Address
	for _, pip := range k.PublicAddresses {
		if topology.Same(pip.ID, f.PublicAddress) {
			p.To = pip.Address
		}
	}
	return k.admit(p, e, standard)
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
