package access

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"
)

// Kind tells people from programs.
type Kind string

// The kinds of who asks.
const (
	Person  Kind = "person"
	Program Kind = "program"
)

// An Identity is a principal with what is known about it when it asks.
type Identity struct {
	Principal
	Kind Kind
	// Person is the id of the person behind it ("p-…"), whom several identities
	// may share; empty for a program, and for an identity nobody has linked.
	Person string
	// Groups are the groups that the issuer or the configuration says it is in,
	// each as ISSUER#GROUP, sorted.
	Groups []string
	// Scope limits what a token may be used for; empty for no limit.
	Scope []string
	// At is when the person last proved who they are; zero for a program.
	At time.Time
}

// PersonPrefix starts the ids of people.
const PersonPrefix = "p-"

// PersonOf returns the id of the person that p is by itself, as the principals of
// an issuer of people are. It depends on issuer and subject and on nothing else.
func PersonOf(p Principal) string {
	h := sha256.New()
	for _, s := range []string{p.Issuer, p.Subject} {
		// The lengths keep apart what ends in the issuer and what begins the subject.
		_ = binary.Write(h, binary.BigEndian, uint64(len(s))) // a hash takes everything
		h.Write([]byte(s))
	}
	return NewID(PersonPrefix, [IDBytes]byte(h.Sum(nil)))
}

// Same reports whether i and j may be the same human being or program: they are
// one principal, or share a person. Nobody approves what the same one asked for.
func (i Identity) Same(j Identity) bool {
	return i.Is(j.Principal) || i.Person != "" && i.Person == j.Person
}

// GroupName returns the name under which a group of an issuer is known: groups of
// two issuers are never the same, whatever they are called.
func GroupName(issuer, group string) string { return issuer + "#" + group }

// In reports whether i is in the group with the given GroupName.
func (i Identity) In(group string) bool { return slices.Contains(i.Groups, group) }
