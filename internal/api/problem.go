package api

import (
	"strings"

	"github.com/sesame-access/sesame/internal/errkind"
)

// ProblemType is the media type of a Problem.
const ProblemType = "application/problem+json"

// problemBase is what the type of every problem begins with. Behind it comes
// the kind of the error, or the name of one of the problems below.
const problemBase = "https://github.com/sesame-access/sesame/blob/main/docs/reference/problems.md#"

// A Problem says what went wrong, as RFC 9457 has it.
type Problem struct {
	Type      string       `json:"type" doc:"Names the kind of problem; stable."`
	Title     string       `json:"title"`
	Status    int          `json:"status" doc:"The HTTP status."`
	Detail    string       `json:"detail" doc:"What was asked, what is true, and what to do next."`
	Instance  string       `json:"instance,omitzero" doc:"The path that was asked for."`
	Errors    []FieldError `json:"errors,omitempty" doc:"The inputs at fault."`
	RequestID string       `json:"request_id,omitzero" doc:"Finds the request in the server's log."`
}

// A FieldError names one bad input.
type FieldError struct {
	Field string `json:"field" doc:"Its path, such as ports[0].port."`
	Value string `json:"value,omitzero" doc:"As given, shortened; control characters are escaped."`
	Want  string `json:"want,omitzero" doc:"What would be right."`
}

// statuses are what HTTP calls each kind.
func statuses() []struct {
	kind   errkind.Kind
	status int
	title  string
} {
	return []struct {
		kind   errkind.Kind
		status int
		title  string
	}{
		{errkind.Invalid, 400, "The input makes no sense"},
		{errkind.Unauthenticated, 401, "It is not known who is asking"},
		{errkind.Denied, 403, "That is not allowed"},
		{errkind.NotFound, 404, "There is no such thing"},
		{errkind.Conflict, 409, "The state forbids it"},
		{errkind.Exhausted, 429, "A limit is used up"},
		{errkind.Unavailable, 503, "It cannot be done right now"},
		{errkind.Internal, 500, "Internal error"},
	}
}

// ProblemOf returns err as a problem. Its detail is the public text only.
func ProblemOf(err error) Problem {
	kind := errkind.Of(err)
	p := Problem{
		Type: problemBase + anchor(string(kind)), Title: "", Status: 0, Detail: errkind.Public(err),
		Instance: "", Errors: nil, RequestID: "",
	}
	for _, s := range statuses() {
		if s.kind == kind {
			p.Status, p.Title = s.status, s.title
		}
	}
	if f := errkind.FieldOf(err); f.Name != "" {
		p.Errors = []FieldError{{Field: f.Name, Value: f.Value, Want: f.Want}}
	}
	return p
}

// NewProblem returns a problem of the protocol itself, which no kind of error
// stands for: its name is part of its type.
func NewProblem(status int, name, title, detail string) Problem {
	return Problem{
		Type: problemBase + anchor(name), Title: title, Status: status, Detail: detail,
		Instance: "", Errors: nil, RequestID: "",
	}
}

// Err returns the error that p stands for: of the kind that its type names or,
// if the type is not known, that its status stands for.
func (p Problem) Err() error {
	kind := kindOf(p.Status)
	if name, ok := strings.CutPrefix(p.Type, problemBase); ok {
		for _, s := range statuses() {
			if anchor(string(s.kind)) == name {
				kind = s.kind
			}
		}
	}
	out := &errkind.Error{Kind: kind, Msg: p.Detail, Field: errkind.Field{}, Err: nil}
	if len(p.Errors) > 0 {
		f := p.Errors[0]
		out.Field = errkind.Field{Name: f.Field, Value: f.Value, Want: f.Want}
	}
	return out
}

// kindOf returns the kind that comes nearest to an HTTP status.
func kindOf(status int) errkind.Kind {
	for _, s := range statuses() {
		if s.status == status {
			return s.kind
		}
	}
	switch {
	case status >= 500:
		return errkind.Unavailable
	case status >= 400:
		return errkind.Invalid
	}
	return errkind.Internal
}

// anchor is how a heading is linked to.
func anchor(name string) string { return strings.ReplaceAll(name, "_", "-") }
