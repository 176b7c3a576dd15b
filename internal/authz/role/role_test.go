package role_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sesame-access/sesame/internal/authz/role"
	"github.com/sesame-access/sesame/internal/authz/scope"
)

func builtIn(t *testing.T, name string) role.Definition {
	t.Helper()
	for _, d := range role.BuiltIn() {
		if d.Is(name) {
			return d
		}
	}
	t.Fatalf("there is no role %s", name)
	return role.Definition{}
}

func TestMatches(t *testing.T) {
	for pattern, c := range map[string]struct{ yes, no []role.Operation }{
		"*":      {[]role.Operation{role.JITInitiate, "a"}, []role.Operation{role.Request, role.Manage}},
		"*/read": {[]role.Operation{role.JITRead, role.VMRead, "/read"}, []role.Operation{role.VMWrite, "read", "x/reader", role.View}},
		"Microsoft.Security/*/read": {
			[]role.Operation{role.JITRead, "microsoft.security/pricings/READ"},
			[]role.Operation{"Microsoft.Security/read", "Microsoft.SecurityInsights/x/read"},
		},
		"Microsoft.Security/locations/jitNetworkAccessPolicies/*/read": {nil, []role.Operation{role.JITRead}},
		"microsoft.compute/virtualmachines/READ":                       {[]role.Operation{role.VMRead}, []role.Operation{role.VMWrite, "x" + role.VMRead, role.VMRead + "x"}},
		"a*b*c":                                                        {[]role.Operation{"abc", "aXbYc", "abbcc"}, []role.Operation{"ab", "ac", "xabc", "abcx"}},
		"ab*ba":                                                        {[]role.Operation{"abba", "ab/ba"}, []role.Operation{"aba", "ab"}},
		"":                                                             {[]role.Operation{""}, []role.Operation{"a"}},
		"Sesame/*":                                                     {[]role.Operation{role.Manage, role.View}, []role.Operation{role.VMRead}},
		"sesame*":                                                      {nil, []role.Operation{role.Manage}},
		"*sesame/*":                                                    {nil, []role.Operation{role.Manage}},
		".*/read":                                                      {nil, []role.Operation{"a/read"}},
	} {
		for _, op := range c.yes {
			if !role.Matches(pattern, op) {
				t.Errorf("%q does not match %q", pattern, op)
			}
		}
		for _, op := range c.no {
			if role.Matches(pattern, op) {
				t.Errorf("%q matches %q", pattern, op)
			}
		}
	}
}

// A pattern means what the regular expression with .* for every star means.
func TestMatchesAgainstItsDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringOfN(rapid.SampledFrom([]rune("ab/*.")), 0, 8, -1).Draw(t, "pattern")
		op := rapid.StringOfN(rapid.SampledFrom([]rune("aB/.")), 0, 10, -1).Draw(t, "operation")
		quoted := strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*")
		want := regexp.MustCompile("(?i)^(?:" + quoted + ")$").MatchString(op)
		if got := role.Matches(pattern, role.Operation(op)); got != want {
			t.Fatalf("%q matches %q: %v, want %v", pattern, op, got, want)
		}
	})
}

