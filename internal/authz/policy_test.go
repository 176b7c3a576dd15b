package authz_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/authz/accesspolicy"
	"github.com/sesame-access/sesame/internal/authz/role"
	"github.com/sesame-access/sesame/internal/authz/scope"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/policy"
)

const (
	team = "https://idp#sre"
	sub  = "/subscriptions/11111111-2222-3333-4444-555555555555"
	avm  = firewall.VMID(sub + "/resourcegroups/prod/providers/microsoft.compute/virtualmachines/web-1")
)

func statements(text string) []accesspolicy.Document {
	return []accesspolicy.Document{{Name: "p", Version: 1, Text: text}}
}

// situation is one in which ssh of web-1 is a just-in-time port.
func situation() authz.Situation {
	return authz.Situation{Policies: []policy.Policy{pol("prod-ssh", 3*time.Hour, ssh)}, Locks: locks(ssh), Now: now}
}

func TestAccessPolicies(t *testing.T) {
	tags := func(list map[string]string) func(firewall.VMID) authz.Target {
		return func(vm firewall.VMID) authz.Target { return authz.TargetOf(vm, list, []string{"env"}) }
	}
	requester := []authz.Assignment{{Principal: alice, Role: authz.Requester, Scope: "/"}}
	for name, c := range map[string]struct {
		text  string
		roles []authz.Assignment
		ask   func(*access.Request, *authz.Situation, *access.Identity)
		allow bool
		not   string
	}{
		"a permit without a role": {text: `permit (principal == Principal::"local#u-alice", action == Action::"request", resource in Scope::"host://");`, allow: true},
		"somebody else's":         {text: `permit (principal == Principal::"local#u-bob", action == Action::"request", resource);`, not: "no role is assigned"},
		"its conditions":          {text: `permit (principal, action == Action::"request", resource) when { context.port == 3389 };`, not: "access policy p (line 1): its conditions do not hold"},
		"a forbid over a role":    {text: `@id("no") forbid (principal, action == Action::"request", resource);`, roles: requester, not: "access policy p (no) forbids it"},
		"another action's forbid": {text: `forbid (principal, action in [Action::"approve", Action::"skipApproval"], resource);`, roles: requester, allow: true},
		"a forbid at night":       {text: `forbid (principal, action == Action::"request", resource) unless { context.hour < 12 };`, roles: requester, not: "forbids it"},
		"a day that has begun": {
			text: `forbid (principal, action == Action::"request", resource) unless { context.weekday == "friday" };`, roles: requester,
			ask: func(r *access.Request, in *authz.Situation, _ *access.Identity) {
				r.Start, in.Zone = now.Add(11*time.Hour), time.FixedZone("", 2*60*60)
			}, allow: true,
		},
		"one source of two": {
			text: `forbid (principal, action == Action::"request", resource) unless { context.source.isInRange(ip("203.0.113.0/24")) };`, roles: requester,
			ask: func(r *access.Request, _ *authz.Situation, _ *access.Identity) {
				r.Sources = append(r.Sources, netip.MustParsePrefix("198.51.100.1/32"))
			}, not: "forbids it",
		},
		"a group": {
			text: `permit (principal in Group::"https://idp#sre", action == Action::"request", resource);`,
			ask:  func(_ *access.Request, _ *authz.Situation, who *access.Identity) { who.Groups = []string{team} }, allow: true,
		},
		"the same group of another issuer": {
			text: `permit (principal in Group::"https://idp#sre", action == Action::"request", resource);`,
			ask: func(_ *access.Request, _ *authz.Situation, who *access.Identity) {
				who.Groups = []string{"https://evil#sre"}
			}, not: "no role",
		},
		"a trusted tag": {
			text: `permit (principal, action == Action::"request", resource in Scope::"tag:env=dev");`,
			ask: func(_ *access.Request, in *authz.Situation, _ *access.Identity) {
				in.Target = tags(map[string]string{"env": "dev"})
			}, allow: true,
		},
		"a tag that the VM's owner writes": { // I-11, I13
			text: `permit (principal, action == Action::"request", resource in Scope::"tag:owner=alice"); permit (principal, action == Action::"request", resource) when { resource.hasTag("owner") };`,
			ask: func(_ *access.Request, in *authz.Situation, _ *access.Identity) {
				in.Target = tags(map[string]string{"owner": "alice"})
			}, not: "its conditions do not hold",
		},
		"too many live grants": {
			text: `forbid (principal, action == Action::"request", resource) when { context.live >= 3 };`, roles: requester,
			ask: func(_ *access.Request, in *authz.Situation, _ *access.Identity) { in.Live = 3 }, not: "forbids it",
		},
		"no text of the requester is a pattern": { // I-14
			text: `permit (principal, action == Action::"request", resource) when { context.reason like "INC-*" };`,
			ask:  func(r *access.Request, _ *authz.Situation, _ *access.Identity) { r.Reason = `*" || true || "` }, not: "conditions",
		},
		"a policy that nobody understands": {text: "permit (", roles: requester, not: "access policy p cannot be understood, so nobody is let in"},
	} {
		t.Run(name, func(t *testing.T) {
			e := authz.New(authz.Rules{Assignments: c.roles, Policies: statements(c.text)})
			req, in, me := request(ssh), situation(), who(alice)
			if c.ask != nil {
				c.ask(&req, &in, &me)
			}
			d := e.Decide(me, req, in)
			if d.Allow != c.allow || !c.allow && !strings.Contains(strings.Join(d.Not, "\n"), c.not) {
				t.Errorf("%+v, want %v, %q", d.Decision, c.allow, c.not)
			}
		})
	}
}

