package broker_test

import (
	"crypto/sha256"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/broker"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
)

func TestTokens(t *testing.T) {
	in(t, func(t *testing.T, b bench) {
		n := broker.NewToken{Name: "ci", Role: authz.Requester, VMs: []firewall.VMID{firewall.HostVM("web-1")}, Lifetime: time.Hour}
		_, _, err := b.Broker().CreateToken(b.ctx, alice(), n)
		wants(t, err, errkind.Denied, "may not create a token: ")
		bad := n
		bad.Name = "CI; drop table"
		_, _, err = b.Broker().CreateToken(b.ctx, root(), bad)
		wants(t, err, errkind.Invalid, "name")

		secret, token, err := b.Broker().CreateToken(b.ctx, root(), n)
		if err != nil || !strings.HasPrefix(secret, broker.TokenPrefix) || len(secret) < 40 {
			t.Fatalf("token %q, %v", secret, err)
		}
		saved, err := b.Store().TokenByHash(b.ctx, sha256.Sum256([]byte(secret)))
		if err != nil || !reflect.DeepEqual(saved, token) || token.Expires.Sub(token.Created) != time.Hour {
			t.Errorf("saved %+v, returned %+v, %v", saved, token, err)
		}
		ci := broker.Caller{Identity: access.Identity{Principal: access.Principal{Issuer: "local", Subject: "ci"}}, Addr: laptop()}
		if _, err := b.Broker().Request(b.ctx, ci, ask()); err != nil {
			t.Errorf("the token's principal may not ask: %v", err)
		}
		_, other, err := b.Broker().CreateToken(b.ctx, root(), broker.NewToken{Name: "eternal", Role: authz.Viewer})
		if err != nil || !other.Expires.IsZero() || other.ID == token.ID {
			t.Errorf("token %+v, %v", other, err)
		}
		for _, r := range b.records(t, audit.TokenCreated) {
			if strings.Contains(r.Text, secret) {
				t.Error("the log holds the secret")
			}
		}

		wants(t, b.Broker().RevokeToken(b.ctx, alice(), token.ID), errkind.Denied, "may not revoke a token: ")
		wants(t, b.Broker().RevokeToken(b.ctx, root(), "t-0000000000000000"), errkind.NotFound, "there is no token")
		wants(t, b.Broker().RevokeToken(b.ctx, root(), "ci"), errkind.Invalid, "token")
		if err := b.Broker().RevokeToken(b.ctx, root(), token.ID); err != nil {
			t.Fatal(err)
		}
		wants(t, b.Broker().RevokeToken(b.ctx, root(), token.ID), errkind.NotFound, "there is no token")
		if saved, err = b.Store().TokenByHash(b.ctx, token.Hash); err != nil || saved.Revoked.IsZero() {
			t.Errorf("revoked %+v, %v", saved, err)
		}
		if n := len(b.records(t, audit.TokenRevoked)); n != 1 {
			t.Errorf("%d revocations recorded, want 1", n)
		}
	})
}

// holder is the principal of a token called ci.
func holder() broker.Caller {
	return broker.Caller{Identity: access.Identity{Principal: access.Principal{Issuer: "local", Subject: "ci"}}, Addr: laptop()}
}

// A role dies with its token: nobody keeps or gains one by another token of the
// same name, and what was opened with a lost role closes.
func TestRolesDieWithTheirToken(t *testing.T) {
	in(t, func(t *testing.T, b bench) {
		n := broker.NewToken{Name: "ci", Role: authz.Requester, Lifetime: time.Hour}
		_, first, err := b.Broker().CreateToken(b.ctx, root(), n)
		if err != nil {
			t.Fatal(err)
		}
		admin := broker.NewToken{Name: "ci", Role: authz.Admin, Lifetime: time.Hour}
		_, _, err = b.Broker().CreateToken(b.ctx, root(), admin)
		wants(t, err, errkind.Conflict, "sesame token revoke "+first.ID)
		wants(t, b.Broker().May(b.ctx, holder(), "list tokens", authz.Manage, ""), errkind.Denied, "may not list tokens: ")

		answer, err := b.Broker().Request(b.ctx, holder(), ask())
		if err != nil || !b.gets() {
			t.Fatalf("%+v, %v; let in %v", answer, err, b.gets())
		}
		if err := b.Broker().RevokeToken(b.ctx, root(), first.ID); err != nil {
			t.Fatal(err)
		}
		if b.gets() {
			t.Error("the role is lost, and its grant is still open")
		}
		saved, err := b.Store().Grant(b.ctx, answer.Grants[0].ID)
		if err != nil || saved.Ended.Why != access.RoleLost {
			t.Errorf("the grant is %+v, %v", saved, err)
		}
		_, err = b.Broker().Request(b.ctx, holder(), ask())
		wants(t, err, errkind.Denied, "no role is assigned")
		if r := b.records(t, audit.TokenRevoked); len(r) != 1 || !strings.Contains(r[0].Text, "taken back: requester on all VMs") {
			t.Errorf("records %+v do not say what was taken back", r)
		}
	})
}

func TestNewTokenTakesBackTheOldRoles(t *testing.T) {
	in(t, func(t *testing.T, b bench) {
		n := broker.NewToken{Name: "ci", Role: authz.Admin, Lifetime: time.Minute}
		_, old, err := b.Broker().CreateToken(b.ctx, root(), n)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Broker().Request(b.ctx, holder(), ask()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		n.Role, n.Lifetime = authz.Viewer, 0
		_, next, err := b.Broker().CreateToken(b.ctx, root(), n)
		if err != nil {
			t.Fatal(err)
		}
		wants(t, b.Broker().May(b.ctx, holder(), "list tokens", authz.Manage, ""), errkind.Denied, "may not list tokens: ")
		if err := b.Broker().May(b.ctx, holder(), "list tokens", authz.View, ""); err != nil {
			t.Errorf("the new role is not there: %v", err)
		}
		if b.gets() {
			t.Error("a viewer is still let in by what the admin asked for")
		}
		// Ending the old token, which has expired, takes nothing from the new one.
		if err := b.Broker().RevokeToken(b.ctx, root(), old.ID); err != nil {
			t.Fatal(err)
		}
		if err := b.Broker().May(b.ctx, holder(), "list tokens", authz.View, ""); err != nil {
			t.Errorf("the new token has lost its role: %v", err)
		}
		if err := b.Broker().RevokeToken(b.ctx, root(), next.ID); err != nil {
			t.Fatal(err)
		}
		rules, err := b.Store().Rules(b.ctx)
		if err != nil || len(rules.Access.Assignments) != 2 { // root and alice
			t.Errorf("roles are left: %v, %v", rules.Access.Assignments, err)
		}
		// The same role again is kept, not taken back by its own change.
		for range 2 {
			_, again, err := b.Broker().CreateToken(b.ctx, root(), broker.NewToken{Name: "ci", Role: authz.Viewer, Lifetime: time.Minute})
			if err != nil || b.Broker().May(b.ctx, holder(), "list tokens", authz.View, "") != nil {
				t.Fatalf("token %+v, %v", again, err)
			}
			time.Sleep(time.Hour)
		}
	})
}
