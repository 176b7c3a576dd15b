package resource

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxBytes is how much text is read. A thousand rules that list all the prefixes
// a group may have are a quarter of it.
const maxBytes = 16 << 20

// A span is the bytes of one JSON value: text[from:to].
type span struct{ from, to int }

// A member is one key of a JSON object, with its value.
type member struct {
	key   string
	value span
}

// read returns where the one value in text stands; the text is valid JSON. What
// follows in this file relies on that.
func read(text string) (span, error) {
	if !json.Valid([]byte(text)) {
		return span{}, errors.New("it is no JSON")
	}
	from := blank(text, 0)
	return span{from: from, to: skip(text, from)}, nil
}

// blank returns where the white space at i ends.
func blank(text string, i int) int {
	for i < len(text) && strings.IndexByte(" \t\r\n", text[i]) >= 0 {
		i++
	}
	return i
}

// skip returns where the value at i ends.
func skip(text string, i int) int {
	switch text[i] {
	case '"':
		for i++; text[i] != '"'; i++ {
			if text[i] == '\\' {
				i++
			}
		}
		return i + 1
	case '{', '[':
		for depth := 0; ; {
			switch text[i] {
			case '"':
				i = skip(text, i) - 1
			case '{', '[':
				depth++
			case '}', ']':
				depth--
			}
			if i++; depth == 0 {
				return i
			}
		}
	}
	for i < len(text) && strings.IndexByte(" \t\r\n,]}", text[i]) < 0 {
		i++
	}
	return i
}

// members returns the members of the object at a place, in their order, those
// that are there twice too.
func members(text string, at span) ([]member, error) {
	if text[at.from] != '{' {
		return nil, errors.New("there is something else where an object should be")
	}
	const most = 16 // of a rule
	out := make([]member, 0, most)
	for i := blank(text, at.from+1); text[i] != '}'; {
		end := skip(text, i)
		key, _ := textOf(text[i:end])
		from := blank(text, blank(text, end)+1)
		v := span{from: from, to: skip(text, from)}
		out = append(out, member{key: key, value: v})
		if i = blank(text, v.to); text[i] == ',' {
			i = blank(text, i+1)
		}
	}
	return out, nil
}

// elements returns the elements of the array at a place.
func elements(text string, at span) ([]span, error) {
	if text[at.from] != '[' {
		return nil, errors.New("there is something else where a list should be")
	}
	var out []span
	for i := blank(text, at.from+1); text[i] != ']'; {
		v := span{from: i, to: skip(text, i)}
		out = append(out, v)
		if i = blank(text, v.to); text[i] == ',' {
			i = blank(text, i+1)
		}
	}
	return out, nil
}

// An object is the known members of a JSON object.
type object struct {
	text   string
	values []member // as they were read, null too; the last of a key counts
	// unclear is the first known key that is there twice, or in another case.
	unclear string
}

// objectOf reads the members that are known.
func objectOf(text string, at span, known ...string) (object, error) {
	o := object{text: text, values: nil, unclear: ""}
	list, err := members(text, at)
	if err != nil {
		return object{}, err
	}
	o.values = list[:0]
	for _, m := range list {
		for _, k := range known {
			if len(m.key) != len(k) || !strings.EqualFold(m.key, k) {
				continue
			}
			again := slices.ContainsFunc(o.values, func(x member) bool { return x.key == k })
			if (again || m.key != k) && o.unclear == "" {
				o.unclear = m.key
			}
			o.values = append(o.values, member{key: k, value: m.value})
		}
	}
	return o, nil
}

// at returns where the value of key stands; null is as good as nothing.
func (o object) at(key string) (at span, ok bool) {
	for _, m := range o.values {
		if m.key == key && o.text[m.value.from:m.value.to] != "null" {
			at, ok = m.value, true
		}
	}
	return at, ok
}

// string returns the text at key; empty when there is none.
func (o object) string(key string) (string, error) {
	at, ok := o.at(key)
	if !ok {
		return "", nil
	}
	s, ok := textOf(o.text[at.from:at.to])
	if !ok {
		return "", fmt.Errorf("%s is no text", key)
	}
	return s, nil
}

// textOf reads a JSON string, mostly without the trouble of a decoder.
func textOf(raw string) (s string, ok bool) {
	plain := true
	for i := range len(raw) {
		plain = plain && raw[i] != '\\' && raw[i] >= ' ' && raw[i] < utf8.RuneSelf
	}
	if n := len(raw); plain && n >= 2 && raw[0] == '"' && raw[n-1] == '"' {
		return raw[1 : n-1], true
	}
	err := json.Unmarshal([]byte(raw), &s)
	return s, err == nil && raw != "null"
}

// strings returns the list of strings at key.
func (o object) strings(key string) ([]string, error) {
	at, ok := o.at(key)
	if !ok {
		return nil, nil
	}
	list, err := elements(o.text, at)
	if err != nil {
		return nil, fmt.Errorf("%s is no list", key)
	}
	var out []string
	for _, e := range list {
		s, ok := textOf(o.text[e.from:e.to])
		if !ok {
			return nil, fmt.Errorf("%s is no list of texts", key)
		}
		out = append(out, s)
	}
	return out, nil
}

// integer returns the whole number at key.
func (o object) integer(key string) (int, error) {
	at, ok := o.at(key)
	if !ok {
		return 0, fmt.Errorf("%s is missing", key)
	}
	n, err := strconv.Atoi(o.text[at.from:at.to]) // the text is valid JSON
	if err != nil {
		return 0, fmt.Errorf("%s is no whole number", key)
	}
	return n, nil
}
