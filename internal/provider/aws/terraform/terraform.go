// Package terraform says what Terraform has to know of a VPC with locks in it, in
// Terraform's own language.
//
// Three things of Sesame's look like drift to Terraform, and each is put right by
// the next apply, against Sesame: an instance wears a group more than its code says,
// rules are missing in a group whose code has them inline, and parts of these rules
// stand there instead. The first two can be ignored. A group whose inline rules are
// ignored has none in code any more, so what others have in it is written down rule
// by rule, each with the import that makes it Terraform's without a change. What is
// Sesame's own is never written: its groups, its rules, and what it kept of a rule
// that it took out. What is out is named in a comment: in code it would come back.
//
// Everything is a pure function of a reading. (Terraform AWS provider, version 6:
// aws_instance, aws_network_interface, aws_security_group, aws_default_security_group,
// aws_vpc_security_group_ingress_rule.)
package terraform

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/aws/securitygroup"
	"github.com/sesame-access/sesame/internal/provider/hcl"
)

const (
	instanceType  = "aws_instance"
	interfaceType = "aws_network_interface"
	groupType     = "aws_security_group"
	defaultType   = "aws_default_security_group"
	ruleType      = "aws_vpc_security_group_ingress_rule"
)

// groupKind stands before the id of a group in its ARN.
const groupKind = "security-group/"

// Writes reports whether the VPC fw may have part in it: an instance or a security
// group by its ARN, or a group by its id alone.
func Writes(fw firewall.ID, part string) bool {
	account, _, _ := strings.Cut(string(fw), "vpc/")
	return strings.HasPrefix(part, "sg-") || account != "" && strings.HasPrefix(part, account)
}

// Of returns the snippets about part of r: of an instance those of itself, its
// interfaces and the groups that it wears. Displaced is what is out.
func Of(r securitygroup.Reading, part string, displaced []plan.Change) []provider.Snippet {
	var out []provider.Snippet
	vm := firewall.VMID(part)
	worn := map[string]bool{}
	for _, n := range r.Machines()[vm] {
		out = append(out, ofInterface(n))
		for _, id := range n.Groups {
			worn[id] = true
		}
	}
	if len(out) > 0 {
		out = slices.Insert(out, 0, ofInstance(vm))
	}
	for _, g := range r.Groups {
		named := part == g.ID || strings.HasSuffix(part, ":"+groupKind+g.ID)
		if (named || worn[g.ID]) && !ofSesame(g) {
			out = append(out, ofGroup(r, g, displaced))
		}
	}
	for i := range out {
		out[i].Firewall = r.ID
	}
	return out
}

// ofSesame reports whether g was made by Sesame, by this installation or another.
func ofSesame(g securitygroup.Group) bool {
	return slices.ContainsFunc(g.Tags, func(t securitygroup.Tag) bool { return t.Key == securitygroup.OwnTag })
}

// ignoring is a resource that is there already and is to ignore one argument.
func ignoring(kind, id, argument string, why ...string) provider.Snippet {
	return provider.Snippet{Resource: kind, ID: id, HCL: hcl.Format(hcl.Block{
		Comment: why, Type: "resource", Labels: []string{kind, hcl.Label(id)},
		Blocks: []hcl.Block{{Type: "lifecycle", Body: []hcl.Attribute{{Name: "ignore_changes", Value: hcl.List(hcl.Name(argument))}}}},
	})}
}

func ofInstance(vm firewall.VMID) provider.Snippet {
	return ignoring(instanceType, vm.Name(), "vpc_security_group_ids",
		"While a port of "+vm.Name()+" is locked, it wears a group of Sesame's own. Code that lists its groups takes that one off at each apply, and with it who was let in.")
}

func ofInterface(n securitygroup.Interface) provider.Snippet {
	return ignoring(interfaceType, n.ID, "security_groups",
		"The same for "+n.ID+", where it is a resource of its own; otherwise leave this out.")
}

