package authz_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/policy"
)

func TestDecideSaysThatApprovalIsWanted(t *testing.T) {
	requester := []authz.Assignment{{Principal: alice, Role: authz.Requester}}
	free, guarded := pol("a-free", time.Hour, ssh), pol("b-guarded", time.Hour, dns)
	guarded.Approvals = []policy.Approval{{Stage: "lead", Count: 1}}
	for name, c := range map[string]struct {
		doors []firewall.Door
		want  bool
	}{
		"free": {[]firewall.Door{ssh}, false}, "guarded": {[]firewall.Door{dns}, true}, "both": {[]firewall.Door{ssh, dns}, true},
	} {
		got := authz.Decide(requester, []policy.Policy{free, guarded}, locks(ssh, dns), request(c.doors...), now)
		if !got.Allow || got.NeedsApproval != c.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
	viewer := []authz.Assignment{{Principal: alice, Role: authz.Viewer}}
	if got := authz.Decide(viewer, []policy.Policy{guarded}, locks(dns), request(dns), now); got.Allow || got.NeedsApproval {
		t.Errorf("what is denied waits for approval: %+v", got)
	}
}

func TestDecideInAnEmergency(t *testing.T) {
	p := pol("ssh", time.Hour, ssh)
	p.Approvals = []policy.Approval{{Stage: "lead", Count: 1}}
	p.Glass = policy.Glass{Who: []access.Principal{alice}, Max: 10 * time.Minute}
	fire := request(ssh)
	fire.Glass, fire.Reason, fire.Duration = true, "fire", 10*time.Minute
	got := authz.Decide(nil, []policy.Policy{p}, locks(ssh), fire, now)
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
		admin := []authz.Assignment{{Principal: bob, Role: authz.Admin}}
		if got := authz.Decide(admin, []policy.Policy{p}, locks(ssh), req, now); got.Allow || len(got.Not) == 0 {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := authz.Decide(nil, []policy.Policy{p}, nil, fire, now); got.Allow {
		t.Errorf("what is not locked is opened: %+v", got)
	}
}

func TestMayApproveTakesTheRightOnEveryVM(t *testing.T) {
	db := firewall.Door{VM: "host://db-1", Protocol: firewall.TCP, Port: 22}
	both := request(db, ssh, dns)
	carol := access.Identity{Principal: access.Principal{Issuer: "local", Subject: "u-carol"}, Person: "p-carol"}
	here := authz.Assignment{Principal: carol.Principal, Role: authz.Approver, VM: ssh.VM}
	there := authz.Assignment{Principal: carol.Principal, Role: authz.Approver, VM: db.VM}
	for name, c := range map[string]struct {
		assignments []authz.Assignment
		req         access.Request
		want        bool
	}{
		"both":        {[]authz.Assignment{here, there}, both, true},
		"only one":    {[]authz.Assignment{here}, both, false},
		"the one":     {[]authz.Assignment{here}, request(ssh, dns), true},
		"everywhere":  {[]authz.Assignment{{Principal: carol.Principal, Role: authz.Admin}}, both, true},
		"a requester": {[]authz.Assignment{{Principal: carol.Principal, Role: authz.Requester}}, both, false},
		"nobody":      {nil, both, false},
		"nothing":     {[]authz.Assignment{here}, request(), false},
	} {
		if got := authz.MayApprove(c.assignments, carol, c.req, "lead"); got.Allow != c.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := authz.MayApprove([]authz.Assignment{here}, carol, request(ssh), ""); got.Allow {
		t.Error("no stage is approved")
	}
}
