package document

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/sesame-access/sesame/internal/errkind"
)

// jsonReader reads one JSON text as RFC 8259 has it; duplicate keys and invalid
// UTF-8 are mistakes.
type jsonReader struct {
	text  []byte
	dec   *jsontext.Decoder
	lines int // newlines counted so far
	upto  int // how much of text they were counted in
}

func readJSON(text []byte) (*node, error) {
	r := &jsonReader{text: text, dec: jsontext.NewDecoder(bytes.NewReader(text)), lines: 0, upto: 0}
	root, err := r.value(0)
	if err != nil {
		return nil, err
	}
	if _, err := r.dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, mistakeAt(r.line(), "the document goes on after its end")
	}
	return root, nil
}

// line returns the line of what was read last.
func (r *jsonReader) line() int {
	if at := int(r.dec.InputOffset()); at > r.upto {
		r.lines += bytes.Count(r.text[r.upto:at], []byte("\n"))
		r.upto = at
	}
	return 1 + r.lines
}

func (r *jsonReader) mistake(err error) error {
	if e, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		line := 1 + bytes.Count(r.text[:min(e.ByteOffset, int64(len(r.text)))], []byte("\n"))
		if errors.Is(e.Err, jsontext.ErrDuplicateName) {
			return mistakeAt(line, "the key %s is there twice", errkind.Quote(e.JSONPointer.LastToken()))
		}
		return mistakeAt(line, "this is not JSON: %s", strings.TrimPrefix(e.Err.Error(), "jsontext: "))
	}
	return mistakeAt(r.line(), "this is not JSON: it ends too early")
}

// value reads one value, whatever it is.
func (r *jsonReader) value(depth int) (*node, error) {
	t, err := r.dec.ReadToken()
	if err != nil {
		return nil, r.mistake(err)
	}
	out := &node{kind: kindNull, text: t.String(), line: r.line(), items: nil, pairs: nil}
	if depth > MaxDepth {
		return nil, mistakeAt(out.line, "the document is nested more than %d deep", MaxDepth)
	}
	switch t.Kind() {
	case jsontext.KindString:
		out.kind = kindText
	case jsontext.KindNumber:
		out.kind = kindNumber
	case jsontext.KindTrue, jsontext.KindFalse:
		out.kind = kindBool
	case jsontext.KindBeginArray:
		out.kind = kindList
		return out, r.list(out, depth)
	case jsontext.KindBeginObject:
		out.kind = kindMap
		return out, r.object(out, depth)
	case jsontext.KindNull, jsontext.KindEndArray, jsontext.KindEndObject, jsontext.KindInvalid:
		// Only null comes here: the decoder keeps the grammar.
	}
	return out, nil
}

func (r *jsonReader) list(out *node, depth int) error {
	for r.dec.PeekKind() != jsontext.KindEndArray {
		item, err := r.value(depth + 1)
		if err != nil {
			return err
		}
		out.items = append(out.items, item)
	}
	return r.end()
}

func (r *jsonReader) object(out *node, depth int) error {
	for r.dec.PeekKind() != jsontext.KindEndObject {
		key, err := r.value(depth + 1)
		if err != nil {
			return err
		}
		value, err := r.value(depth + 1)
		if err != nil {
			return err
		}
		out.pairs = append(out.pairs, pair{key: key.text, line: key.line, value: value})
	}
	return r.end()
}

func (r *jsonReader) end() error {
	if _, err := r.dec.ReadToken(); err != nil {
		return r.mistake(err)
	}
	return nil
}
