package action

import (
	"iter"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2/query"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/wire"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
)

// The bounds of a page that most actions have.
const (
	leastPage = 5
	mostPage  = 1000
)

func instanceReads() map[string]Action {
	managed := []string{"IncludeManagedResources"} // nothing is managed by Amazon
	return map[string]Action{
		"DescribeInstances": listing[world.Instance, wire.Reservation]{
			element: "reservationSet", ids: "InstanceId", kind: "i", least: leastPage, most: mostPage, exclusive: true, flags: managed,
			rows:      func(c *Call) iter.Seq[world.Instance] { return c.World.Instances.All(c.Seen) },
			attribute: wire.View.InstanceAttribute, document: wire.View.Reservation,
		}.action(),
		"DescribeInstanceStatus": {Run: describeStatus},
		"DescribeNetworkInterfaces": listing[world.Interface, wire.NetworkInterface]{
			element: "networkInterfaceSet", ids: "NetworkInterfaceId", kind: "eni", least: leastPage, most: mostPage, exclusive: true, flags: managed,
			rows:      func(c *Call) iter.Seq[world.Interface] { return c.World.Interfaces.All(c.Seen) },
			attribute: wire.View.InterfaceAttribute, document: wire.View.Interface,
		}.action(),
	}
}

// describeStatus leaves out instances that do not run, unless it is asked for all.
func describeStatus(c *Call) (query.Reply, error) {
	all := c.Flag("IncludeAllInstances")
	managed := []string{"IncludeManagedResources"}
	return listing[world.Instance, wire.InstanceStatus]{
		element: "instanceStatusSet", ids: "InstanceId", kind: "i", least: leastPage, most: mostPage, exclusive: true, flags: managed,
		rows: func(c *Call) iter.Seq[world.Instance] {
			return func(yield func(world.Instance) bool) {
				for i := range c.World.Instances.All(c.Seen) {
					if (all || i.Running()) && !yield(i) {
						return
					}
				}
			}
		},
		attribute: wire.View.StatusAttribute, document: wire.View.Status,
	}.run(c)
}

func groupReads() map[string]Action {
	return map[string]Action{
		"DescribeSecurityGroups": {Run: describeGroups},
		"DescribeSecurityGroupRules": listing[groupRule, wire.SecurityGroupRule]{
			element: "securityGroupRuleSet", ids: "SecurityGroupRuleId", kind: "sgr", least: leastPage, most: mostPage,
			rows: allRules,
			attribute: func(_ wire.View, r groupRule, name string) ([]string, bool) {
				return wire.RuleAttribute(r.group, r.rule, name)
			},
			document: func(v wire.View, r groupRule) wire.SecurityGroupRule { return v.Rule(r.group, r.rule) },
		}.action(),
		"DescribeSecurityGroupReferences": {Run: describeReferences},
		"DescribeStaleSecurityGroups":     {Run: describeStale},
		"DescribeTags": listing[taggedBy, wire.TagDescription]{
			element: "tagSet", least: leastPage, most: mostPage,
			rows: allTags,
			attribute: func(_ wire.View, t taggedBy, name string) ([]string, bool) {
				return t.description.Attribute(name)
			},
			document: func(_ wire.View, t taggedBy) wire.TagDescription { return t.description },
		}.action(),
	}
}

// describeGroups can also find groups of the default VPC by name.
func describeGroups(c *Call) (query.Reply, error) {
	names := c.Texts("GroupName")
	l := listing[world.Group, wire.SecurityGroup]{
		element: "securityGroupInfo", ids: "GroupId", kind: "sg", least: leastPage, most: mostPage,
		rows: func(c *Call) iter.Seq[world.Group] {
			return func(yield func(world.Group) bool) {
				for g := range c.World.Groups.All(c.Seen) {
					if (len(names) == 0 || slices.Contains(names, g.Name)) && !yield(g) {
						return
					}
				}
			}
		},
		attribute: func(_ wire.View, g world.Group, name string) ([]string, bool) { return wire.GroupAttribute(g, name) },
		document:  wire.View.Group,
	}
	for _, n := range names {
		if _, err := c.World.GroupNamed(c.moment(), c.Who.Account, n); err != nil {
			return nil, err
		}
	}
	return l.run(c)
}

// A groupRule is a rule with the group that it is in.
type groupRule struct {
	group world.Resource
	vpc   string
	rule  world.Rule
}

// Head implements head.
func (r groupRule) Head() world.Resource {
	return world.Resource{ID: r.rule.ID, Owner: r.group.Owner, Tags: r.rule.Tags}
}

