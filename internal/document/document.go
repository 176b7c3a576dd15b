// Package document reads the texts that operators write by hand, policies and
// configuration, strictly and with the place of every mistake.
//
// A document is YAML or JSON: a text whose first character is { or [ is held to
// JSON's grammar, every other to YAML's. Both give the same values, and neither
// guesses: unknown, duplicate and case-variant keys, null, aliases, anchors,
// tags, merge keys, a second document, trailing data, invalid UTF-8 and a byte
// order mark are mistakes. A number is kept as it is written, so that the one
// parser of its kind judges 022, 22.0 and 0x16, and no library before it does.
//
// All mistakes of a document are reported together, in the order of its lines,
// each as "line 4: ports[0].port: ...". Nothing here knows what a document says.
package document

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sesame-access/sesame/internal/errkind"
)

// The limits of every document. They bound work before anything is judged.
const (
	MaxBytes = 1 << 20
	MaxDepth = 16

	// mostShown is how many mistakes are reported one by one, mostKept how many
	// are looked at to find those that come first.
	mostShown = 20
	mostKept  = 1000
)

// Read reads a document and builds a T from its root, which is a Value that
// collects the mistakes. A text without any content is a map without keys. The
// error is of kind errkind.Invalid; its field is that of the first mistake.
func Read[T any](text []byte, build func(root Value) T) (T, error) {
	var zero T
	if err := readable(text); err != nil {
		return zero, err
	}
	read := readYAML
	if start := bytes.TrimLeft(text, " \t\r\n"); len(start) > 0 && (start[0] == '{' || start[0] == '[') {
		read = readJSON
	}
	root, err := read(text)
	if err != nil {
		return zero, err
	}
	var found mistakes
	out := build(Value{found: &found, node: root, line: 1, path: ""})
	if err := found.err(); err != nil {
		return zero, err
	}
	return out, nil
}

// readable checks what both grammars need of a text.
func readable(text []byte) error {
	switch {
	case len(text) > MaxBytes:
		return errkind.New(errkind.Invalid, "the document has %d bytes; at most %d are read", len(text), MaxBytes)
	case bytes.HasPrefix(text, []byte("\ufeff")):
		return mistakeAt(1, "the document starts with a byte order mark; save it as plain UTF-8")
	case !utf8.Valid(text):
		line := 1
		for rest := text; len(rest) > 0; {
			r, n := utf8.DecodeRune(rest)
			if r == utf8.RuneError && n == 1 {
				break
			}
			if r == '\n' {
				line++
			}
			rest = rest[n:]
		}
		return mistakeAt(line, "the document is not valid UTF-8")
	}
	return nil
}

func mistakeAt(line int, format string, args ...any) error {
	return errkind.New(errkind.Invalid, "line %d: %s", line, fmt.Sprintf(format, args...))
}

// kind is what a node is.
type kind uint8

const (
	kindNull kind = iota
	kindText
	kindNumber
	kindBool
	kindList
	kindMap
)

// String returns the kind as mistakes call it.
func (k kind) String() string {
	switch k {
	case kindNull:
		return "null"
	case kindText:
		return "text"
	case kindNumber:
		return "a number"
	case kindBool:
		return "true or false"
	case kindList:
		return "a list"
	case kindMap:
		return "a map"
	}
	return "kind?"
}

// A node is one value as both grammars give it.
type node struct {
	kind  kind
	text  string // of a scalar: a number as it is written
	line  int
	items []*node // of a list
	pairs []pair  // of a map, in the document's order, no key twice
}

type pair struct {
	key   string
	line  int
	value *node
}

// A mistake is something wrong at a line.
type mistake struct {
	line int
	err  error // of package errkind, with the field's full path
}

type mistakes struct {
	list []mistake
	more int // mistakes beyond mostKept, which are only counted
}

func (m *mistakes) add(line int, err error) {
	if len(m.list) == mostKept {
		m.more++
		return
	}
	m.list = append(m.list, mistake{line: line, err: err})
}

// err returns all mistakes as one error, nil if there are none.
func (m *mistakes) err() error {
	if len(m.list) == 0 {
		return nil
	}
	slices.SortStableFunc(m.list, func(a, b mistake) int { return cmp.Compare(a.line, b.line) })
	var lines []string
	for i, x := range m.list {
		if i == mostShown {
			lines = append(lines, fmt.Sprintf("and %d more mistakes", len(m.list)-i+m.more))
			break
		}
		lines = append(lines, fmt.Sprintf("line %d: %s", x.line, errkind.Public(x.err)))
	}
	return &errkind.Error{
		Kind:  errkind.Invalid,
		Msg:   strings.Join(lines, "\n"),
		Field: errkind.FieldOf(m.list[0].err),
		Err:   nil,
	}
}
