package broker_test

import (
	"testing"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/authz/accesspolicy"
	"github.com/sesame-access/sesame/internal/authz/scope"
	"github.com/sesame-access/sesame/internal/errkind"
)

// Z-11: who loses the role by which they asked, or is forbidden to ask, loses the
// grant in the same change; whoever keeps a right keeps the grant.
func TestZ11(t *testing.T) {
	in(t, func(t *testing.T, b bench) {
		requester := authz.Assignment{Principal: alice().Principal, Role: authz.Requester, Scope: scope.All}
		second := authz.Assignment{Principal: alice().Principal, Role: "JIT Access Role", Scope: "host://"}
		granted := func() access.Grant {
			answer, err := b.Broker().Request(b.ctx, alice(), ask())
			if err != nil {
				t.Fatal(err)
			}
			return answer.Grants[0].Grant
		}
		ended := func(g access.Grant) bool {
			saved, err := b.Store().Grant(b.ctx, g.ID)
			if err != nil {
				t.Fatal(err)
			}
			return !saved.Ended.At.IsZero()
		}
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		g := granted()
		must(b.Broker().Assign(b.ctx, root(), second))
		must(b.Broker().Unassign(b.ctx, root(), requester))
		if ended(g) {
			t.Error("a grant ends although another role gives the right to it")
		}
		must(b.Broker().Unassign(b.ctx, root(), second))
		if !ended(g) {
			t.Error("a grant outlives the last role that gives the right to it")
		}
		_, err := b.Broker().Request(b.ctx, alice(), ask())
		wants(t, err, errkind.Denied, "no role is assigned")
		wants(t, b.Broker().Unassign(b.ctx, root(), second), errkind.NotFound, "there is no assignment of JIT Access Role")

		permit := accesspolicy.Document{Name: "p", Text: `permit (principal, action == Action::"request", resource) when { context.live < 1 };`}
		saved, err := b.Broker().SaveAccessPolicy(b.ctx, root(), permit)
		must(err)
		g = granted()
		_, err = b.Broker().Request(b.ctx, alice(), ask())
		wants(t, err, errkind.Denied, "its conditions do not hold")
		stale := saved
		saved.Text = `forbid (principal == Principal::"local#alice", action == Action::"request", resource);`
		saved, err = b.Broker().SaveAccessPolicy(b.ctx, root(), saved)
		must(err)
		if !ended(g) || saved.Version != 2 {
			t.Errorf("a grant that is forbidden lives on, or version %d is not 2", saved.Version)
		}
		_, err = b.Broker().SaveAccessPolicy(b.ctx, root(), stale)
		wants(t, err, errkind.Conflict, "version 2 is in force")
		_, err = b.Broker().SaveAccessPolicy(b.ctx, root(), accesspolicy.Document{Name: "p", Text: "permit"})
		wants(t, err, errkind.Invalid, "line 1")
		must(b.Broker().DropAccessPolicy(b.ctx, root(), "p"))
		wants(t, b.Broker().DropAccessPolicy(b.ctx, root(), "p"), errkind.NotFound, "there is no access policy")

		for _, bad := range []authz.Assignment{
			{Principal: alice().Principal, Role: "nothing", Scope: "/"},
			{Principal: alice().Principal, Role: authz.Viewer},
			{Role: authz.Viewer, Scope: "/"},
			{Group: "sre", Role: authz.Viewer, Scope: "/"},
			{Principal: alice().Principal, Role: authz.Viewer, Scope: "/", Condition: "(("},
			{Principal: alice().Principal, Role: authz.Viewer, Scope: "/subscriptions/11111111-2222-3333-4444-55555555555A"},
		} {
			wants(t, b.Broker().Assign(b.ctx, root(), bad), errkind.Invalid, "")
		}
		wants(t, b.Broker().Assign(b.ctx, alice(), requester), errkind.Denied, "may not assign a role")
		_, err = b.Broker().SaveAccessPolicy(b.ctx, alice(), permit)
		wants(t, err, errkind.Denied, "may not save an access policy")
	})
}
