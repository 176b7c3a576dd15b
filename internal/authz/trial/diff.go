// Package trial tries rules out before they are in force: who would gain or lose
// what by a change of them.
//
// Who may ask often depends on the circumstances, on the hour or on a source. Here
// it is compared what is possible at all: whether some request could be allowed. A
// permit with conditions makes it possible, a forbid with conditions does not make
// it impossible.
package trial

import (
	"cmp"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/authz/engine"
	"github.com/sesame-access/sesame/internal/firewall"
)

// A Difference is what somebody gains or loses on one VM.
type Difference struct {
	// Who is a principal as ISSUER#SUBJECT, "anybody in GROUP" or "anybody else".
	Who    string
	Action authz.Action
	VM     firewall.VMID
	Gains  bool
}

// Most is how many questions a comparison asks at most; what is beyond is left out.
const Most = 50_000

// somebody is one identity that rules tell apart from others.
type somebody struct {
	name string
	who  access.Identity
}

// Diff returns what changes for whom between two sets of rules, on the given VMs,
// sorted; whole is false where there was too much to compare all of it.
func Diff(before, after authz.Rules, on []authz.Target) (list []Difference, whole bool) {
	old, changed := authz.New(before), authz.New(after)
	asked := 0
	for _, s := range known(before, after) {
		for _, t := range on {
			for _, a := range []authz.Action{authz.Request, authz.Skip, authz.Approve, authz.View} {
				if asked++; asked > Most {
					return list, false
				}
				was, is := old.Allows(s.who, a, t), changed.Allows(s.who, a, t)
				if was != is {
					list = append(list, Difference{Who: s.name, Action: a, VM: t.VM, Gains: is})
				}
			}
		}
	}
	slices.SortFunc(list, func(a, b Difference) int {
		return cmp.Or(cmp.Compare(a.Who, b.Who), cmp.Compare(a.Action, b.Action), cmp.Compare(a.VM, b.VM))
	})
	return list, true
}

// known returns everybody whom rules name, each group as one, and one whom they do
// not; sorted by name.
func known(list ...authz.Rules) []somebody {
	found := []somebody{{name: "anybody else", who: access.Identity{Principal: access.Principal{Issuer: "trial", Subject: "anybody"}}}}
	group := func(name string) {
		if engine.ValidName(name) {
			found = append(found, somebody{name: "anybody in " + name, who: access.Identity{Principal: found[0].who.Principal, Groups: []string{name}}})
		}
	}
	principal := func(name string) {
		if issuer, subject, ok := strings.Cut(name, "#"); ok {
			found = append(found, somebody{name: name, who: access.Identity{Principal: access.Principal{Issuer: issuer, Subject: subject}}})
		}
	}
	for _, rules := range list {
		for _, a := range rules.Assignments {
			if a.Group != "" {
				group(a.Group)
				continue
			}
			principal(a.Principal.Issuer + "#" + a.Principal.Subject)
		}
		for _, p := range rules.Policies {
			named(p.Text, `Group::"`, group)
			named(p.Text, `Principal::"`, principal)
		}
	}
	slices.SortFunc(found, func(a, b somebody) int { return strings.Compare(a.name, b.name) })
	return slices.CompactFunc(found, func(a, b somebody) bool { return a.name == b.name })
}

// named calls f with whatever a text names after start. A name too many is asked
// about and changes nothing.
func named(text, start string, f func(string)) {
	for _, rest := range strings.Split(text, start)[1:] {
		if name, _, ok := strings.Cut(rest, `"`); ok {
			f(name)
		}
	}
}
