package reach

import (
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/reach/sieve"
)

// A place is what stands on a path: a firewall, or what stands for one.
type place struct {
	path     string
	firewall firewall.ID  // empty for what is no firewall
	layer    *sieve.Layer // nil when there is none to name rules
	why      reason       // what is to be said then
	about    string
}

// A reason is why a verdict is as it is where no rule decides.
type reason uint8

const (
	notRead reason = iota
	noFirewall
	noFirewallOnPath
	noWay
	noWayFromThere
	missing
)

// text writes the reason out.
func (p *place) text(can firewall.Outcomes) string {
	switch p.why {
	case noFirewall:
		return "no firewall in front of " + p.about
	case noFirewallOnPath:
		return "no firewall on path " + p.path
	case noWay:
		return "no way leads to " + p.about
	case noWayFromThere:
		if !can.Certain() {
			return "not known who comes by path " + p.path
		}
		return "nobody comes from there by path " + p.path
	case missing:
		return "not known: " + p.about
	case notRead:
	}
	return "not read"
}
