package store

import (
	"context"
	"database/sql"
	"errors"
	"reflect"
	"slices"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/authn/known"
	"github.com/sesame-access/sesame/internal/authn/session"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/policy"
	"github.com/sesame-access/sesame/internal/store/identity"
	"github.com/sesame-access/sesame/internal/store/roles"
	"github.com/sesame-access/sesame/internal/store/table"
	"github.com/sesame-access/sesame/internal/store/vote"
)

// Rules are what decisions are based on, as they were at one version. They are
// shared between callers and must not be changed.
type Rules struct {
	Version  int64           // for Change.Expect; at least 1
	Policies []policy.Policy // sorted by name
	Locks    []access.Lock   // sorted by door
	// Access are the roles and access policies, and Engine is what is compiled from
	// them: it says who may do what.
	Access authz.Rules
	Engine *authz.Engine
	// Unlocked are the doors that somebody gave back, sorted. Any other lock that
	// a firewall shows stays, whether or not it is among Locks.
	Unlocked []firewall.Door
	// Damaged names policies that could not be read. They are left out, so that
	// nothing is granted by them, and their locks stay.
	Damaged []string
	// Links say who is the same person as whom.
	Links known.Links
}

// view runs read with queries that all see the same state.
func (s *Store) view(ctx context.Context, what string, read func(q *table.Queries, tx *sql.Tx) error) error {
	tx, err := s.db.Read.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelDefault, ReadOnly: true})
	if err != nil {
		return failed(err, "%s", what)
	}
	err = read(s.reads.WithTx(tx), tx)
	return failed(errors.Join(err, tx.Rollback()), "%s", what)
}

// rules are Rules, with the tokens by their hashes.
type rules struct {
	Rules
	tokens map[[32]byte]Token
	// persons are by issuer and subject.
	persons map[[2]string]string
}

// Rules returns the rules of now.
func (s *Store) Rules(ctx context.Context) (Rules, error) {
	r, err := s.current(ctx)
	return r.Rules, err
}

func (s *Store) current(ctx context.Context) (rules, error) {
	if last := s.rules.Load(); last != nil && last.Version == s.version.Load() {
		return *last, nil // nobody else writes the database
	}
	r := rules{Rules: Rules{}, tokens: map[[32]byte]Token{}, persons: map[[2]string]string{}}
	err := s.view(ctx, "read rules", func(q *table.Queries, _ *sql.Tx) error {
		version, errVersion := q.Rules(ctx)
		policies, errPolicies := q.Policies(ctx)
		locks, errLocks := q.Locks(ctx)
		unlocks, errUnlocks := q.Unlocks(ctx)
		given, errRoles := roles.Read(ctx, q)
		tokens, errTokens := q.Tokens(ctx)
		links, errPeople := q.Links(ctx)
		r.Links = identity.LinksOf(links)
		r.Version = version
		for _, row := range policies {
			if p, ok := row.Value(); ok {
				r.Policies = append(r.Policies, p)
			} else {
				r.Damaged = append(r.Damaged, row.Name)
			}
		}
		for _, row := range locks {
			if l, ok := row.Value(); ok {
				r.Locks = append(r.Locks, l)
			}
		}
		slices.SortFunc(r.Locks, func(a, b access.Lock) int { return firewall.CompareDoors(a.Door, b.Door) })
		for _, row := range unlocks {
			if d, ok := row.Value(); ok {
				r.Unlocked = append(r.Unlocked, d)
			}
		}
		slices.SortFunc(r.Unlocked, firewall.CompareDoors)
		r.Access = given
		for _, row := range tokens {
			t := identity.TokenOf(row)
			r.tokens[t.Hash] = t
			if t.Person != "" {
				r.persons[[2]string{t.Principal.Issuer, t.Principal.Subject}] = t.Person
			}
		}
		return errors.Join(errVersion, errPolicies, errLocks, errUnlocks, errRoles, errTokens, errPeople)
	})
	if err != nil {
		return rules{}, err
	}
	// Most changes of the rules are not about roles; then what was compiled is used on.
	if last := s.rules.Load(); last != nil && reflect.DeepEqual(last.Access, r.Access) {
		r.Engine = last.Engine
	} else {
		r.Engine = authz.New(r.Access)
	}
	s.rules.Store(&r)
	return r, nil
}

// brief is the context of a read that is over before anybody could take it back:
// what can be taken back costs the driver more than such a read.
func brief(ctx context.Context) context.Context { return context.WithoutCancel(ctx) }

// Pending returns every grant that was not read back closed yet, whatever its
// state, sorted by id; of VMs, if any are named, those of them.
func (s *Store) Pending(ctx context.Context, of ...firewall.VMID) ([]access.Grant, error) {
	if len(of) == 0 {
		rows, err := s.reads.PendingGrants(ctx)
		return table.Grants(rows), failed(err, "read pending grants")
	}
	return s.grants(ctx, len(of), func(q *table.Queries, i int) ([]table.Grant, error) {
		return q.PendingOf(brief(ctx), string(of[i]))
	})
}

// grants returns the grants that n reads find.
func (s *Store) grants(ctx context.Context, n int, read func(q *table.Queries, i int) ([]table.Grant, error)) ([]access.Grant, error) {
	var found []table.Grant
	err := s.glance(ctx, "read grants", n, func(q *table.Queries, i int) error {
		rows, err := read(q, i)
		found = append(found, rows...)
		return err
	})
	if err != nil {
		return nil, err
	}
	return table.Grants(found), nil
}

