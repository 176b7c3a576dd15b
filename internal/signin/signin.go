// Package signin signs people in and out, and keeps what is known about who asks.
//
// # Signing in
//
// A browser is sent to the identity provider with a state, a nonce and a PKCE
// verifier, all random and all good once. The state lies here, its key in the
// answer, and a second secret in a cookie of the browser that asked: an answer
// counts only in that browser, so that nobody can sign somebody else in as
// themselves. `sesame login` comes the same way and is handed a code at a port of
// its own machine, which is good once, and only together with a secret that never
// left it. Where there is no browser, the provider's device flow is used.
//
// Every sign-in makes a new session and ends the one that the browser had.
//
// # The first administrator
//
// As long as nobody has ever signed in and there is no token, the server makes a
// link at its start and shows it on its terminal. It is good once, for an hour, and
// signs in as the local administrator.
//
// # Persons
//
// An administrator links identities that are one person. Programs of issuers have
// none, and never get one: they may ask, and never approve.
package signin

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/authn"
	"github.com/sesame-access/sesame/internal/authn/known"
	"github.com/sesame-access/sesame/internal/authn/oidc"
	"github.com/sesame-access/sesame/internal/authn/once"
	"github.com/sesame-access/sesame/internal/authn/session"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/store"
)

// Config is what a Desk is made of.
type Config struct {
	Store    *store.Store
	Issuers  []*oidc.Issuer
	Sessions session.Limits
	// URL is where people reach the server, without a slash at its end.
	URL    string
	Clocks func() access.Reading
	NewID  func(prefix string) string
	Log    *slog.Logger
}

// A Desk is where people sign in. It is safe for concurrent use.
type Desk struct {
	Config
	attempts *once.Box[attempt]
	codes    *once.Box[code]
	devices  *once.Box[device]
	first    *once.Box[struct{}]
}

// attempt is a sign-in under way in a browser.
type attempt struct {
	oidc.Attempt
	issuer *oidc.Issuer
	// browser is the hash of the secret in the cookie of the browser that began it.
	browser [sha256.Size]byte
	start   Start
}

// code is a sign-in that a program on the person's machine may fetch.
type code struct {
	who       access.Identity
	challenge string
}

// device is a sign-in on another device.
type device struct {
	oidc.Device
	issuer *oidc.Issuer
}

// How many sign-ins may be under way, and how long they and their ends may take.
const (
	mostUnderWay = 10_000
	attemptTime  = 15 * time.Minute
	codeTime     = time.Minute
	firstTime    = time.Hour
)

// New returns a desk.
func New(cfg Config) *Desk {
	return &Desk{
		Config:   cfg,
		attempts: once.New[attempt](mostUnderWay, attemptTime), codes: once.New[code](mostUnderWay, codeTime),
		devices: once.New[device](mostUnderWay, attemptTime), first: once.New[struct{}](1, firstTime),
	}
}

// Names returns what the issuers are called where people sign in, sorted.
func (d *Desk) Names() []string {
	var out []string
	for _, i := range d.Issuers {
		if i.SignsIn() {
			out = append(out, i.Name())
		}
	}
	slices.Sort(out)
	return out
}

func (d *Desk) issuer(name string) (*oidc.Issuer, error) {
	names := d.Names()
	if len(names) == 0 {
		return nil, errkind.New(errkind.Invalid, "nobody signs in here: the configuration has no issuer with a client; use a token")
	}
	if name == "" && len(names) == 1 {
		name = names[0]
	}
	i := slices.IndexFunc(d.Issuers, func(i *oidc.Issuer) bool { return i.Name() == name && i.SignsIn() })
	if i < 0 {
		return nil, errkind.Bad("issuer", name, "one of "+strings.Join(names, ", "))
	}
	return d.Issuers[i], nil
}

// A Start says what a sign-in is for.
type Start struct {
	Issuer string // empty for the only one
	// Next is the path to go to afterwards; empty for the first page.
	Next string
	// Port and Challenge are those of a program on the person's machine that waits
	// for the end of the sign-in; 0 and empty for a browser.
	Port      uint16
	Challenge string
	// State is the program's own, and given back to it.
	State string
	// Again says that people have to prove themselves anew.
	Again bool
}

