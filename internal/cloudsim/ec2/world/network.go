package world

import (
	"net/netip"
	"slices"
	"time"
)

// A VPC is a network.
type VPC struct {
	Resource
	CIDRs   []netip.Prefix // of both families; the first is the primary one
	Default bool
}

// A Subnet is a part of a VPC, in one availability zone.
type Subnet struct {
	Resource
	VPC, Zone   string
	CIDR, CIDR6 netip.Prefix // CIDR6 is the zero Prefix where there is none
	ACL         string
	Public      bool // interfaces get a public address when they are made
}

// A RouteTable says where packets go that leave its subnets.
type RouteTable struct {
	Resource
	VPC     string
	Main    bool     // for subnets that have no other
	Subnets []string // those that have this one
	Routes  []Route
}

// A Route is one line of a route table. Its destination is a network or a prefix
// list.
type Route struct {
	Destination netip.Prefix
	List        string
	Target      string // "local", or the id of a gateway, a peering, an interface
	Blackhole   bool   // its target is gone
}

// An InternetGateway joins a VPC to the Internet.
type InternetGateway struct {
	Resource
	VPC string // "" while it is attached to none
}

// A PrefixList is a managed prefix list.
type PrefixList struct {
	Resource
	Name       string
	IPv6       bool
	MaxEntries int
	Version    int64
	Entries    []ListEntry
}

// A ListEntry is one network of a prefix list.
type ListEntry struct {
	CIDR        netip.Prefix
	Description string
}

// A Peering joins two VPCs.
type Peering struct {
	Resource                    // of the requester
	Requester, Accepter  string // VPCs
	AccepterOwner        string
	Status               string // "active", "pending-acceptance", "deleted", …
	RequesterCIDR, Other netip.Prefix
}

// Active reports whether packets pass.
func (p Peering) Active() bool { return p.Status == "active" }

// RouteTable returns the route table of a subnet.
func (w *World) RouteTable(at time.Time, s Subnet) (RouteTable, bool) {
	var main RouteTable
	found := false
	for t := range w.RouteTables.All(at) {
		if slices.Contains(t.Subnets, s.ID) {
			return t, true
		}
		if t.VPC == s.VPC && t.Main {
			main, found = t, true
		}
	}
	return main, found
}

// peering returns the peering that joins two VPCs; active ones first.
func (w *World) peering(at time.Time, a, b string) (Peering, bool) {
	var other Peering
	found := false
	for p := range w.Peerings.All(at) {
		if p.Requester == a && p.Accepter == b || p.Requester == b && p.Accepter == a {
			if p.Active() {
				return p, true
			}
			other, found = p, true
		}
	}
	return other, found
}

// list returns a prefix list that the account may use.
func (w *World) list(m Moment, account, id string) (PrefixList, error) {
	l, found := w.PrefixLists.Get(m.Now, id)
	if !found || l.Owner != account && l.Owner != Amazon {
		return PrefixList{}, w.Absent("pl", id)
	}
	return l, nil
}

// Amazon owns the prefix lists of its services.
const Amazon = "AWS"
