package scope_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sesame-access/sesame/internal/authz/scope"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
)

const (
	subscription = "/subscriptions/11111111-2222-3333-4444-555555555555"
	group        = subscription + "/resourcegroups/prod"
	vm           = group + "/providers/microsoft.compute/virtualmachines/web-1"
	instance     = "arn:aws:ec2:eu-central-1:123456789012:instance/i-0123456789abcdef0"
	leads        = "/providers/microsoft.management/managementgroups/leads"
	root         = "/providers/microsoft.management/managementgroups/root"
)

func TestParse(t *testing.T) {
	for _, s := range []string{
		"/", "azure://", "aws://", "host://", "host://web-1", "aws://123456789012", "aws://123456789012/eu-central-1",
		"aws://o-abcdefghij", "aws://ou-ab12-cdefghij", "tag:env=prod", "tag:a=b=c", instance,
		subscription, group, vm, leads, vm + "/extensions/aad",
		group + "/providers/microsoft.security/locations/westeurope/jitnetworkaccesspolicies/default",
	} {
		if got, err := scope.Parse(s); err != nil || string(got) != s {
			t.Errorf("Parse(%q) = %q, %v", s, got, err)
		}
	}
	for given, want := range map[string]string{
		"/Subscriptions/11111111-2222-3333-4444-555555555555/ResourceGroups/PROD": group,
		"/providers/Microsoft.Management/managementGroups/Leads":                  leads,
		strings.ToUpper(vm): vm,
	} {
		if got, err := scope.Parse(given); err != nil || string(got) != want {
			t.Errorf("Parse(%q) = %q, %v", given, got, err)
		}
	}
}

// TestZ13 is the list of spellings that could be read as a place that they do not
// name.
func TestZ13(t *testing.T) {
	for _, s := range []string{
		"", " /", "/ ", "//", "/.", "/..", "/subscriptions", "/subscriptions/", subscription + "/", subscription + "//",
		subscription + "/resourcegroups", group + "/", group + ".", group + "/..", group + "/../other", group + "%2fx",
		subscription + "/resourcegroups/prod%2Fproviders", subscription + "/resourcegroups/pröd",
		subscription + "/resourcegroups/\u0440rod", subscription + "/resourcegroups/prod\n", subscription + "/resourcegroups/prod*",
		"/subscriptions/*", "/subscriptions/11111111222233334444555555555555", "/subscriptions/11111111-2222-3333-4444-55555555555g",
		group + "/providers", group + "/providers/microsoft.compute", group + "/providers/microsoft.compute/virtualmachines",
		vm + "/extensions", leads + "/", leads + "/x", "/providers/microsoft.management/managementgroups/",
		"host://WEB_1 ", "host://web-1/", "host://*", "HOST://", "aws://1234", "aws://123456789012/", "aws://123456789012/eu",
		"aws://o-ABC", "aws://ou-ab12", "aws://123456789012/EU-central-1", "AWS://", "azure://x", "aws:///",
		"tag:env", "tag:=prod", "tag:env=", "tag: env=prod", "tag:env=prod ", "tag:env=pr\u043ed", "tag:env=\x00", "Tag:env=prod",
		instance + "x", strings.ToUpper(instance),
		"\u2215subscriptions", "tag:" + strings.Repeat("k", 300) + "=v",
	} {
		if got, err := scope.Parse(s); err == nil || got != "" || errkind.FieldOf(err).Name != "scope" {
			t.Errorf("Parse(%q) = %q, %v", s, got, err)
		}
	}
}

