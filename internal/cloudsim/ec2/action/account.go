package action

import (
	"slices"
	"strconv"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2/query"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/wire"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
)

// An attribute is a name and its value.
type attribute struct{ name, value string }

// attributes are those that the API reference lists. Of quotas they have no more
// than the groups of an interface: those of rules are another service's.
func (c *Call) attributes() []attribute {
	network := "none"
	for v := range c.World.VPCs.All(c.Seen) {
		if v.Default && c.mine(v.Resource) {
			network = v.ID
		}
	}
	return []attribute{
		{"default-vpc", network},
		{"max-elastic-ips", "5"},
		{"max-instances", "20"},
		{"supported-platforms", "VPC"},
		{"vpc-max-elastic-ips", "5"},
		{"vpc-max-security-groups-per-interface", strconv.Itoa(c.World.Quotas.GroupsPerInterface)},
	}
}

func describeAccountAttributes(c *Call) (query.Reply, error) {
	names := c.Texts("AttributeName")
	if err := c.permit(); err != nil {
		return nil, err
	}
	all := c.attributes()
	for _, n := range names {
		if !slices.ContainsFunc(all, func(a attribute) bool { return a.name == n }) {
			return nil, world.Refuse("InvalidParameterValue", "Value (%s) for parameter attributeName is invalid.", n)
		}
	}
	var list wire.List[wire.AccountAttribute]
	for _, a := range all {
		if len(names) == 0 || slices.Contains(names, a.name) {
			list.Items = append(list.Items, wire.NewAccountAttribute(a.name, a.value))
		}
	}
	return query.Reply{{Name: "accountAttributeSet", Value: list}}, nil
}
