package table

import (
	"context"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sesame-access/sesame/internal/audit"
)

// Sealed returns the record as it is in the tree.
func (r Record) Sealed() audit.Sealed {
	s := audit.Sealed{Index: r.Idx, Leaf: []byte(r.Leaf), Salt: nil, Personal: nil}
	if r.Personal != "" {
		s.Salt, s.Personal = r.Salt, []byte(r.Personal)
	}
	return s
}

// HashReader reads the stored hashes of the tree. Each lies with the record that
// completes its subtree, which the place of the hash tells.
func (q *Queries) HashReader(ctx context.Context) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		hashes := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			level, n := tlog.SplitStoredHashIndex(index)
			record := (n+1)<<level - 1
			b, err := q.Hashes(ctx, record)
			if err != nil {
				return nil, fmt.Errorf("read hashes of record %d: %w", record, err)
			}
			if len(b) < (level+1)*tlog.HashSize {
				return nil, fmt.Errorf("read hashes of record %d: there are %d bytes", record, len(b))
			}
			copy(hashes[i][:], b[level*tlog.HashSize:])
		}
		return hashes, nil
	})
}

// checkLog compares the size of the log as it was last noted with what is there.
func (q *Queries) checkLog(ctx context.Context, size int64) error {
	records, err := q.RecordCount(ctx)
	if err != nil {
		return fmt.Errorf("count records: %w", err)
	}
	if records.Records != size || records.Newest != size-1 {
		return fmt.Errorf("the audit log has %d records up to index %d instead of %d", records.Records, records.Newest, size)
	}
	_, err = audit.EdgeOf(size, q.HashReader(ctx))
	return err
}
