// Package audit describes what happened so that nobody can quietly change it.
//
// Every transition is one record, saved in the transaction of the state change
// it describes. Sealing splits a record in two. The leaf says what happened and
// goes into a Merkle tree for ever; the personal part says who, from where and
// why, and lies beside the tree. The leaf holds a salted hash of it, so that it
// can be neither changed nor guessed, and erasing it breaks no proof.
//
// # The leaf, version 1
//
// One JSON object on one line, its members in this order, without blanks, with
// strings escaped as Go's encoding/json does (<, >, & and the line separators
// too). What is empty or zero is left out, except v, kind, time and personal.
//
//	v         1
//	kind      what happened; see Kind
//	time      when, in milliseconds of Unix time
//	request   id of the request
//	grant     id of the grant
//	vm, port, protocol  the door; protocol is the IP protocol number
//	firewall  id of the firewall
//	deadline  when the grant ends, in milliseconds of Unix time
//	clocks    what the clocks showed: wall and third in milliseconds of Unix
//	          time, boot in milliseconds since the boot called boot_id
//	measures  times taken: name, and ns in nanoseconds
//	level     how far a closing was proven; see Level
//	personal  SHA-256 of "sesame personal v1\n", the salt's 16 bytes and the
//	          personal part, in base64
//
// The personal part is written the same way: v, actor (issuer, subject,
// display), caller, sources, reason, by, not, plan, text. All free text is
// personal, because nobody can promise that it names no one.
//
// # The tree
//
// Leaves are hashed into a tree exactly as RFC 6962 says. A checkpoint (C2SP
// tlog-checkpoint) commits to its size and root and is signed with Ed25519 as a
// C2SP signed note. That a later checkpoint only adds to an earlier one is
// proven by a path of RFC 6962; see ProveAppendOnly. A bundle is the whole log in
// one file, for Verify: with the key it shows every record to whoever trusts that.
package audit

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/firewall"
)

// Kind says what happened. Expired, closed early, superseded, failed, overdue
// and repaired are different things.
type Kind string

// The kinds of records.
const (
	Requested      Kind = "request.granted"     // asked, decided yes; the intent to open
	Denied         Kind = "request.denied"      // asked, decided no
	Waiting        Kind = "request.waiting"     // asked; somebody else has to agree
	Agreed         Kind = "request.agreed"      // somebody agreed; others may have to, too
	Refused        Kind = "request.refused"     // somebody said no
	Cancelled      Kind = "request.cancelled"   // taken back
	Lapsed         Kind = "request.expired"     // nobody decided in time
	GlassBroken    Kind = "glass.broken"        // an emergency: granted without approval
	GlassReviewed  Kind = "glass.reviewed"      // somebody has looked at an emergency
	CodeCreated    Kind = "glass.code"          // a code for one emergency was made
	Opened         Kind = "grant.opened"        // read back open
	Impeded        Kind = "grant.impeded"       // should be open and is not; why
	Extended       Kind = "grant.extended"      // a later deadline
	Ended          Kind = "grant.ended"         // ended early, by somebody
	Expired        Kind = "grant.expired"       // its deadline passed
	Closed         Kind = "grant.closed"        // read back closed
	OverdueClosing Kind = "grant.overdue"       // not read back closed in time; still trying
	Locked         Kind = "lock.added"          // the intent to lock a door
	LockShown      Kind = "lock.shown"          // read back locked
	LossAccepted   Kind = "lock.accepted"       // somebody agreed to what is lost with a lock
	Unlocked       Kind = "lock.removed"        // the intent to give a door back
	Returned       Kind = "rule.returned"       // a displaced rule was read back where it was
	Exposed        Kind = "lock.exposed"        // a locked door that something foreign opened
	Unproven       Kind = "lock.unproven"       // a locked door, of which not all on the way is known
	Proven         Kind = "lock.proven"         // and now it is
	Repaired       Kind = "drift.repaired"      // somebody changed what we own; put right
	Obstructed     Kind = "drift.obstructed"    // something foreign defeats a grant or a lock
	WriteFailed    Kind = "firewall.failed"     // a write failed or its outcome is unknown
	PolicySaved    Kind = "policy.saved"        // a policy was created or changed
	PolicyDeleted  Kind = "policy.deleted"      // a policy is gone; its locks stay
	TokenCreated   Kind = "token.created"       // a token was made
	TokenRevoked   Kind = "token.revoked"       // a token ended
	SignedIn       Kind = "identity.signed-in"  // somebody proved who they are
	SignedOut      Kind = "identity.signed-out" // a session was ended
	Linked         Kind = "identity.linked"     // two identities are one person
	Unlinked       Kind = "identity.unlinked"   // they are not, any more
	RoleAssigned   Kind = "role.assigned"       // somebody has a role
	RoleUnassigned Kind = "role.unassigned"     // somebody has it no more
	AccessSaved    Kind = "access.saved"        // an access policy was created or changed
	AccessDeleted  Kind = "access.deleted"      // an access policy is gone
	Started        Kind = "server.started"      // the server started
	ClockJumped    Kind = "clock.jumped"        // the clocks disagree
	Swept          Kind = "sweep.closed"        // closed by its mark; the book knows of no grant
	Lost           Kind = "book.lost"           // the database provably forgot what it knew; how that is known
	Adopted        Kind = "grant.adopted"       // open by its mark, and taken note of after a loss
	LogBroken      Kind = "log.broken"          // the log is not the one that was signed: put back, or rewritten
	Erased         Kind = "personal.erased"     // personal parts of records were erased
)

