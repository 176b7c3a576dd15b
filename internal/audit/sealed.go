package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// SaltSize is how many random bytes hide a personal part.
const SaltSize = 16

// A Sealed is a record as it is kept: the leaf, which is in the tree for ever,
// and the personal part beside it, which can be erased.
type Sealed struct {
	Index    int64
	Leaf     []byte
	Salt     []byte // SaltSize bytes; nil when erased
	Personal []byte // nil when erased
}

// Seal returns r as it is kept; its index is for whoever appends it to set. The
// salt is SaltSize bytes that nobody else has or can guess. Text that is not
// valid UTF-8 is mended, and instants are rounded down to milliseconds.
func Seal(r Record, salt []byte) Sealed {
	part := marshal(personalOf(r))
	return Sealed{
		Index:    0,
		Leaf:     marshal(leafOf(r, commitment(salt, part))),
		Salt:     salt,
		Personal: part,
	}
}

// Erased reports whether the personal part is gone.
func (s Sealed) Erased() bool { return s.Personal == nil }

// Hash returns the hash of the leaf as the tree has it.
func (s Sealed) Hash() tlog.Hash { return tlog.RecordHash(s.Leaf) }

// Open returns the record, without its personal fields when they are erased. If
// the personal part is not the one that the leaf commits to, the error says so
// and the record holds what the leaf says.
func (s Sealed) Open() (Record, error) {
	var l leaf
	if err := decode(s.Leaf, &l); err != nil {
		return Record{}, err
	}
	if l.V != version || l.Kind == "" {
		return Record{}, fmt.Errorf("version %d of a leaf of kind %q is not known", l.V, l.Kind)
	}
	var r Record
	l.addTo(&r)
	if s.Erased() {
		return r, nil
	}
	if !committed(l, s.Salt, s.Personal) {
		return r, errors.New("the personal part is not the one that was recorded")
	}
	var p personal
	if err := decode(s.Personal, &p); err != nil {
		return r, err
	}
	full := r
	if err := p.addTo(&full); err != nil {
		return r, err
	}
	return full, nil
}

// committed reports whether the personal part is the one that l was made with.
func committed(l leaf, salt, part []byte) bool {
	return len(salt) == SaltSize && bytes.Equal(l.Personal, commitment(salt, part))
}

func commitment(salt, part []byte) []byte {
	h := sha256.New()
	h.Write([]byte("sesame personal v1\n"))
	h.Write(salt)
	h.Write(part)
	return h.Sum(nil)
}

// marshal writes one of our wire forms, which hold nothing that JSON cannot.
func marshal(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic("audit: " + err.Error())
	}
	return text
}
