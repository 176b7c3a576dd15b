package topology

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// A Firewall is an Azure Firewall. It carries its rules itself (a classic
// one) or has a policy.
type Firewall struct {
	ID              string
	PublicAddresses []string
	Address         netip.Addr // in its subnet
	Subnet          *Subnet
	policy          string
	collections     []Collection // of a classic one
}

// A policy's own collections come after those of its parent.
type policy struct {
	id, parent string
	groups     []collectionGroup
}

type collectionGroup struct {
	priority    int
	collections []Collection
}

// CollectionKind is what the rules of a collection do. The kinds are asked in
// this order, whatever the priorities.
type CollectionKind uint8

// The kinds of collections.
const (
	Translation CollectionKind = iota
	NetworkRules
	ApplicationRules
)

// A Collection is a rule collection.
type Collection struct {
	Name     string
	kind     CollectionKind
	priority int
	action   string
	Rules    []FirewallRule
}

// A FirewallRule is one rule of a collection.
type FirewallRule struct {
	Rule

	To     netip.Addr // of a translation; not valid where it is to a name
	ToPort uint16
}

// A firewallRuleDocument is a rule of either generation.
type firewallRuleDocument struct {
	Name                 string
	Protocols            json.RawMessage // of an application rule: objects
	IPProtocols          []string
	SourceAddresses      []string
	SourceIPGroups       []string
	DestinationAddresses []string
	DestinationIPGroups  []string
	DestinationFqdns     []string
	DestinationPorts     []string
	TranslatedAddress    string
	TranslatedPort       string
}

func (d firewallRuleDocument) rule(action string) FirewallRule {
	protocols := d.IPProtocols
	if protocols == nil && json.Unmarshal(d.Protocols, &protocols) != nil {
		// An application rule: it tells by names who may be reached.
		var ports []struct{ Port int }
		_ = json.Unmarshal(d.Protocols, &ports) // what is no list of objects has no ports
		protocols, d.DestinationAddresses = []string{"TCP"}, []string{"*"}
		for _, p := range ports {
			d.DestinationPorts = append(d.DestinationPorts, strconv.Itoa(p.Port))
		}
	}
	a, _ := netip.ParseAddr(d.TranslatedAddress)
	return FirewallRule{
		To: a, ToPort: number(d.TranslatedPort),
		Rule: Rule{
			Name: d.Name, Priority: 0, Direction: "", Access: action, Protocols: protocols,
			Sources: Side{Addresses: d.SourceAddresses, ASGs: nil, IPGroups: d.SourceIPGroups, FQDNs: nil, Ports: []string{"*"}},
			Destinations: Side{
				Addresses: d.DestinationAddresses, ASGs: nil, IPGroups: d.DestinationIPGroups, FQDNs: d.DestinationFqdns,
				Ports: d.DestinationPorts,
			},
		},
	}
}

