// Package authn says who is asking, and from which address.
//
// A caller is known by what comes with the request, and by the first of these that
// is there:
//
//   - a bearer token: one of ours (sesame_…), the session that `sesame login` made
//     (sesame_session_…), or a token of an issuer of the configuration;
//   - the session in a browser's cookie; what changes something must then come from
//     a page of ours;
//   - on the local socket, what the kernel says about the process at the other end:
//     root, and the user that the server itself runs as, are the local
//     administrator.
//
// Whatever is wrong with it, the answer is the same: it is not known who is asking.
// Only an issuer that cannot be asked is said to be so.
//
// Who somebody is, is added here in one place: the person that an administrator
// linked an identity to, and the groups of the configuration. Nothing of it is
// remembered in a session, so that it ends the moment it is taken away.
//
// A caller's address is that of the TCP peer. Only a peer that is configured as
// a trusted proxy is believed about whom it forwards for; see Proxies.
package authn

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/authn/oidc"
	"github.com/sesame-access/sesame/internal/authn/session"
	"github.com/sesame-access/sesame/internal/errkind"
)

// A Caller is who asks, and from where.
type Caller struct {
	access.Identity
	// Addr is the address that the caller's packets come from; invalid when they
	// came over the local socket.
	Addr netip.Addr
	// Code is the id of the code that was shown instead of a token: it is good for one
	// emergency and for nothing else.
	Code string
	// Session is the id of the session that they came with; empty for none.
	Session string
}

// LocalAdmin is the principal of root, and of the server's own user, on the
// local socket.
func LocalAdmin() access.Principal {
	return access.Principal{Issuer: "local", Subject: "root", Display: "root"}
}

// A Token is what is known about a token by its hash.
type Token struct {
	Hash      [sha256.Size]byte
	Principal access.Principal
	Person    string    // whom it was made for; empty for a program's
	Code      string    // its id, if it is good for one emergency only
	Scope     []string  // none for no limit
	Expires   time.Time // zero for never
	Revoked   time.Time // zero while it is not
}

// good reports whether t stands for its principal at now.
func (t Token) good(hash [sha256.Size]byte, now time.Time) bool {
	same := subtle.ConstantTimeCompare(t.Hash[:], hash[:]) == 1
	return same && t.Revoked.IsZero() && (t.Expires.IsZero() || now.Before(t.Expires))
}

// Config says what an Authenticator believes.
type Config struct {
	Book Book
	// Sessions say how long a session lasts.
	Sessions session.Limits
	Issuers  []*oidc.Issuer
	// Groups are the groups that the configuration adds, as access.GroupName says,
	// by the ISSUER#SUBJECT of their members.
	Groups map[string][]string
	// Proxies are believed about whom they forward for.
	Proxies Proxies
	// UID is the user id that the server runs as.
	UID uint32
}

// A Book is what is stored about who asks. An error of kind NotFound says that
// there is no such thing.
type Book interface {
	// Token finds a token by the SHA-256 of its text.
	Token(ctx context.Context, hash [sha256.Size]byte) (Token, error)
	// Session finds a session by the SHA-256 of its secret.
	Session(ctx context.Context, hash [sha256.Size]byte) (session.Session, error)
	// Used notes that a session was used.
	Used(ctx context.Context, id string, at time.Time)
	// Person returns whom p was linked to; empty for nobody.
	Person(ctx context.Context, p access.Principal) (string, error)
}

// An Authenticator says who is asking. It is safe for concurrent use.
type Authenticator struct {
	cfg      Config
	failures *Limiter
}

// Failed attempts of one address, a minute. A token cannot be guessed; the limit
// is for the log and for the database.
const (
	failuresAMinute = 30
	failuresAtOnce  = 10
)

// New returns an authenticator.
func New(cfg Config) *Authenticator {
	return &Authenticator{cfg: cfg, failures: NewLimiter(failuresAMinute, failuresAtOnce)}
}

// Authenticate says who sent r. The error is of kind Unauthenticated, whatever
// the reason, or Exhausted when its address failed too often; a token that is
// good is never turned away, so that one address cannot lock out those behind
// it.
func (a *Authenticator) Authenticate(r *http.Request, now time.Time) (Caller, error) {
	peer, local := peerOf(r.Context())
	caller := Caller{Identity: access.Identity{}, Addr: netip.Addr{}, Session: ""}
	if !local {
		addr, err := a.cfg.Proxies.Client(r)
		if err != nil {
			return Caller{}, err
		}
		caller.Addr = addr
	}
	err := a.identify(r, peer, local, &caller, now)
	if errkind.Of(err) == errkind.Unauthenticated && !a.Fails(caller.Addr, now) {
		return Caller{}, errkind.New(errkind.Exhausted, "too many attempts without a token that is good; wait a minute")
	}
	if err != nil {
		return Caller{}, err
	}
	return caller, a.complete(r.Context(), &caller.Identity)
}

// Fails counts an attempt of an address that failed, whatever it tried; false when
// there were too many lately. One count for all: nobody gets a fresh one by trying
// another name, another door, or another spelling.
func (a *Authenticator) Fails(addr netip.Addr, now time.Time) bool {
	return a.failures.Allow(AddrKey(addr), now)
}

