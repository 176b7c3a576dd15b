// Package rawjson holds JSON objects whose members keep their order and their
// bytes, so that a document can be changed in one place without a difference in
// any other.
//
// Only what is looked into is taken apart; a value that nobody asks for is
// carried as it was written, white space included. A name that is there twice,
// in whatever case, is an error, because Azure compares names without case.
package rawjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// An Object is a JSON object.
type Object []Member //nolint:recvcheck // a list that Set and Delete change in place

// A Member is one name of an object, with its value as it was written.
type Member struct {
	Name  string
	Value json.RawMessage
}

// Parse reads text, which must be one object and nothing else.
func Parse(text []byte) (Object, error) {
	dec := jsontext.NewDecoder(bytes.NewReader(text))
	if dec.PeekKind() != jsontext.KindBeginObject {
		return nil, errors.New("it is not a JSON object")
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, fmt.Errorf("read the object: %w", err)
	}
	o := Object{}
	for dec.PeekKind() != jsontext.KindEndObject {
		name, err := dec.ReadToken()
		if err != nil {
			return nil, fmt.Errorf("read a name: %w", err)
		}
		key := name.String()
		value, err := dec.ReadValue()
		if err != nil {
			return nil, fmt.Errorf("read the value of %q: %w", key, err)
		}
		for _, m := range o {
			if strings.EqualFold(m.Name, key) {
				return nil, fmt.Errorf("%q and %q are the same name", m.Name, key)
			}
		}
		o = append(o, Member{Name: key, Value: slices.Clone([]byte(value))})
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, fmt.Errorf("read the object's end: %w", err)
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the object")
	}
	return o, nil
}

// Get returns the value of name, nil if there is none.
func (o Object) Get(name string) json.RawMessage {
	for _, m := range o {
		if m.Name == name {
			return m.Value
		}
	}
	return nil
}

// Text returns the value of name where it is a string, else nothing.
func (o Object) Text(name string) string {
	var s string
	if json.Unmarshal(o.Get(name), &s) != nil {
		return ""
	}
	return s
}

// Object returns the value of name where it is an object, else an empty one.
func (o Object) Object(name string) Object {
	inner, err := Parse(o.Get(name))
	if err != nil {
		return Object{}
	}
	return inner
}

// List returns the elements of name where it is an array, else none.
func (o Object) List(name string) []json.RawMessage {
	var list []json.RawMessage
	if json.Unmarshal(o.Get(name), &list) != nil {
		return nil
	}
	return list
}

// Set gives name a value, in its place if it has one, else at the end.
func (o *Object) Set(name string, value json.RawMessage) {
	for i := range *o {
		if (*o)[i].Name == name {
			(*o)[i].Value = value
			return
		}
	}
	*o = append(*o, Member{Name: name, Value: value})
}

// Delete takes names out.
func (o *Object) Delete(names ...string) {
	*o = slices.DeleteFunc(*o, func(m Member) bool { return slices.Contains(names, m.Name) })
}

// Bytes returns o as JSON, with nothing between its members.
func (o Object) Bytes() json.RawMessage {
	n := 2
	for _, m := range o {
		n += len(m.Name) + len(m.Value) + 4
	}
	out := append(make(json.RawMessage, 0, n), '{')
	for i, m := range o {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(out, Quote(m.Name)...), ':')
		out = append(out, m.Value...)
	}
	return append(out, '}')
}

// Array returns items as a JSON array, with nothing between them.
func Array(items []json.RawMessage) json.RawMessage {
	out := json.RawMessage{'['}
	for i, x := range items {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, x...)
	}
	return append(out, ']')
}

// Quote returns s as a JSON string.
func Quote(s string) json.RawMessage {
	out, err := jsontext.AppendQuote(nil, s)
	if err != nil { // not UTF-8: what cannot be read is replaced
		out, _ = jsontext.AppendQuote(nil, strings.ToValidUTF8(s, "\ufffd"))
	}
	return json.RawMessage(out)
}

// With returns o with a property, a member of its member properties, set to
// value; o itself stays as it is.
func (o Object) With(property string, value json.RawMessage) Object {
	out, properties := slices.Clone(o), o.Object("properties")
	properties.Set(property, value)
	out.Set("properties", properties.Bytes())
	return out
}
