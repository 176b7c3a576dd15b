package path

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/azure/firewall/collection"
	"github.com/sesame-access/sesame/internal/provider/azure/rule"
	"github.com/sesame-access/sesame/internal/provider/azure/topology"
	"github.com/sesame-access/sesame/internal/provider/prefix"
)

// A wall is an Azure Firewall where it stands.
type wall struct {
	collection.Firewall

	subnet    *topology.Subnet // nil if it was not read
	rules     collection.Rules
	unread    string // why the rules are not known
	ownRanges bool   // for which ranges the source is kept, somebody chose
}

// A target is where translations lead to.
type target struct {
	to   netip.Addr
	port uint16
}

// applications names the application rules of w, as a layer of their own.
func (w *wall) applications() firewall.ID {
	return firewall.ID(strings.ToLower(w.ID) + "/applicationrules")
}

// translations names the translations of w to one target, as a layer.
func (w *wall) translations(t target) firewall.ID {
	return firewall.ID(fmt.Sprintf("%s/translations/%s", strings.ToLower(w.ID), netip.AddrPortFrom(t.to, t.port)))
}

// settleWall finds the rules of w and makes its layers.
func (e *estate) settleWall(w *wall) {
	chain := []*collection.Policy{w.Own}
	if w.Policy != "" {
		chain, w.unread = e.chain(w.Policy)
	}
	for _, p := range chain {
		w.ownRanges = w.ownRanges || p.OwnRanges
	}
	e.walls = append(e.walls, w)
	id := firewall.ID(strings.ToLower(w.ID))
	if w.unread != "" || w.subnet == nil && !w.Hub {
		e.add(firewall.Unread(id, cmp.Or(w.unread, "its subnet was not read"), false))
		return
	}
	w.rules = collection.RulesOf(chain, e.IPGroups)
	e.add(rule.Layer(id, w.rules.Network, w.place(e), firewall.Deny))
	// Who is met by a network rule does not come to an application rule.
	var rules []rule.Rule
	for _, r := range w.rules.Network {
		r.Action = firewall.Deny
		rules = append(rules, r)
	}
	e.add(rule.Layer(w.applications(), append(rules, w.rules.Application...), w.place(e), firewall.Deny))
	for _, t := range w.targets() {
		var rules []rule.Rule
		for _, r := range w.rules.Translations {
			if r.To != t.to || r.Port != t.port {
				r.Action = firewall.Deny // it leads to somebody else, or to a name, which is a path of its own
			}
			rules = append(rules, r.Rule)
		}
		e.add(rule.Layer(w.translations(t), rules, w.place(e), firewall.Deny))
	}
}

// chain returns a policy and its parents, or why not all of them are known. Azure
// refuses to make a circle.
func (e *estate) chain(id string) (out []*collection.Policy, unread string) {
	for id != "" {
		p := e.Policies[strings.ToLower(id)]
		switch {
		case p == nil:
			return out, "firewall policy " + last(id) + " was not read"
		case slices.Contains(out, p):
			return out, "firewall policy " + last(id) + " is its own parent"
		}
		out = append(out, p)
		id = p.Parent
	}
	return out, ""
}

// place is how w sees names.
func (w *wall) place(e *estate) []rule.Place {
	view := e.views[w.subnet]
	view.Groups = e.IPGroups
	return []rule.Place{{View: view}}
}

// targets returns where translations lead to, sorted.
func (w *wall) targets() []target {
	var out []target
	for _, r := range w.rules.Translations {
		if r.To.IsValid() {
			out = append(out, target{to: r.To, port: r.Port})
		}
	}
	slices.SortFunc(out, func(a, b target) int { return cmp.Or(a.to.Compare(b.to), cmp.Compare(a.port, b.port)) })
	return slices.Compact(out)
}

// inner reports whether translations to t may be about the private address of w.
func (w *wall) inner(e *estate, t target) bool {
	view := w.place(e)[0].View
	return slices.ContainsFunc(w.rules.Translations, func(r collection.Translation) bool {
		set := view.Addresses(r.Destination)
		return r.To == t.to && r.Port == t.port && (prefix.Contains(set.Sure, w.Address) || prefix.Contains(set.Perhaps, w.Address))
	})
}

// doors returns one port of every class that translations tell apart, of those
// that may lead to t.
func (w *wall) doors(t target) []uint16 {
	var cuts, out []uint16
	for _, r := range w.rules.Translations {
		for _, p := range r.Destination.Ports {
			cuts = append(cuts, p.First)
			if p.Last < 65535 {
				cuts = append(cuts, p.Last+1)
			}
		}
	}
	slices.Sort(cuts)
	for _, port := range slices.Compact(cuts) {
		leads := func(r collection.Translation) bool {
			return r.To == t.to && r.Port == t.port && slices.ContainsFunc(r.Destination.Ports, func(p rule.Ports) bool {
				return p.First <= port && port <= p.Last
			})
		}
		if slices.ContainsFunc(w.rules.Translations, leads) {
			out = append(out, port)
		}
	}
	return out
}

// addresses returns what w may take its own addresses from; none are any.
func (w *wall) addresses() []netip.Prefix {
	if w.subnet == nil {
		return nil
	}
	return w.subnet.Prefixes
}

// around returns what a machine at address a takes for the source of a connection
// that something makes whose addresses are in own: some address there, and nobody
// says which.
func around(own []netip.Prefix, a netip.Addr) netip.Prefix {
	var found netip.Prefix
	for _, p := range own {
		if p.Addr().BitLen() != a.BitLen() {
			continue
		}
		if !found.IsValid() {
			found = p
		}
		for found.Bits() > 0 && !found.Contains(p.Addr()) { // more than one: all that is around them
			found = netip.PrefixFrom(found.Addr(), found.Bits()-1).Masked()
		}
	}
	if !found.IsValid() {
		return netip.PrefixFrom(a, 0).Masked()
	}
	return found
}
