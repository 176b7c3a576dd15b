package estate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// A document is one resource as Azure wrote it.
type document struct {
	id   string
	text json.RawMessage
}

// A page is a part of a list.
type page struct {
	documents []document
	next      string // address of the next page, or the token for it; empty for none
}

// readPage reads a page, whose elements have ids. What it does not say strictly is
// an error: half a page read would be resources that seem to be gone.
func readPage(text []byte) (page, error) {
	var p page
	items, next, err := listing(text)
	if err != nil {
		return page{}, fmt.Errorf("read a page: %w", err)
	}
	p.next = next
	for i, item := range items {
		id, err := idOf(item)
		if err != nil {
			return page{}, fmt.Errorf("read a page: element %d: %w", i, err)
		}
		p.documents = append(p.documents, document{id: id, text: item})
	}
	return p, nil
}

// listing returns the elements of a page, and where the next one is. A key that is
// there twice is an error; those that are not known may be anything.
func listing(text []byte) (items []json.RawMessage, next string, err error) {
	dec := jsontext.NewDecoder(bytes.NewReader(text), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if dec.PeekKind() != jsontext.KindBeginObject {
		return nil, "", errors.New("it is no JSON object")
	}
	if _, err = dec.ReadToken(); err != nil {
		return nil, "", err
	}
	seen := map[string]bool{}
	for dec.PeekKind() != jsontext.KindEndObject {
		token, err := dec.ReadToken()
		if err != nil {
			return nil, "", err
		}
		name := token.String()
		if seen[name] {
			return nil, "", fmt.Errorf("%q is there twice", name)
		}
		seen[name] = true
		switch name {
		case "value":
			items, err = elements(dec)
		case "nextLink", "skipToken", "$skipToken":
			var one string
			if one, err = textOrNull(dec); one != "" {
				next = one
			}
		default:
			err = dec.SkipValue()
		}
		if err != nil {
			return nil, "", fmt.Errorf("%s: %w", name, err)
		}
	}
	if _, err = dec.ReadToken(); err != nil {
		return nil, "", err
	}
	if _, err = dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, "", errors.New("something follows it")
	}
	if !seen["value"] {
		return nil, "", errors.New("it has no value")
	}
	return items, next, nil
}

// elements reads an array.
func elements(dec *jsontext.Decoder) ([]json.RawMessage, error) {
	if dec.PeekKind() != jsontext.KindBeginArray {
		return nil, errors.New("it is no list")
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	var out []json.RawMessage
	for dec.PeekKind() != jsontext.KindEndArray {
		v, err := dec.ReadValue()
		if err != nil {
			return nil, err
		}
		out = append(out, json.RawMessage(bytes.Clone(v)))
	}
	_, err := dec.ReadToken()
	return out, err
}

func textOrNull(dec *jsontext.Decoder) (string, error) {
	token, err := dec.ReadToken()
	switch {
	case err != nil:
		return "", err
	case token.Kind() == jsontext.KindNull:
		return "", nil
	case token.Kind() != jsontext.KindString:
		return "", errors.New("it is no text")
	}
	return token.String(), nil
}

// idOf returns the id that a document says it has.
func idOf(text json.RawMessage) (string, error) {
	var d struct{ ID string }
	if err := json.Unmarshal(text, &d); err != nil {
		return "", err
	}
	if d.ID == "" {
		return "", errors.New("it has no id")
	}
	return d.ID, nil
}