// While an access policy cannot be read, nobody is let in; what closes, and what
// mends it, goes on.
func TestZ12(t *testing.T) {
	rules := authz.Rules{Assignments: []authz.Assignment{{Principal: alice, Role: authz.Admin, Scope: "/"}}}
	for name, damage := range map[string]func(*authz.Rules){
		"a text": func(r *authz.Rules) { r.Policies = statements("forbid (principal,") },
		"a row":  func(r *authz.Rules) { r.Damaged = []string{"deny assignment x"} },
		"an attribute that was": func(r *authz.Rules) {
			r.Policies = statements(`forbid (principal, action == Action::"request", resource) when { context.gone };`)
		},
	} {
		broken := rules
		damage(&broken)
		e := authz.New(broken)
		for _, a := range append(authz.Actions(), authz.Skip) {
			want := a == authz.View || a == authz.Close || a == authz.Enable || a == authz.Disable || a == authz.Manage
			if d := e.May(who(alice), a, authz.Target{VM: ssh.VM}); d.Allow != want || e.Allows(who(alice), a, authz.Target{VM: ssh.VM}) != want || !want && len(d.Not) == 0 {
				t.Errorf("%s: %s: %+v, want %v", name, a, d, want)
			}
		}
		if d := e.Decide(who(alice), request(ssh), situation()); d.Allow || !strings.Contains(d.Not[0], "nobody is let in") {
			t.Errorf("%s: %+v", name, d.Decision)
		}
	}
	if d := authz.New(authz.Rules{}).Decide(who(alice), request(ssh), situation()); d.Allow {
		t.Errorf("no rules at all allow: %v", d.By)
	}
}

// What is worth asking: circumstances that nobody knows yet neither allow nor forbid.
func TestMayBeforeAsking(t *testing.T) {
	for text, want := range map[string]bool{
		`permit (principal, action == Action::"request", resource) when { context.port == 22 };`:       true,
		`forbid (principal, action == Action::"request", resource) when { context.port == 22 };`:       false,
		`forbid (principal, action == Action::"request", resource);`:                                   false,
		`permit (principal, action == Action::"request", resource in Scope::"aws://");`:                false,
		`permit (principal in Group::"local#x", action == Action::"request", resource in Scope::"/");`: false,
	} {
		e := authz.New(authz.Rules{Policies: statements(text)})
		if d := e.May(who(alice), authz.Request, authz.Target{VM: ssh.VM}); d.Allow != want {
			t.Errorf("%s: %+v", text, d)
		}
	}
}

