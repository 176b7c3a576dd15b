package action

import (
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/query"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/wire"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
)

func ruleWrites() map[string]Action {
	both := func(run func(c *Call, egress bool) (query.Reply, error), egress bool) Action {
		return Action{Run: func(c *Call) (query.Reply, error) { return run(c, egress) }}
	}
	return map[string]Action{
		"AuthorizeSecurityGroupIngress":              both(authorize, false),
		"AuthorizeSecurityGroupEgress":               both(authorize, true),
		"RevokeSecurityGroupIngress":                 both(revoke, false),
		"RevokeSecurityGroupEgress":                  both(revoke, true),
		"UpdateSecurityGroupRuleDescriptionsIngress": both(describeRules, false),
		"UpdateSecurityGroupRuleDescriptionsEgress":  both(describeRules, true),
		"ModifySecurityGroupRules":                   {Run: modifyRules},
	}
}

// specs reads the rules that a call is about, from its list or, for one of an
// IPv4 network, from its own parameters.
func (c *Call) specs() []world.Spec {
	specs := c.Permissions("IpPermissions")
	if single := (world.Spec{
		Protocol: c.Text("IpProtocol"), First: c.Number("FromPort"), Last: c.Number("ToPort"), CIDR: c.Text("CidrIp"),
	}); single.Protocol != "" || single.CIDR != "" {
		specs = append(specs, single)
	}
	return firstHalf(c, specs)
}

// authorize adds rules. Who gives them tags needs permission for that too.
func authorize(c *Call, egress bool) (query.Reply, error) {
	id, err := c.group()
	if err != nil {
		return nil, err
	}
	specs, tags := c.specs(), c.TagSpecifications("security-group-rule")
	if err := c.permitAbout([]world.Resource{c.resource(id)}, []world.Resource{c.yetToBe("sgr-*", tags)}); err != nil {
		return nil, err
	}
	rules, err := c.World.Authorize(c.moment(), c.Who.Account, id, egress, specs, tags)
	if err != nil {
		return nil, err
	}
	return query.Reply{{Name: "return", Value: true}, {Name: "securityGroupRuleSet", Value: c.documents(id, rules, wire.View.Rule)}}, nil
}

// documents prints rules of a group.
func (c *Call) documents(group string, rules []world.Rule, document func(wire.View, world.Resource, world.Rule) wire.SecurityGroupRule) wire.List[wire.SecurityGroupRule] {
	v := wire.View{World: c.World, At: c.Now}
	g, _ := c.World.Groups.Get(c.Now, group)
	var list wire.List[wire.SecurityGroupRule]
	for _, r := range rules {
		list.Items = append(list.Items, document(v, g.Resource, r))
	}
	return list
}

// revoke takes rules out, by content or by id.
func revoke(c *Call, egress bool) (query.Reply, error) {
	id, err := c.group()
	if err != nil {
		return nil, err
	}
	specs, ids := c.specs(), firstHalf(c, c.Texts("SecurityGroupRuleId"))
	if err := c.permit(id); err != nil {
		return nil, err
	}
	if len(specs) > 0 && len(ids) > 0 {
		return nil, world.Refuse("InvalidParameterCombination", "Rule ids and permissions cannot be used together")
	}
	var gone, unknown []world.Rule
	if len(ids) > 0 {
		gone, err = c.World.RevokeByID(c.moment(), c.Who.Account, id, egress, ids)
	} else {
		gone, unknown, err = c.World.Revoke(c.moment(), c.Who.Account, id, egress, specs)
	}
	if err != nil {
		return nil, err
	}
	return query.Reply{
		{Name: "return", Value: true},
		{Name: "unknownIpPermissionSet", Value: c.view().Permissions(unknown, egress)},
		{Name: "revokedSecurityGroupRuleSet", Value: c.documents(id, gone, wire.View.Revoked)},
	}, nil
}

// modifyRules changes rules in place.
func modifyRules(c *Call) (query.Reply, error) {
	id := c.Need("GroupId")
	var updates []world.Update
	for _, n := range c.Each("SecurityGroupRule") {
		r := n + ".SecurityGroupRule"
		updates = append(updates, world.Update{Rule: c.Need(n + ".SecurityGroupRuleId"), Spec: world.Spec{
			Protocol: c.Text(r + ".IpProtocol"), First: c.Number(r + ".FromPort"), Last: c.Number(r + ".ToPort"),
			CIDR: c.Text(r + ".CidrIpv4"), CIDR6: c.Text(r + ".CidrIpv6"), List: c.Text(r + ".PrefixListId"),
			Group: c.Text(r + ".ReferencedGroupId"), Description: c.Text(r + ".Description"),
		}})
	}
	about := []string{id}
	for _, u := range updates {
		about = append(about, u.Rule)
	}
	if err := c.permit(about...); err != nil {
		return nil, err
	}
	return query.Done(), c.World.ModifyRules(c.moment(), c.Who.Account, id, updates)
}

// describeRules gives rules other descriptions, by content or by id.
func describeRules(c *Call, egress bool) (query.Reply, error) {
	id, err := c.group()
	if err != nil {
		return nil, err
	}
	specs := c.Permissions("IpPermissions")
	byID := map[string]string{}
	for _, n := range c.Each("SecurityGroupRuleDescription") {
		byID[c.Need(n+".SecurityGroupRuleId")] = c.Text(n + ".Description")
	}
	if err := c.permit(id); err != nil {
		return nil, err
	}
	if len(specs) > 0 && len(byID) > 0 {
		return nil, world.Refuse("InvalidParameterCombination", "Rule ids and permissions cannot be used together")
	}
	return query.Done(), c.World.DescribeRules(c.moment(), c.Who.Account, id, egress, specs, byID)
}
