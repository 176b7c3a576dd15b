package resource

import (
	"errors"
	"fmt"
	"strings"
)

// WithProperty returns a document in which one member of the properties has another
// value, or is not there when value is empty. Everything else stays byte for byte: it
// is for documents of any kind, of which nobody here knows what else they hold.
func WithProperty(text, key, value string) (string, error) {
	all, err := read(text)
	if err != nil {
		return "", err
	}
	outer, err := objectOf(text, all, "properties")
	if err != nil {
		return "", err
	}
	props, ok := outer.at("properties")
	if !ok || outer.unclear != "" {
		return "", errors.New("its properties are not there once")
	}
	list, err := members(text, props)
	if err != nil {
		return "", err
	}
	at := -1
	for i, m := range list {
		switch {
		case !strings.EqualFold(m.key, key):
		case at >= 0:
			return "", fmt.Errorf("%q is there twice", m.key)
		default:
			at = i
		}
	}
	first := props.from + 1
	switch {
	case at >= 0 && value != "":
		return text[:list[at].value.from] + value + text[list[at].value.to:], nil
	case at > 0:
		return text[:list[at-1].value.to] + text[list[at].value.to:], nil
	case at == 0:
		behind := blank(text, list[0].value.to)
		if text[behind] == ',' {
			behind = blank(text, behind+1)
		}
		return text[:first] + text[behind:], nil
	case value == "":
		return text, nil
	case len(list) > 0:
		value += ","
	}
	return text[:first] + fmt.Sprintf("%q:", key) + value + text[first:], nil
}
