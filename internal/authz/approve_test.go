package authz_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/authz/scope"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/policy"
)

func decide(given []authz.Assignment, policies []policy.Policy, locks []access.Lock, req access.Request) authz.Answer {
	e := authz.New(authz.Rules{Assignments: given})
	return e.Decide(who(req.Principal), req, authz.Situation{Policies: policies, Locks: locks, Now: now})
}

func TestDecideSaysThatApprovalIsWanted(t *testing.T) {
	requester := []authz.Assignment{{Principal: alice, Role: authz.Requester, Scope: scope.All}}
	free, guarded := pol("a-free", time.Hour, ssh), pol("b-guarded", time.Hour, dns)
	guarded.Approvals = []policy.Approval{{Stage: "lead", Count: 1}}
	for name, c := range map[string]struct {
		doors []firewall.Door
		want  bool
	}{
		"free": {[]firewall.Door{ssh}, false}, "guarded": {[]firewall.Door{dns}, true}, "both": {[]firewall.Door{ssh, dns}, true},
	} {
		got := decide(requester, []policy.Policy{free, guarded}, locks(ssh, dns), request(c.doors...))
		if !got.Allow || got.NeedsApproval != c.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
	viewer := []authz.Assignment{{Principal: alice, Role: authz.Viewer, Scope: scope.All}}
	if got := decide(viewer, []policy.Policy{guarded}, locks(dns), request(dns)); got.Allow || got.NeedsApproval {
		t.Errorf("what is denied waits for approval: %+v", got)
	}
}

func TestDecideInAnEmergency(t *testing.T) {
	p := pol("ssh", time.Hour, ssh)
	p.Approvals = []policy.Approval{{Stage: "lead", Count: 1}}
	p.Glass = policy.Glass{Who: []access.Principal{alice}, Max: 10 * time.Minute}
	fire := request(ssh)
	fire.Glass, fire.Reason, fire.Duration = true, "fire", 10*time.Minute
	got := decide(nil, []policy.Policy{p}, locks(ssh), fire)
	want := access.Decision{Allow: true, By: []string{"policy ssh names local#u-alice for emergencies", "policy ssh"}}
	if diff := cmp.Diff(want, got.Decision); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for name, edit := range map[string]func(*access.Request){
		"too long":      func(r *access.Request) { r.Duration = 11 * time.Minute },
		"no reason":     func(r *access.Request) { r.Reason = "" },
		"somebody else": func(r *access.Request) { r.Principal = bob },
		"another door":  func(r *access.Request) { r.Doors = []firewall.Door{dns} },
		"no emergency":  func(r *access.Request) { r.Glass = false },
	} {
		req := fire
		edit(&req)
		admin := []authz.Assignment{{Principal: bob, Role: authz.Admin, Scope: scope.All}}
		if got := decide(admin, []policy.Policy{p}, locks(ssh), req); got.Allow || len(got.Not) == 0 {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := decide(nil, []policy.Policy{p}, nil, fire); got.Allow {
		t.Errorf("what is not locked is opened: %+v", got)
	}
}

func TestMayApproveTakesTheRightOnEveryVM(t *testing.T) {
	db := firewall.Door{VM: "host://db-1", Protocol: firewall.TCP, Port: 22}
	both := request(db, ssh, dns)
	carol := access.Identity{Principal: access.Principal{Issuer: "local", Subject: "u-carol"}, Kind: access.Person, Person: "p-carol"}
	here := authz.Assignment{Principal: carol.Principal, Role: authz.Approver, Scope: scope.OfVM(ssh.VM)}
	there := authz.Assignment{Principal: carol.Principal, Role: authz.Approver, Scope: scope.OfVM(db.VM)}
	for name, c := range map[string]struct {
		assignments []authz.Assignment
		req         access.Request
		want        bool
	}{
		"both":        {[]authz.Assignment{here, there}, both, true},
		"only one":    {[]authz.Assignment{here}, both, false},
		"the one":     {[]authz.Assignment{here}, request(ssh, dns), true},
		"everywhere":  {[]authz.Assignment{{Principal: carol.Principal, Role: authz.Admin, Scope: scope.All}}, both, true},
		"a requester": {[]authz.Assignment{{Principal: carol.Principal, Role: authz.Requester, Scope: scope.All}}, both, false},
		"nobody":      {nil, both, false},
		"nothing":     {[]authz.Assignment{here}, request(), false},
	} {
		if got := given(c.assignments...).MayApprove(carol, c.req, who(c.req.Principal), "lead", authz.Situation{Now: now}); got.Allow != c.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
