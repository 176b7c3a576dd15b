package api

import (
	"fmt"

	"github.com/go-json-experiment/json"

	"github.com/sesame-access/sesame/internal/api/strict"
)

// Encode returns v as it goes over the wire: one line of JSON, the same for the
// same v.
func Encode(v any) ([]byte, error) {
	text, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	return append(text, '\n'), nil
}

// DecodeAsked reads what a caller asks into v: one JSON value, and exactly one
// reading of it; see package strict. An empty text or list is an error, too. It is
// what a script sends whose variable is not set, and must not be taken for a field
// that was left out, which often means the most there is.
func DecodeAsked(text []byte, v any) error {
	return strict.Read(text, v, strict.Leniency{Unknown: false, Empty: false})
}

// DecodeAnswer reads what a server says: as strictly, but names that are not known
// are passed over, because a newer server of the same version may say more.
func DecodeAnswer(text []byte, v any) error {
	return strict.Read(text, v, strict.Leniency{Unknown: true, Empty: true})
}