// Begin returns where to send the browser, and the secret for its cookie.
func (d *Desk) Begin(ctx context.Context, start Start) (target, cookie string, err error) {
	i, err := d.issuer(start.Issuer)
	if err != nil {
		return "", "", err
	}
	now := d.Clocks().Wall
	a := attempt{
		Attempt: oidc.Attempt{
			State: "", Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), Redirect: d.URL + "/callback", Again: start.Again,
		},
		issuer: i, browser: [sha256.Size]byte{}, start: start,
	}
	cookie = rand.Text()
	a.browser = sha256.Sum256([]byte(cookie))
	a.State = d.attempts.Put(a, now)
	target, err = i.AuthURL(ctx, a.Attempt)
	return target, cookie, err
}

// A Return is what a browser brings back from the identity provider.
type Return struct {
	State, Code, Issuer string
	// Problem is what the provider says went wrong; empty for nothing.
	Problem string
	Cookie  string
	// Session is the session that the browser had; it ends.
	Session string
	Addr    netip.Addr
}

// An End is where a sign-in leads.
type End struct {
	// Secret is the new session's, for the browser; empty for a program, which
	// fetches its own with Code.
	Secret  string
	Expires time.Time
	Start   Start
	Code    string
}

// Finish ends the sign-in that r belongs to.
func (d *Desk) Finish(ctx context.Context, r Return) (End, error) {
	now := d.Clocks().Wall
	a, ok := d.attempts.Take(r.State, now)
	if cookie := sha256.Sum256([]byte(r.Cookie)); !ok || subtle.ConstantTimeCompare(cookie[:], a.browser[:]) != 1 {
		return End{}, errkind.New(errkind.Unauthenticated, "this sign-in did not begin in this browser, took too long, or is over; begin again")
	}
	if r.Problem != "" {
		return End{}, errkind.New(errkind.Unauthenticated, "%s did not sign you in (%s); begin again, or ask an administrator", a.issuer.Name(), errkind.Quote(r.Problem))
	}
	who, err := a.issuer.Exchange(ctx, a.Attempt, oidc.Answer{Code: r.Code, Issuer: r.Issuer}, now)
	if err != nil {
		return End{}, err
	}
	if a.start.Port != 0 {
		return End{Secret: "", Expires: time.Time{}, Start: a.start, Code: d.codes.Put(code{who: who, challenge: a.start.Challenge}, now)}, nil
	}
	secret, s, err := d.open(ctx, who, r.Session, r.Addr)
	return End{Secret: secret, Expires: s.Expires(d.Sessions), Start: a.start, Code: ""}, err
}

// Fetch returns the session that a program's code is for; verifier is the secret
// whose SHA-256 the challenge was.
func (d *Desk) Fetch(ctx context.Context, key, verifier string, addr netip.Addr) (secret string, s session.Session, err error) {
	c, ok := d.codes.Take(key, d.Clocks().Wall)
	hash := sha256.Sum256([]byte(verifier))
	if got := base64.RawURLEncoding.EncodeToString(hash[:]); !ok || subtle.ConstantTimeCompare([]byte(got), []byte(c.challenge)) != 1 {
		return "", session.Session{}, errkind.New(errkind.Unauthenticated, "the code is not good, any more; run `sesame login` again")
	}
	return d.open(ctx, c.who, "", addr)
}

// StartDevice begins a sign-in on another device; handle names it.
func (d *Desk) StartDevice(ctx context.Context, issuer string) (handle string, dev oidc.Device, err error) {
	i, err := d.issuer(issuer)
	if err != nil {
		return "", oidc.Device{}, err
	}
	now := d.Clocks().Wall
	if dev, err = i.StartDevice(ctx, now); err != nil {
		return "", oidc.Device{}, err
	}
	return d.devices.Put(device{Device: dev, issuer: i}, now), dev, nil
}

