package store

import (
	"errors"
	"reflect"
	"slices"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/access/approval"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/authn/known"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/policy"
	"github.com/sesame-access/sesame/internal/store/erase"
	"github.com/sesame-access/sesame/internal/store/identity"
	"github.com/sesame-access/sesame/internal/store/roles"
	"github.com/sesame-access/sesame/internal/store/vote"
)

// The preconditions that can fail. Save wraps them in errors of kind Conflict,
// so that a caller can tell with errors.Is what to do next.
var (
	// ErrStale says that the rules have changed since Change.Expect: read them
	// and decide again.
	ErrStale = errors.New("the rules have changed")
	// ErrEpoch says that a grant has changed, ended or been closed since it was
	// read: read it again.
	ErrEpoch = errors.New("the grant has changed")
	// ErrRepeated says that the idempotency key was used before: answer with
	// what Idempotency returns for it.
	ErrRepeated = errors.New("the idempotency key was used before")
)

// A Change is everything that one transaction saves: state, and the records
// that say why. It is applied in the order of its fields, and all of it or none.
type Change struct {
	// Expect is the version of the rules that the decision was based on; 0 is
	// not checked. Policies, locks, roles and tokens are the rules: every
	// Change to one of them raises the version by one.
	Expect int64
	// Idempotency, unless its key is empty, must not have been used before.
	Idempotency Idempotency

	// Policies are created or replaced. Their versions are counted here, from 1.
	Policies []policy.Policy
	// DropPolicies names policies to delete; they must exist.
	DropPolicies []string
	// Locks are added or replaced.
	Locks []access.Lock
	// Unlocks are doors to give back; they must be locked.
	Unlocks []firewall.Door
	// Roles are what changes in roles and access policies.
	Roles RoleChange
	// Tokens are added; their ids and hashes must be new.
	Tokens []Token
	// RevokeTokens end tokens; they must exist and not be revoked.
	RevokeTokens []Revocation
	// Identity is what is known of who asks: who they are, and their sessions.
	Identity known.Change

	// Requests are added; their ids must be new.
	Requests []Request
	// Ballots are votes on requests; each must have seen all that were cast before.
	Ballots []Ballot
	// Grants are added, each with epoch 1; their ids must be new.
	Grants []access.Grant
	// GrantUpdates move deadlines and end grants.
	GrantUpdates []GrantUpdate
	// Outcomes note what was read back from the firewalls.
	Outcomes []Outcome

	// Displaced are foreign rules that are about to be taken out; one that is
	// stored already stays, and an older version of it goes.
	Displaced []Displaced
	// Restored are displaced rules that were given back; one that is not stored
	// is passed over.
	Restored []Displaced

	// Erase deletes personal parts of older records.
	Erase []Erasure
	// Records are the audit records of this Change, in order. There must be at
	// least one, unless the Change holds only outcomes with records of their own.
	Records []audit.Record
}

// A RoleChange is what one transaction does to roles and access policies.
type RoleChange = roles.Change

// A Request is a request with the decision that answered it.
type Request struct {
	access.Request
	Decision access.Decision
	// Terms are what it waits for, if anything, and Votes what was said about it.
	Terms approval.Terms
	Votes []approval.Vote // in the order in which they were cast; only read
}

// Case returns r as package approval judges it.
func (r Request) Case() approval.Case {
	return approval.Case{Request: r.Request, Decision: r.Decision, Terms: r.Terms, Votes: r.Votes}
}

// A GrantUpdate changes one grant, if nobody was faster: the grant must still
// have the given epoch, and be neither ended nor closed. The epoch rises by one.
type GrantUpdate struct {
	ID    string
	Epoch int64 // as it was read
	// Deadline is the new deadline; zero leaves it.
	Deadline access.Deadline
	// Ended ends the grant; zero leaves it running.
	Ended access.Ending
}

