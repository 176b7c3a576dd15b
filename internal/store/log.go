package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/store/table"
)

// sealed is a record that is ready to be written.
type sealed struct {
	audit.Record
	audit.Sealed
}

func seal(records []audit.Record) []sealed {
	salts := make([]byte, len(records)*audit.SaltSize)
	_, _ = rand.Read(salts) // never fails: the program ends instead
	out := make([]sealed, len(records))
	for i, r := range records {
		out[i] = sealed{Record: r, Sealed: audit.Seal(r, salts[i*audit.SaltSize:(i+1)*audit.SaltSize:(i+1)*audit.SaltSize])}
	}
	return out
}

// append adds records to the log, with their hashes.
func (t *tx) append(ctx context.Context, c *Change, records []sealed) error {
	for _, r := range records {
		index := t.edge.Size()
		hashes, err := t.edge.Append(r.Hash())
		if err != nil {
			return err
		}
		row := table.AddRecordParams{
			Idx: index, Kind: string(r.Kind), Time: table.Millis(r.Time), VM: string(r.Door.VM), Request: r.Request,
			GrantID: r.Grant, Leaf: string(r.Leaf), Hashes: nil, Salt: r.Salt, Personal: string(r.Personal),
		}
		for _, h := range hashes {
			row.Hashes = append(row.Hashes, h[:]...)
		}
		if err := t.q.AddRecord(ctx, row); err != nil {
			return fmt.Errorf("add record: %w", err)
		}
		if err := t.addSubjects(ctx, c, index, r.Record); err != nil {
			return err
		}
	}
	return nil
}

// addSubjects notes whom a record is about: who did it, and whose grant or
// request it is about. What Sesame did by itself is not noted as its doing.
func (t *tx) addSubjects(ctx context.Context, c *Change, index int64, r audit.Record) error {
	whose, err := t.whose(ctx, c, r)
	if err != nil {
		return fmt.Errorf("read whom the record is about: %w", err)
	}
	for i, p := range []access.Principal{whose, r.Actor} {
		if p.Subject == "" || p.Is(access.System()) || (i == 1 && p.Is(whose)) {
			continue
		}
		row := table.AddRecordSubjectParams{Issuer: p.Issuer, Subject: p.Subject, Idx: index}
		if err := t.q.AddRecordSubject(ctx, row); err != nil {
			return fmt.Errorf("note whom the record is about: %w", err)
		}
	}
	return nil
}

// whose returns the principal of the grant or the request that r is about, which
// is often part of the same Change.
func (t *tx) whose(ctx context.Context, c *Change, r audit.Record) (access.Principal, error) {
	for _, g := range c.Grants {
		if g.ID == r.Grant {
			return g.Principal, nil
		}
	}
	for _, q := range c.Requests {
		if q.ID == r.Request {
			return q.Principal, nil
		}
	}
	row, err := t.q.Owner(ctx, table.OwnerParams{GrantID: r.Grant, Request: r.Request})
	if errors.Is(err, sql.ErrNoRows) {
		err = nil // about something that is not stored, such as a refused request
	}
	return access.Principal{Issuer: row.Issuer, Subject: row.Subject, Display: ""}, err
}

// Tree returns the size and the root of the audit log.
func (s *Store) Tree(ctx context.Context) (tlog.Tree, error) {
	row, err := s.reads.Instance(ctx)
	if err != nil {
		return tlog.Tree{}, failed(err, "read the audit log")
	}
	// Hashes are written once and never change, so no transaction is needed.
	edge, err := audit.EdgeOf(row.Size, s.Hashes(ctx))
	if err != nil {
		return tlog.Tree{}, failed(err, "read the audit log")
	}
	root, err := edge.Root()
	if err != nil {
		return tlog.Tree{}, failed(err, "read the audit log")
	}
	return tlog.Tree{N: row.Size, Hash: root}, nil
}

// Hashes returns a reader of the log's stored hashes, for proofs. It is good for
// as long as ctx is.
func (s *Store) Hashes(ctx context.Context) tlog.HashReader { return s.reads.HashReader(ctx) }

// Sealed returns the records from index from on as they lie in the tree, in
// order, at most limit of them.
func (s *Store) Sealed(ctx context.Context, from int64, limit int) ([]audit.Sealed, error) {
	rows, err := s.reads.RecordsFrom(ctx, table.RecordsFromParams{Idx: from, Most: int64(limit)})
	if err != nil {
		return nil, failed(err, "read the audit log")
	}
	out := make([]audit.Sealed, len(rows))
	for i, row := range rows {
		out[i] = row.Sealed()
	}
	return out, nil
}

// SaveCheckpoint stores a signed checkpoint of the log as it is or was. An error
// of kind Conflict says that the log does not have that size and root.
func (s *Store) SaveCheckpoint(ctx context.Context, c audit.Checkpoint, signed []byte) error {
	return failed(s.writer.Write(ctx, func(ctx context.Context, tx *tx) error {
		if c.Size > tx.edge.Size() {
			return errkind.New(errkind.Conflict, "the checkpoint covers %d records; the log has %d", c.Size, tx.edge.Size())
		}
		root, err := tlog.TreeHash(c.Size, tx.q.HashReader(ctx))
		if err != nil {
			return fmt.Errorf("compute root: %w", err)
		}
		if root != c.Root {
			return errkind.New(errkind.Conflict, "the checkpoint is not of this log: the root at %d records is %s, not %s", c.Size, root, c.Root)
		}
		if err := tx.q.AddCheckpoint(ctx, table.AddCheckpointParams{Size: c.Size, Note: string(signed)}); err != nil {
			return fmt.Errorf("add checkpoint: %w", err)
		}
		return nil
	}), "save checkpoint")
}

// Checkpoints returns the signed checkpoints by size, smallest first.
func (s *Store) Checkpoints(ctx context.Context) ([][]byte, error) {
	rows, err := s.reads.Checkpoints(ctx)
	if err != nil {
		return nil, failed(err, "read checkpoints")
	}
	out := make([][]byte, len(rows))
	for i, row := range rows {
		out[i] = []byte(row.Note)
	}
	return out, nil
}
