// Package identity is how what is known of who asks lies in the tables: tokens,
// sessions, what was last seen of whom, and who is the same person as whom.
//
// A row that somebody damaged stands for nobody, or for less: a session whose
// times cannot be read is over, a link without a person links to nobody.
package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/authn/known"
	"github.com/sesame-access/sesame/internal/authn/session"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/store/table"
)

// keep is how long sessions are kept after they began, which is longer than they
// can last.
const keep = 32 * 24 * time.Hour

// Save adds and ends tokens, and applies c. Stale is what an error wraps when what must exist does not.
func Save(ctx context.Context, q *table.Queries, added []Token, ended []Revocation, c known.Change, stale error) error {
	if err := saveTokens(ctx, q, added, ended, stale); err != nil {
		return err
	}
	for _, s := range c.Seen {
		err := q.PutIdentity(ctx, table.PutIdentityParams{
			Issuer: s.Issuer, Subject: s.Subject, Display: s.Display, Kind: string(s.Kind), Groups: list(s.Groups), Seen: table.Millis(s.Seen),
		})
		if err != nil {
			return fmt.Errorf("write identity: %w", err)
		}
	}
	for _, l := range c.Links {
		err := q.PutLink(ctx, table.PutLinkParams{
			Issuer: l.Principal.Issuer, Subject: l.Principal.Subject, Display: l.Principal.Display, Person: l.Person,
			Since: table.Millis(l.Since), ByIssuer: l.By.Issuer, BySubject: l.By.Subject, ByDisplay: l.By.Display,
		})
		if err != nil {
			return fmt.Errorf("write link: %w", err)
		}
	}
	for _, p := range c.Unlinks {
		n, err := q.DropLink(ctx, table.DropLinkParams{Issuer: p.Issuer, Subject: p.Subject})
		if err := one(n, err, "delete link", stale, "%s is linked to nobody any more", p); err != nil {
			return err
		}
	}
	return sessions(ctx, q, c, stale)
}

func sessions(ctx context.Context, q *table.Queries, c known.Change, stale error) error {
	var errs error
	for _, r := range c.Endings {
		_, err := q.EndSession(ctx, table.EndSessionParams{At: table.Millis(r.At), ID: r.ID})
		errs = errors.Join(errs, err)
	}
	for _, l := range c.Leaves {
		errs = errors.Join(errs, q.EndSessionsOf(ctx, table.EndSessionsOfParams{
			At: table.Millis(l.At), Issuer: l.Principal.Issuer, Subject: l.Principal.Subject,
		}))
	}
	for _, u := range c.Uses {
		errs = errors.Join(errs, q.UseSession(ctx, table.UseSessionParams{At: table.Millis(u.At), ID: u.Session}))
	}
	if errs != nil {
		return fmt.Errorf("write sessions: %w", errs)
	}
	for _, s := range c.Sessions {
		if err := q.ForgetSessions(ctx, table.Millis(s.Created.Add(-keep))); err != nil {
			return fmt.Errorf("forget sessions: %w", err)
		}
		who := s.Identity
		n, err := q.AddSession(ctx, table.AddSessionParams{
			ID: s.ID, Hash: s.Hash[:], Issuer: who.Issuer, Subject: who.Subject, Display: who.Display, Kind: string(who.Kind),
			Person: who.Person, Groups: list(who.Groups), Proved: table.Millis(who.At),
			Created: table.Millis(s.Created), Seen: table.Millis(s.Seen),
		})
		if err := one(n, err, "add session", stale, "there is a session %s already", s.ID); err != nil {
			return err
		}
	}
	return nil
}

// Erase deletes what was last seen of p, and their sessions.
func Erase(ctx context.Context, q *table.Queries, p access.Principal) error {
	return errors.Join(
		q.EraseIdentity(ctx, table.EraseIdentityParams{Issuer: p.Issuer, Subject: p.Subject}),
		q.EraseSessions(ctx, table.EraseSessionsParams{Issuer: p.Issuer, Subject: p.Subject}),
	)
}

// SightingsOf returns what the rows hold.
func SightingsOf(rows []table.Identity) []known.Sighting {
	var out []known.Sighting
	for _, r := range rows {
		out = append(out, known.Sighting{Identity: identityOf(r.Issuer, r.Subject, r.Display, r.Kind, r.Groups), Seen: table.Instant(r.Seen)})
	}
	return out
}

