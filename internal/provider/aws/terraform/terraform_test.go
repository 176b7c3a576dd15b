package terraform_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/aws/securitygroup"
	"github.com/sesame-access/sesame/internal/provider/aws/terraform"
	"github.com/sesame-access/sesame/internal/provider/hcl/hcltest"
)

const (
	vpc      = "arn:aws:ec2:eu-central-1:111122223333:vpc/vpc-1"
	instance = "arn:aws:ec2:eu-central-1:111122223333:instance/i-1"
)

func keys(name string) firewall.Keyring {
	return firewall.Keyring{Instance: name, Keys: []firewall.MarkKey{{ID: "k", Secret: []byte("0123456789abcdef")}}}
}

func port(n int, cidr string) securitygroup.Rule {
	return securitygroup.Rule{Protocol: 6, First: n, Last: n, CIDR: netip.MustParsePrefix(cidr)}
}

// reading is a VPC with an instance that wears two groups of others and one of ours;
// of the default group a rule is out, and we and another installation keep something
// there.
func reading() securitygroup.Reading {
	r := securitygroup.Reading{Network: securitygroup.Network{ID: vpc}, Keys: keys("live")}
	other := r
	other.Keys = keys("staging")
	id := func(id string, x securitygroup.Rule) securitygroup.Rule { x.ID = id; return x }
	all := func(x securitygroup.Rule) securitygroup.Rule {
		x.First, x.Last = securitygroup.All, securitygroup.All
		return x
	}
	r.Groups = []securitygroup.Group{
		{ID: "sg-1", Name: "default", Ingress: []securitygroup.Rule{
			id("sgr-1", all(securitygroup.Rule{Protocol: securitygroup.All, Group: "sg-1"})),
			id("sgr-2", r.SealRest("sg-1", port(23, "0.0.0.0/0"))),
			id("sgr-3", other.SealRest("sg-1", port(24, "0.0.0.0/0"))),
		}},
		{ID: "sg-2", Name: "web", Ingress: []securitygroup.Rule{
			id("sgr-4", securitygroup.Rule{Protocol: 17, First: 53, Last: 60, CIDR: netip.MustParsePrefix("2001:db8::/32"), Description: "${var.secret} \"}\nresource"}),
			id("sgr-5", securitygroup.Rule{Protocol: 1, First: 8, Last: securitygroup.All, List: "pl-1", Tags: []securitygroup.Tag{{Key: "Name", Value: "ping"}, {Key: "aws:own", Value: "1"}}}),
			id("sgr-6", all(securitygroup.Rule{Protocol: 50, Group: "sg-9", Owner: "999988887777"})),
			id("sgr-7", securitygroup.Rule{Protocol: 6, First: 443, Last: 443, CIDR: netip.MustParsePrefix("0.0.0.0/0")}),
		}},
		{ID: "sg-3", Name: "sesame-live-i-1", Tags: []securitygroup.Tag{{Key: securitygroup.OwnTag, Value: "live"}}, Ingress: []securitygroup.Rule{
			id("sgr-8", r.Opening(firewall.Door{VM: instance, Protocol: firewall.TCP, Port: 22}, firewall.Opening{From: netip.MustParsePrefix("203.0.113.5/32")})),
		}},
		{ID: "sg-4", Name: "unworn", Ingress: nil},
	}
	r.Interfaces = []securitygroup.Interface{
		{ID: "eni-1", VM: instance, Groups: []string{"sg-1", "sg-3"}},
		{ID: "eni-2", VM: instance, Groups: []string{"sg-2", "sg-3"}},
		{ID: "eni-3", Groups: []string{"sg-4"}},
	}
	return r
}

func displaced() []plan.Change {
	return []plan.Change{
		{Op: plan.Displace, Rule: "sg-1 22/tcp from 0.0.0.0/0"}, {Op: plan.Displace, Rule: "sg-11 80/tcp from 0.0.0.0/0"},
	}
}

