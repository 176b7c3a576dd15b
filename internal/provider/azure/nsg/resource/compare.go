package resource

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strings"
)

// A Difference is a rule that is not the same in two readings of a group. Before
// or After is empty where there is none; both are as they were read.
type Difference struct{ Name, Before, After string }

// Compare returns the rules whose names do not begin with prefix and that are not
// the same in both readings, sorted by name. What Azure itself writes into a rule
// when the group changes, the etag and the state, makes no difference, nor do the
// order of fields and white space.
func Compare(before, after *Group, prefix string) []Difference {
	differs := map[string]*Difference{}
	of := func(r Rule) *Difference {
		key := strings.ToLower(r.Name)
		if differs[key] == nil {
			differs[key] = &Difference{Name: r.Name, Before: "", After: ""}
		}
		return differs[key]
	}
	for _, r := range before.Rules {
		of(r).Before += r.Text
	}
	for _, r := range after.Rules {
		of(r).After += r.Text
	}
	var out []Difference
	for key, d := range differs {
		ours := prefix != "" && strings.HasPrefix(key, strings.ToLower(prefix))
		if !ours && essence(d.Before) != essence(d.After) {
			out = append(out, *d)
		}
	}
	slices.SortFunc(out, func(a, b Difference) int {
		return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
	})
	return out
}

// essence writes the values in text in one form, without what Azure writes into
// them. A text that is none is its own essence.
func essence(text string) string {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var out bytes.Buffer
	for {
		var v any
		switch err := d.Decode(&v); err {
		case nil:
		case io.EOF:
			return out.String()
		default:
			return text
		}
		if rule, ok := v.(map[string]any); ok {
			delete(rule, "etag")
			if props, ok := rule["properties"].(map[string]any); ok {
				delete(props, "provisioningState")
			}
		}
		if err := json.NewEncoder(&out).Encode(v); err != nil {
			return text
		}
	}
}