// GrantsAt returns the pending grants that let one of the given sources in at
// its door, sorted by id, each once.
func (s *Store) GrantsAt(ctx context.Context, keys []firewall.Key) ([]access.Grant, error) {
	return s.grants(ctx, len(keys), func(q *table.Queries, i int) ([]table.Grant, error) {
		return q.GrantsAt(brief(ctx), table.KeyRow(keys[i]))
	})
}

// Epochs returns the epoch of every given grant that exists and is not closed.
func (s *Store) Epochs(ctx context.Context, ids []string) (map[string]int64, error) {
	epochs := make(map[string]int64, len(ids))
	err := s.glance(ctx, "read epochs", len(ids), func(q *table.Queries, i int) error {
		epoch, err := q.Epoch(brief(ctx), ids[i])
		if err == nil {
			epochs[ids[i]] = epoch
		}
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return epochs, nil
}

// glance makes n reads of a few rows in one view; one alone is a view by itself.
func (s *Store) glance(ctx context.Context, what string, n int, read func(q *table.Queries, i int) error) error {
	if n == 1 {
		return failed(read(s.reads, 0), "%s", what)
	}
	return s.view(ctx, what, func(q *table.Queries, _ *sql.Tx) error {
		for i := range n {
			if err := read(q, i); err != nil {
				return err
			}
		}
		return nil
	})
}

// Grant returns one grant; an error of kind NotFound if there is none.
func (s *Store) Grant(ctx context.Context, id string) (access.Grant, error) {
	row, err := s.reads.Grant(brief(ctx), id)
	if err != nil {
		return access.Grant{}, missing(err, "there is no grant %s", errkind.Quote(id))
	}
	return row.Value(), nil
}

// Request returns one request; an error of kind NotFound if there is none.
func (s *Store) Request(ctx context.Context, id string) (Request, error) {
	row, err := s.reads.Request(brief(ctx), id)
	if err != nil {
		return Request{}, missing(err, "there is no request %s", errkind.Quote(id))
	}
	r, err := requestOf(brief(ctx), s.reads, row)
	return r, failed(err, "read request")
}

func requestOf(ctx context.Context, q *table.Queries, row table.Request) (r Request, err error) {
	r.Request, r.Decision = row.Value()
	if r.Decision.NeedsApproval || r.Glass { // nothing else is voted on
		r.Terms, r.Votes, err = vote.Read(ctx, q, r.ID)
	}
	return r, err
}

// Idempotency returns what was saved under a key; an error of kind NotFound if
// the key is new.
func (s *Store) Idempotency(ctx context.Context, p access.Principal, key string) (Idempotency, error) {
	row, err := s.reads.Idempotency(brief(ctx), table.IdempotencyParams{Issuer: p.Issuer, Subject: p.Subject, Key: key})
	if err != nil {
		return Idempotency{}, missing(err, "the idempotency key is new")
	}
	k := Idempotency{Principal: p, Key: row.Key, Body: [32]byte{}, Request: row.Request, At: table.Instant(row.At)}
	copy(k.Body[:], row.Body)
	return k, nil
}

// Displaced returns the foreign rules that are displaced on a firewall, sorted.
// When some cannot be read, it returns the others together with an error.
func (s *Store) Displaced(ctx context.Context, fw firewall.ID) ([]plan.Change, error) {
	if !s.displaced.Load() {
		return nil, nil
	}
	rows, err := s.reads.Displaced(ctx, string(fw))
	if err != nil {
		return nil, failed(err, "read displaced rules")
	}
	var changes []plan.Change
	var bad error
	for _, row := range rows {
		c, err := row.Value()
		if err != nil {
			bad = errors.Join(bad, err)
			continue
		}
		changes = append(changes, c)
	}
	slices.SortFunc(changes, plan.Compare)
	return changes, failed(bad, "read displaced rules")
}

// TokenByHash returns the token whose secret has the given SHA-256, revoked and
// expired ones too; an error of kind NotFound if there is none.
func (s *Store) TokenByHash(ctx context.Context, hash [32]byte) (Token, error) {
	r, err := s.current(ctx)
	t, ok := r.tokens[hash]
	if err == nil && !ok {
		err = errkind.New(errkind.NotFound, "there is no such token")
	}
	return t, err
}

// Tokens returns every token, sorted by id.
func (s *Store) Tokens(ctx context.Context) ([]Token, error) {
	rows, err := s.reads.Tokens(ctx)
	if err != nil {
		return nil, failed(err, "read tokens")
	}
	tokens := make([]Token, len(rows))
	for i, row := range rows {
		tokens[i] = identity.TokenOf(row)
	}
	return tokens, nil
}

// Identities returns what was last seen of everybody, sorted by principal.
func (s *Store) Identities(ctx context.Context) ([]known.Sighting, error) {
	rows, err := s.reads.Identities(ctx)
	return identity.SightingsOf(rows), failed(err, "read identities")
}

// SessionByHash is TokenByHash for sessions, which may have ended, too.
func (s *Store) SessionByHash(ctx context.Context, hash [32]byte) (session.Session, error) {
	row, err := s.reads.SessionByHash(brief(ctx), hash[:])
	if err != nil {
		return session.Session{}, missing(err, "there is no such session")
	}
	return identity.SessionOf(row), nil
}

// missing is failed for a single row that may not exist.
func missing(err error, format string, args ...any) error {
	if errors.Is(err, sql.ErrNoRows) {
		return errkind.New(errkind.NotFound, format, args...)
	}
	return failed(err, "read")
}