func TestAzureAssignments(t *testing.T) {
	sre := who(alice)
	sre.Groups = []string{"https://idp#everyone", team} // transitive already: the directory says so
	custom := role.Definition{
		Name: "Custom", Scopes: []scope.Scope{sub},
		Permissions: []role.Permission{{Actions: []string{"Microsoft.Security/*"}, NotActions: []string{"*/initiate/action"}}, {Actions: []string{string(role.JITInitiate)}}},
	}
	const managed = "/providers/microsoft.management/managementgroups/corp"
	const cond = "((!(ActionMatches{'Microsoft.Authorization/roleAssignments/write'})) OR (@Request[a] GuidEquals {b}))"
	everybody := authz.Deny{Name: "blueprint", Scope: sub + "/resourcegroups/prod", Permissions: []role.Permission{{Actions: []string{"*"}, NotActions: []string{"*/read"}}}}
	spared := everybody
	spared.Except = []authz.Holder{{Group: team}}
	exactly := everybody
	exactly.Exactly = true
	bobs := everybody
	bobs.From = []authz.Holder{{Principal: bob}, {}}
	unsure := everybody
	unsure.Condition = "@Resource[x] StringEquals 'y'"
	elsewhere := everybody
	elsewhere.Condition = "ActionMatches{'Microsoft.Storage/*'}"
	at := func(r authz.Role, s scope.Scope) authz.Assignment {
		return authz.Assignment{Group: team, Role: r, Scope: s}
	}
	owner := []authz.Assignment{at("Owner", sub)}
	for name, c := range map[string]struct {
		assignments []authz.Assignment
		denies      []authz.Deny
		request     bool
		view        bool
		not         string
	}{
		"inherited from a management group": {[]authz.Assignment{at("Security Admin", managed)}, nil, true, true, ""},
		"of the resource group":             {[]authz.Assignment{at("Contributor", sub+"/resourcegroups/prod")}, nil, true, true, ""},
		"of another resource group":         {[]authz.Assignment{at("Contributor", sub+"/resourcegroups/prod-2")}, nil, false, false, "does not cover"},
		"a reader":                          {[]authz.Assignment{at("Reader", sub)}, nil, false, true, "assignment Reader of group https://idp#sre on " + sub + ": does not include request"},
		"a custom role":                     {[]authz.Assignment{at("Custom", sub)}, nil, true, true, ""},
		"a custom role out of its scopes":   {[]authz.Assignment{at("Custom", managed)}, nil, false, false, "the role cannot be assigned there"},
		"a role that is gone":               {[]authz.Assignment{at("Gone", sub)}, nil, false, false, "there is no such role"},
		"eligible only":                     {[]authz.Assignment{{Group: team, Role: "Owner", Scope: sub, Eligible: true}}, nil, false, false, "eligible only"},
		"another group":                     {[]authz.Assignment{{Group: "https://idp#devs", Role: "Owner", Scope: sub}}, nil, false, false, "no role is assigned"},
		"a condition about something else":  {[]authz.Assignment{{Group: team, Role: "Owner", Scope: sub, Condition: cond}}, nil, true, true, ""},
		"a condition nobody can judge":      {[]authz.Assignment{{Group: team, Role: "Owner", Scope: sub, Condition: unsure.Condition}}, nil, false, false, "under a condition"},
		"a condition nobody can read":       {[]authz.Assignment{{Group: team, Role: "Owner", Scope: sub, Condition: "(("}}, nil, false, false, "under a condition"},
		"denied to everybody":               {owner, []authz.Deny{everybody}, false, true, "deny assignment blueprint on " + sub + "/resourcegroups/prod forbids it"},
		"denied but to us":                  {owner, []authz.Deny{spared}, true, true, ""},
		"denied at the group exactly":       {owner, []authz.Deny{exactly}, true, true, ""},
		"denied to others":                  {owner, []authz.Deny{bobs}, true, true, ""},
		"denied, perhaps":                   {owner, []authz.Deny{unsure}, false, true, "forbids it"},
		"denied for something else":         {owner, []authz.Deny{elsewhere}, true, true, ""},
		"denied what Sesame gave":           {[]authz.Assignment{at(authz.Admin, "/")}, []authz.Deny{everybody}, false, true, "forbids it"},
	} {
		e := authz.New(authz.Rules{Definitions: []role.Definition{custom}, Assignments: c.assignments, Denies: c.denies, Tree: scope.Tree{sub: managed}})
		d := e.May(sre, authz.Request, authz.Target{VM: avm})
		if d.Allow != c.request || !strings.Contains(strings.Join(d.Not, "\n"), c.not) {
			t.Errorf("%s: request: %+v", name, d)
		}
		if v := e.May(sre, authz.View, authz.Target{VM: avm}); v.Allow != c.view {
			t.Errorf("%s: view: %+v", name, v)
		}
		if e.Allows(sre, authz.Manage, authz.Target{}) != strings.Contains(name, "Sesame gave") {
			t.Errorf("%s: a role of Azure manages Sesame, or its own does not", name)
		}
		if slices.ContainsFunc(c.denies, func(authz.Deny) bool { return true }) && !e.Allows(sre, authz.Close, authz.Target{VM: avm}) {
			t.Errorf("%s: a deny assignment keeps from closing", name)
		}
	}
}

