package rule

import (
	"net/netip"
	"slices"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/prefix"
)

// A Place is addresses behind a layer that see names alike.
type Place struct {
	View View
	Ends []End
}

// An End is a destination behind a layer: an IP configuration of a VM.
type End struct {
	VM      firewall.VMID
	Address netip.Addr
	Groups  []string // ids of application security groups, in lower case
	// Floating says that the address is that of a frontend, which several VMs may
	// share. Whether it is in the groups of the configuration no document says.
	Floating bool
}

// Layer returns the layer of rules that are in order, as it is for the places
// behind it. One layer serves all of them, so a rule that is not the same for all
// is limited to the destinations that it is about.
func Layer(id firewall.ID, rules []Rule, places []Place, otherwise firewall.Action) firewall.Layer {
	c := compiler{places: places, ambiguous: false, out: nil}
	type holder struct {
		place int
		vm    firewall.VMID // empty for all that share the address
	}
	owner := map[netip.Addr]holder{}
	for i, p := range places {
		for _, e := range p.Ends {
			h := holder{place: i, vm: e.VM}
			if e.Floating && len(e.Groups) == 0 {
				h.vm = ""
			}
			if other, seen := owner[e.Address]; seen && other != h && (h.vm == "" || other.vm != h.vm) {
				c.ambiguous = true
			}
			owner[e.Address] = h
		}
	}
	for _, r := range rules {
		c.add(r)
	}
	return firewall.Layer{Firewall: id, Kind: firewall.Ordered, Rules: c.out, Default: otherwise}
}

// A compiler writes the rules of one layer.
type compiler struct {
	places []Place
	// ambiguous says that one address is that of several VMs, in networks that
	// know nothing of each other.
	ambiguous bool
	out       []firewall.LayerRule
}

func (c *compiler) add(r Rule) {
	groups := len(r.Destination.Groups) > 0
	if !groups && (len(c.places) <= 1 || !r.Source.local() && !r.Destination.local()) {
		var v View
		if len(c.places) > 0 {
			v = c.places[0].View
		}
		c.emit(r, "", v.Addresses(r.Source), v.Addresses(r.Destination))
		return
	}
	for _, p := range c.places {
		from, to := p.View.Addresses(r.Source), p.destinations(r.Destination)
		if !c.ambiguous {
			c.emit(r, "", from, to)
			continue
		}
		for _, vm := range p.vms() {
			own := Place{View: p.View, Ends: slices.DeleteFunc(slices.Clone(p.Ends), func(e End) bool { return e.VM != vm })}
			c.emit(r, vm, from, own.destinations(r.Destination))
		}
	}
}

// vms returns the VMs in p, sorted.
func (p Place) vms() []firewall.VMID {
	var out []firewall.VMID
	for _, e := range p.Ends {
		out = append(out, e.VM)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// destinations returns the addresses in p that s stands for. Which groups an end
// is in, the end itself says.
func (p Place) destinations(s Side) Set {
	var sure, perhaps []netip.Addr
	groups := s.Groups
	s.Groups = nil
	named := s.Any || len(s.Prefixes)+len(s.Tags) > 0
	set := p.View.Addresses(s)
	for _, e := range p.Ends {
		member := slices.ContainsFunc(groups, func(id string) bool { return slices.Contains(e.Groups, id) })
		switch {
		case member && !e.Floating, named && prefix.Contains(set.Sure, e.Address):
			sure = append(sure, e.Address)
		case member, (named || len(groups) == 0) && prefix.Contains(set.Perhaps, e.Address):
			perhaps = append(perhaps, e.Address)
		}
	}
	return Set{Sure: prefix.Of(sure...), Perhaps: prefix.Of(perhaps...)}
}

// emit writes r for one pair of sets: as certain where both sides are, and as a
// rule that matches perhaps where one of them is not.
func (c *compiler) emit(r Rule, vm firewall.VMID, from, to Set) {
	maybe := r.Doubt != "" || r.Priority == 0
	c.lines(r, vm, maybe, from.Sure, to.Sure)
	c.lines(r, vm, true, from.Perhaps, to.Sure)
	c.lines(r, vm, true, prefix.Union(from.Sure, from.Perhaps), to.Perhaps)
}

func (c *compiler) lines(r Rule, vm firewall.VMID, maybe bool, from, to []netip.Prefix) {
	if len(from) == 0 || len(to) == 0 {
		return // nobody
	}
	from, to = orAny(from), orAny(to)
	protocols, ports, clients := r.Protocols, r.Destination.Ports, r.Source.Ports
	if len(protocols) == 0 {
		protocols = []firewall.Protocol{0}
	}
	if len(ports) == 0 {
		ports = []Ports{anyPort()}
	}
	if len(clients) == 0 {
		clients = []Ports{anyPort()}
	}
	for _, protocol := range protocols {
		for _, port := range ports {
			for _, client := range clients {
				c.out = append(c.out, firewall.LayerRule{
					Name: r.Name, Action: r.Action, VM: vm, Protocol: protocol, First: port.First, Last: port.Last,
					// A source port of zero alone cannot be said, only that it may be any.
					Maybe:       maybe || client.Last == 0,
					SourceFirst: client.First, SourceLast: client.Last, From: from, To: to, Owned: r.Owned,
				})
			}
		}
	}
}

// orAny returns list as the rule of a layer has it, where none means anybody.
func orAny(list []netip.Prefix) []netip.Prefix {
	if prefix.All(list) {
		return nil
	}
	return list
}
