package ec2_test

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/gate"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
)

// form makes the parameters of a call from "Action Name=value …".
func form(text string) url.Values {
	words := strings.Fields(text)
	f := url.Values{"Action": {words[0]}}
	for _, w := range words[1:] {
		name, value, _ := strings.Cut(w, "=")
		f.Add(name, strings.ReplaceAll(value, "_", " "))
	}
	return f
}

// TestValidation tells what the API refuses, by the code that it gives.
func TestValidation(t *testing.T) {
	const permission = "IpPermissions.1."
	on := func(first, last string) string {
		return fmt.Sprintf("%[1]sIpProtocol=tcp %[1]sFromPort=%[2]s %[1]sToPort=%[3]s ", permission, first, last)
	}
	in := "AuthorizeSecurityGroupIngress GroupId=" + webID + " "
	v4 := permission + "IpRanges.1.CidrIp=192.0.2.0/24 "
	for _, tt := range []struct{ call, want string }{
		{in + on("22", "22") + v4, ""},
		{in + on("22", "22") + permission + "IpRanges.1.CidrIp=203.0.113.0/24", "InvalidPermission.Duplicate"},
		{in + on("22", "22") + permission + "IpRanges.1.CidrIp=203.0.113.99/24", "InvalidPermission.Duplicate"},
		{in + on("22", "22") + permission + "IpRanges.1.CidrIp=203.0.113.0/24 " + permission + "IpRanges.1.Description=other", "InvalidPermission.Duplicate"},
		{in + strings.Replace(on("22", "22"), "tcp", "6", 1) + permission + "IpRanges.1.CidrIp=203.0.113.0/24", "InvalidPermission.Duplicate"},
		{in + on("22", "22") + v4 + permission + "IpRanges.2.CidrIp=192.0.2.7/24", "InvalidParameterValue"},
		{in + on("22", "22"), "MissingParameter"},
		{in, "MissingParameter"},
		{in + v4, "MissingParameter"},
		{in + permission + "IpProtocol=tcp " + v4, "InvalidParameterValue"},
		{in + on("23", "22") + v4, "InvalidParameterValue"},
		{in + on("0", "65536") + v4, "InvalidParameterValue"},
		{in + on("-1", "-1") + v4, "InvalidParameterValue"},
		{in + on("22", "x") + v4, "InvalidParameterValue"},
		{in + on("22", "22") + permission + "IpRanges.1.CidrIp=192.0.2.1", "InvalidParameterValue"},
		{in + on("22", "22") + permission + "IpRanges.1.CidrIp=192.0.2.0/33", "InvalidParameterValue"},
		{in + on("22", "22") + permission + "IpRanges.1.CidrIp=2001:db8::/32", "InvalidParameterValue"},
		{in + on("22", "22") + permission + "Ipv6Ranges.1.CidrIpv6=192.0.2.0/24", "InvalidParameterValue"},
		{in + on("22", "22") + permission + "Ipv6Ranges.1.CidrIpv6=::ffff:192.0.2.0/120", "InvalidParameterValue"},
		{in + on("22", "22") + permission + "Ipv6Ranges.1.CidrIpv6=2001:DB8::1/64", ""},
		{in + on("22", "22") + v4 + permission + "IpRanges.1.Description=caf\u00e9", "InvalidParameterValue"},
		{in + on("22", "22") + v4 + permission + "IpRanges.1.Description=" + strings.Repeat("x", 256), "InvalidParameterValue"},
		{in + on("22", "22") + permission + "Groups.1.GroupId=" + homeID, ""},
		{in + on("22", "22") + permission + "Groups.1.GroupId=sg-00000123", "InvalidGroup.NotFound"},
		{in + on("22", "22") + permission + "Groups.1.GroupId=home", "InvalidGroupId.Malformed"},
		{in + on("22", "22") + permission + "PrefixListIds.1.PrefixListId=pl-00000123", "InvalidPrefixListID.NotFound"},
		{in + permission + "IpProtocol=-1 " + permission + "FromPort=22 " + permission + "ToPort=22 " + v4, ""},
		{in + permission + "IpProtocol=50 " + v4, ""},
		{in + permission + "IpProtocol=256 " + v4, "InvalidParameterValue"},
		{in + permission + "IpProtocol=ssh " + v4, "InvalidParameterValue"},
		{in + permission + "IpProtocol=icmp " + v4, "InvalidParameterValue"},
		{in + permission + "IpProtocol=icmp " + permission + "FromPort=-1 " + permission + "ToPort=3 " + v4, "InvalidParameterValue"},
		{in + permission + "IpProtocol=icmp " + permission + "FromPort=8 " + permission + "ToPort=-1 " + v4, ""},
		{in + permission + "IpProtocol=icmpv6 " + permission + "Ipv6Ranges.1.CidrIpv6=::/0", ""},
		{in + "IpProtocol=tcp FromPort=22 ToPort=22 CidrIp=192.0.2.0/24", ""},
		{in + on("22", "22") + v4 + "Color=red", "UnknownParameter"},
		{in + on("22", "22") + v4 + permission + "Color=red", "UnknownParameter"},
		{in + on("22", "22") + v4 + "DryRun=maybe", "InvalidParameterValue"},
		{in + on("22", "22") + v4 + "DryRun=true", "DryRunOperation"},
		{"AuthorizeSecurityGroupIngress " + on("22", "22") + v4, "MissingParameter"},
		{"AuthorizeSecurityGroupIngress GroupId=sg-00000123 " + on("22", "22") + v4, "InvalidGroup.NotFound"},
		{"AuthorizeSecurityGroupIngress GroupName=web " + on("22", "22") + v4, "InvalidGroup.NotFound"},
		{in + on("22", "22") + v4 + "TagSpecification.1.ResourceType=security-group TagSpecification.1.Tag.1.Key=a", "InvalidParameterValue"},
		{in + on("22", "22") + v4 + "TagSpecification.1.ResourceType=security-group-rule TagSpecification.1.Tag.1.Key=aws:a", "InvalidParameterValue"},

		{"RevokeSecurityGroupIngress GroupId=" + webID + " " + on("22", "22") + permission + "IpRanges.1.CidrIp=203.0.113.0/24", ""},
		{"RevokeSecurityGroupIngress GroupId=" + webID + " " + on("22", "23") + permission + "IpRanges.1.CidrIp=203.0.113.0/24", "InvalidPermission.NotFound"},
		{"RevokeSecurityGroupEgress GroupId=" + webID + " " + on("22", "22") + permission + "IpRanges.1.CidrIp=203.0.113.0/24", "InvalidPermission.NotFound"},
		{"RevokeSecurityGroupIngress GroupId=" + webID + " SecurityGroupRuleId.1=sgr-00000123", "InvalidSecurityGroupRuleId.NotFound"},
		{"RevokeSecurityGroupIngress GroupId=" + webID + " SecurityGroupRuleId.1=sgr-00000000000000022", ""},
		{"RevokeSecurityGroupEgress GroupId=" + webID + " SecurityGroupRuleId.1=sgr-00000000000000022", "InvalidSecurityGroupRuleId.NotFound"},

		{modify("sgr-00000000000000022", "CidrIpv4=192.0.2.0/24"), ""},
		{modify("sgr-00000000000000022", "CidrIpv6=2001:db8::/64"), "InvalidParameterValue"},
		{modify("sgr-00000000000000022", "ReferencedGroupId="+homeID), "InvalidParameterValue"},
		{modify("sgr-00000000000000022", "CidrIpv4=198.51.100.0/24"), "InvalidPermission.Duplicate"},
		{modify("sgr-00000123", "CidrIpv4=192.0.2.0/24"), "InvalidSecurityGroupRuleId.NotFound"},
		{"UpdateSecurityGroupRuleDescriptionsIngress GroupId=" + webID + " SecurityGroupRuleDescription.1.SecurityGroupRuleId=sgr-00000000000000022 SecurityGroupRuleDescription.1.Description=x", ""},
		{"UpdateSecurityGroupRuleDescriptionsIngress GroupId=" + webID + " " + on("22", "22") + v4, "InvalidPermission.NotFound"},

		{"CreateSecurityGroup GroupName=x GroupDescription=x VpcId=" + vpcID, ""},
		{"CreateSecurityGroup GroupName=x GroupDescription=x", "VPCIdNotSpecified"},
		{"CreateSecurityGroup GroupName=x GroupDescription=x VpcId=vpc-00000123", "InvalidVpcID.NotFound"},
		{"CreateSecurityGroup GroupName=x VpcId=" + vpcID, "MissingParameter"},
		{"CreateSecurityGroup GroupName=default GroupDescription=x VpcId=" + vpcID, "InvalidParameterValue"},
		{"CreateSecurityGroup GroupName=sg-x GroupDescription=x VpcId=" + vpcID, "InvalidParameterValue"},
		{"CreateSecurityGroup GroupName=x GroupDescription=a|b VpcId=" + vpcID, "InvalidParameterValue"},
		{"CreateSecurityGroup GroupName=group_" + webID + " GroupDescription=x VpcId=" + vpcID, "InvalidGroup.Duplicate"},
		{"DeleteSecurityGroup GroupId=" + webID, "DependencyViolation"},
		{"DeleteSecurityGroup GroupId=" + homeID, ""},
		{"DeleteSecurityGroup GroupId=sg-00000123", "InvalidGroup.NotFound"},

		{"ModifyNetworkInterfaceAttribute NetworkInterfaceId=" + eniID + " SecurityGroupId.1=" + homeID, ""},
		{"ModifyNetworkInterfaceAttribute NetworkInterfaceId=" + eniID + " SecurityGroupId.1=" + homeID + " SecurityGroupId.2=" + homeID, "InvalidParameterValue"},
		{"ModifyNetworkInterfaceAttribute NetworkInterfaceId=" + eniID, "InvalidParameterCombination"},
		{"ModifyNetworkInterfaceAttribute NetworkInterfaceId=eni-00000123 SecurityGroupId.1=" + homeID, "InvalidNetworkInterfaceID.NotFound"},
		{"ModifyNetworkInterfaceAttribute NetworkInterfaceId=" + eniID + " ConnectionTrackingSpecification.TcpEstablishedTimeout=60", ""},
		{"ModifyNetworkInterfaceAttribute NetworkInterfaceId=" + eniID + " ConnectionTrackingSpecification.TcpEstablishedTimeout=59", "InvalidParameterValue"},
		{"ModifyInstanceAttribute InstanceId=" + iID + " GroupId.1=" + homeID, ""},

		{acl("CreateNetworkAclEntry", "50", "RuleAction=deny Protocol=6 PortRange.From=22 PortRange.To=22 CidrBlock=203.0.113.7/32"), ""},
		{acl("CreateNetworkAclEntry", "100", "RuleAction=deny Protocol=-1 CidrBlock=203.0.113.7/32"), "NetworkAclEntryAlreadyExists"},
		{acl("CreateNetworkAclEntry", "0", "RuleAction=deny Protocol=-1 CidrBlock=203.0.113.7/32"), "InvalidParameterValue"},
		{acl("CreateNetworkAclEntry", "32767", "RuleAction=deny Protocol=-1 CidrBlock=203.0.113.7/32"), "InvalidParameterValue"},
		{acl("CreateNetworkAclEntry", "50", "RuleAction=drop Protocol=-1 CidrBlock=203.0.113.7/32"), "InvalidParameterValue"},
		{acl("CreateNetworkAclEntry", "50", "RuleAction=deny Protocol=-1"), "MissingParameter"},
		{acl("CreateNetworkAclEntry", "50", "RuleAction=deny Protocol=6 CidrBlock=203.0.113.7/32"), "InvalidParameterValue"},
		{acl("ReplaceNetworkAclEntry", "100", "RuleAction=deny Protocol=-1 CidrBlock=203.0.113.7/32"), ""},
		{acl("ReplaceNetworkAclEntry", "50", "RuleAction=deny Protocol=-1 CidrBlock=203.0.113.7/32"), "InvalidNetworkAclEntry.NotFound"},
		{acl("DeleteNetworkAclEntry", "100", ""), ""},
		{acl("DeleteNetworkAclEntry", "50", ""), "InvalidNetworkAclEntry.NotFound"},

		{"CreateTags ResourceId.1=" + webID + " ResourceId.2=sgr-00000000000000022 Tag.1.Key=a Tag.1.Value=b", ""},
		{"CreateTags ResourceId.1=" + webID + " ResourceId.2=sgr-00000123 Tag.1.Key=a Tag.1.Value=b", "InvalidSecurityGroupRuleId.NotFound"},
		{"CreateTags ResourceId.1=thing Tag.1.Key=a", "InvalidID"},
		{"DeleteTags ResourceId.1=" + webID, ""},
		{"DescribeSecurityGroupReferences GroupId.1=sg-00000123", "InvalidGroup.NotFound"},
		{"RunInstances ImageId=ami-1", "there is no action \"RunInstances\""},
	} {
		sim, _ := direct(t, ec2.Config{})
		sim.Build(ec2.DefaultRegion, func(w *world.World) { small(w); twoRules(w) })
		before := sim.Document(ec2.DefaultRegion)
		err := sim.HandCall(ec2.DefaultRegion, ec2.DefaultAccount, form(tt.call))
		got := ""
		if err != nil {
			got, _, _ = strings.Cut(err.Error(), ": ")
		}
		if got != tt.want {
			t.Errorf("%s\ngot  %v\nwant %s", tt.call, err, tt.want)
		}
		if after := sim.Document(ec2.DefaultRegion); err != nil && after != before {
			t.Errorf("%s\nwas refused and has changed:\n%s", tt.call, cmp.Diff(before, after))
		}
	}
}

