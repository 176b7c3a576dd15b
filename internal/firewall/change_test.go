package firewall_test

import (
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"github.com/sesame-access/sesame/internal/firewall"
)

// line returns a rule about every packet.
func line(name string, a firewall.Action) firewall.LayerRule {
	return firewall.LayerRule{Name: name, Action: a, Last: 65535}
}

func ordered(rules ...firewall.LayerRule) firewall.Layer {
	return firewall.Layer{Firewall: "f", Rules: rules, Default: firewall.Deny}
}

func TestChangedRules(t *testing.T) {
	a, b, c := line("a", firewall.Allow), line("b", firewall.Deny), line("c", firewall.Allow)
	for name, x := range map[string]struct {
		before, after firewall.Layer
		want          []string
	}{
		"nothing":     {ordered(a, b), ordered(a, b), nil},
		"a new first": {ordered(b), ordered(a, b), []string{"a"}},
		"a new last":  {ordered(a), ordered(a, b), []string{"b"}},
		"a swap":      {ordered(a, b), ordered(b, a), []string{"a", "b", "b", "a"}},
		"the middle":  {ordered(a, b, a), ordered(a, c, a), []string{"b", "c"}},
		"the rest":    {ordered(a), firewall.Layer{Firewall: "f", Rules: []firewall.LayerRule{a}, Default: firewall.Allow}, []string{"any"}},
		"a name":      {ordered(a), ordered(c), nil},
		"the kind":    {ordered(a), firewall.Layer{Firewall: "f", Kind: firewall.Union, Rules: []firewall.LayerRule{a}, Default: firewall.Deny}, []string{"any"}},
	} {
		var got []string
		for _, r := range x.before.Changed(x.after) {
			got = append(got, r.Name)
		}
		if !slices.Equal(got, x.want) {
			t.Errorf("%s: %v, want %v", name, got, x.want)
		}
	}
}

// Two rules are the same if nothing tells them apart but what they are called, and
// whose they are.
func TestSameRules(t *testing.T) {
	base := firewall.LayerRule{
		Name: "a", Action: firewall.Allow, VM: "host://a", Protocol: firewall.TCP, First: 22, Last: 23, SourceFirst: 1, SourceLast: 2,
		From: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, To: []netip.Prefix{netip.MustParsePrefix("10.0.0.4/32")},
	}
	for name, edit := range map[string]func(*firewall.LayerRule){
		"Name":        func(r *firewall.LayerRule) { r.Name = "b" },
		"Owned":       func(r *firewall.LayerRule) { r.Owned = true },
		"Action":      func(r *firewall.LayerRule) { r.Action = firewall.Deny },
		"Maybe":       func(r *firewall.LayerRule) { r.Maybe = true },
		"VM":          func(r *firewall.LayerRule) { r.VM = "" },
		"Protocol":    func(r *firewall.LayerRule) { r.Protocol = 0 },
		"First":       func(r *firewall.LayerRule) { r.First = 21 },
		"Last":        func(r *firewall.LayerRule) { r.Last = 22 },
		"SourceFirst": func(r *firewall.LayerRule) { r.SourceFirst = 0 },
		"SourceLast":  func(r *firewall.LayerRule) { r.SourceLast = 3 },
		"From":        func(r *firewall.LayerRule) { r.From = nil },
		"To":          func(r *firewall.LayerRule) { r.To = nil },
	} {
		other := base
		edit(&other)
		if same := name == "Name" || name == "Owned"; base.Same(other) != same || other.Same(base) != same {
			t.Errorf("with another %s they are the same: %v", name, !same)
		}
		after := ordered(other)
		if got, want := len(ordered(base).Edited(after)) > 0, name != "Owned"; got != want {
			t.Errorf("with another %s it is edited: %v", name, got)
		}
	}
	if fields := reflect.TypeFor[firewall.LayerRule]().NumField(); fields != 12 {
		t.Errorf("a rule has %d fields", fields)
	}
}
