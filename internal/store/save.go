package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/store/erase"
	"github.com/sesame-access/sesame/internal/store/identity"
	"github.com/sesame-access/sesame/internal/store/roles"
	"github.com/sesame-access/sesame/internal/store/table"
	"github.com/sesame-access/sesame/internal/store/vote"
)

// Save saves c, all of it or nothing. See the package's comment for what an
// error means.
func (s *Store) Save(ctx context.Context, c Change) error {
	if err := c.check(); err != nil {
		return err
	}
	// Sealed here, where callers run side by side, and not in the one goroutine.
	records := seal(c.Records)
	outcomes := make([][]sealed, len(c.Outcomes))
	for i, o := range c.Outcomes {
		outcomes[i] = seal(o.Records)
	}
	if len(c.Displaced) > 0 {
		s.displaced.Store(true)
	}
	var patience time.Duration
	if c.outcomesOnly() {
		patience = s.Patience
	}
	return failed(s.writer.Join(ctx, func(ctx context.Context, tx *tx) error {
		return tx.apply(ctx, &c, records, outcomes)
	}, patience), "save")
}

// tx is a transaction as far as it got.
type tx struct {
	q     *table.Queries
	rules int64      // version
	edge  audit.Edge // of the log
}

// begin says where the transaction starts from: where the last one got to, and
// what the database says after the start or after one that failed.
func (s *Store) begin(ctx context.Context) (tx, error) {
	if s.sure {
		s.sure = false
		return tx{q: s.writes, rules: s.version.Load(), edge: s.edge}, nil
	}
	row, err := s.writes.Instance(ctx)
	if err != nil {
		return tx{}, fmt.Errorf("read instance: %w", err)
	}
	if s.edge.Size() != row.Size {
		if s.edge, err = audit.EdgeOf(row.Size, s.writes.HashReader(ctx)); err != nil {
			return tx{}, err
		}
	}
	return tx{q: s.writes, rules: row.Rules, edge: s.edge}, nil
}

// end writes where the transaction got to.
func (s *Store) end(ctx context.Context, before, after tx) error {
	if after.edge.Size() == before.edge.Size() {
		return nil // without a record there is no change
	}
	row := table.SetInstanceParams{Rules: after.rules, Size: after.edge.Size()}
	if err := s.writes.SetInstance(ctx, row); err != nil {
		return fmt.Errorf("write instance: %w", err)
	}
	return nil
}

// done remembers where the next transaction starts from.
func (s *Store) done(before, after tx) {
	s.edge, s.sure = after.edge, true
	s.version.Store(after.rules)
	if n := after.edge.Size() - before.edge.Size(); n > 0 {
		s.news.Tell()
		s.tidier.Wrote(n)
	}
}

// apply writes everything of c, in the order of its fields.
func (t *tx) apply(ctx context.Context, c *Change, records []sealed, outcomes [][]sealed) error {
	if c.Expect != 0 && c.Expect != t.rules {
		return errkind.Wrap(errkind.Conflict, ErrStale, "the policies or roles changed at the same moment; ask again")
	}
	for _, step := range []func(context.Context, *Change) error{
		t.idempotency, t.policies, t.locks, t.roles, t.identities, t.requests, t.votes, t.grants, t.updates,
	} {
		if err := step(ctx, c); err != nil {
			return err
		}
	}
	effects := make([]bool, len(c.Outcomes))
	for i, o := range c.Outcomes {
		var err error
		if effects[i], err = t.outcome(ctx, o); err != nil {
			return err
		}
	}
	if err := t.displaced(ctx, c); err != nil {
		return err
	}
	for _, e := range c.Erase {
		if err := erase.Apply(ctx, t.q, e); err != nil {
			return err
		}
	}
	if c.rules() {
		t.rules++
	}
	for i, effect := range effects {
		if effect {
			records = append(slices.Clip(records), outcomes[i]...)
		}
	}
	return t.append(ctx, c, records)
}

