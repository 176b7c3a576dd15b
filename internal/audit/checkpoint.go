package audit

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// A Checkpoint commits to every record of a log up to a size.
type Checkpoint struct {
	Origin string // the log's name, which is also the name of its key
	Size   int64
	Root   tlog.Hash
}

// NewKey makes the keys of the log called origin from random bytes: the text of
// the key that signs, which is secret, and of the key that verifies.
func NewKey(random io.Reader, origin string) (secret, public string, err error) {
	secret, public, err = note.GenerateKey(random, origin)
	if err != nil {
		return "", "", fmt.Errorf("make the key of %q: %w", origin, err)
	}
	return secret, public, nil
}

// Text returns c as C2SP tlog-checkpoint writes it: origin, size and root on a
// line each.
func (c Checkpoint) Text() string {
	return c.Origin + "\n" + strconv.FormatInt(c.Size, 10) + "\n" + base64.StdEncoding.EncodeToString(c.Root[:]) + "\n"
}

// ParseCheckpoint reads exactly what Text writes; extension lines are refused.
func ParseCheckpoint(text string) (Checkpoint, error) {
	const lines = 3
	part := strings.Split(text, "\n")
	if len(part) != lines+1 || part[0] == "" || part[lines] != "" {
		return Checkpoint{}, errors.New("read checkpoint: it is not three lines: origin, size, root")
	}
	size, err := strconv.ParseInt(part[1], 10, 64)
	if err != nil || size < 0 || size > mostLeaves || strconv.FormatInt(size, 10) != part[1] {
		return Checkpoint{}, fmt.Errorf("read checkpoint: %q is not a size", part[1])
	}
	root, err := parseHash(part[2])
	if err != nil {
		return Checkpoint{}, fmt.Errorf("read checkpoint: %w", err)
	}
	return Checkpoint{Origin: part[0], Size: size, Root: root}, nil
}

// Sign returns c as a note signed with the secret key of its origin.
func (c Checkpoint) Sign(secret string) ([]byte, error) {
	signer, err := note.NewSigner(secret)
	if err != nil {
		return nil, fmt.Errorf("sign checkpoint: %w", err)
	}
	if signer.Name() != c.Origin {
		return nil, fmt.Errorf("sign checkpoint: the key is of %q, the log is %q", signer.Name(), c.Origin)
	}
	signed, err := note.Sign(&note.Note{Text: c.Text(), Sigs: nil, UnverifiedSigs: nil}, signer)
	if err != nil {
		return nil, fmt.Errorf("sign checkpoint: %w", err)
	}
	return signed, nil
}

// OpenCheckpoint reads a signed checkpoint and verifies its signature with the
// public key of its origin. Other signatures, such as those of witnesses, are
// passed over.
func OpenCheckpoint(signed []byte, public string) (Checkpoint, error) {
	verifier, err := note.NewVerifier(public)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("read the log's key: %w", err)
	}
	n, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("verify checkpoint: %w", err)
	}
	for _, sig := range n.Sigs {
		// Two spellings of one signature would make two notes out of one.
		if _, err := base64.StdEncoding.Strict().DecodeString(sig.Base64); err != nil {
			return Checkpoint{}, fmt.Errorf("verify checkpoint: read signature: %w", err)
		}
	}
	c, err := ParseCheckpoint(n.Text)
	if err != nil {
		return Checkpoint{}, err
	}
	if c.Origin != verifier.Name() {
		return Checkpoint{}, fmt.Errorf("verify checkpoint: it is of %q, the key of %q", c.Origin, verifier.Name())
	}
	return c, nil
}

// parseHash reads a hash in base64, in its only spelling.
func parseHash(s string) (tlog.Hash, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != tlog.HashSize || base64.StdEncoding.EncodeToString(b) != s {
		return tlog.Hash{}, fmt.Errorf("%.50q is not a hash", s)
	}
	return tlog.Hash(b), nil
}
