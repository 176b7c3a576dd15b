package storetest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/authz/accesspolicy"
	"github.com/sesame-access/sesame/internal/authz/role"
	"github.com/sesame-access/sesame/internal/authz/scope"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/policy"
	"github.com/sesame-access/sesame/internal/store"
)

func webPolicy() policy.Policy {
	return policy.Policy{
		Name: "web", Version: 1, VMs: []firewall.VMID{"host://web-1", "host://web-2"},
		Ports: []policy.Port{
			{Port: 22, Protocol: firewall.TCP, Max: 3 * time.Hour, Sources: sources("203.0.113.0/24"), WidestIPv4: 32, WidestIPv6: 64},
			{Port: 53, Protocol: firewall.UDP, Max: time.Minute, Sources: nil, WidestIPv4: 24, WidestIPv6: 128},
		},
		Exempt: sources("192.0.2.1/32", "2001:db8:1::/48"), Cut: true, Proof: true,
		Approvals: []policy.Approval{{Stage: "security", Count: 2}, {Stage: "lead", Count: 1}}, Within: time.Hour, Reason: true, Ticket: "CHG-[0-9]+",
		Glass: policy.Glass{Who: []access.Principal{{Issuer: "https://idp.example", Subject: "8a1f"}}, Max: 30 * time.Minute},
	}
}

func lock(host string) access.Lock {
	return access.Lock{
		Door: ssh(host), Exempt: sources("192.0.2.1/32"), Cut: true, Proof: true, Policy: "web", Since: now(), By: alice(),
		Accepts: []firewall.Loss{
			{VM: ssh("db-1").VM, Protocol: firewall.TCP, First: 22, Last: 65535, From: sources("10.0.0.0/8")},
			{VM: ssh(host).VM, Protocol: 0, But: []firewall.Protocol{1, 6, 17}, From: sources("0.0.0.0/0", "2001:db8:1::/48")},
		},
	}
}

func saveNeedsARecord(t *testing.T, f fixture) {
	g := grant(1, alice(), "web-1")
	f.save(t, store.Change{Grants: []access.Grant{g}})
	for name, c := range map[string]store.Change{
		"nothing":                           {},
		"a policy":                          {Policies: []policy.Policy{webPolicy()}},
		"an outcome":                        {Outcomes: []store.Outcome{{Grant: g.ID, Opened: now()}}},
		"a policy, and an outcome with one": {Policies: []policy.Policy{webPolicy()}, Outcomes: []store.Outcome{{Grant: "g-0", Opened: now(), Records: []audit.Record{record(audit.Opened, g)}}}},
		"an outcome beside one with one":    {Outcomes: []store.Outcome{{Grant: g.ID, Opened: now()}, {Grant: "g-0", Opened: now(), Records: []audit.Record{record(audit.Opened, g)}}}},
	} {
		if err := f.Save(t.Context(), c); err == nil {
			t.Errorf("%s was saved without a record", name)
		}
	}
	equal(t, "pending", get(f.Pending(t.Context()))(t), []access.Grant{g})
	if r := get(f.Rules(t.Context()))(t); len(r.Policies) != 0 {
		t.Errorf("it left %v", r.Policies)
	}
}

func policiesAreCountedAndKept(t *testing.T, f fixture) {
	web, db := webPolicy(), policy.Policy{Name: "db", Version: 7, VMs: nil, Ports: nil, Exempt: nil, Cut: false}
	f.save(t, store.Change{Policies: []policy.Policy{web, db}})
	db.Version = 1
	equal(t, "policies", get(f.Rules(t.Context()))(t).Policies, []policy.Policy{db, web})

	web.Cut, web.Version = false, 99
	f.save(t, store.Change{Policies: []policy.Policy{web}, DropPolicies: []string{"db"}})
	web.Version = 2
	equal(t, "policies", get(f.Rules(t.Context()))(t).Policies, []policy.Policy{web})

	err := f.Save(t.Context(), store.Change{DropPolicies: []string{"db"}, Records: []audit.Record{record(audit.PolicyDeleted)}})
	refused(t, "dropping a policy twice", err, errkind.Conflict)
}

