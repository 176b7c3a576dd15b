package action

import (
	"strings"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2/query"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
)

func groupWrites() map[string]Action {
	return map[string]Action{
		"CreateSecurityGroup": {Run: createGroup},
		"DeleteSecurityGroup": {Run: func(c *Call) (query.Reply, error) {
			id, err := c.group()
			if err == nil {
				err = c.permit(id)
			}
			if err == nil {
				err = c.World.DeleteGroup(c.moment(), c.Who.Account, id)
			}
			if err != nil {
				return nil, err
			}
			return query.Reply{{Name: "return", Value: true}, {Name: "groupId", Value: id}}, nil
		}},
		"ModifyNetworkInterfaceAttribute": {Run: modifyInterface},
		"ModifyInstanceAttribute":         {Run: modifyInstance},
	}
}

func createGroup(c *Call) (query.Reply, error) {
	name, description, vpc := c.Need("GroupName"), c.Need("GroupDescription"), c.Text("VpcId")
	tags := c.TagSpecifications("security-group")
	made := []world.Resource{c.yetToBe("sg-*", tags)}
	if err := c.permitAbout(made, made); err != nil {
		return nil, err
	}
	g, err := c.World.CreateGroup(c.moment(), c.Who.Account, vpc, name, description, tags)
	if err != nil {
		return nil, err
	}
	return query.Reply{
		{Name: "groupId", Value: g.ID},
		{Name: "tagSet", Value: c.view().Group(g).Tags},
		{Name: "securityGroupArn", Value: c.World.ARN(g.Resource)},
	}, nil
}

// group reads which group the call is about: by id, or by name in the default
// VPC.
func (c *Call) group() (string, error) {
	id, name := c.Text("GroupId"), c.Text("GroupName")
	switch {
	case id != "" && name != "":
		return "", world.Refuse("InvalidParameterCombination", "The parameter groupId cannot be used with the parameter groupName")
	case id == "" && name == "":
		return "", world.Refuse("MissingParameter", "The request must contain the parameter groupName or groupId")
	case id == "":
		return c.World.GroupNamed(c.moment(), c.Who.Account, name)
	}
	return id, nil
}

// modifyInterface changes one attribute of an interface.
func modifyInterface(c *Call) (query.Reply, error) {
	id := c.Need("NetworkInterfaceId")
	groups := c.Texts("SecurityGroupId")
	description, described := c.Text("Description.Value"), c.Has("Description.Value")
	tracking := world.Tracking{}
	tracked := false
	for name, into := range map[string]*int{
		"TcpEstablishedTimeout": &tracking.TCPEstablished, "UdpTimeout": &tracking.UDP, "UdpStreamTimeout": &tracking.UDPStream,
	} {
		if n := c.Number("ConnectionTrackingSpecification." + name); n != nil {
			*into, tracked = *n, true
		}
	}
	chosen := 0
	for _, x := range []bool{len(groups) > 0, described, tracked} {
		if x {
			chosen++
		}
	}
	if err := c.permit(append([]string{id}, groups...)...); err != nil {
		return nil, err
	}
	if chosen != 1 {
		return nil, world.Refuse("InvalidParameterCombination", "Exactly one attribute can be changed at a time")
	}
	m, account := c.moment(), c.Who.Account
	var err error
	switch {
	case tracked:
		err = c.World.SetTracking(m, account, id, tracking)
	case described:
		var n world.Interface
		if n, err = c.World.Interface(m, account, id); err == nil {
			n.Description = description
			c.World.Interfaces.Put(c.Now, n)
		}
	default:
		err = c.World.SetGroups(m, account, id, groups)
	}
	return query.Done(), err
}

// modifyInstance changes the groups of an instance's only interface.
func modifyInstance(c *Call) (query.Reply, error) {
	id, groups := c.Need("InstanceId"), c.Texts("GroupId")
	if err := c.permit(append([]string{id}, groups...)...); err != nil {
		return nil, err
	}
	if len(groups) == 0 {
		return nil, world.Refuse("InvalidParameterCombination", "No attributes specified.")
	}
	return query.Done(), c.World.SetInstanceGroups(c.moment(), c.Who.Account, id, groups)
}

func otherWrites() map[string]Action {
	return map[string]Action{
		"CreateTags": {Run: createTags},
		"DeleteTags": {Run: deleteTags},
		"CreateNetworkAclEntry": {Run: func(c *Call) (query.Reply, error) {
			return putEntry(c, false)
		}},
		"ReplaceNetworkAclEntry": {Run: func(c *Call) (query.Reply, error) {
			return putEntry(c, true)
		}},
		"DeleteNetworkAclEntry": {Run: func(c *Call) (query.Reply, error) {
			id, number := c.Need("NetworkAclId"), c.NeedNumber("RuleNumber")
			c.Need("Egress")
			egress := c.Flag("Egress")
			if err := c.permit(id); err != nil {
				return nil, err
			}
			return query.Done(), c.World.DeleteEntry(c.moment(), c.Who.Account, id, egress, number)
		}},
	}
}

func createTags(c *Call) (query.Reply, error) {
	ids, tags := c.Texts("ResourceId"), c.Tags("Tag")
	if len(ids) == 0 || len(tags) == 0 {
		return nil, world.Refuse("MissingParameter", "The request must contain the parameters resourceIdSet and tagSet")
	}
	if err := c.permit(ids...); err != nil {
		return nil, err
	}
	return query.Done(), c.World.Tag(c.moment(), c.Who.Account, ids, tags)
}

func deleteTags(c *Call) (query.Reply, error) {
	ids := c.Texts("ResourceId")
	tags := map[string]*string{}
	for _, n := range c.Each("Tag") {
		k := c.Need(n + ".Key")
		tags[k] = nil
		if v := c.Text(n + ".Value"); c.Has(n + ".Value") {
			tags[k] = &v
		}
	}
	if len(ids) == 0 {
		return nil, world.Refuse("MissingParameter", "The request must contain the parameter resourceIdSet")
	}
	if err := c.permit(ids...); err != nil {
		return nil, err
	}
	return query.Done(), c.World.Untag(c.moment(), c.Who.Account, ids, tags)
}

// putEntry makes or replaces an entry of a network ACL.
func putEntry(c *Call, replace bool) (query.Reply, error) {
	id := c.Need("NetworkAclId")
	c.Need("Egress")
	s := world.EntrySpec{
		Number: c.NeedNumber("RuleNumber"), Egress: c.Flag("Egress"), Action: strings.ToLower(c.Need("RuleAction")),
		Protocol: c.Need("Protocol"), CIDR: c.Text("CidrBlock"), CIDR6: c.Text("Ipv6CidrBlock"),
		From: c.Number("PortRange.From"), To: c.Number("PortRange.To"), Type: c.Number("Icmp.Type"), Code: c.Number("Icmp.Code"),
	}
	if err := c.permit(id); err != nil {
		return nil, err
	}
	e, err := s.Entry()
	if err != nil {
		return nil, err
	}
	return query.Done(), c.World.PutEntry(c.moment(), c.Who.Account, id, e, replace)
}