// identify says who sent r: a token says it wherever there is one.
func (a *Authenticator) identify(r *http.Request, peer Peer, local bool, c *Caller, now time.Time) error {
	headers := r.Header.Values("Authorization")
	switch {
	case len(headers) > 1:
		return unknown()
	case len(headers) == 1:
		scheme, secret, _ := strings.Cut(headers[0], " ")
		if !strings.EqualFold(scheme, "Bearer") || secret == "" {
			return unknown()
		}
		return a.bearer(r.Context(), secret, c, now)
	case local && (peer.UID == 0 || peer.UID == a.cfg.UID):
		c.Principal, c.Kind = LocalAdmin(), access.Person
		return nil
	}
	cookies := r.CookiesNamed(Cookie)
	if len(cookies) != 1 || !fromOurPage(r) {
		return unknown()
	}
	return a.session(r.Context(), cookies[0].Value, c, now)
}

// Cookie is the name of the cookie with the secret of a session. Its prefix has
// browsers see to it that it came over TLS, from this host, and for all of it.
const Cookie = "__Host-sesame"

// fromOurPage reports whether r changes nothing, or says that a page of ours sent
// it. Every browser says so; that the two agree has been seen to by then.
func fromOurPage(r *http.Request) bool {
	return r.Method == http.MethodGet || r.Method == http.MethodHead ||
		r.Header.Get("Sec-Fetch-Site") == "same-origin" || r.Header.Get("Sec-Fetch-Site") == "" && r.Header.Get("Origin") != ""
}

// bearer says whom a secret stands for.
func (a *Authenticator) bearer(ctx context.Context, secret string, c *Caller, now time.Time) error {
	if strings.HasPrefix(secret, session.Prefix) {
		return a.session(ctx, secret, c, now)
	}
	if iss, ok := issuerOf(secret); ok {
		i := slices.IndexFunc(a.cfg.Issuers, func(i *oidc.Issuer) bool { return i.Issues(iss) })
		if i < 0 {
			return unknown()
		}
		var err error
		c.Identity, err = a.cfg.Issuers[i].Bearer(ctx, secret, now)
		return err
	}
	hash := sha256.Sum256([]byte(secret))
	t, err := a.cfg.Book.Token(ctx, hash)
	if err != nil {
		return notFound(err)
	}
	if !t.good(hash, now) {
		return unknown()
	}
	c.Principal, c.Kind, c.Scope, c.Code = t.Principal, access.Program, t.Scope, t.Code
	if t.Person != "" {
		c.Person, c.Kind = t.Person, access.Person
	}
	return nil
}

// session says whose session a secret is that of.
func (a *Authenticator) session(ctx context.Context, secret string, c *Caller, now time.Time) error {
	hash := session.Hash(secret)
	s, err := a.cfg.Book.Session(ctx, hash)
	if err != nil {
		return notFound(err)
	}
	if !s.Good(hash, a.cfg.Sessions, now) {
		return unknown()
	}
	if now.Sub(s.Seen) > a.cfg.Sessions.Slack() {
		a.cfg.Book.Used(ctx, s.ID, now)
	}
	c.Identity, c.Session = s.Identity, s.ID
	return nil
}

// issuerOf returns who a token says to be by, if it is a JWT. Nothing is believed
// of it: it only says whose keys to try.
func issuerOf(secret string) (string, bool) {
	parts := strings.Split(secret, ".")
	if len(parts) != 3 {
		return "", false
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		Issuer string `json:"iss"`
	}
	if err != nil || json.Unmarshal(text, &claims) != nil {
		return "", false
	}
	return claims.Issuer, true
}

// complete adds what is not in the token: who the person behind it is, and the
// groups of the configuration. What was linked to a person is that person, whatever
// it was by itself.
func (a *Authenticator) complete(ctx context.Context, who *access.Identity) error {
	person, err := a.cfg.Book.Person(ctx, who.Principal)
	if err != nil {
		return errkind.Wrap(errkind.Unavailable, err, "who is the same person as whom cannot be read now; try again")
	}
	if person != "" {
		who.Person, who.Kind = person, access.Person
	}
	if more := a.cfg.Groups[who.Issuer+"#"+who.Subject]; len(more) > 0 {
		who.Groups = slices.Concat(who.Groups, more)
		slices.Sort(who.Groups)
		who.Groups = slices.Compact(who.Groups)
	}
	return nil
}

// notFound is unknown for what is not there, and says that the rest could not be
// looked up.
func notFound(err error) error {
	if errkind.Of(err) == errkind.NotFound {
		return unknown()
	}
	return errkind.Wrap(errkind.Unavailable, err, "who is asking cannot be looked up now; try again")
}

// unknown is the one answer to every caller who is not known.
func unknown() error {
	return errkind.New(errkind.Unauthenticated,
		"it is not known who is asking; sign in with `sesame login`, or send a token that is good as `Authorization: Bearer sesame_…`")
}
