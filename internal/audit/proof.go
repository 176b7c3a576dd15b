package audit

import (
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// ProveAppendOnly proves that the log at the newer checkpoint's size only adds to
// the log at the older one's; r reads the stored hashes.
func ProveAppendOnly(older, newer Checkpoint, r tlog.HashReader) (tlog.TreeProof, error) {
	if older.Size == 0 {
		return nil, nil // everything adds to nothing
	}
	proof, err := tlog.ProveTree(newer.Size, older.Size, r)
	if err != nil {
		return nil, fmt.Errorf("prove that the log was only added to: %w", err)
	}
	return proof, nil
}

// CheckAppendOnly verifies a proof of ProveAppendOnly.
func CheckAppendOnly(proof tlog.TreeProof, older, newer Checkpoint) error {
	switch {
	case older.Origin != newer.Origin:
		return fmt.Errorf("compare checkpoints: %q and %q are two logs", older.Origin, newer.Origin)
	case older.Size > newer.Size:
		return fmt.Errorf("compare checkpoints: the log went back from %d records to %d", older.Size, newer.Size)
	case older.Size == 0 && len(proof) == 0:
		if empty, err := (&Edge{}).Root(); err != nil || older.Root != empty {
			return errors.New("compare checkpoints: an empty log with a wrong root")
		}
		return nil
	}
	if err := tlog.CheckTree(proof, newer.Size, newer.Root, older.Size, older.Root); err != nil {
		return fmt.Errorf("compare checkpoints: %w", err)
	}
	return nil
}
