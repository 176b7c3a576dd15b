// Package condition evaluates the conditions that Azure puts on role assignments,
// as far as an answer is certain.
//
// A condition is text in the language of Azure's attribute-based access control:
//
//	((!(ActionMatches{'Microsoft.Authorization/roleAssignments/write'}))
//	 OR (@Request[…] ForAnyOfAnyValues:GuidEquals {…}))
//
// Here ActionMatches is decided, with AND, OR, NOT, their signs &&, || and !, and
// brackets. Every other expression, known or not, is Unknown: nothing that decides
// it is in our hands. Unknown is carried through as in three-valued logic, so that
// the condition above is True of every operation that it is not about; who gives
// rights takes Unknown for no. (Microsoft Learn, "Azure role assignment condition
// format and syntax", version 2.0; 2026-11.)
package condition

import (
	"strings"

	"github.com/sesame-access/sesame/internal/authz/role"
	"github.com/sesame-access/sesame/internal/errkind"
)

// Truth is what is known of a condition.
type Truth uint8

// The truths, in their order: AND is the least, OR the greatest.
const (
	False Truth = iota
	Unknown
	True
)

// String returns the word for t.
func (t Truth) String() string {
	switch t {
	case False:
		return "false"
	case True:
		return "true"
	case Unknown:
	}
	return "unknown"
}

// A Condition is a parsed condition. The zero Condition is no condition, which is
// always met.
type Condition struct{ root *node }

// node is an expression: a leaf, or a combination of its parts.
type node struct {
	kind    kind
	pattern string // of actionMatches
	parts   []*node
}

type kind uint8

const (
	other kind = iota // what is not decided here
	actionMatches
	and
	or
	not
)

// The limits of a condition's text. (Azure: 8 KB; 2026-11.)
const (
	MaxLength = 8 << 10
	maxDepth  = 64
)

// Parse reads a condition; the empty text is none. What is well-formed and not
// supported is no error.
func Parse(text string) (Condition, error) {
	if strings.TrimSpace(text) == "" {
		return Condition{root: nil}, nil
	}
	words, ok := tokens(text)
	if !ok || len(text) > MaxLength {
		return Condition{}, bad(text)
	}
	p := parser{rest: words, depth: 0}
	root, ok := p.any()
	if !ok || len(p.rest) > 0 {
		return Condition{}, bad(text)
	}
	return Condition{root: root}, nil
}

func bad(text string) error {
	return errkind.Bad("condition", text, "a condition of a role assignment, version 2.0")
}

// Of evaluates c for one operation.
func (c Condition) Of(op role.Operation) Truth {
	if c.root == nil {
		return True
	}
	return c.root.of(op)
}

func (n *node) of(op role.Operation) Truth {
	switch n.kind {
	case actionMatches:
		if role.Matches(n.pattern, op) {
			return True
		}
		return False
	case not:
		return True - n.parts[0].of(op)
	case and:
		t := True
		for _, part := range n.parts {
			t = min(t, part.of(op))
		}
		return t
	case or:
		t := False
		for _, part := range n.parts {
			t = max(t, part.of(op))
		}
		return t
	case other:
	}
	return Unknown
}
