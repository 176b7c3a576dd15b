package document

import (
	"fmt"
	"slices"

	"github.com/sesame-access/sesame/internal/errkind"
)

// Empty reports whether the document has an empty list here.
func (v Value) Empty() bool {
	return !v.Missing() && v.node.kind == kindList && len(v.node.items) == 0
}

// List returns the items of a list with least to most of them; none where the
// document says nothing.
func (v Value) List(least, most int) []Value {
	if !v.is(kindList) {
		return nil
	}
	if n := len(v.node.items); n < least || n > most {
		v.Fail(errkind.New(errkind.Invalid, "the list has %d entries; it must have %d to %d", n, least, most))
		return nil
	}
	items := make([]Value, len(v.node.items))
	for i, n := range v.node.items {
		items[i] = Value{found: v.found, node: n, line: n.line, path: fmt.Sprintf("%s[%d]", v.path, i)}
	}
	return items
}

// Items reads every item of a list with least to most of them and returns them
// sorted, nil if there are none. Two items that compare as equal are a mistake.
func Items[T any](v Value, least, most int, read func(item Value) T, compare func(a, b T) int) []T {
	type placed struct {
		value T
		item  Value
	}
	var all []placed
	for _, item := range v.List(least, most) {
		before := len(v.found.list) + v.found.more
		if value := read(item); len(v.found.list)+v.found.more == before {
			all = append(all, placed{value: value, item: item})
		}
	}
	slices.SortStableFunc(all, func(a, b placed) int { return compare(a.value, b.value) })
	var out []T
	for i, x := range all {
		if i > 0 && compare(all[i-1].value, x.value) == 0 {
			x.item.Fail(errkind.New(errkind.Invalid, "the same as %s; list it once", all[i-1].item.path))
			continue
		}
		out = append(out, x.value)
	}
	return out
}

// Texts is Items for a list of texts, each read with parse.
func Texts[T any](v Value, least, most int, parse func(string) (T, error), compare func(a, b T) int) []T {
	var zero T
	return Items(v, least, most, func(item Value) T { return Text(item, zero, parse) }, compare)
}
