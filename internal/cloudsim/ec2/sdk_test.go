package ec2_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/gate"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
)

// account is what a client needs to call the simulator.
type account struct {
	config aws.Config
}

// over returns a client's configuration for a key.
func over(client aws.HTTPClient, endpoint string, provider aws.CredentialsProvider) account {
	return account{aws.Config{
		Region: ec2.DefaultRegion, BaseEndpoint: aws.String(endpoint), Credentials: provider, HTTPClient: client,
		Retryer: func() aws.Retryer { return aws.NopRetryer{} },
	}}
}

func (a account) ec2() *sdk.Client { return sdk.NewFromConfig(a.config) }
func (a account) sts() *sts.Client { return sts.NewFromConfig(a.config) }

func defaultKey() aws.CredentialsProvider {
	return credentials.NewStaticCredentialsProvider(ec2.DefaultKey, ec2.DefaultSecret, "")
}

// direct is a simulator that is called without a network, by its default key.
func direct(t testing.TB, c ec2.Config) (*ec2.Simulator, *sdk.Client) {
	t.Helper()
	sim, err := ec2.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return sim, over(sim.Client(), "http://ec2.example", defaultKey()).ec2()
}

// code is the API's code of an error, or "".
func code(err error) string {
	if e, found := errors.AsType[smithy.APIError](err); found {
		return e.ErrorCode()
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func wantCode(t *testing.T, err error, want string) {
	t.Helper()
	if got := code(err); got != want {
		t.Errorf("got %q (%v), want %q", got, err, want)
	}
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func tcp(first, last int32, cidr string) types.IpPermission {
	return types.IpPermission{
		IpProtocol: aws.String("tcp"), FromPort: &first, ToPort: &last, IpRanges: []types.IpRange{{CidrIp: &cidr}},
	}
}

const (
	vpcID  = "vpc-00000000000000001"
	aclID  = "acl-00000000000000001"
	webID  = "sg-00000000000000001"
	homeID = "sg-00000000000000002"
	eniID  = "eni-00000000000000001"
	iID    = "i-00000000000000001"
)

// small is a region with one instance at 198.51.100.5.
func small(w *world.World) {
	always := world.Moment{}.Now
	own := func(id string) world.Resource { return world.Resource{ID: id, Owner: ec2.DefaultAccount} }
	everything := netip.MustParsePrefix("0.0.0.0/0")
	w.VPCs.Put(always, world.VPC{Resource: own(vpcID), CIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")}})
	w.NetworkACLs.Put(always, world.NetworkACL{Resource: own(aclID), VPC: vpcID, Default: true, Entries: []world.Entry{
		{Number: 100, Allow: true, Protocol: -1, CIDR: everything},
		{Number: 100, Egress: true, Allow: true, Protocol: -1, CIDR: everything},
	}})
	w.InternetGateways.Put(always, world.InternetGateway{Resource: own("igw-00000000000000001"), VPC: vpcID})
	w.RouteTables.Put(always, world.RouteTable{Resource: own("rtb-00000000000000001"), VPC: vpcID, Main: true, Routes: []world.Route{
		{Destination: netip.MustParsePrefix("10.0.0.0/16"), Target: "local"},
		{Destination: everything, Target: "igw-00000000000000001"},
	}})
	w.Subnets.Put(always, world.Subnet{Resource: own("subnet-00000000000000001"), VPC: vpcID, Zone: "eu-central-1a", ACL: aclID, CIDR: netip.MustParsePrefix("10.0.1.0/24")})
	for _, id := range []string{webID, homeID} {
		w.Groups.Put(always, world.Group{Resource: own(id), VPC: vpcID, Name: "group " + id, Description: "a group", Rules: []world.Rule{
			{ID: "sgr-0" + id[3:], Egress: true, Protocol: "-1", First: -1, Last: -1, CIDR: everything},
		}})
	}
	w.Interfaces.Put(always, world.Interface{
		Resource: own(eniID), VPC: vpcID, Subnet: "subnet-00000000000000001", Instance: iID, Type: "interface", Groups: []string{webID},
		Private: []world.PrivateAddress{{Addr: netip.MustParseAddr("10.0.1.5"), Public: netip.MustParseAddr("198.51.100.5")}},
	})
	w.Instances.Put(always, world.Instance{Resource: own(iID), VPC: vpcID, Subnet: "subnet-00000000000000001", State: "running", Type: "m7i.large", Interfaces: []string{eniID}})
}

// TestSDK is the acceptance test: the real SDK over a real connection.
func TestSDK(t *testing.T) {
	sim, err := ec2.New(ec2.Config{Seed: 1})
	ok(t, err)
	sim.Build(ec2.DefaultRegion, small)
	server := httptest.NewServer(sim)
	defer server.Close()
	a := over(server.Client(), server.URL, defaultKey())
	client, ctx := a.ec2(), t.Context()

	who, err := a.sts().GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	ok(t, err)
	if *who.Account != ec2.DefaultAccount || *who.Arn != "arn:aws:iam::111122223333:user/admin" {
		t.Errorf("caller identity: %s %s", *who.Account, *who.Arn)
	}

	instances, err := client.DescribeInstances(ctx, &sdk.DescribeInstancesInput{Filters: []types.Filter{
		{Name: aws.String("instance-state-name"), Values: []string{"run*"}}, {Name: aws.String("vpc-id"), Values: []string{vpcID}},
	}})
	ok(t, err)
	i := instances.Reservations[0].Instances[0]
	if *i.InstanceId != iID || *i.PublicIpAddress != "198.51.100.5" || *i.SecurityGroups[0].GroupId != webID ||
		i.State.Name != types.InstanceStateNameRunning || *i.NetworkInterfaces[0].Association.PublicIp != "198.51.100.5" {
		t.Errorf("the instance: %+v", i)
	}

	client4 := netip.MustParseAddr("203.0.113.7")
	if v := sim.Connect(client4, iID, 22); v.Outcome.String() != "denied" {
		t.Errorf("before: %s", v)
	}
	added, err := client.AuthorizeSecurityGroupIngress(ctx, &sdk.AuthorizeSecurityGroupIngressInput{
		GroupId: aws.String(webID),
		IpPermissions: []types.IpPermission{{
			IpProtocol: aws.String("TCP"), FromPort: aws.Int32(22), ToPort: aws.Int32(22),
			IpRanges: []types.IpRange{{CidrIp: aws.String("203.0.113.7/24"), Description: aws.String("a grant")}},
		}},
		TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeSecurityGroupRule, Tags: []types.Tag{{Key: aws.String("by"), Value: aws.String("test")}}}},
	})
	ok(t, err)
	rule := added.SecurityGroupRules[0]
	if *rule.CidrIpv4 != "203.0.113.0/24" || *rule.IpProtocol != "tcp" || *rule.Description != "a grant" || *rule.Tags[0].Value != "test" {
		t.Errorf("the rule: %+v", rule)
	}
	if v := sim.Connect(client4, iID, 22); v.Outcome.String() != "delivered" {
		t.Errorf("open: %s", v)
	}

	rules, err := client.DescribeSecurityGroupRules(ctx, &sdk.DescribeSecurityGroupRulesInput{Filters: []types.Filter{
		{Name: aws.String("group-id"), Values: []string{webID}}, {Name: aws.String("tag:by"), Values: []string{"test"}},
	}})
	ok(t, err)
	if len(rules.SecurityGroupRules) != 1 || *rules.SecurityGroupRules[0].SecurityGroupRuleId != *rule.SecurityGroupRuleId {
		t.Errorf("rules by tag: %+v", rules.SecurityGroupRules)
	}
	_, err = client.ModifySecurityGroupRules(ctx, &sdk.ModifySecurityGroupRulesInput{GroupId: aws.String(webID), SecurityGroupRules: []types.SecurityGroupRuleUpdate{{
		SecurityGroupRuleId: rule.SecurityGroupRuleId,
		SecurityGroupRule:   &types.SecurityGroupRuleRequest{IpProtocol: aws.String("tcp"), FromPort: aws.Int32(2222), ToPort: aws.Int32(2222), CidrIpv4: aws.String("203.0.113.0/24")},
	}}})
	ok(t, err)
	groups, err := client.DescribeSecurityGroups(ctx, &sdk.DescribeSecurityGroupsInput{GroupIds: []string{webID}})
	ok(t, err)
	if p := groups.SecurityGroups[0].IpPermissions; len(p) != 1 || *p[0].FromPort != 2222 || *p[0].IpRanges[0].CidrIp != "203.0.113.0/24" {
		t.Errorf("after the change: %+v", p)
	}
	gone, err := client.RevokeSecurityGroupIngress(ctx, &sdk.RevokeSecurityGroupIngressInput{GroupId: aws.String(webID), SecurityGroupRuleIds: []string{*rule.SecurityGroupRuleId}})
	ok(t, err)
	if len(gone.RevokedSecurityGroupRules) != 1 || *gone.RevokedSecurityGroupRules[0].FromPort != 2222 {
		t.Errorf("revoked: %+v", gone.RevokedSecurityGroupRules)
	}
	_, err = client.RevokeSecurityGroupIngress(ctx, &sdk.RevokeSecurityGroupIngressInput{GroupId: aws.String(webID), SecurityGroupRuleIds: []string{*rule.SecurityGroupRuleId}})
	wantCode(t, err, "InvalidSecurityGroupRuleId.NotFound")
}

// A group's life: made, worn, not deleted while it is worn, deleted.
func TestGroupLife(t *testing.T) {
	sim, client := direct(t, ec2.Config{Seed: 2})
	sim.Build(ec2.DefaultRegion, small)
	ctx := t.Context()
	before := sim.Document(ec2.DefaultRegion)
	made, err := client.CreateSecurityGroup(ctx, &sdk.CreateSecurityGroupInput{
		GroupName: aws.String("owned"), Description: aws.String("ours"), VpcId: aws.String(vpcID),
		TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeSecurityGroup, Tags: []types.Tag{{Key: aws.String("sesame"), Value: aws.String("x")}}}},
	})
	ok(t, err)
	groups, err := client.DescribeSecurityGroups(ctx, &sdk.DescribeSecurityGroupsInput{GroupIds: []string{*made.GroupId}})
	ok(t, err)
	if e := groups.SecurityGroups[0].IpPermissionsEgress; len(e) != 1 || *e[0].IpProtocol != "-1" || e[0].FromPort != nil {
		t.Errorf("a new group lets everything out: %+v", e)
	}
	_, err = client.RevokeSecurityGroupEgress(ctx, &sdk.RevokeSecurityGroupEgressInput{GroupId: made.GroupId, IpPermissions: []types.IpPermission{{IpProtocol: aws.String("-1"), IpRanges: []types.IpRange{{CidrIp: aws.String("0.0.0.0/0")}}}}})
	ok(t, err)
	wear := func(groups ...string) error {
		_, err := client.ModifyNetworkInterfaceAttribute(ctx, &sdk.ModifyNetworkInterfaceAttributeInput{NetworkInterfaceId: aws.String(eniID), Groups: groups})
		return err
	}
	ok(t, wear(webID, *made.GroupId))
	_, err = client.DeleteSecurityGroup(ctx, &sdk.DeleteSecurityGroupInput{GroupId: made.GroupId})
	wantCode(t, err, "DependencyViolation")
	_, err = client.ModifyInstanceAttribute(ctx, &sdk.ModifyInstanceAttributeInput{InstanceId: aws.String(iID), Groups: []string{webID}})
	ok(t, err)
	_, err = client.DeleteSecurityGroup(ctx, &sdk.DeleteSecurityGroupInput{GroupId: made.GroupId})
	ok(t, err)
	wantCode(t, wear(webID, *made.GroupId), "InvalidGroup.NotFound")
	if diff := cmp.Diff(before, sim.Document(ec2.DefaultRegion)); diff != "" {
		t.Errorf("what is left (-before +after):\n%s", diff)
	}
}

func TestPagesAndFilters(t *testing.T) {
	for _, short := range []bool{false, true} {
		sim, client := direct(t, ec2.Config{Seed: 3, Unthrottled: true, ShortPages: short})
		ok(t, sim.Fleet(ec2.DefaultRegion, 137, 3))
		seen, pages := map[string]bool{}, 0
		p := sdk.NewDescribeInstancesPaginator(client, &sdk.DescribeInstancesInput{
			MaxResults: aws.Int32(10), Filters: []types.Filter{{Name: aws.String("tag:team"), Values: []string{"red"}}},
		})
		for p.HasMorePages() {
			page, err := p.NextPage(t.Context())
			ok(t, err)
			pages++
			for _, r := range page.Reservations {
				seen[*r.Instances[0].InstanceId] = true
			}
		}
		want := 0
		for _, i := range sim.Instances(ec2.DefaultRegion) {
			if i.Tags["team"] == "red" {
				want++
			}
		}
		if len(seen) != want || want == 0 || short != (pages == 14) {
			t.Errorf("short pages %v: %d instances on %d pages, want %d", short, len(seen), pages, want)
		}
	}
}

func TestPageTokensAreForOneQuestion(t *testing.T) {
	sim, client := direct(t, ec2.Config{})
	ok(t, sim.Fleet(ec2.DefaultRegion, 20, 1))
	ctx := t.Context()
	first, err := client.DescribeInstances(ctx, &sdk.DescribeInstancesInput{MaxResults: aws.Int32(5)})
	ok(t, err)
	_, err = client.DescribeInstances(ctx, &sdk.DescribeInstancesInput{MaxResults: aws.Int32(7), NextToken: first.NextToken})
	ok(t, err)
	_, err = client.DescribeInstances(ctx, &sdk.DescribeInstancesInput{NextToken: first.NextToken, Filters: []types.Filter{{Name: aws.String("tag:team"), Values: []string{"red"}}}})
	wantCode(t, err, "InvalidPaginationToken")
	_, err = client.DescribeInstances(ctx, &sdk.DescribeInstancesInput{NextToken: aws.String("5")})
	wantCode(t, err, "InvalidPaginationToken")
	_, err = client.DescribeInstances(ctx, &sdk.DescribeInstancesInput{MaxResults: aws.Int32(4)})
	wantCode(t, err, "InvalidParameterValue")
	_, err = client.DescribeInstances(ctx, &sdk.DescribeInstancesInput{MaxResults: aws.Int32(5), InstanceIds: []string{"i-00000001"}})
	wantCode(t, err, "InvalidParameterCombination")
	_, err = client.DescribeInstances(ctx, &sdk.DescribeInstancesInput{Filters: []types.Filter{{Name: aws.String("color"), Values: []string{"red"}}}})
	wantCode(t, err, "InvalidParameterValue")
	_, err = client.DescribeInstances(ctx, &sdk.DescribeInstancesInput{InstanceIds: []string{"i-00000123"}})
	wantCode(t, err, "InvalidInstanceID.NotFound")
	_, err = client.DescribeInstances(ctx, &sdk.DescribeInstancesInput{InstanceIds: []string{"sg-00000123"}})
	wantCode(t, err, "InvalidInstanceID.Malformed")
}

// Every description that the provider may want works for a whole fleet.
func TestDescribeEverything(t *testing.T) {
	sim, client := direct(t, ec2.Config{Regions: []string{"us-east-1", ec2.DefaultRegion}})
	ok(t, sim.Fleet(ec2.DefaultRegion, 40, 9))
	ctx := t.Context()
	count := map[string]int{}
	see := func(what string, n int, err error) {
		t.Helper()
		ok(t, err)
		count[what] = n
	}
	vpcs, err := client.DescribeVpcs(ctx, &sdk.DescribeVpcsInput{})
	see("vpcs", len(vpcs.Vpcs), err)
	subnets, err := client.DescribeSubnets(ctx, &sdk.DescribeSubnetsInput{})
	see("subnets", len(subnets.Subnets), err)
	tables, err := client.DescribeRouteTables(ctx, &sdk.DescribeRouteTablesInput{})
	see("route tables", len(tables.RouteTables), err)
	gateways, err := client.DescribeInternetGateways(ctx, &sdk.DescribeInternetGatewaysInput{})
	see("gateways", len(gateways.InternetGateways), err)
	acls, err := client.DescribeNetworkAcls(ctx, &sdk.DescribeNetworkAclsInput{})
	see("acls", len(acls.NetworkAcls), err)
	peerings, err := client.DescribeVpcPeeringConnections(ctx, &sdk.DescribeVpcPeeringConnectionsInput{})
	see("peerings", len(peerings.VpcPeeringConnections), err)
	lists, err := client.DescribeManagedPrefixLists(ctx, &sdk.DescribeManagedPrefixListsInput{})
	see("prefix lists", len(lists.PrefixLists), err)
	regions, err := client.DescribeRegions(ctx, &sdk.DescribeRegionsInput{})
	see("regions", len(regions.Regions), err)
	attributes, err := client.DescribeAccountAttributes(ctx, &sdk.DescribeAccountAttributesInput{})
	see("attributes", len(attributes.AccountAttributes), err)
	attributes, err = client.DescribeAccountAttributes(ctx, &sdk.DescribeAccountAttributesInput{AttributeNames: []types.AccountAttributeName{"vpc-max-security-groups-per-interface"}})
	ok(t, err)
	if a := attributes.AccountAttributes; len(a) != 1 || aws.ToString(a[0].AttributeValues[0].AttributeValue) != "5" {
		t.Errorf("groups per interface: %+v", a)
	}
	_, err = client.DescribeAccountAttributes(ctx, &sdk.DescribeAccountAttributesInput{AttributeNames: []types.AccountAttributeName{"rules"}})
	wantCode(t, err, "InvalidParameterValue")
	for _, l := range lists.PrefixLists {
		entries, err := client.GetManagedPrefixListEntries(ctx, &sdk.GetManagedPrefixListEntriesInput{PrefixListId: l.PrefixListId, MaxResults: aws.Int32(1)})
		ok(t, err)
		count["entries on first pages"] += len(entries.Entries)
	}
	statuses, err := client.DescribeInstanceStatus(ctx, &sdk.DescribeInstanceStatusInput{IncludeAllInstances: aws.Bool(true)})
	see("statuses", len(statuses.InstanceStatuses), err)
	interfaces, err := client.DescribeNetworkInterfaces(ctx, &sdk.DescribeNetworkInterfacesInput{})
	ok(t, err)
	for _, n := range interfaces.NetworkInterfaces {
		if n.Attachment != nil && n.Attachment.InstanceId != nil && len(n.Groups) > 0 && len(n.PrivateIpAddresses) > 0 {
			count["interfaces of instances"] |= 1
		}
	}
	addresses, err := client.DescribeAddresses(ctx, &sdk.DescribeAddressesInput{})
	ok(t, err)
	for _, a := range addresses.Addresses {
		if a.InstanceId != nil && a.PrivateIpAddress != nil {
			count["addresses of instances"] |= 1
		}
	}
	tags, err := client.DescribeTags(ctx, &sdk.DescribeTagsInput{Filters: []types.Filter{{Name: aws.String("key"), Values: []string{"team"}}}})
	see("team tags", len(tags.Tags), err)
	var scanner string
	for _, g := range sim.Groups(ec2.DefaultRegion) {
		if g.Name == "scanner" {
			scanner = g.ID
		}
	}
	references, err := client.DescribeSecurityGroupReferences(ctx, &sdk.DescribeSecurityGroupReferencesInput{GroupId: []string{scanner}})
	see("references", len(references.SecurityGroupReferenceSet), err)
	want := map[string]int{
		"vpcs": 3, "subnets": 10, "route tables": 4, "gateways": 2, "acls": 3, "peerings": 1, "prefix lists": 2, "regions": 2, "attributes": 6,
		"entries on first pages": 2, "statuses": 40, "interfaces of instances": 1, "addresses of instances": 1, "team tags": 40, "references": 1,
	}
	if diff := cmp.Diff(want, count); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	// A peering that ends leaves stale rules.
	sim.Hand(ec2.DefaultRegion, endPeerings)
	stale, err := client.DescribeStaleSecurityGroups(ctx, &sdk.DescribeStaleSecurityGroupsInput{VpcId: vpcOf(sim, "scanned")})
	ok(t, err)
	if len(stale.StaleSecurityGroupSet) != 1 || len(stale.StaleSecurityGroupSet[0].StaleIpPermissions) != 1 {
		t.Errorf("stale: %+v", stale.StaleSecurityGroupSet)
	}
}

// Entries come in pages too, and those of a network ACL with the last ones, which
// nobody wrote.
func TestEntries(t *testing.T) {
	sim, client := direct(t, ec2.Config{})
	networks := []string{"203.0.113.0/26", "203.0.113.64/26", "203.0.113.128/26", "203.0.113.192/26"}
	sim.Build(ec2.DefaultRegion, func(w *world.World) {
		small(w)
		l := world.PrefixList{Resource: world.Resource{ID: "pl-00000001", Owner: ec2.DefaultAccount}, MaxEntries: 5, Version: 1}
		for _, n := range networks {
			l.Entries = append(l.Entries, world.ListEntry{CIDR: netip.MustParsePrefix(n)})
		}
		w.PrefixLists.Put(world.Moment{}.Now, l)
	})
	var got []string
	for p := sdk.NewGetManagedPrefixListEntriesPaginator(client, &sdk.GetManagedPrefixListEntriesInput{PrefixListId: aws.String("pl-00000001"), MaxResults: aws.Int32(1)}); p.HasMorePages(); {
		page, err := p.NextPage(t.Context())
		ok(t, err)
		for _, e := range page.Entries {
			got = append(got, *e.Cidr)
		}
	}
	if diff := cmp.Diff(networks, got); diff != "" {
		t.Error(diff)
	}

	ok(t, sim.HandCall(ec2.DefaultRegion, ec2.DefaultAccount, form(acl("CreateNetworkAclEntry", "50", "RuleAction=deny Protocol=6 PortRange.From=20 PortRange.To=22 CidrBlock=203.0.113.7/32"))))
	acls, err := client.DescribeNetworkAcls(t.Context(), &sdk.DescribeNetworkAclsInput{NetworkAclIds: []string{aclID}})
	ok(t, err)
	got = nil
	for _, e := range acls.NetworkAcls[0].Entries {
		line := fmt.Sprintf("%d egress=%v %s %s %s", *e.RuleNumber, *e.Egress, e.RuleAction, *e.Protocol, aws.ToString(e.CidrBlock))
		if e.PortRange != nil {
			line += fmt.Sprintf(" %d-%d", *e.PortRange.From, *e.PortRange.To)
		}
		got = append(got, line)
	}
	want := []string{
		"50 egress=false deny 6 203.0.113.7/32 20-22", "100 egress=false allow -1 0.0.0.0/0", "100 egress=true allow -1 0.0.0.0/0",
		"32767 egress=false deny -1 0.0.0.0/0", "32767 egress=true deny -1 0.0.0.0/0",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func vpcOf(sim *ec2.Simulator, group string) *string {
	for _, g := range sim.Groups(ec2.DefaultRegion) {
		if g.Name == group {
			return &g.VPC
		}
	}
	return nil
}

func TestAssumeRole(t *testing.T) {
	const other = "444455556666"
	role := gate.Role{
		ARN: "arn:aws:iam::" + other + ":role/opener", ExternalID: "between us", Trusts: []string{ec2.DefaultAccount},
		May: []gate.Statement{{Actions: []string{"ec2:Describe*"}}},
	}
	sim, err := ec2.New(ec2.Config{Roles: []gate.Role{role}})
	ok(t, err)
	a := over(sim.Client(), "http://aws.example", defaultKey())
	assume := func(arn, external string) aws.CredentialsProvider {
		return stscreds.NewAssumeRoleProvider(a.sts(), arn, func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName = "sesame"
			if external != "" {
				o.ExternalID = &external
			}
		})
	}
	inside := over(sim.Client(), "http://aws.example", assume(role.ARN, "between us"))
	who, err := inside.sts().GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	ok(t, err)
	if *who.Arn != "arn:aws:sts::"+other+":assumed-role/opener/sesame" || *who.Account != other {
		t.Errorf("who: %s", *who.Arn)
	}
	_, err = inside.ec2().DescribeInstances(t.Context(), &sdk.DescribeInstancesInput{})
	ok(t, err)
	_, err = inside.ec2().DeleteSecurityGroup(t.Context(), &sdk.DeleteSecurityGroupInput{GroupId: aws.String("sg-00000001")})
	wantCode(t, err, "UnauthorizedOperation")
	for _, external := range []string{"", "between them"} {
		_, err = assume(role.ARN, external).Retrieve(t.Context())
		wantCode(t, err, "AccessDenied")
	}
	_, err = assume("arn:aws:iam::"+other+":role/other", "between us").Retrieve(t.Context())
	wantCode(t, err, "AccessDenied")
}

func TestSignatures(t *testing.T) {
	sim, err := ec2.New(ec2.Config{})
	ok(t, err)
	for _, tt := range []struct{ key, secret, token, want string }{
		{ec2.DefaultKey, ec2.DefaultSecret, "", ""},
		{ec2.DefaultKey, "guess", "", "AuthFailure"},
		{"AKIAUNKNOWN", ec2.DefaultSecret, "", "AuthFailure"},
		{ec2.DefaultKey, ec2.DefaultSecret, "token", "AuthFailure"},
	} {
		a := over(sim.Client(), "http://aws.example", credentials.NewStaticCredentialsProvider(tt.key, tt.secret, tt.token))
		_, err := a.ec2().DescribeRegions(t.Context(), &sdk.DescribeRegionsInput{})
		wantCode(t, err, tt.want)
		if tt.want != "" {
			_, err = a.sts().GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
			if c := code(err); c != "SignatureDoesNotMatch" && c != "InvalidClientTokenId" {
				t.Errorf("%+v: %s", tt, c)
			}
		}
	}
	a := over(sim.Client(), "http://aws.example", defaultKey())
	a.config.Region = "mars-north-1"
	_, err = a.ec2().DescribeInstances(t.Context(), &sdk.DescribeInstancesInput{})
	wantCode(t, err, "AuthFailure")

	bare, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodPost, "http://aws.example/", http.NoBody)
	ok(t, err)
	reply, err := sim.Client().Do(bare)
	ok(t, err)
	defer reply.Body.Close()
	if reply.StatusCode != http.StatusForbidden {
		t.Errorf("without a signature: %s", reply.Status)
	}
}
