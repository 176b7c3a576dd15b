package engine

import (
	_ "embed" // the schema is part of the program
	"fmt"

	"github.com/cedar-policy/cedar-go/x/exp/schema"
	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"
)

//go:embed schema.cedar
var schemaText string

// Schema returns what an access policy may ask about, as the text that says so.
func Schema() string { return schemaText }

// NewValidator returns what checks policies against the schema.
func NewValidator() (*validate.Validator, error) {
	var s schema.Schema
	s.SetFilename("schema.cedar")
	if err := s.UnmarshalCedar([]byte(schemaText)); err != nil {
		return nil, fmt.Errorf("read the schema: %w", err)
	}
	resolved, err := s.Resolve()
	if err != nil {
		return nil, fmt.Errorf("read the schema: %w", err)
	}
	return validate.New(resolved), nil
}
