package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sesame-access/sesame/internal/adoption"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/errkind"
)

// signEvery is the longest time from a record to a checkpoint that covers it.
const signEvery = 10 * time.Second

const (
	lookEvery = 5 * time.Minute // without news
	signTime  = 5 * time.Second // for one signing
)

// A history is the audit log as a notary needs it.
type history interface {
	Changed() <-chan struct{}
	Tree(ctx context.Context) (tlog.Tree, error)
	Hashes(ctx context.Context) tlog.HashReader
	SaveCheckpoint(ctx context.Context, c audit.Checkpoint, signed []byte) error
}

// A notary signs checkpoints of the audit log. It keeps the last one it signed
// in a file of its own, outside of the database, and signs a new one only if the
// log still holds everything that the last one covers. A database that was put
// back, or rewritten, is noticed by that and stays noticed until somebody who
// knows why removes the file.
type notary struct {
	log     history
	key     logKey
	file    string // of the last checkpoint
	logger  *slog.Logger
	tell    func(ctx context.Context, what string) error // records a break in the log
	mu      sync.Mutex
	problem error // the break; nil while there is none
}

// run signs within signEvery of any news, until ctx is done, and then once more.
func (n *notary) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		changed := n.log.Changed()
		timer.Reset(lookEvery)
		if !n.trySign(ctx) {
			timer.Reset(signEvery)
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-timer.C:
		}
		timer.Reset(signEvery / 2) // for what comes along with the news
		select {
		case <-ctx.Done():
			n.trySign(context.WithoutCancel(ctx))
			return
		case <-timer.C:
		}
	}
}

// trySign signs if there is something to sign, and remembers a break of the log.
// It reports whether that could be done; the next time may be better.
func (n *notary) trySign(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, signTime)
	defer cancel()
	broken, err := n.sign(ctx)
	if err != nil {
		if ctx.Err() == nil {
			n.logger.LogAttrs(ctx, slog.LevelError, "sign checkpoint", slog.Any("error", err))
		}
		return false
	}
	n.mu.Lock()
	news := broken != nil && n.problem == nil
	n.problem = broken
	n.mu.Unlock()
	if !news {
		return true
	}
	n.logger.LogAttrs(ctx, slog.LevelError, "the audit log is not the one that was signed", slog.Any("error", broken))
	if err := n.tell(ctx, broken.Error()); err != nil {
		n.logger.LogAttrs(ctx, slog.LevelError, "record the break of the audit log", slog.Any("error", err))
	}
	return true
}

// sign signs the log as it is now, unless its last checkpoint is of the same
// size. broken says why the log is not the one that was signed last.
func (n *notary) sign(ctx context.Context) (broken, err error) {
	last, now, forked, err := n.compare(ctx)
	switch {
	case err != nil:
		return nil, err
	case now.Size < last.Size:
		return n.rolledBack("it has %d records; %d were signed", now.Size, last.Size), nil
	case forked != nil:
		return n.rolledBack("its first %d records are not those that were signed (%v)", last.Size, forked), nil
	case now.Size == last.Size:
		return nil, nil
	}
	signed, err := now.Sign(n.key.secret)
	if err != nil {
		return nil, err
	}
	if err := n.log.SaveCheckpoint(ctx, now, signed); err != nil {
		return nil, fmt.Errorf("save checkpoint: %w", err)
	}
	return nil, writeFile(n.file, signed)
}

// compare returns the last checkpoint that was signed and what one of the log as
// it is now would be. forked says why the log, if it is no shorter, is not the one
// that was signed.
func (n *notary) compare(ctx context.Context) (last, now audit.Checkpoint, forked, err error) {
	if last, err = n.last(); err != nil {
		return last, now, nil, err
	}
	tree, err := n.log.Tree(ctx)
	if err != nil {
		return last, now, nil, fmt.Errorf("read the log: %w", err)
	}
	now = audit.Checkpoint{Origin: n.key.origin, Size: tree.N, Root: tree.Hash}
	if last.Size == 0 || now.Size < last.Size {
		return last, now, nil, nil
	}
	proof, err := audit.ProveAppendOnly(last, now, n.log.Hashes(ctx))
	if err != nil {
		return last, now, nil, err
	}
	return last, now, audit.CheckAppendOnly(proof, last, now), nil
}

// evidence returns what is known of the database from outside of it; keys says
// that the keys of the marks were there before it.
func (n *notary) evidence(ctx context.Context, keys bool) (adoption.Evidence, error) {
	last, now, forked, err := n.compare(ctx)
	return adoption.Evidence{Signed: last, Records: now.Size, Forked: forked != nil, Keys: keys}, err
}

func (n *notary) rolledBack(format string, args ...any) error {
	return errkind.New(errkind.Conflict, "the audit log was put back or rewritten: %s; nothing more is signed. "+
		"If you restored the database yourself, note that down and remove %s", fmt.Sprintf(format, args...), n.file)
}

// last returns the last checkpoint that was signed; of size 0 when there is none.
func (n *notary) last() (audit.Checkpoint, error) {
	signed, err := os.ReadFile(n.file)
	if errors.Is(err, fs.ErrNotExist) {
		return audit.Checkpoint{Origin: n.key.origin, Size: 0, Root: tlog.Hash{}}, nil
	}
	if err != nil {
		return audit.Checkpoint{}, fmt.Errorf("read the last checkpoint: %w", err)
	}
	c, err := audit.OpenCheckpoint(signed, n.key.public)
	if err != nil {
		return audit.Checkpoint{}, fmt.Errorf("read the last checkpoint in %s: %w", n.file, err)
	}
	return c, nil
}

// Break returns why the audit log is not the one that was signed, or nil.
func (n *notary) Break() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.problem
}