func modify(rule, source string) string {
	const r = "SecurityGroupRule.1.SecurityGroupRule."
	return fmt.Sprintf("ModifySecurityGroupRules GroupId=%s SecurityGroupRule.1.SecurityGroupRuleId=%s %sIpProtocol=tcp %[3]sFromPort=22 %[3]sToPort=22 %[3]s%s", webID, rule, r, source)
}

func acl(action, number, rest string) string {
	return action + " NetworkAclId=" + aclID + " RuleNumber=" + number + " Egress=false " + rest
}

// twoRules lets two networks in to port 22.
func twoRules(w *world.World) {
	at := world.Moment{}.Now
	g, _ := w.Groups.Get(at, webID)
	for i, p := range []string{"203.0.113.0/24", "198.51.100.0/24"} {
		g.Rules = append(g.Rules, world.Rule{ID: fmt.Sprintf("sgr-0000000000000002%d", 2+i), Protocol: "tcp", First: 22, Last: 22, CIDR: netip.MustParsePrefix(p)})
	}
	w.Groups.Put(at, g)
}

func TestQuotas(t *testing.T) {
	sim, client := direct(t, ec2.Config{})
	sim.Build(ec2.DefaultRegion, small)
	ctx := t.Context()
	authorize := func(p types.IpPermission) error {
		_, err := client.AuthorizeSecurityGroupIngress(ctx, &sdk.AuthorizeSecurityGroupIngressInput{GroupId: aws.String(webID), IpPermissions: []types.IpPermission{p}})
		return err
	}
	ranges := func(n int) types.IpPermission {
		p := tcp(22, 22, "192.0.2.0/24")
		for i := range n - 1 {
			p.IpRanges = append(p.IpRanges, types.IpRange{CidrIp: aws.String(fmt.Sprintf("203.0.113.%d/32", i))})
		}
		return p
	}
	wantCode(t, authorize(ranges(61)), "RulesPerSecurityGroupLimitExceeded")
	ok(t, authorize(ranges(60)))
	wantCode(t, authorize(tcp(23, 23, "192.0.2.0/24")), "RulesPerSecurityGroupLimitExceeded")
	wantCode(t, authorize(types.IpPermission{IpProtocol: aws.String("-1"), UserIdGroupPairs: []types.UserIdGroupPair{{GroupId: aws.String(homeID)}}}), "RulesPerSecurityGroupLimitExceeded")
	ok(t, authorize(types.IpPermission{IpProtocol: aws.String("-1"), Ipv6Ranges: []types.Ipv6Range{{CidrIpv6: aws.String("::/0")}}}))

	var groups []string
	for i := range 6 {
		made, err := client.CreateSecurityGroup(ctx, &sdk.CreateSecurityGroupInput{GroupName: aws.String(fmt.Sprint("g", i)), Description: aws.String("x"), VpcId: aws.String(vpcID)})
		ok(t, err)
		groups = append(groups, *made.GroupId)
	}
	wear := func(groups []string) error {
		_, err := client.ModifyNetworkInterfaceAttribute(ctx, &sdk.ModifyNetworkInterfaceAttributeInput{NetworkInterfaceId: aws.String(eniID), Groups: groups})
		return err
	}
	wantCode(t, wear(groups), "SecurityGroupsPerInterfaceLimitExceeded")
	ok(t, wear(groups[:5]))

	for _, q := range []world.Quotas{{RulesPerGroup: 201}, {GroupsPerInterface: 17}} {
		if _, err := ec2.New(ec2.Config{Quotas: q}); err == nil {
			t.Errorf("%+v is more than there is", q)
		}
	}
	if _, err := ec2.New(ec2.Config{Quotas: world.Quotas{GroupsPerInterface: 16}}); err != nil {
		t.Error(err)
	}
}

