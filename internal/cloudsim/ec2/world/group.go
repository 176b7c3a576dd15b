package world

import (
	"net/netip"
	"slices"
	"strings"
)

// A Group is a security group.
type Group struct {
	Resource
	VPC, Name, Description string
	Rules                  []Rule // in the order in which they came
}

// Document prints what the group means, one rule a line, sorted: content,
// description and tags, without ids. Two groups with the same document admit the
// same and say the same about it.
func (g Group) Document() string {
	var lines []string
	for _, r := range g.Rules {
		line := r.Content()
		if r.Description != "" {
			line += " # " + r.Description
		}
		for _, k := range r.Tags.Keys() {
			line = strings.Join([]string{line, k + "=" + r.Tags[k]}, " ")
		}
		lines = append(lines, line+"\n")
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// text is what names and descriptions may be made of.
const text = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ._-:/()#,@[]+=&;{}!$*"

const textLength = 255

// sayable reports whether s may be a name or a description.
func sayable(s string) bool {
	return len(s) <= textLength && strings.IndexFunc(s, func(r rune) bool { return !strings.ContainsRune(text, r) }) < 0
}

// CreateGroup makes a group, with a rule that lets everything leave, in the
// default VPC unless another is named.
func (w *World) CreateGroup(m Moment, account, vpc, name, description string, tags Tags) (Group, error) {
	switch {
	case name == "":
		return Group{}, Refuse("MissingParameter", "The request must contain the parameter GroupName")
	case description == "":
		return Group{}, Refuse("MissingParameter", "The request must contain the parameter GroupDescription")
	case name == defaultGroup:
		return Group{}, Refuse("InvalidParameterValue", "Cannot use reserved security group name: %s", name)
	case strings.HasPrefix(name, "sg-"):
		return Group{}, Refuse("InvalidParameterValue", "Invalid value '%s' for groupName. Group names may not be in the format sg-*.", name)
	case !sayable(name):
		return Group{}, Refuse("InvalidParameterValue", "Value (%s) for parameter GroupName is invalid. Character sets beyond ASCII are not supported.", name)
	case !sayable(description):
		return Group{}, Refuse("InvalidParameterValue", "Value (%s) for parameter GroupDescription is invalid. Character sets beyond ASCII are not supported.", description)
	}
	if vpc == "" {
		for v := range w.VPCs.All(m.Now) {
			if v.Owner == account && v.Default {
				vpc = v.ID
			}
		}
		if vpc == "" {
			return Group{}, Refuse("VPCIdNotSpecified", "No default VPC for this user")
		}
	}
	if _, err := w.Resource(m, account, vpc); err != nil {
		return Group{}, w.Absent("vpc", vpc)
	}
	n := 0
	for g := range w.Groups.All(m.Now) {
		if g.VPC == vpc && g.Name == name {
			return Group{}, Refuse("InvalidGroup.Duplicate", "The security group '%s' already exists for VPC '%s'", name, vpc)
		}
		if g.Owner == account {
			n++
		}
	}
	if n >= w.Quotas.GroupsPerRegion {
		return Group{}, Refuse("SecurityGroupLimitExceeded", "The maximum number of security groups has been reached.")
	}
	tags, err := Tags(nil).merged(tags)
	if err != nil {
		return Group{}, err
	}
	g := Group{
		Resource: Resource{ID: w.ID("sg"), Owner: account, Tags: tags},
		VPC:      vpc, Name: name, Description: description,
		Rules: []Rule{w.everythingOut()},
	}
	w.Groups.Put(m.Now, g)
	return g, nil
}

const defaultGroup = "default"

// everythingOut is the rule that a new group has.
func (w *World) everythingOut() Rule {
	return Rule{ID: w.ID("sgr"), Egress: true, Protocol: everyProtocol, First: All, Last: All, CIDR: netip.PrefixFrom(netip.IPv4Unspecified(), 0)}
}

// DeleteGroup removes a group that nobody uses.
func (w *World) DeleteGroup(m Moment, account, id string) error {
	g, err := w.Group(m, account, id)
	if err != nil {
		return err
	}
	if g.Name == defaultGroup {
		return Refuse("CannotDelete", "the specified group: %q name: %q cannot be deleted by a user", id, g.Name)
	}
	for n := range w.Interfaces.All(m.Now) {
		if slices.Contains(n.Groups, id) {
			return Refuse("DependencyViolation", "resource %s has a dependent object", id)
		}
	}
	for other := range w.Groups.All(m.Now) {
		// Over a peering a reference does not hold: it becomes stale.
		if other.ID != id && other.VPC == g.VPC && slices.ContainsFunc(other.Rules, func(r Rule) bool { return r.Group == id }) {
			return Refuse("DependencyViolation", "resource %s has a dependent object", id)
		}
	}
	w.Groups.Drop(m.Now, id)
	return nil
}

// Group returns a group of the account.
func (w *World) Group(m Moment, account, id string) (Group, error) {
	_, seen := w.Groups.Get(m.Seen, id)
	g, there := w.Groups.Get(m.Now, id)
	if !seen || !there || g.Owner != account {
		return Group{}, w.Absent("sg", id)
	}
	return g, nil
}

// GroupNamed returns the id of a group of the account's default VPC.
func (w *World) GroupNamed(m Moment, account, name string) (string, error) {
	for g := range w.Groups.All(m.Seen) {
		v, _ := w.VPCs.Get(m.Now, g.VPC)
		if g.Owner == account && g.Name == name && v.Default {
			return g.ID, nil
		}
	}
	return "", Refuse("InvalidGroup.NotFound", "The security group '%s' does not exist in default VPC", name)
}

// putRules gives a group other rules.
func (w *World) putRules(m Moment, g Group, rules []Rule) {
	g.Rules = rules
	w.Groups.Put(m.Now, g)
}