func locksAreKept(t *testing.T, f fixture) {
	one, two := lock("web-1"), lock("web-2")
	f.save(t, store.Change{Locks: []access.Lock{two, one}})
	equal(t, "locks", get(f.Rules(t.Context()))(t).Locks, []access.Lock{one, two})

	one.Cut, one.Proof, one.Exempt, one.Accepts = false, false, nil, nil
	f.save(t, store.Change{Locks: []access.Lock{one}, Unlocks: []firewall.Door{two.Door}})
	equal(t, "locks", get(f.Rules(t.Context()))(t).Locks, []access.Lock{one})
	equal(t, "unlocked", get(f.Rules(t.Context()))(t).Unlocked, []firewall.Door{two.Door})

	err := f.Save(t.Context(), store.Change{Unlocks: []firewall.Door{two.Door}, Records: []audit.Record{record(audit.Unlocked)}})
	refused(t, "unlocking twice", err, errkind.Conflict)

	// What was given back and is locked again is not to be opened any more.
	f.save(t, store.Change{Locks: []access.Lock{two}})
	if r := get(f.Rules(t.Context()))(t); len(r.Unlocked) > 0 {
		t.Errorf("locked again, and still given back: %v", r.Unlocked)
	}
}

func assignmentsAreKept(t *testing.T, f fixture) {
	admin := authz.Assignment{Principal: alice(), Role: authz.Admin, Scope: scope.All}
	asker := authz.Assignment{Principal: bob(), Role: authz.Requester, Scope: "host://web-1"}
	f.save(t, store.Change{Roles: store.RoleChange{Assign: []authz.Assignment{admin, asker, admin}}})
	equal(t, "assignments", get(f.Rules(t.Context()))(t).Access.Assignments, []authz.Assignment{asker, admin})
	f.save(t, store.Change{Roles: store.RoleChange{Unassign: []authz.Assignment{asker}}})
	equal(t, "assignments", get(f.Rules(t.Context()))(t).Access.Assignments, []authz.Assignment{admin})
	err := f.Save(t.Context(), store.Change{Roles: store.RoleChange{Unassign: []authz.Assignment{asker}}, Records: []audit.Record{record(audit.Started)}})
	refused(t, "removing an assignment twice", err, errkind.Conflict)
}

func rolesAndAccessPoliciesAreKept(t *testing.T, f fixture) {
	ofGroup := authz.Assignment{Group: "https://idp#sre", Role: "Patcher", Scope: "aws://123456789012", Condition: "ActionMatches{'Sesame/*'}"}
	eligible := ofGroup
	eligible.Eligible = true
	patcher := role.Definition{Name: "Patcher", Description: "Patches.", Permissions: []role.Permission{{Actions: []string{"Sesame/vms/*"}, NotActions: []string{"Sesame/vms/close/action"}}}, Scopes: []scope.Scope{"/"}}
	deny := authz.Deny{Name: "d-1", From: []authz.Holder{{Principal: access.Principal{Issuer: "local", Subject: "bob"}}, {Group: "local#x"}}, Permissions: []role.Permission{{Actions: []string{"*"}}}, Scope: "host://", Exactly: true}
	document := accesspolicy.Document{Name: "nights", Text: `forbid (principal, action == Action::"request", resource) when { context.hour < 6 };`}
	c := store.RoleChange{
		Assign: []authz.Assignment{eligible, ofGroup}, Define: []role.Definition{patcher}, Deny: []authz.Deny{deny}, Policies: []accesspolicy.Document{document},
	}
	f.save(t, store.Change{Roles: c})
	f.save(t, store.Change{Roles: store.RoleChange{Policies: []accesspolicy.Document{document}}})
	document.Version = 2
	want := authz.Rules{
		Assignments: []authz.Assignment{ofGroup, eligible}, Definitions: []role.Definition{patcher},
		Denies: []authz.Deny{deny}, Policies: []accesspolicy.Document{document},
	}
	rules := get(f.Rules(t.Context()))(t)
	equal(t, "roles and access policies", rules.Access, want)
	c.Policies[0].Version = 2
	equal(t, "what was told beforehand", c.Apply(authz.Rules{}), authz.Rules{Assignments: c.Assign, Definitions: want.Definitions, Denies: want.Denies, Policies: want.Policies})
	member := access.Identity{Principal: bob(), Groups: []string{"https://idp#sre"}}
	const vm = "arn:aws:ec2:eu-central-1:123456789012:instance/i-0123456789abcdef0"
	if !rules.Engine.Allows(member, authz.Enable, authz.Target{VM: vm}) || rules.Engine.Allows(member, authz.Close, authz.Target{VM: vm}) {
		t.Error("the engine is not compiled from what was read")
	}
	f.save(t, store.Change{Locks: []access.Lock{lock("web-1")}})
	if again := get(f.Rules(t.Context()))(t); again.Engine != rules.Engine {
		t.Error("a lock makes the roles be compiled again")
	}
	gone := store.RoleChange{Unassign: c.Assign, Undefine: []string{"Patcher"}, Undeny: []string{"d-1"}, DropPolicies: []string{"nights"}}
	f.save(t, store.Change{Roles: gone})
	equal(t, "roles and access policies", get(f.Rules(t.Context()))(t).Access, authz.Rules{})
	for name, c := range map[string]store.RoleChange{
		"a role": {Undefine: gone.Undefine}, "a deny assignment": {Undeny: gone.Undeny}, "an access policy": {DropPolicies: gone.DropPolicies},
	} {
		err := f.Save(t.Context(), store.Change{Roles: c, Records: []audit.Record{record(audit.Started)}})
		refused(t, "removing "+name+" twice", err, errkind.Conflict)
	}
}