// ofGroup is about a foreign group: what Terraform ignores, and what it keeps.
func ofGroup(r securitygroup.Reading, g securitygroup.Group, displaced []plan.Change) provider.Snippet {
	kind := groupType
	if g.Name == "default" {
		kind = defaultType
	}
	why := []string{"A lock takes rules out of " + g.ID + " (" + g.Name + "), and `disable` gives them back. Code with its rules inline puts them back at each apply: " +
		"take the ingress blocks out of it, have it ignore what is there, and keep the rules below instead."}
	for _, content := range out(g, displaced) {
		why = append(why, "Out now, and not to be in code until `sesame disable`: "+content)
	}
	s := ignoring(kind, g.ID, "ingress", why...)
	var blocks []hcl.Block
	rules := slices.Clone(g.Ingress)
	slices.SortFunc(rules, func(a, b securitygroup.Rule) int {
		return cmp.Or(cmp.Compare(a.Content(), b.Content()), cmp.Compare(a.ID, b.ID))
	})
	for _, x := range rules {
		if _, mark := r.RestMark(g.ID, x); mark == firewall.MarkGood || mark == firewall.MarkForeign {
			continue
		}
		blocks = append(blocks, ofRule(g.ID, x)...)
	}
	if len(blocks) > 0 {
		s.HCL += "\n" + hcl.Format(blocks...)
	}
	return s
}

// out names the rules of g that are displaced, sorted.
func out(g securitygroup.Group, displaced []plan.Change) []string {
	var list []string
	for _, c := range displaced {
		if content, of := strings.CutPrefix(c.Rule, g.ID+" "); of && c.Op == plan.Displace {
			list = append(list, content)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// ofRule is a rule as a resource of its own, and its import.
func ofRule(group string, x securitygroup.Rule) []hcl.Block {
	name := hcl.Label(x.ID)
	rule := hcl.Block{Type: "resource", Labels: []string{ruleType, name}}
	set := func(argument string, v hcl.Value) {
		rule.Body = append(rule.Body, hcl.Attribute{Name: argument, Value: v})
	}
	set("security_group_id", hcl.String(group))
	set("ip_protocol", hcl.String(protocol(x.Protocol)))
	if hasRange(x.Protocol) {
		set("from_port", hcl.Number(x.First))
		set("to_port", hcl.Number(x.Last))
	}
	set(source(x))
	if x.Description != "" {
		set("description", hcl.String(x.Description))
	}
	var tags []hcl.Attribute
	for _, t := range x.Tags {
		if !strings.HasPrefix(t.Key, "aws:") { // nobody but AWS can write these
			tags = append(tags, hcl.Attribute{Name: t.Key, Value: hcl.String(t.Value)})
		}
	}
	if len(tags) > 0 {
		set("tags", hcl.Map(tags))
	}
	imported := hcl.Block{Type: "import", Body: []hcl.Attribute{
		{Name: "to", Value: hcl.Name(ruleType + "." + name)}, {Name: "id", Value: hcl.String(x.ID)},
	}}
	return []hcl.Block{imported, rule}
}

// source is the argument that says whom a rule lets in.
func source(x securitygroup.Rule) (argument string, v hcl.Value) {
	switch {
	case x.Group != "":
		return "referenced_security_group_id", hcl.String(strings.TrimPrefix(x.Owner+"/"+x.Group, "/"))
	case x.List != "":
		return "prefix_list_id", hcl.String(x.List)
	case x.CIDR.Addr().Is6():
		return "cidr_ipv6", hcl.String(x.CIDR.String())
	}
	return "cidr_ipv4", hcl.String(x.CIDR.String())
}

// The protocols that Terraform writes by name, as AWS does, and that have ports, or
// a type and a code.
const (
	icmp   = 1
	icmpv6 = 58
)

func hasRange(protocol int) bool {
	return protocol == int(firewall.TCP) || protocol == int(firewall.UDP) || protocol == icmp || protocol == icmpv6
}

func protocol(number int) string {
	switch number {
	case int(firewall.TCP):
		return "tcp"
	case int(firewall.UDP):
		return "udp"
	case icmp:
		return "icmp"
	case icmpv6:
		return "icmpv6"
	}
	return strconv.Itoa(number)
}