// allRules returns the rules of all groups, by id; of a few, when the call names
// them.
func allRules(c *Call) iter.Seq[groupRule] {
	var all []groupRule
	for g := range groupsNamed(c) {
		for _, r := range g.Rules {
			all = append(all, groupRule{g.Resource, g.VPC, r})
		}
	}
	slices.SortFunc(all, func(a, b groupRule) int { return strings.Compare(a.rule.ID, b.rule.ID) })
	return slices.Values(all)
}

// groupsNamed returns the groups that a filter of the call names, or all of them.
func groupsNamed(c *Call) iter.Seq[world.Group] {
	for _, f := range c.Filters() {
		if f.Name != "group-id" || slices.ContainsFunc(f.Values, func(v string) bool { return strings.ContainsAny(v, "*?") }) {
			continue
		}
		return func(yield func(world.Group) bool) {
			for _, id := range slices.Compact(slices.Sorted(slices.Values(f.Values))) {
				if g, found := c.World.Groups.Get(c.Seen, id); found && !yield(g) {
					return
				}
			}
		}
	}
	return c.World.Groups.All(c.Seen)
}

// taggedBy is one tag of a resource.
type taggedBy struct {
	owner       string
	description wire.TagDescription
}

// Head implements head. A tag's id is made of all that identifies it.
func (t taggedBy) Head() world.Resource {
	return world.Resource{ID: t.description.ResourceID + " " + t.description.Key, Owner: t.owner, Tags: nil}
}

// allTags returns all tags of the caller's resources, by id and key.
func allTags(c *Call) iter.Seq[taggedBy] {
	var all []taggedBy
	for kind, r := range c.World.Tagged(c.Seen, c.Who.Account) {
		for _, k := range r.Tags.Keys() {
			all = append(all, taggedBy{r.Owner, wire.TagDescription{ResourceID: r.ID, ResourceType: kind, Key: k, Value: r.Tags[k]}})
		}
	}
	slices.SortFunc(all, func(a, b taggedBy) int { return strings.Compare(a.Head().ID, b.Head().ID) })
	return slices.Values(all)
}

// describeReferences tells which peered VPCs have rules that name a group.
func describeReferences(c *Call) (query.Reply, error) {
	ids := c.Texts("GroupId")
	if err := c.permit(); err != nil {
		return nil, err
	}
	list := wire.List[wire.Reference]{}
	for _, id := range ids {
		if _, err := c.World.Group(c.moment(), c.Who.Account, id); err != nil {
			return nil, err
		}
		for r := range allRules(c) {
			x := wire.Reference{Group: id, VPC: r.vpc, Peering: r.rule.Peering}
			if r.rule.Group == id && r.rule.Peering != "" && !slices.Contains(list.Items, x) {
				list.Items = append(list.Items, x)
			}
		}
	}
	return query.Reply{{Name: "securityGroupReferenceSet", Value: list}}, nil
}

// describeStale tells which rules of a VPC name a group that is gone, or that no
// active peering leads to any more.
func describeStale(c *Call) (query.Reply, error) {
	vpc := c.Need("VpcId")
	page := c.Page(c.Setting.PageKey, leastPage, 255, "", false)
	if err := c.permit(); err != nil {
		return nil, err
	}
	if _, err := c.World.Resource(c.moment(), c.Who.Account, vpc); err != nil {
		return nil, err
	}
	list, next := wire.List[wire.StaleGroup]{}, ""
	for g := range c.World.Groups.All(c.Seen) {
		if g.VPC != vpc || !c.mine(g.Resource) || g.ID <= page.After {
			continue
		}
		stale := world.Group{Resource: g.Resource, Name: g.Name, Description: g.Description, VPC: g.VPC}
		for _, r := range g.Rules {
			if r.Peering == "" {
				continue
			}
			_, there := c.World.Groups.Get(c.Seen, r.Group)
			if p, found := c.World.Peerings.Get(c.Seen, r.Peering); !there || !found || !p.Active() {
				stale.Rules = append(stale.Rules, r)
			}
		}
		if len(stale.Rules) == 0 {
			continue
		}
		if page.Size > 0 && len(list.Items) == page.Size {
			next = page.Token(list.Items[page.Size-1].ID)
			break
		}
		list.Items = append(list.Items, c.view().Stale(stale))
	}
	return query.Reply{{Name: "staleSecurityGroupSet", Value: list}, {Name: "nextToken", Value: next}}, nil
}