// LinksOf returns what the rows hold.
func LinksOf(rows []table.Link) known.Links {
	var out known.Links
	for _, r := range rows {
		out = append(out, known.Link{
			Principal: principal(r.Issuer, r.Subject, r.Display), Person: r.Person,
			By: principal(r.ByIssuer, r.BySubject, r.ByDisplay), Since: table.Instant(r.Since),
		})
	}
	slices.SortFunc(out, func(a, b known.Link) int { return known.Compare(a.Principal, b.Principal) })
	return out
}

// SessionOf returns the session that a row holds.
func SessionOf(r table.Session) session.Session {
	s := session.Session{
		ID: r.ID, Hash: [32]byte{}, Identity: identityOf(r.Issuer, r.Subject, r.Display, r.Kind, r.Groups),
		Created: table.Instant(r.Created), Seen: table.Instant(r.Seen), Ended: table.Instant(r.Ended),
	}
	s.Identity.Person, s.Identity.At = r.Person, table.Instant(r.Proved)
	if r.Ended != 0 && s.Ended.IsZero() {
		s.Ended = time.UnixMilli(1).UTC() // whatever was written, it was ended
	}
	copy(s.Hash[:], r.Hash)
	return s
}

func identityOf(issuer, subject, display, kind, groups string) access.Identity {
	out := access.Identity{Principal: principal(issuer, subject, display), Kind: access.Program}
	if access.Kind(kind) == access.Person {
		out.Kind = access.Person
	}
	if json.Unmarshal([]byte(groups), &out.Groups) != nil || len(out.Groups) == 0 {
		out.Groups = nil
	}
	return out
}

func principal(issuer, subject, display string) access.Principal {
	return access.Principal{Issuer: issuer, Subject: subject, Display: display}
}

// list writes a list as it is stored.
func list(l []string) string {
	if len(l) == 0 {
		return "[]"
	}
	text, err := json.Marshal(l)
	if err != nil {
		panic("identity: " + err.Error())
	}
	return string(text)
}

// one turns the result of a write that must touch one row into an error.
func one(n int64, err error, what string, reason error, format string, args ...any) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if n == 0 {
		return errkind.Wrap(errkind.Conflict, reason, format, args...)
	}
	return nil
}

// A Token is a secret that stands for a principal. Only its hash is stored.
type Token struct {
	ID        string   // public; names the token in lists and records
	Hash      [32]byte // SHA-256 of the secret
	Principal access.Principal
	// Person is the id of the person whom an administrator made the token for;
	// empty for a program's.
	Person string
	// Code says that the token is good for one emergency and for nothing else.
	Code bool
	// Scope limits what it may be used for; none for no limit.
	Scope   []string
	Created time.Time
	// Expires is when it ends by itself; zero for never.
	Expires time.Time
	// Revoked is when somebody ended it; zero while nobody has.
	Revoked time.Time
}

// A Revocation ends a token, or a session.
type Revocation struct {
	ID string
	At time.Time
}

// saveTokens adds and ends tokens.
func saveTokens(ctx context.Context, q *table.Queries, added []Token, ended []Revocation, stale error) error {
	for _, k := range added {
		endless, expires := table.Lifetime(k.Expires)
		n, err := q.AddToken(ctx, table.AddTokenParams{
			ID: k.ID, Hash: k.Hash[:], Issuer: k.Principal.Issuer, Subject: k.Principal.Subject, Display: k.Principal.Display,
			Created: table.Millis(k.Created), Endless: endless, Expires: expires, Revoked: table.Millis(k.Revoked),
			Person: k.Person, Code: table.Flag(k.Code), Scope: strings.Join(k.Scope, " "),
		})
		if err := one(n, err, "add token", stale, "there is a token %s already", k.ID); err != nil {
			return err
		}
	}
	for _, r := range ended {
		n, err := q.RevokeToken(ctx, table.RevokeTokenParams{At: table.Millis(r.At), ID: r.ID})
		if err := one(n, err, "revoke token", stale, "there is no token %s that is not revoked", r.ID); err != nil {
			return err
		}
	}
	return nil
}

// TokenOf returns the token that a row holds.
func TokenOf(row table.Token) Token {
	t := Token{
		ID: row.ID, Hash: [32]byte{}, Principal: row.Holder(), Person: row.Person, Code: row.Code == 1,
		Scope: strings.Fields(row.Scope), Created: table.Instant(row.Created),
	}
	if len(t.Scope) == 0 {
		t.Scope = nil
	}
	copy(t.Hash[:], row.Hash)
	t.Expires, t.Revoked = row.Ends()
	return t
}
