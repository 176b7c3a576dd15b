package console

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/cli/output"
	"github.com/sesame-access/sesame/internal/firewall"
)

// names writes what people call VMs beside their ids: a cloud's texts name an
// instance by an id that nobody knows by heart.
type names struct {
	ids    *regexp.Regexp    // what stands before an id, and the id
	called map[string]string // by id, and by the id's last part
}

// namesOf returns the names in called, by id.
func namesOf(called map[string]string) names {
	n := names{ids: nil, called: map[string]string{}}
	for id, name := range called {
		short := firewall.VMID(id).Name()
		both := output.Plain(name) + " (" + short + ")"
		n.called[id], n.called[short] = both, both
	}
	// Of two where one begins as the other, the longer is meant.
	list := slices.SortedFunc(maps.Keys(n.called), func(a, b string) int { return cmp.Or(len(b)-len(a), cmp.Compare(a, b)) })
	if len(list) == 0 {
		return n
	}
	for i, id := range list {
		list[i] = regexp.QuoteMeta(id)
	}
	// Within a longer word, such as the name of a group, an id is no VM's.
	n.ids = regexp.MustCompile(`(^|[^\w/-])(` + strings.Join(list, "|") + `)\b`)
	return n
}

// Named returns text, which is about p, with what people call each VM beside its id.
func Named(p api.Preview, text string) string { return namesOf(p.Names).in(text) }

// in returns text with the names beside the ids in it.
func (n names) in(text string) string {
	if n.ids == nil {
		return text
	}
	return n.ids.ReplaceAllStringFunc(text, func(found string) string {
		at := n.ids.FindStringSubmatch(found)
		return at[1] + n.called[at[2]]
	})
}