func (w *World) readFirewall(id string, text json.RawMessage) error {
	type collectionShape struct {
		Name       string
		Properties struct {
			Priority int
			Action   struct{ Type string }
			Rules    []firewallRuleDocument
		}
	}
	var d struct {
		Properties struct {
			FirewallPolicy   reference
			IPConfigurations []struct {
				Properties struct {
					PrivateIPAddress        string
					Subnet, PublicIPAddress reference
				}
			}
			NatRuleCollections, NetworkRuleCollections, ApplicationRuleCollections []collectionShape
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		return err
	}
	f := &Firewall{ID: id, policy: d.Properties.FirewallPolicy.ID}
	for _, c := range d.Properties.IPConfigurations {
		f.PublicAddresses = append(f.PublicAddresses, c.Properties.PublicIPAddress.ID)
		if a, err := netip.ParseAddr(c.Properties.PrivateIPAddress); err == nil {
			f.Address = a
		}
		if s := w.Subnet(c.Properties.Subnet.ID); s != nil {
			f.Subnet = s
		}
	}
	take := func(kind CollectionKind, shapes []collectionShape) {
		for _, s := range shapes {
			c := Collection{Name: s.Name, kind: kind, priority: s.Properties.Priority, action: s.Properties.Action.Type, Rules: nil}
			for _, r := range s.Properties.Rules {
				c.Rules = append(c.Rules, r.rule(c.action))
			}
			f.collections = append(f.collections, c)
		}
	}
	take(Translation, d.Properties.NatRuleCollections)
	take(NetworkRules, d.Properties.NetworkRuleCollections)
	take(ApplicationRules, d.Properties.ApplicationRuleCollections)
	w.Firewalls = append(w.Firewalls, f)
	return nil
}

// policyOf returns the policy with this id, which its groups may mention before
// it is read itself.
func (w *World) policyOf(id string) *policy {
	for _, p := range w.policies {
		if Same(p.id, id) {
			return p
		}
	}
	p := &policy{id: id, parent: "", groups: nil}
	w.policies = append(w.policies, p)
	return p
}

func (w *World) readPolicy(id string, text json.RawMessage) error {
	var d struct {
		Properties struct{ BasePolicy reference }
	}
	if err := json.Unmarshal(text, &d); err != nil {
		return err
	}
	w.policyOf(id).parent = d.Properties.BasePolicy.ID
	return nil
}

func (w *World) readRuleCollectionGroup(id string, text json.RawMessage) error {
	var d struct {
		Properties struct {
			Priority        int
			RuleCollections []struct {
				Name               string
				RuleCollectionType string
				Priority           int
				Action             struct{ Type string }
				Rules              []struct {
					firewallRuleDocument

					RuleType string
				}
			}
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		return err
	}
	g := collectionGroup{priority: d.Properties.Priority, collections: nil}
	for _, s := range d.Properties.RuleCollections {
		c := Collection{Name: s.Name, kind: NetworkRules, priority: s.Priority, action: s.Action.Type, Rules: nil}
		if strings.EqualFold(s.RuleCollectionType, "FirewallPolicyNatRuleCollection") {
			c.kind = Translation
		}
		for _, r := range s.Rules {
			if strings.EqualFold(r.RuleType, "ApplicationRule") {
				c.kind = ApplicationRules
			}
			c.Rules = append(c.Rules, r.rule(c.action))
		}
		g.collections = append(g.collections, c)
	}
	at := strings.LastIndex(strings.ToLower(id), "/rulecollectiongroups/")
	p := w.policyOf(id[:at])
	p.groups = append(p.groups, g)
	return nil
}

// CollectionsOf returns the collections of one kind in the order in which f asks
// them: a classic firewall's by priority; of a policy the parent's before the
// child's, each by the priority of the group and then its own.
func (w *World) CollectionsOf(f *Firewall, kind CollectionKind) []Collection {
	all := byPriority(f.collections)
	if f.policy != "" {
		all = w.inherited(f.policy, nil)
	}
	var out []Collection
	for _, c := range all {
		if c.kind == kind {
			out = append(out, c)
		}
	}
	return out
}

// inherited returns all collections of a policy, its parent's first. seen ends a
// circle, which Azure refuses to make.
func (w *World) inherited(id string, seen []string) []Collection {
	at := slices.IndexFunc(w.policies, func(p *policy) bool { return Same(p.id, id) })
	if at < 0 || OneOf(seen, id) {
		return nil
	}
	p := w.policies[at]
	var out []Collection
	if p.parent != "" {
		out = w.inherited(p.parent, append(seen, id))
	}
	groups := slices.Clone(p.groups)
	slices.SortStableFunc(groups, func(a, b collectionGroup) int { return a.priority - b.priority })
	for _, g := range groups {
		out = append(out, byPriority(g.collections)...)
	}
	return out
}

func byPriority(all []Collection) []Collection {
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b Collection) int { return a.priority - b.priority })
	return all
}

// Translations returns the ports of f from which DNAT rules lead to port of
// address.
func (w *World) Translations(f *Firewall, address netip.Addr, port uint16) []uint16 {
	var out []uint16
	for _, c := range w.CollectionsOf(f, Translation) {
		for _, r := range c.Rules {
			if r.To != address || r.ToPort != port {
				continue
			}
			for _, text := range r.Destinations.Ports {
				first, _, _ := strings.Cut(text, "-")
				out = append(out, number(first))
			}
		}
	}
	return out
}