// A prefix list counts as often as it may have entries.
func TestPrefixListsCountWhole(t *testing.T) {
	sim, client := direct(t, ec2.Config{})
	sim.Build(ec2.DefaultRegion, func(w *world.World) {
		small(w)
		for i, most := range []int{60, 61} {
			w.PrefixLists.Put(world.Moment{}.Now, world.PrefixList{Resource: world.Resource{ID: fmt.Sprintf("pl-%d", most), Owner: ec2.DefaultAccount}, MaxEntries: most, Version: int64(i)})
		}
	})
	authorize := func(list string) error {
		_, err := client.AuthorizeSecurityGroupIngress(t.Context(), &sdk.AuthorizeSecurityGroupIngressInput{GroupId: aws.String(webID), IpPermissions: []types.IpPermission{{
			IpProtocol: aws.String("-1"), PrefixListIds: []types.PrefixListId{{PrefixListId: &list}},
		}}})
		return err
	}
	wantCode(t, authorize("pl-61"), "RulesPerSecurityGroupLimitExceeded")
	ok(t, authorize("pl-60"))
}

// In a default VPC, a revoke of what is not there is no error.
func TestRevokeInADefaultVPC(t *testing.T) {
	sim, client := direct(t, ec2.Config{})
	sim.Build(ec2.DefaultRegion, func(w *world.World) {
		small(w)
		twoRules(w)
		v, _ := w.VPCs.Get(world.Moment{}.Now, vpcID)
		v.Default = true
		w.VPCs.Put(world.Moment{}.Now, v)
	})
	got, err := client.RevokeSecurityGroupIngress(t.Context(), &sdk.RevokeSecurityGroupIngressInput{GroupId: aws.String(webID), IpPermissions: []types.IpPermission{
		tcp(22, 22, "203.0.113.0/24"), tcp(443, 443, "203.0.113.0/24"),
	}})
	ok(t, err)
	if len(got.UnknownIpPermissions) != 1 || *got.UnknownIpPermissions[0].FromPort != 443 || len(got.RevokedSecurityGroupRules) != 1 {
		t.Errorf("unknown %+v, revoked %+v", got.UnknownIpPermissions, got.RevokedSecurityGroupRules)
	}
}

