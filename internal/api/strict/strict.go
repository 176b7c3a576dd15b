// Package strict reads JSON in exactly one way: what two readers could take for
// two things is an error, with the field that it is about.
//
// Duplicate, unknown and case-variant names, null, trailing data, invalid UTF-8, a
// byte order mark, more than MaxDepth levels and more than MaxBytes bytes are errors
// of kind errkind.Invalid.
package strict

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sesame-access/sesame/internal/errkind"
)

const (
	// MaxBytes is the most that is read.
	MaxBytes = 1 << 20
	// MaxDepth is how deep lists and objects may lie in each other.
	MaxDepth = 32
)

// A Leniency is what is let through all the same.
type Leniency struct {
	Unknown bool // names that v does not have
	Empty   bool // texts and lists that are empty
	Null    bool // null, which is then as if the name were not there
}

// Read reads one JSON value into v. What v holds after an error is undefined.
func Read(text []byte, v any, but Leniency) error {
	switch {
	case len(text) > MaxBytes:
		return errkind.New(errkind.Invalid, "the JSON text has %d bytes; at most %d are read", len(text), MaxBytes)
	case bytes.HasPrefix(text, []byte("\ufeff")):
		return errkind.New(errkind.Invalid, "the JSON text starts with a byte order mark; send plain UTF-8")
	case len(bytes.TrimSpace(text)) == 0:
		return errkind.New(errkind.Invalid, "there is no JSON text; send an object")
	}
	if err := scan(text, but); err != nil {
		return err
	}
	err := json.Unmarshal(text, v, json.RejectUnknownMembers(!but.Unknown))
	if e, ok := errors.AsType[*json.SemanticError](err); ok {
		return misfit(e)
	}
	if err != nil {
		return errkind.Wrap(errkind.Invalid, err, "the JSON text cannot be read")
	}
	return nil
}

// scan reads the whole text without building anything from it: it must be one
// value, not too deep, and, unless that is allowed, without null and without texts
// and lists that are empty.
func scan(text []byte, but Leniency) error {
	dec := jsontext.NewDecoder(bytes.NewReader(text))
	for read := false; ; read = true {
		if read && dec.StackDepth() == 0 {
			break
		}
		tok, err := dec.ReadToken()
		switch {
		case err != nil:
			return unreadable(err)
		case dec.StackDepth() > MaxDepth:
			return errkind.New(errkind.Invalid, "the JSON text is nested more than %d deep", MaxDepth)
		case tok.Kind() == 'n' && !but.Null:
			name := fieldOf(dec.StackPointer())
			return fieldError(name, "null", name+": null is no value; leave the field out instead", "left out, or a value")
		case !but.Empty && isEmpty(dec, tok):
			name := fieldOf(dec.StackPointer())
			return fieldError(name, "", name+" is empty; say what it is to be, or leave the field out for the default", "a value, or left out for the default")
		}
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return errkind.New(errkind.Invalid, "the JSON text goes on after its end; send one value")
	}
	return nil
}

// isEmpty reports whether tok, which dec has read last, is an empty text or
// begins an empty list.
func isEmpty(dec *jsontext.Decoder, tok jsontext.Token) bool {
	if tok.Kind() == jsontext.KindBeginArray {
		return dec.PeekKind() == jsontext.KindEndArray
	}
	in, n := dec.StackIndex(dec.StackDepth())
	name := in == jsontext.KindBeginObject && n%2 == 1
	return tok.Kind() == jsontext.KindString && !name && tok.String() == ""
}

// unreadable explains why a text is not JSON.
func unreadable(err error) error {
	e, ok := errors.AsType[*jsontext.SyntacticError](err)
	if !ok || errors.Is(err, io.ErrUnexpectedEOF) {
		return errkind.New(errkind.Invalid, "the JSON text ends too early")
	}
	name := fieldOf(e.JSONPointer)
	if errors.Is(e.Err, jsontext.ErrDuplicateName) {
		return fieldError(name, "", name+" is there twice; send it once", "sent once")
	}
	return errkind.New(errkind.Invalid, "this is not JSON, at byte %d: %s", e.ByteOffset, strings.TrimPrefix(e.Err.Error(), "jsontext: "))
}

// misfit explains why a JSON value does not fit its place.
func misfit(e *json.SemanticError) error {
	name, value := fieldOf(e.JSONPointer), given(e)
	if bad, ok := errors.AsType[*errkind.Error](e.Err); ok {
		return errkind.At(name, bad)
	}
	if errors.Is(e.Err, json.ErrUnknownName) {
		return fieldError(name, "", name+" is not a field here; names are in lower case, and /v1/openapi.json lists them", "a known field")
	}
	want := wantOf(e.GoType)
	if e.JSONValue == nil {
		return errkind.Wrong(name, "", want, "it is %s, and must be %s", value, want)
	}
	return errkind.Bad(name, value, want)
}

// given returns the JSON value that an error is about or, where that is not known,
// what kind of value it is.
func given(e *json.SemanticError) string {
	if e.JSONValue != nil {
		if s, err := jsontext.AppendUnquote(nil, e.JSONValue); err == nil {
			return string(s)
		}
		return string(e.JSONValue)
	}
	switch e.JSONKind {
	case jsontext.KindString:
		return "text"
	case jsontext.KindNumber:
		return "a number"
	case jsontext.KindTrue, jsontext.KindFalse:
		return "true or false"
	case jsontext.KindBeginArray:
		return "a list"
	case jsontext.KindBeginObject:
		return "an object"
	case jsontext.KindInvalid, jsontext.KindNull, jsontext.KindEndArray, jsontext.KindEndObject:
	}
	return "something else"
}

// wantOf says in JSON's words what fits into t.
func wantOf(t reflect.Type) string {
	if t == nil {
		return "a value that fits here"
	}
	switch t.Kind() { //nolint:exhaustive // the kinds that wire types are made of
	case reflect.String:
		return "text in quotes"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64, reflect.Uint16, reflect.Uint64:
		return "a whole number without quotes"
	case reflect.Slice:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "an object"
	default:
		return "a value that fits here"
	}
}

// fieldOf writes a JSON pointer as people write a path: "ports[0].port".
func fieldOf(p jsontext.Pointer) string {
	var b strings.Builder
	for token := range p.Tokens() {
		if n, err := strconv.Atoi(token); err == nil && n >= 0 {
			b.WriteString("[" + token + "]")
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(clip(token))
	}
	if b.Len() == 0 {
		return "the body"
	}
	return b.String()
}

// clip makes a name that somebody else chose fit to be shown.
func clip(name string) string {
	if plain := strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == ""; plain && len(name) <= 63 {
		return name
	}
	return errkind.Quote(name)
}

func fieldError(name, value, msg, want string) error {
	return &errkind.Error{
		Kind: errkind.Invalid, Msg: msg,
		Field: errkind.Field{Name: name, Value: value, Want: want}, Err: nil,
	}
}
