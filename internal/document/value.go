package document

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/sesame-access/sesame/internal/errkind"
)

// A Value is one place in a document, whether something stands there or not.
// What is wrong with it is collected and reported at the end.
type Value struct {
	found *mistakes
	node  *node // nil where the document says nothing
	line  int   // of the value; of what it belongs to where there is none
	path  string
}

// Missing reports whether the document says nothing here.
func (v Value) Missing() bool { return v.node == nil }

// Required reports a mistake if the document says nothing here; want says what
// would be right.
func (v Value) Required(want string) Value {
	if v.Missing() {
		v.found.add(v.line, &errkind.Error{
			Kind: errkind.Invalid, Msg: v.path + " is missing; it must be " + want,
			Field: errkind.Field{Name: v.path, Value: "", Want: want}, Err: nil,
		})
	}
	return v
}

// Fail reports a mistake at v. The field that err names becomes that of v.
func (v Value) Fail(err error) {
	if errkind.FieldOf(err).Name != "" {
		err = errkind.At(v.path, err)
	} else {
		err = errkind.New(errkind.Invalid, "%s: %s", v.path, errkind.Public(err))
	}
	v.found.add(v.line, err)
}

// written returns what the document says here, for a message.
func (v Value) written() string {
	switch v.node.kind {
	case kindList, kindMap:
		return v.node.kind.String()
	case kindNull:
		return "null"
	case kindText, kindNumber, kindBool:
	}
	return v.node.text
}

// is reports whether v is of kind k; what is missing is of no kind, and
// everything else of another kind is a mistake.
func (v Value) is(k kind) bool {
	if v.Missing() || v.node.kind == k {
		return !v.Missing()
	}
	want, is := k.String(), "is "+v.node.kind.String()
	switch {
	case v.node.kind == kindNull:
		is, want = "says nothing", want+"; leave the key out for the default"
	case k == kindText && len(v.node.items)+len(v.node.pairs) == 0 && v.node.kind < kindList:
		is, want = errkind.Quote(v.node.text)+" is "+v.node.kind.String(), want+"; put it in quotes"
	case k == kindNumber && v.node.kind == kindText:
		is, want = errkind.Quote(v.node.text)+" is text", want+"; write it in digits, without quotes"
	case v.node.kind < kindList:
		is = errkind.Quote(v.node.text) + " is " + v.node.kind.String()
	}
	name := v.path
	if name == "" {
		name = "the document"
	}
	v.found.add(v.line, &errkind.Error{
		Kind: errkind.Invalid, Msg: name + ": " + is + ", and must be " + want,
		Field: errkind.Field{Name: v.path, Value: errkind.Shorten(v.written()), Want: want}, Err: nil,
	})
	return false
}

// Text reads text with parse; fallback where the document says nothing.
func Text[T any](v Value, fallback T, parse func(string) (T, error)) T {
	return scalar(v, kindText, fallback, parse)
}

// Number reads a number with parse, which is given its digits as they are
// written; fallback where the document says nothing.
func Number[T any](v Value, fallback T, parse func(string) (T, error)) T {
	return scalar(v, kindNumber, fallback, parse)
}

// Integer reads a whole number from least to most.
func Integer(v Value, fallback, least, most int) int {
	return Number(v, fallback, func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		if err != nil || n < least || n > most || s != strconv.Itoa(n) {
			return 0, errkind.Bad("number", s, fmt.Sprintf("a whole number from %d to %d", least, most))
		}
		return n, nil
	})
}

func scalar[T any](v Value, k kind, fallback T, parse func(string) (T, error)) T {
	if k == kindText && !v.Missing() && (v.node.kind == kindNumber || v.node.kind == kindBool) {
		if _, err := parse(v.node.text); err != nil {
			v.Fail(err) // putting it in quotes would not help
			return fallback
		}
	}
	if !v.is(k) {
		return fallback
	}
	out, err := parse(v.node.text)
	if err != nil {
		v.Fail(err)
		return fallback
	}
	return out
}

// Bool reads true or false; false where the document says nothing.
func (v Value) Bool() bool { return v.is(kindBool) && strings.EqualFold(v.node.text, "true") }

// A Map is the values of a map by key.
type Map struct{ of Value }

// Map returns the values of a map; every key that is not among keys is a
// mistake. A value that the document does not mention gives a map of missing
// values.
func (v Value) Map(keys ...string) Map {
	if !v.is(kindMap) {
		v.node = nil
		return Map{of: v}
	}
	for _, p := range v.node.pairs {
		if slices.Contains(keys, p.key) {
			continue
		}
		want := "one of " + strings.Join(keys, ", ")
		hint := "the keys here are " + strings.Join(keys, ", ")
		if near, ok := nearest(p.key, keys); ok {
			want, hint = near, "did you mean "+near+"?"
		}
		v.found.add(p.line, &errkind.Error{
			Kind: errkind.Invalid, Msg: "there is no key " + errkind.Quote(v.below(p.key)) + "; " + hint,
			Field: errkind.Field{Name: v.below(p.key), Value: errkind.Shorten(p.key), Want: want}, Err: nil,
		})
	}
	return Map{of: v}
}

// Get returns the value of key.
func (m Map) Get(key string) Value {
	out := Value{found: m.of.found, node: nil, line: m.of.line, path: m.of.below(key)}
	if m.of.node == nil {
		return out
	}
	for _, p := range m.of.node.pairs {
		if p.key == key {
			out.node, out.line = p.value, p.value.line
		}
	}
	return out
}

// below returns the path of key in v.
func (v Value) below(key string) string {
	if v.path == "" {
		return key
	}
	return v.path + "." + key
}

// nearest returns the known key that somebody who wrote s most likely meant.
func nearest(s string, known []string) (string, bool) {
	best, least := "", 3 // two slips of the finger at most
	if len(s) > 64 {
		return "", false
	}
	for _, k := range known {
		if d := slips(strings.ToLower(s), k); d < least && d < len(k) {
			best, least = k, d
		}
	}
	return best, best != ""
}

// slips counts the letters to insert, delete or replace to turn a into b.
func slips(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
