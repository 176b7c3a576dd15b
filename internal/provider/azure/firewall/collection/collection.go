// Package collection reads the rules of Azure Firewall, in the order in which it
// asks them.
//
// # Two generations
//
// A classic firewall carries collections of translation (DNAT), network and
// application rules; a newer one has a policy, which has rule collection groups,
// which have collections, and may have a parent policy. Translation rules are
// asked before network rules and those before application rules, whatever any
// number says. Within one kind the parent's rules come before the child's, again
// whatever the numbers; then groups and collections go by priority, lowest number
// first, and rules as they are written. The first rule that matches decides; what
// no rule allows is dropped. (learn.microsoft.com: Azure Firewall rule processing
// logic, Azure Firewall policy rule sets.)
//
// # Where the documentation contradicts itself
//
// Of two readings the more exposed one is taken, and the rule's name says so:
//
//   - The page on rule processing inherits translations from a parent policy, the
//     page on policies does not. They are inherited.
//   - The older text lets a network rule deny what a translation admits, the newer
//     one asks no network rule after a translation. None is asked.
//
// # Other things to know
//
// A rule that uses an IP group which is empty is skipped, whether it allows or
// denies. A rule for names stands for addresses that nobody knows. A connection
// that application rules admit arrives from an address of the firewall, like one
// that is translated; between private addresses network rules keep the source,
// unless the ranges for which they do so were set by hand.
package collection

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/azure/rule"
)

// Rules are the rules of a firewall, each kind in the order in which it is asked.
type Rules struct {
	Translations []Translation
	Network      []rule.Rule
	// Application rules tell by names who may be reached, so that only their
	// sources and ports are certain.
	Application []rule.Rule
}

// A Translation is a DNAT rule. Its destination is an address of the firewall.
type Translation struct {
	rule.Rule

	To   netip.Addr // not valid where it leads to a name
	Port uint16
}

// A Policy is a firewall policy, or what a classic firewall has instead.
type Policy struct {
	ID     string
	Parent string // id, or empty
	// OwnRanges says that the ranges whose sources are kept were set by hand.
	OwnRanges bool
	groups    []group
}

type group struct {
	priority    int
	collections []collection
}

type kind uint8

const (
	translation kind = iota
	network
	application
)

type collection struct {
	priority int
	kind     kind
	name     string
	rules    []Translation // of which network and application rules have no target
}

// Add adds a rule collection group to p.
func (p *Policy) Add(text json.RawMessage) error {
	g, err := readGroup(text)
	if err != nil {
		return err
	}
	p.groups = append(p.groups, g)
	return nil
}

// RulesOf returns the rules of the policies, of which each is followed by its
// parent. IP groups are given by id in lower case; one that is not there is not
// known.
func RulesOf(chain []*Policy, ipGroups map[string]rule.Set) Rules {
	var out Rules
	for i, p := range slices.Backward(chain) {
		note := ""
		if i > 0 {
			note = "inherited"
		}
		groups := slices.Clone(p.groups)
		slices.SortStableFunc(groups, func(a, b group) int { return cmp.Compare(a.priority, b.priority) })
		for _, g := range groups {
			all := slices.Clone(g.collections)
			slices.SortStableFunc(all, func(a, b collection) int { return cmp.Compare(a.priority, b.priority) })
			for _, c := range all {
				out.take(c, ipGroups, note)
			}
		}
	}
	denies := slices.ContainsFunc(out.Network, func(r rule.Rule) bool { return r.Action == firewall.Deny })
	for i := range out.Translations {
		if denies {
			note(&out.Translations[i].Rule, "no network rule is asked after it")
		}
	}
	return out
}

// take adds the rules of c.
func (r *Rules) take(c collection, ipGroups map[string]rule.Set, inherited string) {
	for _, x := range c.rules {
		x.Name = fmt.Sprintf("%d %q", c.priority, c.name+"/"+x.Name)
		if skipped(x.Rule, ipGroups) {
			continue
		}
		switch c.kind {
		case translation:
			if inherited != "" {
				note(&x.Rule, inherited)
			}
			r.Translations = append(r.Translations, x)
		case network:
			r.Network = append(r.Network, x.Rule)
		case application:
			r.Application = append(r.Application, x.Rule)
		}
	}
}

// note adds to the name of a rule which reading of it was taken.
func note(r *rule.Rule, text string) { r.Name += " (taken as: " + text + ")" }

// skipped reports whether r uses an IP group that is empty.
func skipped(r rule.Rule, ipGroups map[string]rule.Set) bool {
	return slices.ContainsFunc(slices.Concat(r.Source.Groups, r.Destination.Groups), func(id string) bool {
		g, known := ipGroups[id]
		return known && len(g.Sure)+len(g.Perhaps) == 0
	})
}

// A line is a rule of either generation and any kind.
type line struct {
	Name, RuleType       string
	Protocols            json.RawMessage // names, or of an application rule objects
	IPProtocols          []string
	SourceAddresses      []string
	SourceIPGroups       []string
	DestinationAddresses []string
	DestinationIPGroups  []string
	DestinationFqdns     []string
	DestinationPorts     []string
	TranslatedAddress    string
	TranslatedFqdn       string
	TranslatedPort       string
}

// read reads a line of a collection of kind k whose rules do action.
func (d line) read(k kind, action string) Translation {
	out := Translation{Rule: rule.Rule{Name: d.Name, Priority: 1, Action: firewall.Allow}}
	r := &out.Rule
	r.Source.Add(d.SourceAddresses...)
	r.Source.Groups = lower(d.SourceIPGroups)
	if k == application {
		d.application(r)
		return out
	}
	protocols := d.IPProtocols
	if protocols == nil && json.Unmarshal(d.Protocols, &protocols) != nil {
		r.Doubtful("its protocols could not be read")
	}
	r.Take(protocols...)
	r.Destination.Add(d.DestinationAddresses...)
	r.Destination.Tags = append(r.Destination.Tags, lower(d.DestinationFqdns)...)
	r.Destination.Groups = lower(d.DestinationIPGroups)
	r.AddPorts(&r.Destination, d.DestinationPorts...)
	if len(d.DestinationPorts) == 0 {
		r.Doubtful("it has no ports")
	}
	if k == translation {
		out.To, _ = netip.ParseAddr(d.TranslatedAddress)
		port, err := strconv.ParseUint(d.TranslatedPort, 10, 16)
		if err != nil {
			r.Doubtful("its port could not be read")
		}
		out.Port = uint16(port)
		return out
	}
	switch strings.ToLower(action) {
	case "allow":
	case "deny":
		r.Action = firewall.Deny
	default:
		r.Action = firewall.Unknown
		r.Doubtful("action " + strconv.Quote(action) + " is not known")
	}
	return out
}

// application reads what is certain of an application rule: it is about TCP, and
// about the ports of its protocols. What it does depends on names.
func (d line) application(r *rule.Rule) {
	r.Take("TCP")
	r.Action = firewall.Unknown
	r.Destination.Any = true
	var protocols []struct{ Port uint16 }
	err := json.Unmarshal(d.Protocols, &protocols)
	if err != nil || len(protocols) == 0 {
		r.Doubtful("its protocols could not be read")
	}
	for _, p := range protocols {
		if p.Port != 0 {
			r.Destination.Ports = append(r.Destination.Ports, rule.Ports{First: p.Port, Last: p.Port})
			continue
		}
		r.Destination.Ports = nil
		return
	}
}

func lower(list []string) []string {
	var out []string
	for _, s := range list {
		out = append(out, strings.ToLower(s))
	}
	return out
}
