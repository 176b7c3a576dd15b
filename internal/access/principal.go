package access

import (
	"cmp"
	"strings"
	"unicode"

	"github.com/sesame-access/sesame/internal/errkind"
)

// MaxPrincipal is how many bytes the name of a principal may have.
const MaxPrincipal = 512

// Name returns p as documents and commands write it: "ISSUER#SUBJECT".
func (p Principal) Name() string { return p.Issuer + "#" + p.Subject }

// ParsePrincipal reads what Name returns: an issuer, in which there is no #, and a
// subject, both without blanks and of printable characters. field says what it is.
func ParsePrincipal(field, s string) (Principal, error) {
	issuer, subject, ok := strings.Cut(s, "#")
	odd := func(r rune) bool { return !unicode.IsPrint(r) || unicode.IsSpace(r) || r == unicode.ReplacementChar }
	if !ok || issuer == "" || subject == "" || len(s) > MaxPrincipal || strings.ContainsFunc(s, odd) {
		return Principal{}, errkind.Bad(field, s, "ISSUER#SUBJECT, such as local#dora or https://login.example.com#8a1f")
	}
	return Principal{Issuer: issuer, Subject: subject}, nil
}

// ComparePrincipals orders principals by issuer and subject; what they are
// displayed as makes no difference.
func ComparePrincipals(a, b Principal) int {
	return cmp.Or(cmp.Compare(a.Issuer, b.Issuer), cmp.Compare(a.Subject, b.Subject))
}
