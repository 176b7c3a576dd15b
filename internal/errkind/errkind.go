// Package errkind gives errors a kind that survives wrapping.
//
// The kind says what the caller does next: it decides the HTTP status, the exit
// code and whether the reconciler tries again. The message is for people: it
// says what was asked, what is true and what to do next. An error without a
// kind is Internal; its text goes to the log and never to the requester.
package errkind

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Kind is what went wrong, seen from the caller's side.
type Kind string

// The kinds.
const (
	Internal        Kind = "internal"
	Invalid         Kind = "invalid"         // the input makes no sense
	Unauthenticated Kind = "unauthenticated" // we do not know who is asking
	Denied          Kind = "denied"          // we know, and may not let them
	NotFound        Kind = "not_found"       // no such thing, or not yours to see
	Conflict        Kind = "conflict"        // somebody was faster, or the state forbids it
	Exhausted       Kind = "exhausted"       // a quota or a rate limit is used up
	Unavailable     Kind = "unavailable"     // try again later
)

// Error is an error with a kind and a message that is safe to show.
type Error struct {
	Kind  Kind
	Msg   string
	Field Field // the input at fault; zero when no single one is
	Err   error // the cause, for the log
}

// Field names one bad input: its path in the request, what was given, and what
// would be right.
type Field struct {
	Name  string // "sources[1]"
	Value string // as given, shortened, control characters escaped; not quoted
	Want  string // "an IPv4 or IPv6 address or prefix, such as 203.0.113.7"
}

// New returns an error of kind k.
func New(k Kind, format string, args ...any) error {
	return &Error{Kind: k, Msg: fmt.Sprintf(format, args...), Field: Field{}, Err: nil}
}

// Wrap returns an error of kind k that was caused by err.
// The text of err is for the log; only the message is public.
func Wrap(k Kind, err error, format string, args ...any) error {
	return &Error{Kind: k, Msg: fmt.Sprintf(format, args...), Field: Field{}, Err: err}
}

// Bad reports that the input called name holds value although want is needed.
func Bad(name, value, want string) error {
	return &Error{
		Kind: Invalid, Msg: name + ": " + Quote(value) + " is not " + want,
		Field: Field{Name: name, Value: Shorten(value), Want: want}, Err: nil,
	}
}

// Wrong reports what is wrong with the input called name, for which value stands,
// where Bad would not make a sentence: "ports: 22/tcp is named twice".
func Wrong(name, value, want, format string, args ...any) error {
	return &Error{
		Kind: Invalid, Msg: name + ": " + fmt.Sprintf(format, args...),
		Field: Field{Name: name, Value: Shorten(value), Want: want}, Err: nil,
	}
}

// In returns err with its field name put below the given parent: "port" becomes
// "ports[2].port". Errors without a field are returned as they are.
func In(parent string, err error) error {
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Field.Name == "" {
		return err
	}
	in := *e
	in.Field.Name = parent
	if !strings.HasPrefix(e.Field.Name, "[") {
		in.Field.Name += "."
	}
	in.Field.Name += e.Field.Name
	in.Msg = in.Field.Name + strings.TrimPrefix(e.Msg, e.Field.Name)
	return &in
}

// At is In for a value that stands at the given place itself: the field takes
// the place's name.
func At(place string, err error) error {
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Field.Name == "" {
		return err
	}
	at := *e
	at.Field.Name = place
	at.Msg = place + strings.TrimPrefix(e.Msg, e.Field.Name)
	return &at
}

// Error returns the message and, unless the message has it, the cause; it is for
// the log.
func (e *Error) Error() string {
	if e.Err == nil || strings.Contains(e.Msg, e.Err.Error()) {
		return e.Msg
	}
	return e.Msg + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Of returns the kind of err; Internal if it has none.
func Of(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Internal
}

// Public returns the text of err that may be shown to the requester.
func Public(err error) string {
	if e, ok := errors.AsType[*Error](err); ok && e.Kind != Internal {
		return e.Msg
	}
	return "internal error; the server's log says more"
}

// FieldOf returns the input that err is about; the zero Field if there is none.
func FieldOf(err error) Field {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Field
	}
	return Field{}
}

// mostShown is how many bytes of hostile input are shown.
const mostShown = 80

// Quote renders hostile input for a message: quoted, escaped, at most 80 bytes.
func Quote(s string) string {
	if len(s) > mostShown {
		return strconv.QuoteToASCII(s[:mostShown]) + "…"
	}
	return strconv.QuoteToASCII(s)
}

// Shorten renders hostile input for programs: as it is, at most 80 bytes of it,
// and whatever cannot be printed, or is not UTF-8, escaped as Quote does.
func Shorten(s string) string {
	end := ""
	if len(s) > mostShown {
		s, end = s[:mostShown], "…"
		for cut := 1; cut < utf8.UTFMax; cut++ { // not in the middle of a character
			if r, size := utf8.DecodeLastRuneInString(s); r != utf8.RuneError || size != 1 {
				break
			}
			s = s[:len(s)-1]
		}
	}
	var b strings.Builder
	for i, r := range s {
		_, size := utf8.DecodeRuneInString(s[i:])
		if bad := r == utf8.RuneError && size == 1; bad || !strconv.IsPrint(r) {
			escaped := strconv.QuoteToASCII(s[i : i+size])
			b.WriteString(escaped[1 : len(escaped)-1])
			continue
		}
		b.WriteString(s[i : i+size])
	}
	return b.String() + end
}
