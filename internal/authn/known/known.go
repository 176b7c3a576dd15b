// Package known is what is known of who asks, apart from what they are allowed:
// what was last seen of them, whom they are linked to, and their sessions.
package known

import (
	"cmp"
	"slices"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/authn/session"
)

// A Sighting is what was last seen of somebody.
type Sighting struct {
	access.Identity
	Seen time.Time
}

// A Link says that an identity belongs to a person.
type Link struct {
	Principal access.Principal
	Person    string
	By        access.Principal
	Since     time.Time
}

// Links are sorted by principal, each of which is there once.
type Links []Link

// Person returns the person that p was linked to; empty if it was not.
func (l Links) Person(p access.Principal) string {
	i, ok := slices.BinarySearchFunc(l, p, func(x Link, p access.Principal) int { return Compare(x.Principal, p) })
	if !ok {
		return ""
	}
	return l[i].Person
}

// Compare orders principals by issuer and subject.
func Compare(a, b access.Principal) int {
	return cmp.Or(cmp.Compare(a.Issuer, b.Issuer), cmp.Compare(a.Subject, b.Subject))
}

// A Use notes that a session was used.
type Use struct {
	Session string
	At      time.Time
}

// A Change is applied in the order of its fields.
type Change struct {
	// Seen replaces what was last seen of each.
	Seen []Sighting
	// Links are added or replaced.
	Links []Link
	// Unlinks are removed; they must exist.
	Unlinks []access.Principal
	// Endings end sessions by id; one that has ended already is passed over.
	Endings []Ending
	// Leaves end every session of a principal.
	Leaves []Leave
	// Sessions are added; their ids and hashes must be new.
	Sessions []session.Session
	// Uses are the only thing that may change without a record.
	Uses []Use
}

// An Ending ends a session.
type Ending struct {
	ID string
	At time.Time
}

// A Leave ends every session of a principal.
type Leave struct {
	Principal access.Principal
	At        time.Time
}

// Rules reports whether c changes what decisions are based on.
func (c Change) Rules() bool { return len(c.Links)+len(c.Unlinks) > 0 }

// Len returns how much c changes.
func (c Change) Len() int {
	return len(c.Seen) + len(c.Links) + len(c.Unlinks) + len(c.Endings) + len(c.Leaves) + len(c.Sessions) + len(c.Uses)
}
