// Package access says what people ask for and what they get: a principal asks
// for doors, a decision answers, and a grant opens one door for a while.
//
// States are derived from what is stored and a reading of the clocks; nothing
// has to be flipped when time passes, so nothing can forget to be flipped.
package access

import (
	"cmp"
	"encoding/base32"
	"strings"

	"github.com/sesame-access/sesame/internal/errkind"
)

// A Principal is who asks: a person, a group's member or a service, known by
// who vouches for it and what that issuer calls it.
type Principal struct {
	Issuer  string // "local", or the URL of an identity provider
	Subject string // never an e-mail address that somebody may reassign
	// Display is for people's eyes; nothing is decided by it.
	Display string
}

// Is reports whether p and q are the same principal, whatever they are called.
func (p Principal) Is(q Principal) bool { return p.Issuer == q.Issuer && p.Subject == q.Subject }

// String returns the name to show.
func (p Principal) String() string { return cmp.Or(p.Display, p.Subject) }

// System is the principal of what Sesame does by itself, such as an expiry.
func System() Principal { return Principal{Issuer: "sesame", Subject: "system", Display: "sesame"} }

// IDBytes is how many random bytes NewID needs.
const IDBytes = 10

// The prefixes of ids say what they name.
const (
	GrantPrefix   = "g-"
	RequestPrefix = "r-"
)

const (
	idDigits   = 16
	idAlphabet = "0123456789abcdefghjkmnpqrstvwxyz"
)

// NewID makes an id of the kind that prefix names from IDBytes random bytes.
func NewID(prefix string, random [IDBytes]byte) string {
	return prefix + base32.NewEncoding(idAlphabet).WithPadding(base32.NoPadding).EncodeToString(random[:])
}

// ParseID reads an id with the given prefix; field says what it is for.
func ParseID(field, prefix, s string) (string, error) {
	digits, ok := strings.CutPrefix(s, prefix)
	// Not by decoding: the decoder skips line breaks.
	if ok && len(digits) == idDigits && strings.Trim(digits, idAlphabet) == "" {
		return s, nil
	}
	return "", errkind.Bad(field, s, "an id such as "+prefix+"0123456789abcdef")
}
