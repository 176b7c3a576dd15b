package firewall

import "slices"

// Changed returns the rules that do not do the same, at the same place, in l and in
// after: who comes through a door that none of them speaks about is who did. If more
// than the rules changed, that is every door.
func (l Layer) Changed(after Layer) []LayerRule { return l.differing(after, LayerRule.Same) }

// Edited is Changed, and the rules that are called something else: all that is said
// about a door that none of them speaks about is as it was.
func (l Layer) Edited(after Layer) []LayerRule {
	return l.differing(after, func(a, b LayerRule) bool { return a.Name == b.Name && a.Same(b) })
}

func (l Layer) differing(after Layer, same func(a, b LayerRule) bool) []LayerRule {
	if l.Kind != after.Kind || l.Default != after.Default {
		return []LayerRule{{Name: "any", Action: Unknown, Last: 65535}}
	}
	a, b := l.Rules, after.Rules
	for len(a) > 0 && len(b) > 0 && same(a[0], b[0]) {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && same(a[len(a)-1], b[len(b)-1]) {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	return slices.Concat(a, b)
}

// Same reports whether r and o do the same; what they are called, and whose they are,
// does not matter.
func (r LayerRule) Same(o LayerRule) bool {
	return r.Action == o.Action && r.Maybe == o.Maybe && r.VM == o.VM && r.Protocol == o.Protocol &&
		r.First == o.First && r.Last == o.Last && r.SourceFirst == o.SourceFirst && r.SourceLast == o.SourceLast &&
		slices.Equal(r.From, o.From) && slices.Equal(r.To, o.To)
}