// An Outcome is what a read-back showed of one grant. Saving it again changes
// nothing: an outcome without effect is passed over together with its records,
// so that every fact is recorded exactly once. The grant's epoch stays.
type Outcome struct {
	Grant string
	// Epoch is the grant's epoch as it was read; 0 is not checked. When the
	// grant has changed since, the outcome is passed over, with its records: the
	// next read-back says what is true of the grant as it is now. That it was open
	// for the first time stays true of it.
	Epoch int64
	// Opened, unless zero, says that every source was read back open. The first
	// such time stays; the impediment, if any, is gone.
	Opened time.Time
	// Closed, unless zero, says that no source was open any more. The first such
	// time stays, and the grant is not pending any longer.
	Closed time.Time
	// Impeded, unless empty, says why the grant is not open although it should be.
	Impeded string
	// Records are saved, behind the Change's own, if and only if the outcome had
	// an effect: such as that the grant expired, and that it was read back closed.
	Records []audit.Record
}

// A Displaced is a foreign rule that a lock had to take out of a firewall. The
// change carries the original in its Undo.
type Displaced struct {
	Firewall firewall.ID
	Change   plan.Change
}

// A Token is a secret that stands for a principal.
type Token = identity.Token

// A Revocation ends a token.
type Revocation = identity.Revocation

// An Idempotency ties a key that a principal chose to the request that answered
// it first. Keys are forgotten after KeepIdempotency.
type Idempotency struct {
	Principal access.Principal
	Key       string
	// Body is the SHA-256 of what was asked, so that a key that is used again
	// for something else can be refused.
	Body    [32]byte
	Request string // id of the request
	At      time.Time
}

// KeepIdempotency is how long an idempotency key is remembered.
const KeepIdempotency = 24 * time.Hour

// An Erasure says whose personal data, or that of which record, is to go.
type Erasure = erase.Erasure

// A Ballot is a vote on a request that is about to be cast.
type Ballot = vote.Ballot

// ErrVoted says that somebody voted on a request since it was read: read it again.
var ErrVoted = vote.ErrVoted

// check refuses a Change that can never be saved, whatever the state.
func (c *Change) check() error {
	if len(c.Records) == 0 && !c.outcomesOnly() && !c.usesOnly() {
		return errkind.New(errkind.Internal, "save: a change without an audit record")
	}
	for _, u := range c.GrantUpdates {
		if u.Deadline.Wall.IsZero() && u.Ended.At.IsZero() {
			return errkind.New(errkind.Internal, "save: an update of grant %s that changes nothing", u.ID)
		}
	}
	for _, e := range c.Erase {
		if e.Principal.Is(access.System()) {
			return errkind.New(errkind.Invalid, "erase: %s is not a person", e.Principal)
		}
	}
	return nil
}

// outcomesOnly reports whether c holds outcomes and nothing else, each with its
// record.
func (c *Change) outcomesOnly() bool {
	others := c.Identity.Len() + len(c.Requests) + len(c.Ballots) + len(c.Grants) + len(c.GrantUpdates) + len(c.Displaced) + len(c.Restored) + len(c.Erase)
	return len(c.Outcomes) > 0 && others == 0 && !c.rules() && c.Idempotency.Key == "" &&
		!slices.ContainsFunc(c.Outcomes, func(o Outcome) bool { return len(o.Records) == 0 })
}

// usesOnly reports whether c only notes that sessions were used, which is nothing
// to keep a record of.
func (c *Change) usesOnly() bool {
	return len(c.Identity.Uses) > 0 && reflect.DeepEqual(*c, Change{Identity: known.Change{Uses: c.Identity.Uses}})
}

// rules reports whether c changes the rules.
func (c *Change) rules() bool {
	return len(c.Policies)+len(c.DropPolicies)+len(c.Locks)+len(c.Unlocks)+
		len(c.Tokens)+len(c.RevokeTokens) > 0 || !c.Roles.Empty() || c.Identity.Rules()
}