func tokensAreKeptAndRevoked(t *testing.T, f fixture) {
	one := store.Token{ID: "t-1", Hash: [32]byte{1}, Principal: alice(), Created: now(), Expires: time.Time{}, Revoked: time.Time{}}
	two := store.Token{ID: "t-2", Hash: [32]byte{2}, Principal: bob(), Created: now(), Expires: now().Add(time.Hour), Revoked: time.Time{}}
	f.save(t, store.Change{Tokens: []store.Token{two, one}})
	equal(t, "tokens", get(f.Tokens(t.Context()))(t), []store.Token{one, two})
	equal(t, "token", get(f.TokenByHash(t.Context(), two.Hash))(t), two)
	_, err := f.TokenByHash(t.Context(), [32]byte{3})
	refused(t, "an unknown token", err, errkind.NotFound)

	for _, again := range []store.Token{{ID: "t-1", Hash: [32]byte{4}}, {ID: "t-4", Hash: [32]byte{1}}} {
		err := f.Save(t.Context(), store.Change{Tokens: []store.Token{again}, Records: []audit.Record{record(audit.TokenCreated)}})
		refused(t, "the same token again", err, errkind.Conflict)
	}
	revoke := store.Change{RevokeTokens: []store.Revocation{{ID: "t-1", At: now()}}, Records: []audit.Record{record(audit.TokenRevoked)}}
	f.save(t, revoke)
	one.Revoked = now()
	equal(t, "token", get(f.TokenByHash(t.Context(), one.Hash))(t), one)
	refused(t, "revoking twice", f.Save(t.Context(), revoke), errkind.Conflict)
}

func everyRuleRaisesTheVersion(t *testing.T, f fixture) {
	last := get(f.Rules(t.Context()))(t).Version
	if last < 1 {
		t.Errorf("the first version is %d", last)
	}
	assignment := authz.Assignment{Principal: alice(), Role: authz.Admin, Scope: scope.All}
	for _, c := range []struct {
		name   string
		change store.Change
		raises bool
	}{
		{"policy", store.Change{Policies: []policy.Policy{webPolicy()}}, true},
		{"lock", store.Change{Locks: []access.Lock{lock("web-1")}}, true},
		{"assignment", store.Change{Roles: store.RoleChange{Assign: []authz.Assignment{assignment}}}, true},
		{"token", store.Change{Tokens: []store.Token{{ID: "t-1"}}}, true},
		{"several", store.Change{DropPolicies: []string{"web"}, Unlocks: []firewall.Door{ssh("web-1")}}, true},
		{"drop assignment", store.Change{Roles: store.RoleChange{Unassign: []authz.Assignment{assignment}}}, true},
		{"revoke token", store.Change{RevokeTokens: []store.Revocation{{ID: "t-1", At: now()}}}, true},
		{"request", asked(1, alice(), "web-1"), false},
		{"record", store.Change{}, false},
	} {
		f.save(t, c.change)
		version := get(f.Rules(t.Context()))(t).Version
		if want := last + map[bool]int64{true: 1}[c.raises]; version != want {
			t.Errorf("%s: version %d after %d, want %d", c.name, version, last, want)
		}
		last = version
	}
}

func staleRulesSaveNothing(t *testing.T, f fixture) {
	version := get(f.Rules(t.Context()))(t).Version
	f.save(t, store.Change{Expect: version, Locks: []access.Lock{lock("web-1")}})
	c := asked(1, alice(), "web-1")
	c.Expect = version
	err := f.Save(t.Context(), c)
	refused(t, "a decision on older rules", err, errkind.Conflict)
	if !errors.Is(err, store.ErrStale) {
		t.Errorf("%v is not ErrStale", err)
	}
	c.Expect = version + 1
	f.save(t, c)

	// Of two who decide on the same rules and change them, one has to look again.
	version = get(f.Rules(t.Context()))(t).Version
	errs := together(64, func(i int) error {
		return f.Save(t.Context(), store.Change{
			Expect: version, Locks: []access.Lock{lock(named("web-%d", i))}, Records: []audit.Record{record(audit.Locked)},
		})
	})
	if n := winners(errs); n != 1 {
		t.Errorf("%d of 64 changes to one version were saved", n)
	}
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil && !errors.Is(err, store.ErrStale) }); i >= 0 {
		t.Errorf("a loser got %v", errs[i])
	}
}