func TestMaySkip(t *testing.T) {
	e := authz.New(authz.Rules{
		Assignments: []authz.Assignment{{Principal: alice, Role: authz.Admin, Scope: "/"}},
		Policies:    statements(`permit (principal == Principal::"local#u-bob", action == Action::"skipApproval", resource) when { context.duration <= duration("30m") };`),
	})
	req := request(ssh)
	if d := e.MaySkip(who(alice), req, ssh, situation()); d.Allow {
		t.Errorf("a role goes without approval: %v", d.By)
	}
	req.Principal = bob
	if d := e.MaySkip(who(bob), req, ssh, situation()); d.Allow {
		t.Errorf("an hour: %v", d.By)
	}
	req.Duration = 30 * time.Minute
	if d := e.MaySkip(who(bob), req, ssh, situation()); !d.Allow {
		t.Errorf("half an hour: %v", d.Not)
	}
	if req.Sources = nil; e.MaySkip(who(bob), req, ssh, situation()).Allow {
		t.Error("from nowhere, everything is allowed")
	}
}

// TestZ04 is everybody who must not approve what alice asked for.
func TestZ04(t *testing.T) {
	e := authz.New(authz.Rules{
		Assignments: []authz.Assignment{{Group: team, Role: authz.Approver, Scope: "/"}, {Principal: bob, Role: authz.Approver, Scope: "/"}},
		Policies:    statements(`forbid (principal, action == Action::"approve", resource) when { context.stage == "security" && !(principal in Group::"local#security") };` + "\n" + `forbid (principal, action == Action::"approve", resource) when { context.requester in Group::"local#interns" && context.ask.duration > duration("30m") };`),
	})
	person := func(p access.Principal, id string, groups ...string) access.Identity {
		return access.Identity{Principal: p, Kind: access.Person, Person: id, Groups: groups}
	}
	asker := person(alice, "p-alice", team)
	program := person(bob, "p-bob")
	program.Kind = access.Program
	carol := access.Principal{Issuer: "https://idp", Subject: "u-carol"}
	for name, c := range map[string]struct {
		who       access.Identity
		requester access.Identity
		stage     string
		want      bool
	}{
		"an approver":                      {person(bob, "p-bob"), asker, "lead", true},
		"a member of the group":            {person(carol, "p-carol", team), asker, "lead", true},
		"herself, added to the group":      {asker, asker, "lead", false},
		"herself by another account":       {person(bob, "p-alice"), asker, "lead", false},
		"herself, with another's name":     {person(alice, "p-bob"), asker, "lead", false},
		"a requester who is somebody else": {asker, person(bob, "p-bob"), "lead", false},
		"nobody has said which person":     {person(bob, ""), asker, "lead", false},
		"a program":                        {program, asker, "lead", false},
		"no role":                          {person(carol, "p-carol"), asker, "lead", false},
		"another stage":                    {person(bob, "p-bob"), asker, "security", false},
		"that stage's group":               {person(bob, "p-bob", "local#security"), asker, "security", true},
		"by who asked and for how long":    {person(bob, "p-bob"), person(alice, "p-alice", "local#interns"), "lead", false},
	} {
		d := e.MayApprove(c.who, request(ssh), c.requester, c.stage, situation())
		if d.Allow != c.want || !d.Allow && len(d.Not) == 0 {
			t.Errorf("%s: %+v, want %v", name, d, c.want)
		}
	}
	if d := e.MayApprove(person(bob, "p-bob"), request(), asker, "lead", situation()); d.Allow {
		t.Error("a request for nothing is approved")
	}
}

