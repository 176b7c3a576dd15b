package aws

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/aws/securitygroup"
)

// call makes one request, or the few that a verb needs.
func (w *writer) call(ctx context.Context, c securitygroup.Call) error {
	if c.Do == securitygroup.Make {
		return w.makeGroup(ctx, c)
	}
	id, err := w.id(ctx, c.Group)
	if err != nil {
		return err
	}
	switch c.Do {
	case securitygroup.Strip:
		return w.strip(ctx, id)
	case securitygroup.Attach, securitygroup.Detach:
		return w.wear(ctx, c.Writes[0].Interface, id, "", c.Do == securitygroup.Attach)
	case securitygroup.Swap:
		instead, err := w.id(ctx, c.Writes[0].Instead)
		if err != nil {
			return err
		}
		return w.wear(ctx, c.Writes[0].Interface, id, instead, true)
	case securitygroup.Tagged, securitygroup.Untag:
		return w.tag(ctx, id, c)
	case securitygroup.Authorize:
		_, err = w.opening(c.Group).AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{
			GroupId: aws.String(id), IpPermissions: permissionsOf(rulesOf(c, true)),
			TagSpecifications: tagged(types.ResourceTypeSecurityGroupRule, c.Writes[0].Rule.Tags),
		})
	case securitygroup.Revoke:
		_, err = w.closing(c.Group).RevokeSecurityGroupIngress(ctx, &ec2.RevokeSecurityGroupIngressInput{
			GroupId: aws.String(id), IpPermissions: permissionsOf(rulesOf(c, false)),
		})
	case securitygroup.Describe:
		return w.describe(ctx, id, c)
	case securitygroup.Delete:
		_, err = w.Locker.DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{GroupId: aws.String(id)})
	case securitygroup.Make:
	}
	return err
}

// rulesOf returns the rules of a call. A rule is revoked by its content, which its
// description is no part of.
func rulesOf(c securitygroup.Call, described bool) []securitygroup.Rule {
	var out []securitygroup.Rule
	for _, x := range c.Writes {
		r := *x.Rule
		if !described {
			r.Description = ""
		}
		out = append(out, r)
	}
	return out
}

// makeGroup makes an owned group, or finds the one that is there.
func (w *writer) makeGroup(ctx context.Context, c securitygroup.Call) error {
	reply, err := w.Locker.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{
		GroupName: aws.String(c.Group), VpcId: aws.String(w.vpc),
		Description:       aws.String(w.purpose(c.Group, c.Writes[0].VM)),
		TagSpecifications: tagged(types.ResourceTypeSecurityGroup, []securitygroup.Tag{{Key: securitygroup.OwnTag, Value: w.Keys.Instance}}),
	})
	if err == nil {
		w.made[c.Group] = aws.ToString(reply.GroupId)
		return nil
	}
	api, told := errors.AsType[smithy.APIError](err)
	if !told || api.ErrorCode() != "InvalidGroup.Duplicate" {
		return err
	}
	id, err := w.lookUp(ctx, c.Group)
	if err == nil {
		w.made[c.Group] = id
	}
	return err
}

// purpose is the description of a group of ours.
func (w *writer) purpose(name string, vm firewall.VMID) string {
	if _, group, copied := w.CopyOf(securitygroup.Group{Name: name}); copied {
		return "Sesame: " + group + " without the locked ports of " + vm.Name()
	}
	return "Sesame: who may reach the locked ports of " + vm.Name()
}

// lookUp asks for the id of an owned group.
func (w *writer) lookUp(ctx context.Context, name string) (string, error) {
	reply, err := w.Reader.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{Filters: []types.Filter{
		{Name: aws.String("vpc-id"), Values: []string{w.vpc}},
		{Name: aws.String("group-name"), Values: []string{name}},
	}})
	if err != nil {
		return "", err
	}
	if len(reply.SecurityGroups) == 0 {
		return "", &smithy.GenericAPIError{Code: "InvalidGroup.NotFound", Message: "there is no group " + name}
	}
	return aws.ToString(reply.SecurityGroups[0].GroupId), nil
}

