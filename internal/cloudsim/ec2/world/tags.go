package world

import (
	"iter"
	"maps"
	"slices"
	"strings"
	"time"
)

// Tags are keys and values; nil for none.
type Tags map[string]string

// Keys returns the keys, sorted.
func (t Tags) Keys() []string { return slices.Sorted(maps.Keys(t)) }

// The limits of tags. (EC2 user guide, tag restrictions.)
const (
	tagKeyLength   = 128
	tagValueLength = 256
	tagsOfResource = 50
)

// merged returns t with more in it.
func (t Tags) merged(more Tags) (Tags, error) {
	all := maps.Clone(t)
	if all == nil {
		all = Tags{}
	}
	for _, k := range more.Keys() {
		switch {
		case strings.HasPrefix(strings.ToLower(k), "aws:"):
			return nil, Refuse("InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use")
		case k == "" || len([]rune(k)) > tagKeyLength:
			return nil, Refuse("InvalidParameterValue", "Tag key is not valid: it must be between 1 and %d characters", tagKeyLength)
		case len([]rune(more[k])) > tagValueLength:
			return nil, Refuse("InvalidParameterValue", "Tag value exceeds the maximum length of %d characters", tagValueLength)
		}
		all[k] = more[k]
	}
	if len(all) > tagsOfResource {
		return nil, Refuse("TagLimitExceeded", "The maximum number of Tags for a resource has been reached.")
	}
	if len(all) == 0 {
		return nil, nil
	}
	return all, nil
}

// without returns t without some: a key goes if no value is named, or the one it
// has.
func (t Tags) without(less map[string]*string) Tags {
	left := Tags{}
	for k, v := range t {
		if named, found := less[k]; !found || named != nil && *named != v {
			left[k] = v
		}
	}
	if len(left) == 0 {
		return nil
	}
	return left
}

// Tag gives tags to resources of the account, and to rules. All or none.
func (w *World) Tag(m Moment, account string, ids []string, tags Tags) error {
	return w.eachTagged(m, account, ids, func(t Tags) (Tags, error) { return t.merged(tags) })
}

// Untag takes tags off. A nil value takes the tag whatever its value; no tags at
// all take every one.
func (w *World) Untag(m Moment, account string, ids []string, tags map[string]*string) error {
	return w.eachTagged(m, account, ids, func(t Tags) (Tags, error) {
		if len(tags) == 0 {
			return nil, nil
		}
		return t.without(tags), nil
	})
}

func (w *World) eachTagged(m Moment, account string, ids []string, change func(Tags) (Tags, error)) error {
	var commit []func()
	for _, id := range ids {
		r, put, err := w.tagged(m, account, id)
		if err != nil {
			return err
		}
		tags, err := change(r.Tags)
		if err != nil {
			return err
		}
		commit = append(commit, func() { put(tags) })
	}
	for _, put := range commit {
		put()
	}
	return nil
}

// tagged returns what has the given id, and how to give it other tags.
func (w *World) tagged(m Moment, account, id string) (Resource, func(Tags), error) {
	r, err := w.Resource(m, account, id)
	if err != nil {
		return Resource{}, nil, err
	}
	if k, found := w.kind(id); found {
		return r, func(t Tags) { k.shelf.retag(m.Now, id, t) }, nil
	}
	return r, func(t Tags) {
		g, i, found := w.ruleByID(m.Now, id)
		if found {
			rules := slices.Clone(g.Rules)
			rules[i].Tags = t
			w.putRules(m, g, rules)
		}
	}, nil
}

// Resource returns what every resource has, of one of the account's, or of a rule.
func (w *World) Resource(m Moment, account, id string) (Resource, error) {
	if strings.HasPrefix(id, "sgr-") {
		if g, i, found := w.ruleByID(m.Seen, id); found && g.Owner == account {
			return Resource{ID: id, Owner: account, Tags: g.Rules[i].Tags}, nil
		}
		return Resource{}, w.Absent("sgr", id)
	}
	k, found := w.kind(id)
	if !found {
		return Resource{}, Refuse("InvalidID", "The ID '%s' is not valid", id)
	}
	_, seen := k.shelf.head(m.Seen, id)
	r, there := k.shelf.head(m.Now, id)
	if !seen || !there || r.Owner != account {
		return Resource{}, w.Absent(k.prefix, id)
	}
	return r, nil
}

// Tagged returns everything that has tags, with what it is called.
func (w *World) Tagged(at time.Time, account string) iter.Seq2[string, Resource] {
	return func(yield func(string, Resource) bool) {
		for _, k := range w.kinds() {
			for r := range k.shelf.heads(at) {
				if r.Owner == account && len(r.Tags) > 0 && !yield(k.name, r) {
					return
				}
			}
		}
		for g := range w.Groups.All(at) {
			for _, r := range g.Rules {
				if g.Owner == account && len(r.Tags) > 0 && !yield("security-group-rule", Resource{ID: r.ID, Owner: account, Tags: r.Tags}) {
					return
				}
			}
		}
	}
}
