package book

import (
	"slices"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/firewall"
)

// A Share is what some grants need of one firewall.
type Share struct {
	Grants []access.Grant
	Keys   []firewall.Key // what they need there
}

// And returns what both need together.
func (s Share) And(o Share) Share {
	return Share{Grants: slices.Concat(s.Grants, o.Grants), Keys: slices.Concat(s.Keys, o.Keys)}
}

// Same reports whether s and o are about the same grants and the same keys, in
// whatever order.
func (s Share) Same(o Share) bool {
	return slices.Equal(s.ids(), o.ids()) && slices.Equal(s.Canonical(), o.Canonical())
}

// Canonical returns the keys sorted, each once.
func (s Share) Canonical() []firewall.Key {
	return slices.Compact(slices.SortedFunc(slices.Values(s.Keys), firewall.CompareKeys))
}

func (s Share) ids() []string {
	ids := make([]string, len(s.Grants))
	for i, g := range s.Grants {
		ids[i] = g.ID
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}