// The permission tables of Microsoft's documentation of just-in-time access
// (just-in-time-access-usage, 2025-02): what each task needs, and who may do it.
func TestDocumentedPermissions(t *testing.T) {
	const jit = "Microsoft.Security/locations/jitNetworkAccessPolicies"
	tables := map[string][]string{
		"configure": {string(role.JITWrite), string(role.VMWrite)},
		"request":   {string(role.JITInitiate), jit + "/*/read", string(role.VMRead), "Microsoft.Network/networkInterfaces/*/read", "Microsoft.Network/publicIPAddresses/read"},
		"read":      {string(role.JITRead), string(role.JITInitiate), "Microsoft.Security/policies/read", "Microsoft.Security/pricings/read", string(role.VMRead), "Microsoft.Network/*/read"},
	}
	for name, want := range map[string]map[role.Operation]bool{
		"configure": {role.JITWrite: true, role.VMWrite: true, role.JITInitiate: false, role.JITDelete: false, role.JITRead: false},
		"request":   {role.JITInitiate: true, role.VMRead: true, role.JITRead: false, role.JITWrite: false, jit + "/x/read": true, "Microsoft.Network/publicIPAddresses/read": true},
		"read":      {role.JITRead: true, role.JITInitiate: true, role.JITWrite: false, "Microsoft.Network/networkSecurityGroups/read": true, "Microsoft.Security/pricings/read": true},
	} {
		d := role.Definition{Permissions: []role.Permission{{Actions: tables[name]}}}
		for op, allowed := range want {
			if d.Allows(op) != allowed {
				t.Errorf("%s allows %s: %v, want %v", name, op, !allowed, allowed)
			}
		}
	}
	// "Reader and Security Reader can view"; "Owner, Contributor and Security Admin
	// can request". Nobody of Azure has anything of Sesame's own.
	for name, want := range map[string]struct{ read, initiate, configure, assign bool }{
		"Reader":          {true, false, false, false},
		"Security Reader": {true, false, false, false},
		"Security Admin":  {true, true, false, false},
		"Contributor":     {true, true, true, false},
		"Owner":           {true, true, true, true},
		"JIT Access Role": {true, true, false, false},
		"viewer":          {},
		"admin":           {},
	} {
		d := builtIn(t, name)
		got := struct{ read, initiate, configure, assign bool }{
			d.Allows(role.JITRead), d.Allows(role.JITInitiate), d.Allows(role.JITWrite) && d.Allows(role.VMWrite),
			d.Allows("Microsoft.Authorization/roleAssignments/write"),
		}
		if got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
}

func TestOwnRoles(t *testing.T) {
	ops := []role.Operation{role.View, role.Request, role.Approve, role.Close, role.Enable, role.Disable, role.Manage}
	for name, want := range map[string][]role.Operation{
		"viewer":    {role.View},
		"requester": {role.View, role.Request},
		"approver":  {role.View, role.Approve, role.Close},
		"ADMIN":     ops,
		"Owner":     nil, "Contributor": nil, "Reader": nil, "Security Admin": nil, "JIT Access Role": nil, "Security Reader": nil,
	} {
		var got []role.Operation
		for _, op := range ops {
			if builtIn(t, name).Allows(op) {
				got = append(got, op)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s allows %v, want %v", name, got, want)
		}
	}
}

func TestNotActionsAreOfTheirPermission(t *testing.T) {
	d := role.Definition{Permissions: []role.Permission{
		{Actions: []string{"*"}, NotActions: []string{"*/action"}},
		{Actions: []string{string(role.JITInitiate)}},
	}}
	if !d.Allows(role.JITInitiate) || d.Allows("Microsoft.Compute/virtualMachines/start/action") || !d.Allows(role.VMWrite) {
		t.Error("a permission takes away from another, or not from its own")
	}
}

func TestValidate(t *testing.T) {
	for _, d := range role.BuiltIn() {
		if err := d.Validate(); err != nil {
			t.Errorf("%s: %v", d.Name, err)
		}
	}
	for name, break1 := range map[string]func(*role.Definition){
		"no name":         func(d *role.Definition) { d.Name = "" },
		"spaces":          func(d *role.Definition) { d.Name = "x " },
		"a homoglyph":     func(d *role.Definition) { d.Name = "аdmin" },
		"no permission":   func(d *role.Definition) { d.Permissions = nil },
		"a bad pattern":   func(d *role.Definition) { d.Permissions[0].Actions = []string{"a b"} },
		"an empty one":    func(d *role.Definition) { d.Permissions[0].NotActions = []string{""} },
		"too many":        func(d *role.Definition) { d.Permissions[0].Actions = slices.Repeat([]string{"a/b"}, 3_000) },
		"no scope":        func(d *role.Definition) { d.Scopes = nil },
		"an unclean one":  func(d *role.Definition) { d.Scopes = []scope.Scope{"/subscriptions/X"} },
		"an empty scope":  func(d *role.Definition) { d.Scopes = []scope.Scope{""} },
		"an endless name": func(d *role.Definition) { d.Name = strings.Repeat("x", 129) },
	} {
		d := role.Definition{Name: "x", Permissions: []role.Permission{{Actions: []string{"*/read"}}}, Scopes: []scope.Scope{"/"}}
		if err := d.Validate(); err != nil {
			t.Fatal(err)
		}
		if break1(&d); d.Validate() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestAssignableAt(t *testing.T) {
	const sub = "/subscriptions/11111111-2222-3333-4444-555555555555"
	d := role.Definition{Scopes: []scope.Scope{sub, "aws://"}}
	for s, want := range map[scope.Scope]bool{sub: true, sub + "/resourcegroups/a": true, "/": false, "azure://": false, "aws://123456789012": true, "": false} {
		if d.AssignableAt(nil, s) != want {
			t.Errorf("at %s: %v", s, !want)
		}
	}
}
