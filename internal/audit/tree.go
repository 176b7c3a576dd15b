package audit

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// mostLeaves bounds every tree, far above what can be written and far below
// where an int64 overflows; a tree of that size has so many levels.
const (
	mostLeaves = 1 << (levels - 1)
	levels     = 49
)

// An Edge is the right edge of a tree: for each level the last subtree that is
// complete. It is all that is needed to append to the tree or to compute its
// root. It is a value: a copy is a way back.
type Edge struct {
	size int64
	last [levels]tlog.Hash
}

// EdgeOf returns the edge of the tree of the given size, whose stored hashes r
// reads.
func EdgeOf(size int64, r tlog.HashReader) (Edge, error) {
	var e Edge
	if size < 0 || size > mostLeaves {
		return e, fmt.Errorf("read tree: its size is %d", size)
	}
	var indexes []int64
	for level := 0; size>>level > 0; level++ {
		indexes = append(indexes, tlog.StoredHashIndex(level, size>>level-1))
	}
	hashes, err := r.ReadHashes(indexes)
	if err != nil {
		return e, fmt.Errorf("read tree: %w", err)
	}
	if len(hashes) != len(indexes) {
		return e, fmt.Errorf("read tree: %d hashes for %d places", len(hashes), len(indexes))
	}
	copy(e.last[:], hashes)
	e.size = size
	return e, nil
}

// Size returns the number of leaves.
func (e *Edge) Size() int64 { return e.size }

// Append adds a leaf and returns the hashes to store, from tlog.StoredHashCount
// of the size before it on.
func (e *Edge) Append(leafHash tlog.Hash) ([]tlog.Hash, error) {
	hashes, err := tlog.StoredHashesForRecordHash(e.size, leafHash, e.reader())
	if err != nil {
		return nil, fmt.Errorf("append to tree: %w", err)
	}
	copy(e.last[:], hashes)
	e.size++
	return hashes, nil
}

// Root returns the root of the tree.
func (e *Edge) Root() (tlog.Hash, error) {
	root, err := tlog.TreeHash(e.size, e.reader())
	if err != nil {
		return tlog.Hash{}, fmt.Errorf("compute root: %w", err)
	}
	return root, nil
}

// reader serves what appending and the root ask for: always the last complete
// subtree of a level, and nothing else.
func (e *Edge) reader() tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		hashes := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			level, n := tlog.SplitStoredHashIndex(index)
			if level >= levels || n != e.size>>level-1 {
				return nil, fmt.Errorf("hash %d of level %d is not on the edge of %d leaves", n, level, e.size)
			}
			hashes[i] = e.last[level]
		}
		return hashes, nil
	})
}
