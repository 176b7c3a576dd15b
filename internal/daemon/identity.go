package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/sesame-access/sesame/internal/authn/oidc"
	"github.com/sesame-access/sesame/internal/authn/session"
	"github.com/sesame-access/sesame/internal/config"
	"github.com/sesame-access/sesame/internal/signin"
	"github.com/sesame-access/sesame/internal/store"
)

// issuers makes the identity providers of the configuration. None of them is asked
// for anything yet.
func (d *Daemon) issuers(ctx context.Context) ([]*oidc.Issuer, error) {
	if d.cfg.Identity.AcceptARMTokens {
		d.log.LogAttrs(ctx, slog.LevelWarn, "tokens for Azure Resource Manager are taken from clients: whoever gets hold of one here may do in Azure what its owner may",
			slog.String("option", "identity.accept_arm_tokens_that_open_the_whole_tenant"))
	}
	var out []*oidc.Issuer
	for _, i := range d.cfg.Identity.Issuers {
		secret, err := readClientSecret(i)
		if err != nil {
			return nil, err
		}
		out = append(out, oidc.New(oidc.Config{Issuer: i, Secret: secret, ARM: d.cfg.Identity.AcceptARMTokens, HTTP: nil}))
	}
	return out, nil
}

// readClientSecret reads how this server shows an issuer who it is.
func readClientSecret(i config.Issuer) (string, error) {
	if i.SecretFile == "" {
		return "", nil
	}
	text, err := os.ReadFile(i.SecretFile)
	if err != nil {
		return "", fmt.Errorf("read the secret of the issuer %s: %w", i.Name, err)
	}
	return strings.TrimSpace(string(text)), nil
}

// desk is where people sign in.
func (d *Daemon) desk(p *parts, issuers []*oidc.Issuer) *signin.Desk {
	url := d.cfg.Identity.URL
	if url == "" {
		url = d.certs.url(d.cfg.Listen[0])
	}
	return signin.New(signin.Config{
		Store: p.store, Issuers: issuers, URL: strings.TrimSuffix(url, "/"), Clocks: p.clocks, NewID: newID, Log: d.log,
		Sessions: session.Limits{Absolute: d.cfg.Identity.Session, Idle: d.cfg.Identity.Idle},
	})
}

// firstLink returns the link of the first administrator; empty when somebody has a
// token already, or has signed in.
func firstLink(ctx context.Context, st *store.Store, desk *signin.Desk) (string, error) {
	tokens, err := st.Tokens(ctx)
	if err != nil {
		return "", fmt.Errorf("look for tokens: %w", err)
	}
	seen, err := st.Identities(ctx)
	if err != nil {
		return "", fmt.Errorf("look for who has signed in: %w", err)
	}
	if len(tokens)+len(seen) > 0 {
		return "", nil
	}
	return desk.URL + desk.First(), nil
}
