// Package accesspolicy reads access policies: who may ask for access, who may go
// without approval, and who may approve, written in Cedar.
//
// (A JIT policy, of package policy, is another document: it says which ports are
// just-in-time, and for how long.)
//
// A document is a list of statements, each about one or more of the actions
// request, skipApproval and approve:
//
//	@id("office-hours")
//	forbid (principal, action == Action::"request", resource in Scope::"tag:env=prod")
//	unless { context.hour >= 7 && context.hour < 19 };
//
// A permit gives what no role gives; a forbid takes from everybody, whoever
// permits. What a statement may ask about is in package engine's schema, and every
// statement is checked against it when the document is read: an attribute that
// does not exist, a comparison that cannot hold and a tag that may be missing are
// mistakes then, not surprises at night. Names are checked too: a scope or a VM that
// is not in its canonical form would never be met, so it is refused, with the form
// that would be.
package accesspolicy

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"

	"github.com/sesame-access/sesame/internal/authz/engine"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
)

// A Document is one access policy as it was written.
type Document struct {
	// Name identifies the policy; see firewall.ValidName.
	Name string
	// Version counts the saved changes of the document, from 1.
	Version int64
	Text    string
}

// The limits of a document. They bound work before anything is judged.
const (
	MaxBytes      = 64 << 10
	MaxStatements = 256
	maxDepth      = 64
	mostShown     = 20 // mistakes
)

// A Reader reads documents.
type Reader struct{ validator *validate.Validator }

// NewReader returns a reader.
func NewReader() (*Reader, error) {
	v, err := engine.NewValidator()
	if err != nil {
		return nil, err
	}
	return &Reader{validator: v}, nil
}

// Read returns the rules of d. The error is of kind errkind.Invalid and names
// line and mistake of every statement that has one.
func (r *Reader) Read(d Document) ([]engine.Rule, error) {
	if _, err := firewall.ParseName("name", d.Name); err != nil {
		return nil, err
	}
	statements, err := parse(d.Text)
	if err != nil {
		return nil, err
	}
	var rules []engine.Rule
	var mistakes []string
	seen := map[string]bool{}
	for i, s := range statements {
		line := s.Position().Line
		rule, err := r.statement(d.Name, i, s, seen)
		if err != nil {
			for what := range strings.Lines(err.Error()) {
				mistakes = append(mistakes, fmt.Sprintf("line %d: %s", line, strings.TrimSpace(what)))
			}
			continue
		}
		rules = append(rules, rule)
	}
	if n := len(mistakes); n > mostShown {
		mistakes = append(mistakes[:mostShown], fmt.Sprintf("and %d more", n-mostShown))
	}
	if len(mistakes) > 0 {
		return nil, wrong(strings.Join(mistakes, "\n"))
	}
	return rules, nil
}

func wrong(what string) error {
	return errkind.Wrong("text", "", "statements in Cedar; `sesame access-policy schema` shows what they may ask about", "%s", what)
}

// parse splits a text into statements.
func parse(text string) (cedar.PolicyList, error) {
	switch depth := nesting(text); {
	case len(text) > MaxBytes:
		return nil, wrong(fmt.Sprintf("it has %d bytes; at most %d are read", len(text), MaxBytes))
	case depth > maxDepth:
		return nil, wrong(fmt.Sprintf("brackets are nested %d deep, at most %d", depth, maxDepth))
	}
	var list cedar.PolicyList
	if err := list.UnmarshalCedar([]byte(text)); err != nil {
		return nil, wrong(parseMistake(err.Error()))
	}
	switch n := len(list); {
	case n == 0:
		return nil, wrong("it has no statement; delete the policy instead, if that is meant")
	case n > MaxStatements:
		return nil, wrong(fmt.Sprintf("it has %d statements, at most %d", n, MaxStatements))
	}
	return list, nil
}

// parseMistake says what Cedar's parser said in the words of this package. It
// writes the place as "<input>:LINE:COLUMN ".
func parseMistake(text string) string {
	_, rest, found := strings.Cut(text, "<input>:")
	line, rest, hasLine := strings.Cut(rest, ":")
	column, what, hasColumn := strings.Cut(rest, " ")
	if !found || !hasLine || !hasColumn {
		return text
	}
	return "line " + line + ", column " + column + ": " + what
}

// nesting returns how deep brackets are nested, those in texts and comments
// included: it is a bound, not a judgement.
func nesting(text string) (deepest int) {
	depth := 0
	for _, c := range []byte(text) {
		if bytes.IndexByte([]byte("([{"), c) >= 0 {
			depth++
			deepest = max(deepest, depth)
		}
		if bytes.IndexByte([]byte(")]}"), c) >= 0 {
			depth = max(0, depth-1)
		}
	}
	return deepest
}

// statement returns the rule of one statement; seen are the ids that were used.
func (r *Reader) statement(name string, i int, s *cedar.Policy, seen map[string]bool) (engine.Rule, error) {
	id := fmt.Sprintf("line %d", s.Position().Line)
	if given, ok := s.Annotations()["id"]; ok {
		if id = string(given); !firewall.ValidName(id) || seen[id] {
			return engine.Rule{}, fmt.Errorf("@id(%s) is not a name that no other statement has, of lower-case letters, digits and hyphens", errkind.Quote(id))
		}
		seen[id] = true
	}
	tree := (*ast.Policy)(s.AST())
	if err := r.validator.Policy(id, tree); err != nil {
		return engine.Rule{}, fmt.Errorf("%s", strings.ReplaceAll(err.Error(), fmt.Sprintf("for policy `%s`, ", id), ""))
	}
	if err := checkNames(tree); err != nil {
		return engine.Rule{}, err
	}
	if id == fmt.Sprintf("line %d", s.Position().Line) && seen[id] {
		id = fmt.Sprintf("%s, statement %d", id, i+1)
	}
	seen[id] = true
	return engine.Statement(fmt.Sprintf("access policy %s (%s)", name, id), s)
}
