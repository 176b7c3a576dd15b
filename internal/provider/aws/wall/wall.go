// Package wall puts a list of which the first rule decides before rules of which
// any lets in, as a network ACL stands before security groups, so that both are
// one layer that says by which of them a packet is stopped.
package wall

import (
	"math"
	"net/netip"
	"slices"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/prefix"
)

// A Wall stands around a subnet. The zero Wall lets everything pass.
type Wall struct {
	// Inside are the addresses of the subnet: who is there does not meet the wall.
	Inside []netip.Prefix
	// Rules are what the others meet: the first that matches decides, and what it
	// allows goes on to what is behind the wall. What none matches is denied.
	Rules []firewall.LayerRule
}

// Before returns w and, behind it, rules of which any lets a packet in, as one
// ordered list. All rules are about the same addresses, those in to.
func (w Wall) Before(behind []firewall.LayerRule, vm firewall.VMID, to []netip.Prefix) []firewall.LayerRule {
	if w.Rules == nil {
		return behind
	}
	var out []firewall.LayerRule
	within := firewall.LayerRule{Action: firewall.Allow, Last: math.MaxUint16, From: prefix.Union(w.Inside)}
	for _, r := range behind {
		if near, some := Both(r, within); some {
			out = append(out, near)
		}
	}
	for _, x := range w.Rules {
		x.VM, x.To = vm, to
		if x.Action != firewall.Allow {
			out = append(out, x)
			continue
		}
		// Who passes the wall here and is let in by nobody behind it meets the rest
		// of the wall in vain: nothing of that lets in anybody else.
		for _, r := range behind {
			if both, some := Both(r, x); some {
				out = append(out, both)
			}
		}
	}
	return out
}

// Both returns the rule that matches what x and y both match, with the name, the
// action and the place of x; false when that is nothing.
func Both(x, y firewall.LayerRule) (firewall.LayerRule, bool) {
	x.Maybe = x.Maybe || y.Maybe
	if x.Protocol == 0 {
		x.Protocol = y.Protocol
	}
	if y.Protocol != 0 && x.Protocol != y.Protocol {
		return x, false
	}
	x.First, x.Last = max(x.First, y.First), min(x.Last, y.Last)
	if x.First > x.Last {
		return x, false
	}
	xf, xl := clientPorts(x)
	yf, yl := clientPorts(y)
	if x.SourceFirst, x.SourceLast = max(xf, yf), min(xl, yl); x.SourceFirst > x.SourceLast {
		return x, false
	}
	if x.SourceFirst == 0 && x.SourceLast == math.MaxUint16 {
		x.SourceLast = 0 // any, in the shorter form
	} else if x.SourceLast == 0 {
		x.Maybe = true // source port 0 alone, which cannot be said
	}
	switch {
	case len(x.From) == 0:
		x.From = slices.Clone(y.From)
	case len(y.From) > 0:
		x.From = prefix.Intersect(x.From, y.From)
		if len(x.From) == 0 {
			return x, false
		}
	}
	return x, true
}

// clientPorts returns the ports that a client may call from.
func clientPorts(r firewall.LayerRule) (first, last uint16) {
	if r.SourceFirst == 0 && r.SourceLast == 0 {
		return 0, math.MaxUint16
	}
	return r.SourceFirst, r.SourceLast
}

// Decisive returns the part of a list that decides anything: no rule about those
// of whom all was decided before. It is nil if all of it lets pass. Without v6
// there is nobody with an IPv6 address to decide about.
func Decisive(list []firewall.LayerRule, v6 bool) []firewall.LayerRule {
	var out []firewall.LayerRule
	left := prefix.Everything()
	if !v6 {
		left = left[:1]
	}
	passes := true
	for _, r := range list {
		from := r.From
		if len(from) == 0 {
			from = prefix.Everything()
		}
		if len(prefix.Intersect(from, left)) == 0 {
			continue
		}
		out = append(out, r)
		passes = passes && r.Action == firewall.Allow
		first, last := clientPorts(r)
		if r.Protocol == 0 && r.First == 0 && r.Last == math.MaxUint16 && !r.Maybe && first == 0 && last == math.MaxUint16 {
			left = prefix.Minus(left, from)
		}
	}
	if passes && len(left) == 0 {
		return nil
	}
	return out
}