// The four roles that a provider needs can be told apart by tables of actions and
// tags.
func TestPermissions(t *testing.T) {
	ours := world.Tags{"sesame": "*"}
	describe := gate.Statement{Actions: []string{"ec2:Describe*", "ec2:Get*"}}
	roles := map[string][]gate.Statement{
		"reader": {describe},
		"opener": {describe, {Actions: []string{"ec2:AuthorizeSecurityGroupIngress"}, Tags: ours}, {Actions: []string{"ec2:CreateTags"}, Tags: ours, Types: []string{"security-group-rule"}}},
		"closer": {describe, {Actions: []string{"ec2:RevokeSecurityGroupIngress"}, Tags: ours}},
		"locker": {{Actions: []string{"ec2:*"}}, {Deny: true, Actions: []string{"ec2:DeleteTags"}, Tags: ours}},
	}
	var keys []gate.Key
	for name, may := range roles {
		keys = append(keys, gate.Key{ID: name, Secret: "s", Principal: gate.Principal{Account: ec2.DefaultAccount, ARN: "arn:aws:iam::111122223333:user/" + name, May: may}})
	}
	sim, err := ec2.New(ec2.Config{Keys: keys})
	ok(t, err)
	sim.Build(ec2.DefaultRegion, func(w *world.World) {
		small(w)
		g, _ := w.Groups.Get(world.Moment{}.Now, homeID)
		g.Tags = world.Tags{"sesame": "home"}
		w.Groups.Put(world.Moment{}.Now, g)
	})
	client := func(name string) *sdk.Client {
		return over(sim.Client(), "http://aws.example", credentials.NewStaticCredentialsProvider(name, "s", "")).ec2()
	}
	authorize := func(who, group, tag string) error {
		in := &sdk.AuthorizeSecurityGroupIngressInput{GroupId: &group, DryRun: aws.Bool(true), IpPermissions: []types.IpPermission{tcp(22, 22, "192.0.2.0/24")}}
		if tag != "" {
			in.TagSpecifications = []types.TagSpecification{{ResourceType: types.ResourceTypeSecurityGroupRule, Tags: []types.Tag{{Key: &tag, Value: aws.String("x")}}}}
		}
		_, err := client(who).AuthorizeSecurityGroupIngress(t.Context(), in)
		return err
	}
	revoke := func(who, group string) error {
		_, err := client(who).RevokeSecurityGroupIngress(t.Context(), &sdk.RevokeSecurityGroupIngressInput{GroupId: &group, DryRun: aws.Bool(true), IpPermissions: []types.IpPermission{tcp(22, 22, "192.0.2.0/24")}})
		return err
	}
	const yes, no = "DryRunOperation", "UnauthorizedOperation"
	for _, tt := range []struct {
		what string
		err  error
		want string
	}{
		{"reader authorizes", authorize("reader", homeID, ""), no},
		{"opener authorizes in ours", authorize("opener", homeID, "sesame"), yes},
		{"opener tags with something else", authorize("opener", homeID, "other"), no},
		{"opener authorizes elsewhere", authorize("opener", webID, "sesame"), no},
		{"opener authorizes what is not there", authorize("opener", "sg-00000123", ""), no},
		{"opener revokes", revoke("opener", homeID), no},
		{"closer revokes in ours", revoke("closer", homeID), yes},
		{"closer revokes elsewhere", revoke("closer", webID), no},
		{"closer authorizes", authorize("closer", homeID, ""), no},
		{"locker authorizes anywhere", authorize("locker", webID, "x"), yes},
		{"locker revokes anywhere", revoke("locker", webID), yes},
	} {
		if got := code(tt.err); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.what, got, tt.want)
		}
	}
	_, err = client("reader").DescribeInstances(t.Context(), &sdk.DescribeInstancesInput{})
	ok(t, err)
	_, err = client("locker").DeleteTags(t.Context(), &sdk.DeleteTagsInput{Resources: []string{homeID}})
	wantCode(t, err, no)
}

// Accounts do not see each other.
func TestAccountsAreApart(t *testing.T) {
	sim, err := ec2.New(ec2.Config{Keys: []gate.Key{ec2.Admin("444455556666", "other", "s")}})
	ok(t, err)
	sim.Build(ec2.DefaultRegion, small)
	client := over(sim.Client(), "http://aws.example", credentials.NewStaticCredentialsProvider("other", "s", "")).ec2()
	got, err := client.DescribeSecurityGroups(t.Context(), &sdk.DescribeSecurityGroupsInput{})
	ok(t, err)
	if len(got.SecurityGroups) != 0 {
		t.Errorf("%+v", got.SecurityGroups)
	}
	_, err = client.DeleteSecurityGroup(t.Context(), &sdk.DeleteSecurityGroupInput{GroupId: aws.String(homeID)})
	wantCode(t, err, "InvalidGroup.NotFound")
}