func text(list []provider.Snippet) string {
	var parts []string
	for _, s := range list {
		parts = append(parts, s.HCL)
	}
	return strings.Join(parts, "\n")
}

// The default group, word by word: what is out is named and not written, and what is
// ours is neither.
func TestGroup(t *testing.T) {
	const want = `# A lock takes rules out of sg-1 (default), and ` + "`disable`" + ` gives them back. Code with its rules
# inline puts them back at each apply: take the ingress blocks out of it, have it ignore what is
# there, and keep the rules below instead.
# Out now, and not to be in code until ` + "`sesame disable`" + `: 22/tcp from 0.0.0.0/0
resource "aws_default_security_group" "sg-1" {
  lifecycle {
    ignore_changes = [ingress]
  }
}

import {
  to = aws_vpc_security_group_ingress_rule.sgr-1
  id = "sgr-1"
}

resource "aws_vpc_security_group_ingress_rule" "sgr-1" {
  security_group_id            = "sg-1"
  ip_protocol                  = "-1"
  referenced_security_group_id = "sg-1"
}
`
	got := terraform.Of(reading(), "sg-1", displaced())
	if diff := cmp.Diff([]provider.Snippet{{Firewall: vpc, Resource: "aws_default_security_group", ID: "sg-1", HCL: want}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	byARN := terraform.Of(reading(), "arn:aws:ec2:eu-central-1:111122223333:security-group/sg-1", displaced())
	if diff := cmp.Diff(got, byARN); diff != "" {
		t.Errorf("by its ARN it is another (-id +ARN):\n%s", diff)
	}
}

// An instance: itself, its interfaces, and the groups of others that it wears.
func TestInstance(t *testing.T) {
	got := terraform.Of(reading(), instance, displaced())
	var about []string
	for _, s := range got {
		about = append(about, s.Resource+" "+s.ID)
	}
	want := []string{
		"aws_instance i-1", "aws_network_interface eni-1", "aws_network_interface eni-2", "aws_default_security_group sg-1", "aws_security_group sg-2",
	}
	if !slices.Equal(about, want) {
		t.Errorf("about %v, want %v", about, want)
	}
	all := text(got)
	for _, line := range []string{
		"ignore_changes = [vpc_security_group_ids]", "ignore_changes = [security_groups]", `cidr_ipv6         = "2001:db8::/32"`,
		`description       = "$${var.secret} \"}\nresource"`, `prefix_list_id    = "pl-1"`, `"Name" = "ping"`, `from_port         = 8`, `to_port           = -1`,
		`referenced_security_group_id = "999988887777/sg-9"`, `ip_protocol                  = "50"`,
	} {
		if !strings.Contains(all, line) {
			t.Errorf("nothing says %s", line)
		}
	}
	for _, line := range []string{"sgr-2", "sgr-3", "sgr-8", "sesame-live", "sg-3", "sg-4", "aws:own", "80/tcp"} {
		if strings.Contains(all, line) {
			t.Errorf("something says %s", line)
		}
	}
	hcltest.Formatted(t, all)
}

func TestNobody(t *testing.T) {
	for _, part := range []string{"", "sg-3", "sg-9", "i-1", "g-1", "arn:aws:ec2:eu-central-1:111122223333:instance/i-2"} {
		if got := terraform.Of(reading(), part, nil); len(got) > 0 {
			t.Errorf("%q is %+v", part, got)
		}
	}
	for part, want := range map[string]bool{
		"sg-1": true, "arn:aws:ec2:eu-central-1:111122223333:security-group/sg-1": true, instance: true,
		"arn:aws:ec2:eu-west-1:111122223333:security-group/sg-1": false, "/subscriptions/x": false, "": false,
	} {
		if got := terraform.Writes(vpc, part); got != want {
			t.Errorf("the VPC may have %q: %v", part, got)
		}
	}
	if terraform.Writes("fw-web", "") {
		t.Error("what is no VPC has something")
	}
}
