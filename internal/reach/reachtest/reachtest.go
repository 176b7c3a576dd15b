// Package reachtest is what tests of reach, and of the layers and paths that
// clouds build for it, have in common: where to try it, and what to measure it
// with.
package reachtest

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/reach"
)

// Corners returns the addresses where a set made of prefixes can change: the ends
// of each and those beside them, sorted. It works them out bit by bit, without
// the package that is under test.
func Corners(prefixes ...netip.Prefix) []netip.Addr {
	var out []netip.Addr
	for _, p := range prefixes {
		first := p.Masked().Addr()
		high := first.AsSlice()
		for bit := p.Bits(); bit < 8*len(high); bit++ {
			high[bit/8] |= 0x80 >> (bit % 8)
		}
		last, _ := netip.AddrFromSlice(high)
		for _, a := range []netip.Addr{first.Prev(), first, first.Next(), last.Prev(), last, last.Next()} {
			if a.IsValid() {
				out = append(out, a)
			}
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}

// Inhabited returns the addresses of list that are not simply nowhere; all of
// them, if they all are.
func Inhabited(list []netip.Addr, s reach.Set) []netip.Addr {
	var out []netip.Addr
	for _, a := range list {
		if x := s.At(a); x.Verdict != reach.Closed || len(x.Steps()) > 0 && x.Steps()[0].Firewall != "" {
			out = append(out, a)
		}
	}
	if out == nil {
		return list
	}
	return out
}

// SecurityGroup draws a network security group as they grow: an ordered list with
// a Deny of everything behind it. Allow and Deny are as frequent as each other.
// Each rule is about one of 25 ports that services have, 22, 3389, 5985 and 5986
// among them; one in 30 about all, or all from 1024; one in 30 about any
// protocol, three in 30 about UDP, the others about TCP. So one rule in 14 speaks
// about a management port. Each has one to three sources, IPv4 prefixes from /8 to
// /32 at random, which overlap freely, and one in four only a single destination
// in 10.0.0.0/24.
//
// Real ones are kinder: their prefixes repeat, and most of their rules allow.
func SecurityGroup(r *rand.Rand, id firewall.ID, rules int) firewall.Layer {
	l := firewall.Layer{Firewall: id, Kind: firewall.Ordered, Rules: make([]firewall.LayerRule, 0, rules), Default: firewall.Deny}
	common := [...]uint16{22, 25, 53, 80, 88, 111, 135, 389, 443, 445, 636, 993, 1433, 1521, 2049, 3306, 3389, 5432, 5985, 5986, 6379, 8080, 8443, 9100, 9200}
	for n := range rules {
		x := firewall.LayerRule{
			Name: fmt.Sprintf("%d rule-%d", 100+n, n), Action: firewall.Action(r.IntN(2)), Protocol: firewall.TCP, //nolint:gosec // Deny or Allow.
			First: common[r.IntN(len(common))],
		}
		switch x.Last = x.First; r.IntN(60) {
		case 0:
			x.First, x.Last = 0, 65535
		case 1:
			x.First, x.Last = 1024, 65535
		case 2, 3:
			x.Protocol = 0
		case 4, 5, 6, 7, 8, 9:
			x.Protocol = firewall.UDP
		}
		for range 1 + r.IntN(3) {
			x.From = append(x.From, netip.PrefixFrom(address(r, r.IntN(224)), 8+r.IntN(25)).Masked())
		}
		if r.IntN(4) == 0 {
			x.To = []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(r.IntN(256))}), 32)} //nolint:gosec // A byte.
		}
		l.Rules = append(l.Rules, x)
	}
	return l
}

func address(r *rand.Rand, first int) netip.Addr {
	rest := r.Uint32()
	return netip.AddrFrom4([4]byte{byte(first), byte(rest), byte(rest >> 8), byte(rest >> 16)}) //nolint:gosec // Bytes.
}
