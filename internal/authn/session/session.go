// Package session says what a sign-in leaves behind: a session, which stands for
// an identity until it is ended, has lasted long enough, or was not used.
//
// The secret of a session is 256 random bits, in a cookie of a browser or in the
// hands of `sesame login`. Only its hash is stored. Every sign-in makes a new one,
// and whoever signs in while signed in loses the old: nobody can have planted a
// session that somebody else then fills with their rights.
package session

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"time"

	"github.com/sesame-access/sesame/internal/access"
)

// Prefix starts every secret, so that scanners of leaked secrets know one, and
// nobody takes it for a token.
const Prefix = "sesame_session_"

// IDPrefix starts the ids that name sessions in records; they are no secrets.
const IDPrefix = "s-"

// Limits say how long sessions last.
type Limits struct {
	Absolute, Idle time.Duration
}

// A Session is one sign-in.
type Session struct {
	ID   string
	Hash [sha256.Size]byte // of the secret
	// Identity is who signed in, as the issuer said then. Who the person behind it
	// is, and what groups the configuration adds, is looked up whenever they ask.
	Identity access.Identity
	Created  time.Time
	// Seen is when it was last used, give or take Slack.
	Seen time.Time
	// Ended is when somebody ended it; zero while nobody has.
	Ended time.Time
}

// Hash returns what is stored of a secret.
func Hash(secret string) [sha256.Size]byte { return sha256.Sum256([]byte(secret)) }

// NewSecret makes a secret.
func NewSecret() string {
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails: it ends the process instead
	return Prefix + base64.RawURLEncoding.EncodeToString(random[:])
}

// Good reports whether s stands for its identity at now, for whoever has a secret
// with the given hash. A session from the future is none: a clock was wrong, and
// nobody knows how long the session would last.
func (s Session) Good(hash [sha256.Size]byte, l Limits, now time.Time) bool {
	return subtle.ConstantTimeCompare(s.Hash[:], hash[:]) == 1 && s.Ended.IsZero() && !s.Over(l, now) &&
		!s.Created.After(now.Add(access.MaxSkew))
}

// Over reports whether s has lasted long enough, or was not used.
func (s Session) Over(l Limits, now time.Time) bool {
	return !now.Before(s.Created.Add(l.Absolute)) || !now.Before(s.Seen.Add(l.Idle))
}

// Expires returns when s ends if it goes on being used.
func (s Session) Expires(l Limits) time.Time { return s.Created.Add(l.Absolute) }

// slack is which part of the idle time may pass before a use is noted again.
const slack = 8

// Slack is how much earlier than it was really used a session may be noted as
// seen, so that not every use has to be written.
func (l Limits) Slack() time.Duration { return l.Idle / slack }
