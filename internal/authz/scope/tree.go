package scope

import (
	"maps"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
)

// A Tree says what no id says: the management group that a subscription or another
// management group is in, and the organisation or unit of an AWS account or unit.
// What it does not name lies right below its cloud.
type Tree map[Scope]Scope

// mostLevels bounds the way up. (Azure has six levels of management groups below
// the root, AWS five of units; 2026-11.)
const mostLevels = 16

// Above returns s and every scope that contains it, the narrowest first; nil for
// no scope. A tree that runs in a circle, or is too deep, leads straight to its
// cloud from there.
func (t Tree) Above(s Scope) []Scope {
	if s == "" {
		return nil
	}
	var out []Scope
	for level := 0; s != All; level++ {
		out = append(out, s)
		up, named := t[s]
		if !named || level > 2*mostLevels || slices.Contains(out, up) {
			up = parent(s)
		}
		if slices.Contains(out, up) {
			up = All
		}
		s = up
	}
	return append(out, All)
}

// Contains reports whether inner is outer, or lies below it.
func (t Tree) Contains(outer, inner Scope) bool { return slices.Contains(t.Above(inner), outer) }

// AboveVM returns the scopes of a VM with the given trusted tags, the narrowest
// first, those of tags right before all.
func (t Tree) AboveVM(id firewall.VMID, trusted map[string]string) []Scope {
	above := t.Above(OfVM(id))
	if len(above) == 0 || len(trusted) == 0 {
		return above
	}
	var tags []Scope
	for _, key := range slices.Sorted(maps.Keys(trusted)) {
		tags = append(tags, OfTag(key, trusted[key]))
	}
	return slices.Insert(above, len(above)-1, tags...)
}

// Check fails where t names what is no scope, gives a place a parent of another
// cloud, or runs in a circle.
func (t Tree) Check() error {
	for _, s := range slices.Sorted(maps.Keys(t)) {
		up := t[s]
		if parsed, err := Parse(string(s)); err != nil || parsed != s || !movable(s) {
			return errkind.Bad("tree", string(s), "a management group, a subscription, an AWS unit or account")
		}
		if parsed, err := Parse(string(up)); err != nil || parsed != up || !holds(up, s) {
			return errkind.Bad("tree", string(up), "something that "+string(s)+" can be in")
		}
		seen := []Scope{s}
		for x, ok := up, true; ok; x, ok = t[x] {
			if slices.Contains(seen, x) || len(seen) > mostLevels {
				return errkind.Wrong("tree", string(s), "a tree", "%s lies within itself, or more than %d levels deep", s, mostLevels)
			}
			seen = append(seen, x)
		}
	}
	return nil
}

// movable reports whether a tree may say where s is.
func movable(s Scope) bool {
	text := string(s)
	account := strings.TrimPrefix(text, string(AWS))
	return isManagementGroup(s) || strings.HasPrefix(text, "/subscriptions/") && strings.Count(text, "/") == 2 ||
		strings.HasPrefix(text, string(AWS)) && account != "" && !strings.Contains(account, "/") && !strings.HasPrefix(account, "o-")
}

// holds reports whether something of the kind of up can hold s.
func holds(up, s Scope) bool {
	if strings.HasPrefix(string(s), string(AWS)) {
		return strings.HasPrefix(string(up), "aws://o") // an organisation or a unit
	}
	return isManagementGroup(up)
}

func isManagementGroup(s Scope) bool { return strings.HasPrefix(string(s), managementGroups) }

// parent returns the scope above s as far as its own text says.
func parent(s Scope) Scope {
	text := string(s)
	switch {
	case isManagementGroup(s):
		return Azure
	case strings.HasPrefix(text, "/"):
		return parentAzure(text)
	case strings.HasPrefix(text, "arn:"):
		home := firewall.VMID(text).Home()
		if home.Account == "" {
			return All
		}
		return AWS + Scope(home.Account) + "/" + Scope(home.Place)
	case strings.HasPrefix(text, string(AWS)) && s != AWS:
		if account, _, regional := strings.Cut(strings.TrimPrefix(text, string(AWS)), "/"); regional {
			return AWS + Scope(account)
		}
		return AWS
	case strings.HasPrefix(text, string(Hosts)) && s != Hosts:
		return Hosts
	}
	return All
}

// parentAzure returns what contains a subscription, a resource group or a resource.
func parentAzure(text string) Scope {
	parts := strings.Split(text, "/")
	switch n := len(parts); {
	case n <= 3:
		return Azure
	case n <= 5:
		return Scope(strings.Join(parts[:3], "/"))
	case n <= 9:
		return Scope(strings.Join(parts[:5], "/"))
	default: // a resource of a resource
		return Scope(strings.Join(parts[:n-2], "/"))
	}
}