func (t *tx) idempotency(ctx context.Context, c *Change) error {
	k := c.Idempotency
	if k.Key == "" {
		return nil
	}
	old := table.ForgetIdempotencyParams{
		Issuer: k.Principal.Issuer, Subject: k.Principal.Subject, Before: table.Millis(k.At.Add(-KeepIdempotency)),
	}
	if err := t.q.ForgetIdempotency(ctx, old); err != nil {
		return fmt.Errorf("forget idempotency keys: %w", err)
	}
	n, err := t.q.AddIdempotency(ctx, table.AddIdempotencyParams{
		Issuer: k.Principal.Issuer, Subject: k.Principal.Subject, Key: k.Key,
		Body: k.Body[:], Request: k.Request, At: table.Millis(k.At),
	})
	return one(n, err, "add idempotency key", ErrRepeated, "the idempotency key was used before")
}

func (t *tx) policies(ctx context.Context, c *Change) error {
	for _, p := range c.Policies {
		if err := t.q.PutPolicy(ctx, table.PolicyRow(p)); err != nil {
			return fmt.Errorf("write policy: %w", err)
		}
	}
	for _, name := range c.DropPolicies {
		n, err := t.q.DropPolicy(ctx, name)
		if err := one(n, err, "delete policy", ErrStale, "there is no policy called %s any more", name); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) locks(ctx context.Context, c *Change) error {
	for _, l := range c.Locks {
		if err := t.q.PutLock(ctx, table.PutLockParams(table.LockRow(l))); err != nil {
			return fmt.Errorf("write lock: %w", err)
		}
		key := table.DropUnlockParams{VM: string(l.Door.VM), Port: int64(l.Door.Port), Protocol: int64(l.Door.Protocol)}
		if err := t.q.DropUnlock(ctx, key); err != nil {
			return fmt.Errorf("forget unlock: %w", err)
		}
	}
	for _, d := range c.Unlocks {
		n, err := t.q.DropLock(ctx, table.DropLockParams{VM: string(d.VM), Port: int64(d.Port), Protocol: int64(d.Protocol)})
		if err := one(n, err, "delete lock", ErrStale, "%s is not locked any more", d); err != nil {
			return err
		}
		key := table.PutUnlockParams{VM: string(d.VM), Port: int64(d.Port), Protocol: int64(d.Protocol)}
		if err := t.q.PutUnlock(ctx, key); err != nil {
			return fmt.Errorf("remember unlock: %w", err)
		}
	}
	return nil
}

func (t *tx) roles(ctx context.Context, c *Change) error {
	return roles.Save(ctx, t.q, &c.Roles, ErrStale)
}

func (t *tx) identities(ctx context.Context, c *Change) error {
	return identity.Save(ctx, t.q, c.Tokens, c.RevokeTokens, c.Identity, ErrStale)
}

func (t *tx) requests(ctx context.Context, c *Change) error {
	for _, r := range c.Requests {
		n, err := t.q.AddRequest(ctx, table.AddRequestParams(table.RequestRow(r.Request, r.Decision)))
		if err := one(n, err, "add request", ErrRepeated, "there is a request %s already", r.ID); err != nil {
			return err
		}
		for _, vm := range table.VMs(r.Request) {
			if err := t.q.AddRequestVM(ctx, vm); err != nil {
				return fmt.Errorf("add VM of request: %w", err)
			}
		}
		if err := vote.AddTerms(ctx, t.q, r.ID, r.Terms); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) votes(ctx context.Context, c *Change) error {
	for _, b := range c.Ballots {
		if err := vote.Cast(ctx, t.q, b); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) grants(ctx context.Context, c *Change) error {
	for _, g := range c.Grants {
		row := table.GrantRow(g)
		row.Epoch = 1
		n, err := t.q.AddGrant(ctx, table.AddGrantParams(row))
		if err := one(n, err, "add grant", ErrRepeated, "there is a grant %s already", g.ID); err != nil {
			return err
		}
		for _, source := range table.Sources(g) {
			if err := t.q.AddGrantSource(ctx, source); err != nil {
				return fmt.Errorf("add source of grant: %w", err)
			}
		}
	}
	return nil
}

func (t *tx) updates(ctx context.Context, c *Change) error {
	for _, u := range c.GrantUpdates {
		epoch := u.Epoch
		row := table.GrantRow(access.Grant{Deadline: u.Deadline, Ended: u.Ended})
		if !u.Deadline.Wall.IsZero() {
			n, err := t.q.MoveDeadline(ctx, table.MoveDeadlineParams{
				Deadline: row.Deadline, DeadlineBoot: row.DeadlineBoot, BootID: row.BootID, DeadlineThird: row.DeadlineThird,
				ID: u.ID, Epoch: epoch,
			})
			if err := one(n, err, "move deadline", ErrEpoch, "grant %s was changed or ended at the same moment; look at it again", u.ID); err != nil {
				return err
			}
			epoch++
		}
		if !u.Ended.At.IsZero() {
			n, err := t.q.EndGrant(ctx, table.EndGrantParams{
				Ended: row.Ended, EndedIssuer: row.EndedIssuer, EndedSubject: row.EndedSubject, EndedDisplay: row.EndedDisplay,
				EndedWhy: row.EndedWhy, ID: u.ID, Epoch: epoch,
			})
			if err := one(n, err, "end grant", ErrEpoch, "grant %s was changed or ended at the same moment; look at it again", u.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// outcome reports whether o had an effect.
func (t *tx) outcome(ctx context.Context, o Outcome) (effect bool, err error) {
	var n, sum int64
	if !o.Opened.IsZero() {
		n, err = t.q.SetOpened(ctx, table.SetOpenedParams{At: table.Millis(o.Opened), ID: o.Grant, Epoch: o.Epoch})
		sum += n
	}
	if err == nil && o.Impeded != "" {
		n, err = t.q.SetImpeded(ctx, table.SetImpededParams{Impeded: o.Impeded, ID: o.Grant, Epoch: o.Epoch})
		sum += n
	}
	if err == nil && !o.Closed.IsZero() {
		if n, err = t.q.SetClosed(ctx, table.SetClosedParams{At: table.Millis(o.Closed), ID: o.Grant, Epoch: o.Epoch}); n > 0 {
			err = t.forgetSources(ctx, o.Grant)
		}
		sum += n
	}
	if err != nil {
		return false, fmt.Errorf("write outcome: %w", err)
	}
	return sum > 0, nil
}

// forgetSources ends the look-up of a grant by its sources.
func (t *tx) forgetSources(ctx context.Context, id string) error {
	row, err := t.q.Grant(ctx, id)
	if err != nil {
		return err
	}
	for _, source := range table.Sources(row.Value()) {
		if err := t.q.DropGrantSource(ctx, table.DropGrantSourceParams(source)); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) displaced(ctx context.Context, c *Change) error {
	for _, d := range c.Displaced {
		row := table.AddDisplacedParams{Firewall: string(d.Firewall), Change: table.ChangeText(d.Change), Rule: d.Change.Rule, Since: table.Millis(d.Change.Since)}
		older := table.SupersedeDisplacedParams{Firewall: row.Firewall, Rule: row.Rule, Change: row.Change}
		if err := errors.Join(t.q.SupersedeDisplaced(ctx, older), t.q.AddDisplaced(ctx, row)); err != nil {
			return fmt.Errorf("write displaced rule: %w", err)
		}
	}
	for _, d := range c.Restored {
		row := table.DropDisplacedParams{Firewall: string(d.Firewall), Change: table.ChangeText(d.Change)}
		if err := t.q.DropDisplaced(ctx, row); err != nil {
			return fmt.Errorf("delete displaced rule: %w", err)
		}
	}
	return nil
}

// one turns the result of a write that must touch one row into an error.
func one(n int64, err error, what string, reason error, format string, args ...any) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if n == 0 {
		return errkind.Wrap(errkind.Conflict, reason, format, args...)
	}
	return nil
}