// Poll returns the session of whoever has signed in on another device. While nobody
// has, again is the handle to ask with after dev's interval.
func (d *Desk) Poll(ctx context.Context, handle string, addr netip.Addr) (secret string, s session.Session, again string, dev oidc.Device, err error) {
	now := d.Clocks().Wall
	x, ok := d.devices.Take(handle, now)
	if !ok {
		return "", session.Session{}, "", oidc.Device{}, errkind.New(errkind.Unauthenticated, "this sign-in is over, or is being asked about twice; run `sesame login` again")
	}
	who, err := x.issuer.Poll(ctx, x.Device, now)
	switch {
	case isPending(err):
		if isSlow(err) {
			x.Interval += oidc.SlowDown
		}
		return "", session.Session{}, d.devices.Put(x, now), x.Device, nil
	case errkind.Of(err) == errkind.Unavailable:
		return "", session.Session{}, d.devices.Put(x, now), x.Device, nil // asked again, until the time is up
	case err != nil:
		return "", session.Session{}, "", oidc.Device{}, err
	}
	secret, s, err = d.open(ctx, who, "", addr)
	return secret, s, "", x.Device, err
}

// First returns the path of a link that signs in as the local administrator, once.
func (d *Desk) First() string { return "/login/first?key=" + d.first.Put(struct{}{}, d.Clocks().Wall) }

// TakeFirst signs in whoever has the key of First.
func (d *Desk) TakeFirst(ctx context.Context, key, had string, addr netip.Addr) (string, session.Session, error) {
	if _, ok := d.first.Take(key, d.Clocks().Wall); !ok {
		return "", session.Session{}, errkind.New(errkind.Unauthenticated, "the link is not good, any more; restart the server for another, as long as nobody has signed in")
	}
	who := access.Identity{Principal: authn.LocalAdmin(), Kind: access.Person, At: d.Clocks().Wall}
	return d.open(ctx, who, had, addr)
}

// open makes a session for who; that of the secret had ends.
func (d *Desk) open(ctx context.Context, who access.Identity, had string, addr netip.Addr) (string, session.Session, error) {
	now := firewall.Instant(d.Clocks().Wall)
	secret := session.NewSecret()
	s := session.Session{
		ID: d.NewID(session.IDPrefix), Hash: session.Hash(secret), Identity: who, Created: now, Seen: now, Ended: time.Time{},
	}
	rec := d.record(audit.SignedIn, who.Principal, addr)
	rec.Text = "session " + s.ID + " of " + who.Issuer + "#" + who.Subject
	c := known.Change{Seen: []known.Sighting{{Identity: who, Seen: now}}, Sessions: []session.Session{s}}
	if had != "" {
		if old, err := d.Store.SessionByHash(ctx, session.Hash(had)); err == nil {
			c.Endings = []known.Ending{{ID: old.ID, At: now}}
		}
	}
	if err := d.Store.Save(ctx, store.Change{Identity: c, Records: []audit.Record{rec}}); err != nil {
		return "", session.Session{}, errkind.Wrap(errkind.Unavailable, err, "the sign-in could not be recorded, so it does not count; try again")
	}
	return secret, s, nil
}

// Out ends a session.
func (d *Desk) Out(ctx context.Context, who access.Principal, id string, addr netip.Addr) error {
	if id == "" {
		return errkind.New(errkind.Invalid, "you did not sign in, so there is nothing to sign out of; `sesame token revoke` ends a token")
	}
	rec := d.record(audit.SignedOut, who, addr)
	rec.Text = "session " + id
	return d.Store.Save(ctx, store.Change{
		Identity: known.Change{Endings: []known.Ending{{ID: id, At: rec.Time}}}, Records: []audit.Record{rec},
	})
}

// record starts a record of something that actor did.
func (d *Desk) record(kind audit.Kind, actor access.Principal, addr netip.Addr) audit.Record {
	now := d.Clocks()
	return audit.Record{Kind: kind, Time: firewall.Instant(now.Wall), Actor: actor, Caller: addr, Clocks: now}
}
