// Package role says what each of the identities of the AWS provider has to be
// allowed: as data, and as the IAM policy that allows just that.
//
// What opens and what closes is tied to the tag that everything of ours carries,
// so that neither can touch a rule of somebody else's group. A locker cannot be: it
// takes foreign rules out and gives them back, and puts groups on interfaces. It is
// needed by enable, by disable, and to repair what somebody changed.
//
// Actions, kinds of resources and condition keys: Service Authorization Reference,
// Amazon EC2, as of 2026-11.
package role

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/provider/aws/securitygroup"
)

// A Role is one of the identities.
type Role string

// The roles.
const (
	Reader Role = "reader" // reads
	Opener Role = "opener" // adds and describes rules in owned groups
	Closer Role = "closer" // revokes rules in owned groups
	Locker Role = "locker" // everything else
)

// All returns the roles, from the least to the most that is allowed.
func All() []Role { return []Role{Reader, Closer, Opener, Locker} }

// A Grant is one statement of a policy: what may be done to what.
type Grant struct {
	ID      string   // its name in the policy
	Actions []string // without "ec2:", sorted
	// Kinds are the kinds of resources that it is about; none means all, for
	// actions that are about none.
	Kinds []string
	// Tagged says that the resource has our tag; Tagging that the call gives it.
	Tagged, Tagging bool
}

// The kinds of resources.
const (
	group = "security-group"
	rule  = "security-group-rule"
	iface = "network-interface"
	vpc   = "vpc"
)

// Grants returns what a role may do; nil for one that does not exist.
func Grants(r Role) []Grant {
	switch r {
	case Reader:
		return []Grant{{ID: "Read", Actions: reads()}}
	case Opener:
		return []Grant{
			{ID: "OpenInOwnGroups", Kinds: []string{group}, Tagged: true, Actions: []string{"AuthorizeSecurityGroupIngress", "UpdateSecurityGroupRuleDescriptionsIngress"}},
			{ID: "OpenWithRules", Kinds: []string{rule}, Actions: []string{"AuthorizeSecurityGroupIngress"}},
			{ID: "TagOwnRules", Kinds: []string{rule}, Tagging: true, Actions: []string{"CreateTags"}},
			{ID: "UntagOwnRules", Kinds: []string{rule}, Tagged: true, Actions: []string{"DeleteTags"}},
		}
	case Closer:
		return []Grant{
			{ID: "CloseInOwnGroups", Kinds: []string{group}, Tagged: true, Actions: []string{"RevokeSecurityGroupIngress"}},
			{ID: "CloseRules", Kinds: []string{rule}, Actions: []string{"RevokeSecurityGroupIngress"}},
		}
	case Locker:
		return []Grant{
			{ID: "DisplaceAndGiveBack", Kinds: []string{group, rule}, Actions: []string{"AuthorizeSecurityGroupIngress", "RevokeSecurityGroupIngress", "UpdateSecurityGroupRuleDescriptionsIngress"}},
			{ID: "TagWhatIsGivenBack", Kinds: []string{rule}, Actions: []string{"CreateTags", "DeleteTags"}},
			{ID: "MakeOwnGroups", Kinds: []string{group}, Tagging: true, Actions: []string{"CreateSecurityGroup", "CreateTags"}},
			{ID: "MakeThemInNetworks", Kinds: []string{vpc}, Actions: []string{"CreateSecurityGroup"}},
			{ID: "KeepOwnGroups", Kinds: []string{group}, Tagged: true, Actions: []string{"CreateTags", "DeleteSecurityGroup", "DeleteTags", "RevokeSecurityGroupEgress"}},
			{ID: "CloseTheWayOut", Kinds: []string{rule}, Actions: []string{"RevokeSecurityGroupEgress"}},
			{ID: "WearGroups", Kinds: []string{group, iface}, Actions: []string{"ModifyNetworkInterfaceAttribute"}},
		}
	}
	return nil
}

// reads are the reads: none of them can be limited to resources.
func reads() []string {
	return []string{
		"DescribeAccountAttributes", "DescribeInstances", "DescribeManagedPrefixLists", "DescribeNetworkAcls", "DescribeNetworkInterfaces", "DescribeRegions",
		"DescribeRouteTables", "DescribeSecurityGroupRules", "DescribeSecurityGroups", "DescribeSubnets", "DescribeVpcPeeringConnections",
		"GetManagedPrefixListEntries",
	}
}

// Actions returns everything that r may do to anything, without "ec2:", sorted.
func Actions(r Role) []string {
	var out []string
	for _, g := range Grants(r) {
		out = append(out, g.Actions...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// statement is a line of a policy document.
type statement struct {
	Sid       string                         `json:"Sid"`
	Effect    string                         `json:"Effect"`
	Action    []string                       `json:"Action"`
	Resource  []string                       `json:"Resource"`
	Condition map[string]map[string][]string `json:"Condition,omitempty"`
}

// Policy returns the IAM policy of r for an installation of that name, as JSON;
// nil for a role that does not exist. Without a name it is for every installation.
func Policy(r Role, installation string) []byte {
	document := struct {
		Version   string      `json:"Version"`
		Statement []statement `json:"Statement"`
	}{Version: "2012-10-17", Statement: nil}
	for _, g := range Grants(r) {
		document.Statement = append(document.Statement, g.statement(installation))
	}
	if document.Statement == nil {
		return nil
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetIndent("", "  ")
	if err := e.Encode(document); err != nil {
		return nil // cannot be: strings
	}
	return out.Bytes()
}

func (g Grant) statement(installation string) statement {
	s := statement{Sid: g.ID, Effect: "Allow", Action: nil, Resource: nil, Condition: nil}
	for _, a := range g.Actions {
		s.Action = append(s.Action, "ec2:"+a)
	}
	for _, k := range g.Kinds {
		s.Resource = append(s.Resource, "arn:*:ec2:*:*:"+k+"/*")
	}
	if s.Resource == nil {
		s.Resource = []string{"*"}
	}
	key := map[bool]string{g.Tagged: "aws:ResourceTag/", g.Tagging: "aws:RequestTag/"}[true]
	if key == "" {
		return s
	}
	// What stands for any text in a condition does not in a name.
	name := strings.NewReplacer("*", "${*}", "?", "${?}", "$", "${$}").Replace(installation)
	if installation == "" {
		name = "*"
	}
	s.Condition = map[string]map[string][]string{"StringLike": {key + securitygroup.OwnTag: {name}}}
	return s
}
