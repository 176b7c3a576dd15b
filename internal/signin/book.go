package signin

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/authn"
	"github.com/sesame-access/sesame/internal/authn/known"
	"github.com/sesame-access/sesame/internal/authn/session"
	"github.com/sesame-access/sesame/internal/config"
	"github.com/sesame-access/sesame/internal/store"
)

// A Book shows package authn what is stored.
type Book struct {
	Store *store.Store
	Log   *slog.Logger
}

// Token finds a token.
func (b Book) Token(ctx context.Context, hash [sha256.Size]byte) (authn.Token, error) {
	t, err := b.Store.TokenByHash(ctx, hash)
	out := authn.Token{Hash: t.Hash, Principal: t.Principal, Person: t.Person, Scope: t.Scope, Expires: t.Expires, Revoked: t.Revoked}
	if t.Code {
		out.Code = t.ID
	}
	return out, err
}

// Session finds a session.
func (b Book) Session(ctx context.Context, hash [sha256.Size]byte) (session.Session, error) {
	return b.Store.SessionByHash(ctx, hash)
}

// Used notes that a session was used. When that fails the session ends earlier,
// which is the safe side.
func (b Book) Used(ctx context.Context, id string, at time.Time) {
	if err := b.Store.Save(ctx, store.Change{Identity: known.Change{Uses: []known.Use{{Session: id, At: at}}}}); err != nil {
		b.Log.LogAttrs(ctx, slog.LevelWarn, "note the use of a session", slog.Any("error", err))
	}
}

// Person returns whom p was linked to.
func (b Book) Person(ctx context.Context, p access.Principal) (string, error) {
	rules, err := b.Store.Rules(ctx)
	return rules.Links.Person(p), err
}

// Groups returns the groups of the configuration by the ISSUER#SUBJECT of their
// members, as package authn wants them.
func Groups(groups []config.Group) map[string][]string {
	out := map[string][]string{}
	for _, g := range groups {
		for _, m := range g.Members {
			out[m] = append(out[m], access.GroupName(config.LocalIssuer, g.Name))
		}
	}
	return out
}