// Kinds returns every kind of record, in the order above.
func Kinds() []Kind {
	return []Kind{
		Requested, Denied, Waiting, Agreed, Refused, Cancelled, Lapsed, GlassBroken, GlassReviewed, CodeCreated, Opened, Impeded, Extended,
		Ended, Expired, Closed, OverdueClosing, Locked, LockShown, LossAccepted, Unlocked, Returned, Exposed, Unproven, Proven, Repaired,
		Obstructed, WriteFailed, PolicySaved, PolicyDeleted, TokenCreated, TokenRevoked, SignedIn, SignedOut, Linked, Unlinked,
		RoleAssigned, RoleUnassigned, AccessSaved, AccessDeleted, Started, ClockJumped, Swept, Lost, Adopted, LogBroken, Erased,
	}
}

// A Record is one fact.
type Record struct {
	Kind Kind
	// Time is UTC, whole milliseconds. Order is by index in the log, not by time.
	Time time.Time
	// Actor is who did it. Personal.
	Actor access.Principal
	// Caller is the address that the actor came from; invalid if none. Personal.
	Caller netip.Addr
	// Request and Grant are ids; empty where it is about none.
	Request, Grant string
	// Door is the zero Door where it is about none.
	Door     firewall.Door
	Firewall firewall.ID
	// Sources is who is let in. Personal.
	Sources []netip.Prefix
	// Reason is the requester's own text. Personal.
	Reason string
	// By and Not are the reasons of a decision. By of a repair is who changed what
	// was put right, as the firewall told it. Personal.
	By, Not []string
	// Deadline is when the grant ends; zero where there is none.
	Deadline time.Time
	// Clocks is what the clocks showed, whole milliseconds.
	Clocks access.Reading
	// Plan lists the changes that were written or are about to be, one line each.
	// Personal, because it names sources.
	Plan []string
	// Measures are the times taken, such as "asked to open".
	Measures []Measure
	// Level is what was proven about a closing; see the Level constants.
	Level Level
	// Text says in a sentence what the fields cannot. Personal, as all free text.
	Text string
}

// A Measure is one measured time.
type Measure struct {
	Name string
	Took time.Duration
}

// The measures of a closing. How late a door was shut is known only when it was
// we who shut it, or when somebody looked right then; and of a grant that ended
// before its start there was nothing to shut.
const (
	EndToClosed      = "end to closed"
	EndToSeenClosed  = "end to seen closed"
	EndBeforeItBegan = "end before start to closed"
)

// Level is how far a closing was proven. Only what was probed is claimed.
type Level string

// The levels.
const (
	RuleGone      Level = "rule gone"
	NewRefused    Level = "new connections refused"
	OldSessionCut Level = "old sessions cut"
)

// Mentions reports whether text, whatever its case, occurs in anything that r
// says in words. The empty text occurs everywhere.
func (r Record) Mentions(text string) bool {
	if text == "" {
		return true
	}
	words := []string{
		string(r.Kind), r.Actor.Issuer, r.Actor.Subject, r.Actor.Display, r.Request, r.Grant,
		string(r.Firewall), r.Reason, string(r.Level), r.Text,
	}
	if r.Door.VM != "" {
		words = append(words, r.Door.String())
	}
	if r.Caller.IsValid() {
		words = append(words, r.Caller.String())
	}
	for _, s := range r.Sources {
		words = append(words, s.String())
	}
	words = slices.Concat(words, r.By, r.Not, r.Plan)
	return strings.Contains(strings.ToLower(strings.Join(words, "\n")), strings.ToLower(text))
}
