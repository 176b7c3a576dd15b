// Package terraform says what Terraform has to know of a network security group with
// locks in it, in Terraform's own language.
//
// A group whose code has its rules inline is replaced as a whole by each apply that
// changes something, and every rule of Sesame's is gone then: locks, and whoever was
// let in. So that code ignores the list of rules, and what others have in it is
// written down rule by rule, each with the import that makes it Terraform's without
// a change. A rule of Sesame's, of this installation or another, is never written.
// Neither is one that cannot be understood; it is named in a comment.
//
// Names and values are those of the document that was read, byte for byte, but for
// the words that Azure writes in any case and Terraform takes in one. Everything is a
// pure function of a reading. (Terraform AzureRM provider, version 4:
// azurerm_network_security_group, azurerm_network_security_rule.)
package terraform

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/dialect"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/resource"
	"github.com/sesame-access/sesame/internal/provider/hcl"
)

const (
	groupType = "azurerm_network_security_group"
	ruleType  = "azurerm_network_security_rule"
)

// Writes reports whether fw is the network security group called part.
func Writes(fw firewall.ID, part string) bool { return strings.EqualFold(string(fw), part) }

// Of returns the snippet about the group of r, if it is called part or stands in
// front of the VM called part.
func Of(r dialect.Reading, part string) ([]provider.Snippet, error) {
	before := func(a dialect.Attachment) bool { return strings.EqualFold(string(a.VM), part) }
	if !Writes(r.Group.ID, part) && !slices.ContainsFunc(r.Attachments, before) {
		return nil, nil
	}
	at, err := placeOf(r.Group)
	if err != nil {
		return nil, err
	}
	blocks := []hcl.Block{{
		Comment: []string{
			"Sesame writes rules of its own into " + at.group + ": locks, and who is let in. Code with its rules inline deletes them at each apply: " +
				"take the security_rule blocks out of it, have it ignore what is there, and keep the rules below instead.",
		},
		Type: "resource", Labels: []string{groupType, hcl.Label(at.group)},
		Blocks: []hcl.Block{{Type: "lifecycle", Body: []hcl.Attribute{{Name: "ignore_changes", Value: hcl.List(hcl.Name("security_rule"))}}}},
	}}
	rules := slices.DeleteFunc(slices.Clone(r.Group.Rules), func(x resource.Rule) bool { return dialect.OfSesame(x.Name) })
	slices.SortFunc(rules, func(a, b resource.Rule) int {
		return cmp.Or(cmp.Compare(a.Direction, b.Direction), cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.Name, b.Name))
	})
	for _, x := range rules {
		rule, err := at.rule(x)
		if err != nil {
			blocks[0].Comment = append(blocks[0].Comment, fmt.Sprintf("Not below, write it yourself: %s, because %v.", cmp.Or(x.Name, "a rule without a name"), err))
			continue
		}
		blocks = append(blocks, at.imported(x), rule)
	}
	return []provider.Snippet{{Firewall: r.Group.ID, Resource: groupType, ID: at.id, HCL: hcl.Format(blocks...)}}, nil
}

// A place is where a group is, in the case in which it was read.
type place struct{ id, resources, group string }

func placeOf(g *resource.Group) (place, error) {
	var doc struct{ ID string }
	if err := json.Unmarshal([]byte(g.Text()), &doc); err != nil {
		return place{}, fmt.Errorf("read the id of %s: %w", g.ID, err)
	}
	// /subscriptions/S/resourceGroups/R/providers/Microsoft.Network/networkSecurityGroups/N
	parts := strings.Split(doc.ID, "/")
	const length, resources, name = 9, 4, 8
	if len(parts) != length {
		return place{}, fmt.Errorf("%s is not the id of a network security group", doc.ID)
	}
	return place{id: doc.ID, resources: parts[resources], group: parts[name]}, nil
}

// label is what a rule of the group is called in Terraform.
func (at place) label(x resource.Rule) string { return hcl.Label(at.group + "_" + x.Name) }

// imported makes a rule that is there Terraform's.
func (at place) imported(x resource.Rule) hcl.Block {
	return hcl.Block{Type: "import", Body: []hcl.Attribute{
		{Name: "to", Value: hcl.Name(ruleType + "." + at.label(x))}, {Name: "id", Value: hcl.String(at.id + "/securityRules/" + x.Name)},
	}}
}

// A document is a rule as Azure writes it, with the twin fields for one and for
// several.
type document struct {
	Properties struct {
		Description                          string
		SourceAddressPrefix                  string
		SourceAddressPrefixes                []string
		SourceApplicationSecurityGroups      []struct{ ID string }
		SourcePortRange                      string
		SourcePortRanges                     []string
		DestinationAddressPrefix             string
		DestinationAddressPrefixes           []string
		DestinationApplicationSecurityGroups []struct{ ID string }
		DestinationPortRange                 string
		DestinationPortRanges                []string
	}
}

// words are what Terraform takes where Azure writes any case.
func words() map[string]string {
	return map[string]string{"tcp": "Tcp", "udp": "Udp", "icmp": "Icmp", "esp": "Esp", "ah": "Ah", "*": "*"}
}

// rule is x as a resource of its own.
func (at place) rule(x resource.Rule) (hcl.Block, error) {
	if x.Opaque != "" {
		return hcl.Block{}, fmt.Errorf("it is not understood: %s", x.Opaque)
	}
	var doc document
	if err := json.Unmarshal([]byte(x.Text), &doc); err != nil {
		return hcl.Block{}, fmt.Errorf("read it: %w", err)
	}
	p := doc.Properties
	out := hcl.Block{Type: "resource", Labels: []string{ruleType, at.label(x)}}
	set := func(argument string, v hcl.Value) {
		out.Body = append(out.Body, hcl.Attribute{Name: argument, Value: v})
	}
	text := func(argument, s string) {
		if s != "" {
			set(argument, hcl.String(s))
		}
	}
	texts := func(argument string, list []string) {
		if len(list) > 0 {
			set(argument, hcl.Strings(list))
		}
	}
	direction, action := "Inbound", "Allow"
	if x.Direction == resource.Outbound {
		direction = "Outbound"
	}
	if x.Action == firewall.Deny {
		action = "Deny"
	}
	text("resource_group_name", at.resources)
	text("network_security_group_name", at.group)
	text("name", x.Name)
	set("priority", hcl.Number(x.Priority))
	text("direction", direction)
	text("access", action)
	text("protocol", words()[x.Protocol])
	text("source_address_prefix", p.SourceAddressPrefix)
	texts("source_address_prefixes", p.SourceAddressPrefixes)
	texts("source_application_security_group_ids", ids(p.SourceApplicationSecurityGroups))
	text("source_port_range", p.SourcePortRange)
	texts("source_port_ranges", p.SourcePortRanges)
	text("destination_address_prefix", p.DestinationAddressPrefix)
	texts("destination_address_prefixes", p.DestinationAddressPrefixes)
	texts("destination_application_security_group_ids", ids(p.DestinationApplicationSecurityGroups))
	text("destination_port_range", p.DestinationPortRange)
	texts("destination_port_ranges", p.DestinationPortRanges)
	text("description", p.Description)
	return out, nil
}

func ids(of []struct{ ID string }) []string {
	var out []string
	for _, x := range of {
		out = append(out, x.ID)
	}
	return out
}
