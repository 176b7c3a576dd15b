package trial_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/authz/accesspolicy"
	"github.com/sesame-access/sesame/internal/authz/trial"
)

func TestDiff(t *testing.T) {
	before := authz.Rules{Assignments: []authz.Assignment{
		{Principal: access.Principal{Issuer: "local", Subject: "ana"}, Role: authz.Requester, Scope: "/"},
		{Group: "idp#sre", Role: authz.Approver, Scope: "host://web-1"},
	}}
	after := before
	after.Policies = []accesspolicy.Document{{Name: "p", Text: `
		forbid (principal == Principal::"local#ana", action == Action::"request", resource == VM::"host://web-1");
		permit (principal in Group::"idp#dev", action == Action::"skipApproval", resource) when { context.hour < 3 };`}}
	on := []authz.Target{{VM: "host://web-1"}, {VM: "host://web-2"}}
	want := []trial.Difference{
		{Who: "anybody in idp#dev", Action: authz.Skip, VM: "host://web-1", Gains: true},
		{Who: "anybody in idp#dev", Action: authz.Skip, VM: "host://web-2", Gains: true},
		{Who: "local#ana", Action: authz.Request, VM: "host://web-1", Gains: false},
	}
	got, whole := trial.Diff(before, after, on)
	if diff := cmp.Diff(want, got); diff != "" || !whole {
		t.Errorf("whole: %v (-want +got):\n%s", whole, diff)
	}
	if same, _ := trial.Diff(after, after, on); len(same) > 0 {
		t.Errorf("nothing changed, and yet: %v", same)
	}
	if _, whole := trial.Diff(before, after, make([]authz.Target, trial.Most)); whole {
		t.Error("too much is compared, and nobody says so")
	}
}
