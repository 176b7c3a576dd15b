package audit

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	proofHeader  = "c2sp.org/tlog-proof@v1"
	mostHashes   = levels // no path is longer
	mostProofLen = 1 << 20
)

// A Proof shows that a leaf is at an index of the log that a checkpoint commits
// to. With the leaf and the log's public key it can be checked anywhere.
type Proof struct {
	Index  int64
	Path   tlog.RecordProof
	Signed []byte // the signed checkpoint
}

// Prove proves the leaf at index within the log of the signed checkpoint, whose
// stored hashes r reads.
func Prove(index int64, signed []byte, public string, r tlog.HashReader) (Proof, error) {
	c, err := OpenCheckpoint(signed, public)
	if err != nil {
		return Proof{}, err
	}
	if index < 0 || index >= c.Size {
		return Proof{}, fmt.Errorf("prove record %d: the checkpoint covers %d records", index, c.Size)
	}
	path, err := tlog.ProveRecord(c.Size, index, r)
	if err != nil {
		return Proof{}, fmt.Errorf("prove record %d: %w", index, err)
	}
	return Proof{Index: index, Path: path, Signed: signed}, nil
}

// Check verifies that the leaf is where p says, and returns the checkpoint that
// commits to it.
func (p Proof) Check(leafText []byte, public string) (Checkpoint, error) {
	c, err := OpenCheckpoint(p.Signed, public)
	if err != nil {
		return Checkpoint{}, err
	}
	if err := tlog.CheckRecord(p.Path, c.Size, c.Root, p.Index, tlog.RecordHash(leafText)); err != nil {
		return Checkpoint{}, fmt.Errorf("check the proof of record %d: %w", p.Index, err)
	}
	return c, nil
}

// Text returns p as C2SP tlog-proof writes it.
func (p Proof) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nindex %d\n", proofHeader, p.Index)
	for _, h := range p.Path {
		fmt.Fprintln(&b, base64.StdEncoding.EncodeToString(h[:]))
	}
	fmt.Fprintf(&b, "\n%s", p.Signed)
	return b.String()
}

// ParseProof reads exactly what Text writes.
func ParseProof(text string) (Proof, error) {
	if len(text) > mostProofLen {
		return Proof{}, errors.New("read proof: it is too long")
	}
	head, signed, ok := strings.Cut(text, "\n\n")
	lines := strings.Split(head, "\n")
	if !ok || len(lines) < 2 || lines[0] != proofHeader || len(lines)-2 > mostHashes {
		return Proof{}, errors.New("read proof: it is not a " + proofHeader)
	}
	digits, ok := strings.CutPrefix(lines[1], "index ")
	index, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || index < 0 || strconv.FormatInt(index, 10) != digits {
		return Proof{}, fmt.Errorf("read proof: %.50q is not an index", lines[1])
	}
	p := Proof{Index: index, Path: nil, Signed: []byte(signed)}
	for _, line := range lines[2:] {
		h, err := parseHash(line)
		if err != nil {
			return Proof{}, fmt.Errorf("read proof: %w", err)
		}
		p.Path = append(p.Path, h)
	}
	return p, nil
}

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
