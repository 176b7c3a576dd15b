// Package auditlog holds the key of the audit log while the server runs, and is
// the only part of it that signs: it commits to the log as it is, writes it out
// whole, and verifies it as a stranger would.
package auditlog

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/store"
)

// A Key is the key of the audit log, as audit.NewKey makes it.
type Key struct {
	Origin         string
	Secret, Public string
}

// A Log is the audit log of one server.
type Log struct {
	Store *store.Store
	Key   Key
	// Break says why the log must not be signed, such as that it went back; nil,
	// or a nil error, when nothing is wrong.
	Break func() error
}

// Ready returns why the log cannot be gone on with, or nil, in words that anybody
// may see.
func (l Log) Ready(ctx context.Context) error {
	if _, err := l.Store.Tree(ctx); err != nil {
		return errkind.Wrap(errkind.Unavailable, err, "the audit log cannot be read")
	}
	if l.Break != nil && l.Break() != nil {
		return errkind.New(errkind.Unavailable, "the audit log was put back or rewritten, and is not signed any more; the server's log says how to go on")
	}
	return nil
}

// Head signs the log as it is. It stores nothing.
func (l Log) Head(ctx context.Context) (audit.Checkpoint, []byte, error) {
	if l.Break != nil {
		if err := l.Break(); err != nil {
			return audit.Checkpoint{}, nil, err
		}
	}
	tree, err := l.Store.Tree(ctx)
	if err != nil {
		return audit.Checkpoint{}, nil, errkind.Wrap(errkind.Unavailable, err, "the audit log cannot be read now")
	}
	c := audit.Checkpoint{Origin: l.Key.Origin, Size: tree.N, Root: tree.Hash}
	signed, err := c.Sign(l.Key.Secret)
	return c, signed, err
}

// Export writes the whole log, as far as it goes now, to w as a bundle.
func (l Log) Export(ctx context.Context, w io.Writer) (audit.Checkpoint, error) {
	const atOnce = 1000
	head, signed, err := l.Head(ctx)
	if err != nil {
		return head, err
	}
	stored, err := l.Store.Checkpoints(ctx)
	if err != nil {
		return head, err
	}
	h := audit.Header{Origin: l.Key.Origin, Key: l.Key.Public, Checkpoints: nil}
	for _, c := range append(stored, signed) {
		h.Checkpoints = append(h.Checkpoints, string(c))
	}
	b, err := audit.NewBundleWriter(w, h)
	if err != nil {
		return head, err
	}
	for next := int64(0); next < head.Size; {
		records, err := l.Store.Sealed(ctx, next, int(min(atOnce, head.Size-next)))
		if err != nil {
			return head, err
		}
		if len(records) == 0 {
			return head, fmt.Errorf("read the audit log: record %d is missing", next)
		}
		for _, r := range records {
			if err := b.Write(r); err != nil {
				return head, err
			}
		}
		next += int64(len(records))
	}
	return head, b.Close()
}

// Verify writes the log out and reads it as anybody would who has its public
// key. An *audit.BundleError says what is wrong with the log; any other error
// that it could not be read.
func (l Log) Verify(ctx context.Context) (audit.Checkpoint, audit.Report, error) {
	r, w := io.Pipe()
	var head audit.Checkpoint
	written := make(chan error, 1)
	go func() {
		var err error
		head, err = l.Export(ctx, w)
		_ = w.CloseWithError(err) // never fails
		written <- err
	}()
	report, err := audit.Verify(r, l.Key.Public)
	_ = r.Close() // lets the writer end when the reader has given up; never fails
	switch writeErr := <-written; {
	case writeErr == nil, errors.Is(writeErr, io.ErrClosedPipe):
	case errkind.Of(writeErr) != errkind.Internal:
		return head, audit.Report{}, writeErr
	default:
		return head, audit.Report{}, errkind.Wrap(errkind.Unavailable, writeErr, "the audit log cannot be read whole now")
	}
	return head, report, err
}
