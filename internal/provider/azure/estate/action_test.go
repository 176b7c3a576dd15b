package estate_test

import (
	"slices"
	"strings"
	"testing"

	cloudsim "github.com/sesame-access/sesame/internal/cloudsim/arm"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/gate"
	"github.com/sesame-access/sesame/internal/provider/azure/estate"
)

// The actions are those that are needed: with all of them nothing is missing, and
// without any of them something is.
func TestActions(t *testing.T) {
	all := estate.Actions(true)
	if !slices.IsSorted(all) || len(slices.Compact(slices.Clone(all))) != len(all) {
		t.Errorf("%q", all)
	}
	scopes := func(without string) *stage {
		actions := slices.DeleteFunc(slices.Clone(all), func(a string) bool { return a == without })
		s := newStage(t, cloudsim.Config{Identities: []gate.Identity{{Name: "reader", Token: "reader", Object: "reader", Actions: actions}}})
		must(s.Fleet(1, 1))(t)
		furnish(t, s)
		s.config.Subscriptions, s.config.ManagementGroups = nil, []string{"platform"}
		return s
	}
	complete(t, scopes("").reader(t))
	for _, without := range all {
		e, err := scopes(without).reader(t).Read(t.Context())
		if err != nil {
			if !strings.Contains(err.Error(), without) {
				t.Errorf("without %s: %v", without, err)
			}
			continue
		}
		if !slices.ContainsFunc(e.Unread, func(text string) bool { return strings.Contains(text, without) }) {
			t.Errorf("without %s: not read is %q", without, e.Unread)
		}
	}
	want := slices.DeleteFunc(slices.Clone(all), func(a string) bool { return strings.Contains(a, "managementGroups") })
	if got := estate.Actions(false); !slices.Equal(got, want) || len(got) == len(all) {
		t.Errorf("%q", got)
	}
}
