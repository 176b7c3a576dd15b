// Package authn says who is asking, and from which address.
//
// A caller is known by a bearer token or, on the local socket, by what the
// kernel says about the process at the other end: root, and the user that the
// server itself runs as, are the local administrator. Whatever is wrong with a
// token, the answer is the same: it is not known who is asking.
//
// A caller's address is that of the TCP peer. Only a peer that is configured as
// a trusted proxy is believed about whom it forwards for; see Proxies.
package authn

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/access"
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
	// Lookup finds a token by the SHA-256 of its text; an error of kind NotFound
	// says that there is none.
	Lookup func(ctx context.Context, hash [sha256.Size]byte) (Token, error)
	// Proxies are believed about whom they forward for.
	Proxies Proxies
	// UID is the user id that the server runs as.
	UID uint32
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
	caller := Caller{Identity: access.Identity{}, Addr: netip.Addr{}}
	if !local {
		addr, err := a.cfg.Proxies.Client(r)
		if err != nil {
			return Caller{}, err
		}
		caller.Addr = addr
	}
	who, err := a.who(r, peer, local, now)
	if errkind.Of(err) == errkind.Unauthenticated && !a.failures.Allow(AddrKey(caller.Addr), now) {
		return Caller{}, errkind.New(errkind.Exhausted, "too many attempts without a token that is good; wait a minute")
	}
	if err != nil {
		return Caller{}, err
	}
	who.Addr = caller.Addr
	return who, nil
}

// who says who sent r: a token says it wherever there is one.
func (a *Authenticator) who(r *http.Request, peer Peer, local bool, now time.Time) (Caller, error) {
	headers := r.Header.Values("Authorization")
	switch {
	case len(headers) == 0 && local && (peer.UID == 0 || peer.UID == a.cfg.UID):
		return Caller{Identity: access.Identity{Principal: LocalAdmin()}}, nil
	case len(headers) != 1:
		return Caller{}, unknown()
	}
	scheme, secret, _ := strings.Cut(headers[0], " ")
	if !strings.EqualFold(scheme, "Bearer") || secret == "" {
		return Caller{}, unknown()
	}
	hash := sha256.Sum256([]byte(secret))
	t, err := a.cfg.Lookup(r.Context(), hash)
	switch {
	case errkind.Of(err) == errkind.NotFound:
		return Caller{}, unknown()
	case err != nil:
		return Caller{}, errkind.Wrap(errkind.Unavailable, err, "tokens cannot be looked up now; try again")
	case !t.good(hash, now):
		return Caller{}, unknown()
	}
	known := access.Identity{Principal: t.Principal, Kind: access.Program, Person: t.Person}
	if t.Person != "" {
		known.Kind = access.Person
	}
	return Caller{Identity: known, Code: t.Code}, nil
}

// unknown is the one answer to every caller who is not known.
func unknown() error {
	return errkind.New(errkind.Unauthenticated,
		"it is not known who is asking; send a token that is good as `Authorization: Bearer sesame_…`, or ask an administrator for one")
}