func TestAbove(t *testing.T) {
	tree := scope.Tree{subscription: leads, leads: root, "aws://123456789012": "aws://ou-ab12-cdefghij", "aws://ou-ab12-cdefghij": "aws://o-abcdefghij"}
	if err := tree.Check(); err != nil {
		t.Fatal(err)
	}
	for s, want := range map[scope.Scope][]scope.Scope{
		"":                      nil,
		"/":                     {"/"},
		"azure://":              {"azure://", "/"},
		vm:                      {vm, group, subscription, leads, root, "azure://", "/"},
		vm + "/extensions/aad":  {vm + "/extensions/aad", vm, group, subscription, leads, root, "azure://", "/"},
		instance:                {instance, "aws://123456789012/eu-central-1", "aws://123456789012", "aws://ou-ab12-cdefghij", "aws://o-abcdefghij", "aws://", "/"},
		"aws://123456789013":    {"aws://123456789013", "aws://", "/"},
		"host://web-1":          {"host://web-1", "host://", "/"},
		"tag:env=prod":          {"tag:env=prod", "/"},
		root:                    {root, "azure://", "/"},
		"/subscriptions/x-none": {"/subscriptions/x-none", "azure://", "/"},
	} {
		if diff := cmp.Diff(want, tree.Above(s)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", s, diff)
		}
	}
	want := []scope.Scope{"host://web-1", "host://", "tag:app=shop", "tag:env=prod", "/"}
	if diff := cmp.Diff(want, tree.AboveVM("host://web-1", map[string]string{"env": "prod", "app": "shop"})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A circle in what a cloud tells does not stop anybody: it leads to the cloud.
func TestCircles(t *testing.T) {
	tree := scope.Tree{subscription: leads, leads: root, root: leads}
	want := []scope.Scope{subscription, leads, root, "azure://", "/"}
	if diff := cmp.Diff(want, tree.Above(subscription)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for name, bad := range map[string]scope.Tree{
		"a circle": tree, "itself": {leads: leads}, "another cloud": {subscription: "aws://o-abcdefghij"},
		"a resource group": {group: leads}, "no scope": {"x": leads}, "above nothing": {subscription: ""},
		"an organisation": {"aws://o-abcdefghij": "aws://o-abcdefghik"}, "a region": {"aws://123456789012/eu-central-1": "aws://o-abcdefghij"},
	} {
		if err := bad.Check(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// What merely begins like a scope does not lie below it.
func TestContainsIsNotPrefix(t *testing.T) {
	for outer, others := range map[scope.Scope][]scope.Scope{
		group:                 {group + "-2", subscription + "/resourcegroups/pro"},
		"host://web":          {"host://web-1"},
		"aws://123456789012":  {"aws://123456789013"},
		"tag:env=prod":        {"tag:env=production"},
		"host://":             {"/", vm},
		vm:                    {group, vm + "0"},
		"aws://":              {"azure://", "aws"},
		subscription + "/foo": {group},
	} {
		for _, inner := range others {
			if scope.Tree(nil).Contains(outer, inner) {
				t.Errorf("%s contains %s", outer, inner)
			}
		}
	}
}

func TestContainmentIsAnOrder(t *testing.T) {
	all := []scope.Scope{"/", "azure://", "aws://", "host://", leads, root, subscription, group, vm, instance, "aws://123456789012", "host://web-1", "tag:env=prod", ""}
	parents := []scope.Scope{leads, root, "aws://o-abcdefghij", subscription, ""}
	rapid.Check(t, func(t *rapid.T) {
		tree := scope.Tree(rapid.MapOf(rapid.SampledFrom(all), rapid.SampledFrom(parents)).Draw(t, "tree"))
		s := rapid.SampledFrom(all).Draw(t, "scope")
		above := tree.Above(s)
		if s == "" {
			if above != nil || tree.Contains("", "") {
				t.Fatal("no scope is somewhere")
			}
			return
		}
		if above[0] != s || above[len(above)-1] != scope.All || len(above) > 64 {
			t.Fatalf("%v", above)
		}
		if slices.Sort(above); len(slices.Compact(above)) != len(tree.Above(s)) {
			t.Fatalf("%v is in a circle", tree.Above(s))
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"/", vm, instance, "tag:a=b", "aws://o-abcdefghij", leads, "host://web-1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := scope.Parse(text)
		if err != nil {
			return
		}
		again, err := scope.Parse(string(s))
		if err != nil || again != s {
			t.Fatalf("%q is %q, which is %q, %v", text, s, again, err)
		}
		if id, ok := s.VM(); ok && scope.OfVM(id) != s {
			t.Fatalf("%q is the VM %q", s, id)
		}
	})
}

func TestVM(t *testing.T) {
	for s, want := range map[scope.Scope]bool{vm: true, instance: true, "host://web-1": true, "/": false, group: false, "host://": false, "": false, scope.Scope(strings.ToUpper(vm)): false} {
		if id, ok := s.VM(); ok != want || ok && id != firewall.VMID(s) {
			t.Errorf("%q is a VM: %v", s, ok)
		}
	}
}