// strip takes from a group everything that it lets out, and looks whether that
// is so: a group that lets something out is not attached. Group and rules are read
// as one document. Read apart, a group that was just made could be there already
// and its rules not yet.
func (w *writer) strip(ctx context.Context, id string) error {
	const rounds = 2
	for range rounds {
		reply, err := w.Reader.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{GroupIds: []string{id}})
		if err != nil {
			return err
		}
		if len(reply.SecurityGroups) == 1 && len(reply.SecurityGroups[0].IpPermissionsEgress) == 0 {
			return nil
		}
		for _, g := range reply.SecurityGroups {
			_, err = w.Locker.RevokeSecurityGroupEgress(ctx, &ec2.RevokeSecurityGroupEgressInput{GroupId: aws.String(id), IpPermissions: g.IpPermissionsEgress})
			if api, told := errors.AsType[smithy.APIError](err); err != nil && (!told || securitygroup.OutcomeOf(securitygroup.Revoke, api.ErrorCode()) != securitygroup.Missing) {
				return err
			}
		}
	}
	// It is not seen as it is yet, or somebody gives it back.
	return &smithy.GenericAPIError{Code: "Unavailable", Message: id + " still lets traffic out"}
}

// wear puts a group on an interface, instead of another if one is named, or takes
// it off. The call replaces the whole list and knows no condition, so that the list
// is read right before.
func (w *writer) wear(ctx context.Context, iface, group, instead string, on bool) error {
	reply, err := w.Reader.DescribeNetworkInterfaces(ctx, &ec2.DescribeNetworkInterfacesInput{NetworkInterfaceIds: []string{iface}})
	if err != nil {
		return err
	}
	if len(reply.NetworkInterfaces) != 1 {
		return fmt.Errorf("%s is %d interfaces", iface, len(reply.NetworkInterfaces))
	}
	var groups []string
	for _, g := range reply.NetworkInterfaces[0].Groups {
		groups = append(groups, aws.ToString(g.GroupId))
	}
	if slices.Contains(groups, group) == on && !slices.Contains(groups, instead) {
		return nil
	}
	groups = slices.DeleteFunc(groups, func(g string) bool { return g == group || g == instead })
	if on {
		groups = append(groups, group)
	}
	_, err = w.Locker.ModifyNetworkInterfaceAttribute(ctx, &ec2.ModifyNetworkInterfaceAttributeInput{
		NetworkInterfaceId: aws.String(iface), Groups: groups,
	})
	return err
}

// tag puts the tags of locks on an owned group, or takes them off.
func (w *writer) tag(ctx context.Context, id string, c securitygroup.Call) error {
	var tags []types.Tag
	for _, x := range c.Writes {
		t := types.Tag{Key: aws.String(x.Tag.Key)}
		if c.Do == securitygroup.Tagged {
			t.Value = aws.String(x.Tag.Value)
		}
		tags = append(tags, t)
	}
	var err error
	if c.Do == securitygroup.Tagged {
		_, err = w.Locker.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{id}, Tags: tags})
	} else {
		_, err = w.Locker.DeleteTags(ctx, &ec2.DeleteTagsInput{Resources: []string{id}, Tags: tags})
	}
	return err
}

// describe gives rules that are there other descriptions, and other tags where
// they differ.
func (w *writer) describe(ctx context.Context, id string, c securitygroup.Call) error {
	_, err := w.opening(c.Group).UpdateSecurityGroupRuleDescriptionsIngress(ctx, &ec2.UpdateSecurityGroupRuleDescriptionsIngressInput{
		GroupId: aws.String(id), IpPermissions: permissionsOf(rulesOf(c, true)),
	})
	if err != nil {
		return err
	}
	for _, x := range c.Writes {
		if err := w.retag(ctx, x); err != nil {
			return err
		}
	}
	return nil
}

// retag gives a rule that is there its tags.
func (w *writer) retag(ctx context.Context, x securitygroup.Write) error {
	g := w.Find(x.Group)
	if g < 0 {
		return nil
	}
	i := slices.IndexFunc(w.Groups[g].Ingress, func(r securitygroup.Rule) bool { return r.Content() == x.Rule.Content() })
	if i < 0 {
		return nil
	}
	have := w.Groups[g].Ingress[i]
	if slices.Equal(have.Tags, x.Rule.Tags) {
		return nil
	}
	client := w.opening(x.Group)
	gone := slices.DeleteFunc(slices.Clone(have.Tags), func(t securitygroup.Tag) bool {
		return slices.ContainsFunc(x.Rule.Tags, func(o securitygroup.Tag) bool { return o.Key == t.Key })
	})
	if len(gone) > 0 {
		if _, err := client.DeleteTags(ctx, &ec2.DeleteTagsInput{Resources: []string{have.ID}, Tags: sdkTags(gone)}); err != nil {
			return err
		}
	}
	if len(x.Rule.Tags) == 0 {
		return nil
	}
	_, err := client.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{have.ID}, Tags: sdkTags(x.Rule.Tags)})
	return err
}