func TestManyAssignments(t *testing.T) {
	var list []authz.Assignment
	for i := range 100 {
		list = append(list, authz.Assignment{Principal: alice, Role: authz.Viewer, Scope: scope.OfVM(firewall.HostVM(fmt.Sprintf("vm-%03d", i)))})
	}
	d := given(list...).May(who(alice), authz.View, authz.Target{VM: "host://vm-099"})
	if diff := cmp.Diff([]string{"assignment viewer on host://vm-099"}, d.By); diff != "" || len(d.Not) != 17 || d.Not[16] != "and further assignments than these 16" {
		t.Errorf("%s\n%q", diff, d.Not)
	}
}

// BenchmarkEngine asks an installation of 10,000 assignments and 1,000 access
// policies; p99 is over all questions of the run.
func BenchmarkEngine(b *testing.B) {
	const assignments, policies, groups = 10_000, 1_000, 20
	rules := authz.Rules{}
	for i := range assignments {
		a := authz.Assignment{Principal: access.Principal{Issuer: "https://idp", Subject: fmt.Sprint("u-", i)}, Role: authz.Requester, Scope: scope.OfVM(firewall.HostVM(fmt.Sprint("vm-", i%2_000)))}
		if i%10 == 0 {
			a = authz.Assignment{Group: fmt.Sprint("https://idp#g-", i%500), Role: "Security Admin", Scope: sub}
		}
		rules.Assignments = append(rules.Assignments, a)
	}
	for i := range policies {
		text := fmt.Sprintf(`permit (principal in Group::"https://idp#g-%d", action == Action::"request", resource in Scope::"host://vm-%d") when { context.hour >= 7 && context.ticket like "INC-*" };`, i%500, i)
		if i%100 == 0 { // ten that look at every request
			text = `forbid (principal, action == Action::"request", resource) when { context.weekday == "sunday" && context.duration > duration("8h") };`
		}
		rules.Policies = append(rules.Policies, accesspolicy.Document{Name: fmt.Sprint("p-", i), Text: text})
	}
	b.Run("compile", func(b *testing.B) {
		for b.Loop() {
			authz.New(rules)
		}
	})
	e := authz.New(rules)
	me := who(access.Principal{Issuer: "https://idp", Subject: "u-1201"})
	for i := range groups {
		me.Groups = append(me.Groups, fmt.Sprint("https://idp#g-", i*10))
	}
	door := firewall.Door{VM: "host://vm-1201", Protocol: firewall.TCP, Port: 22}
	req := request(door)
	req.Principal = me.Principal
	in := authz.Situation{Policies: []policy.Policy{pol("prod-ssh", 3*time.Hour, door)}, Locks: locks(door), Now: now}
	for name, ask := range map[string]func() bool{
		"decide": func() bool { return e.Decide(me, req, in).Allow },
		"allows": func() bool { return e.Allows(me, authz.View, authz.Target{VM: door.VM}) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var took []time.Duration
			for b.Loop() {
				begun := time.Now()
				if !ask() {
					b.Fatal(e.Decide(me, req, in).Not)
				}
				took = append(took, time.Since(begun))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds()), "p99-ns")
		})
	}
}
