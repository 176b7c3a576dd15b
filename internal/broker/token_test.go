package broker_test

import (
	"crypto/sha256"
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
		wants(t, err, errkind.Denied, "may not manage")
		bad := n
		bad.Name = "CI; drop table"
		_, _, err = b.Broker().CreateToken(b.ctx, root(), bad)
		wants(t, err, errkind.Invalid, "name")

		secret, token, err := b.Broker().CreateToken(b.ctx, root(), n)
		if err != nil || !strings.HasPrefix(secret, broker.TokenPrefix) || len(secret) < 40 {
			t.Fatalf("token %q, %v", secret, err)
		}
		saved, err := b.Store().TokenByHash(b.ctx, sha256.Sum256([]byte(secret)))
		if err != nil || saved != token || token.Expires.Sub(token.Created) != time.Hour {
			t.Errorf("saved %+v, returned %+v, %v", saved, token, err)
		}
		ci := broker.Caller{Principal: access.Principal{Issuer: "local", Subject: "ci"}, Addr: laptop()}
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

		wants(t, b.Broker().RevokeToken(b.ctx, alice(), token.ID), errkind.Denied, "may not manage")
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
