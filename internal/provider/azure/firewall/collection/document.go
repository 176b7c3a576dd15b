package collection

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
)

type reference struct{ ID string }

// A Firewall is an Azure Firewall as its document has it.
type Firewall struct {
	ID string
	// PublicAddresses are the ids of its public addresses. A virtual hub's are no
	// resources, and PublicHub has them.
	PublicAddresses []string
	PublicHub       []netip.Addr
	// Address is its own in its subnet; Subnet is that subnet's id.
	Address netip.Addr
	Subnet  string
	// Hub says that it stands in a virtual hub, which has no subnet.
	Hub bool
	// Policy is the id of its policy. Empty where it is a classic one, whose
	// rules Own has.
	Policy string
	Own    *Policy
}

// A shape is a collection of a firewall without a policy.
type shape struct {
	Name       string
	Properties struct {
		Priority int
		Action   struct{ Type string }
		Rules    []line
	}
}

// ReadFirewall reads the document of a firewall.
func ReadFirewall(text json.RawMessage) (Firewall, error) {
	var d struct {
		ID         string
		Properties struct {
			AdditionalProperties map[string]string
			FirewallPolicy       reference
			VirtualHub           reference
			HubIPAddresses       struct {
				PrivateIPAddress string
				PublicIPs        struct{ Addresses []struct{ Address string } }
			}
			IPConfigurations []struct {
				Properties struct {
					PrivateIPAddress        string
					Subnet, PublicIPAddress reference
				}
			}
			NatRuleCollections, NetworkRuleCollections, ApplicationRuleCollections []shape
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		return Firewall{}, fmt.Errorf("read a firewall: %w", err)
	}
	p := d.Properties
	f := Firewall{ID: d.ID, Policy: p.FirewallPolicy.ID, Own: &Policy{ID: d.ID}}
	for key := range p.AdditionalProperties {
		f.Own.OwnRanges = f.Own.OwnRanges || strings.HasPrefix(strings.ToLower(key), "network.snat.")
	}
	for _, c := range p.IPConfigurations {
		if id := c.Properties.PublicIPAddress.ID; id != "" {
			f.PublicAddresses = append(f.PublicAddresses, id)
		}
		if a, err := netip.ParseAddr(c.Properties.PrivateIPAddress); err == nil {
			f.Address = a
		}
		if c.Properties.Subnet.ID != "" {
			f.Subnet = c.Properties.Subnet.ID
		}
	}
	if f.Hub = p.VirtualHub.ID != ""; f.Hub {
		hub := p.HubIPAddresses
		f.Address, _ = netip.ParseAddr(hub.PrivateIPAddress)
		for _, x := range hub.PublicIPs.Addresses {
			a, err := netip.ParseAddr(x.Address)
			if err != nil {
				return Firewall{}, fmt.Errorf("read an address of a virtual hub: %w", err)
			}
			f.PublicHub = append(f.PublicHub, a)
		}
	}
	f.Own.groups = []group{classic(p.NatRuleCollections, p.NetworkRuleCollections, p.ApplicationRuleCollections)}
	return f, nil
}

// classic returns the collections that a firewall without a policy has, by kind.
func classic(kinds ...[]shape) group {
	var g group
	for k, shapes := range kinds { // in the order of the constants
		for _, s := range shapes {
			c := collection{name: s.Name, priority: s.Properties.Priority, kind: kind(k), rules: nil}
			for _, x := range s.Properties.Rules {
				c.rules = append(c.rules, x.read(c.kind, s.Properties.Action.Type))
			}
			g.collections = append(g.collections, c)
		}
	}
	return g
}

// ReadPolicy reads the document of a firewall policy. Its rule collection groups
// are documents of their own.
func ReadPolicy(text json.RawMessage) (*Policy, error) {
	var d struct {
		ID         string
		Properties struct {
			BasePolicy reference
			Snat       *struct {
				PrivateRanges    []string
				AutoLearnPrivate string `json:"autoLearnPrivateRanges"`
			}
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		return nil, fmt.Errorf("read a firewall policy: %w", err)
	}
	p := &Policy{ID: d.ID, Parent: d.Properties.BasePolicy.ID}
	if s := d.Properties.Snat; s != nil {
		p.OwnRanges = len(s.PrivateRanges) > 0 || strings.EqualFold(s.AutoLearnPrivate, "Enabled")
	}
	return p, nil
}

// readGroup reads a rule collection group.
func readGroup(text json.RawMessage) (group, error) {
	var d struct {
		Properties struct {
			Priority        int
			RuleCollections []struct {
				Name               string
				RuleCollectionType string
				Priority           int
				Action             struct{ Type string }
				Rules              []line
			}
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		return group{}, fmt.Errorf("read a rule collection group: %w", err)
	}
	g := group{priority: d.Properties.Priority, collections: nil}
	for _, s := range d.Properties.RuleCollections {
		c := collection{name: s.Name, priority: s.Priority, kind: network, rules: nil}
		if strings.EqualFold(s.RuleCollectionType, "FirewallPolicyNatRuleCollection") {
			c.kind = translation
		}
		for _, x := range s.Rules {
			if strings.EqualFold(x.RuleType, "ApplicationRule") {
				c.kind = application
			}
		}
		for _, x := range s.Rules {
			c.rules = append(c.rules, x.read(c.kind, s.Action.Type))
		}
		g.collections = append(g.collections, c)
	}
	return g, nil
}
