package access_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/sesame-access/sesame/internal/access"
)

func TestPersonOf(t *testing.T) {
	ana := access.Principal{Issuer: "https://login.example.org", Subject: "42", Display: "Ana"}
	id := access.PersonOf(ana)
	if _, err := access.ParseID("person", access.PersonPrefix, id); err != nil {
		t.Error(err)
	}
	// What somebody is called today says nothing about who they are.
	if renamed := (access.Principal{Issuer: ana.Issuer, Subject: ana.Subject, Display: "Anna"}); access.PersonOf(renamed) != id {
		t.Error("another display name is another person")
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[a-c#]{0,4}`)
		p := access.Principal{Issuer: text.Draw(t, "issuer"), Subject: text.Draw(t, "subject")}
		q := access.Principal{Issuer: text.Draw(t, "other issuer"), Subject: text.Draw(t, "other subject")}
		if p.Is(q) != (access.PersonOf(p) == access.PersonOf(q)) {
			t.Errorf("%q and %q", p, q)
		}
	})
}

func TestSame(t *testing.T) {
	portal := access.Identity{Principal: access.Principal{Issuer: "https://login.example.org", Subject: "42"}, Person: "p-1"}
	azure := access.Identity{Principal: access.Principal{Issuer: "https://sts.example.org/t", Subject: "o-42"}, Person: "p-1"}
	ci := access.Identity{Principal: access.Principal{Issuer: "local", Subject: "ci"}, Kind: access.Program}
	cd := access.Identity{Principal: access.Principal{Issuer: "local", Subject: "cd"}, Kind: access.Program}
	linked := access.Identity{Principal: ci.Principal, Person: "p-1"}
	for _, c := range []struct {
		name string
		a, b access.Identity
		want bool
	}{
		{"one person, two issuers", portal, azure, true},
		{"two programs without a person", ci, cd, false},
		{"a program and a person", ci, portal, false},
		{"one principal, linked since", ci, linked, true},
		{"one principal, unlinked", ci, ci, true},
	} {
		if c.a.Same(c.b) != c.want || c.b.Same(c.a) != c.want {
			t.Errorf("%s: %v", c.name, !c.want)
		}
	}
}

func TestGroupsOfTwoIssuersDiffer(t *testing.T) {
	who := access.Identity{Groups: []string{access.GroupName("https://a.example", "admins")}}
	if !who.In(access.GroupName("https://a.example", "admins")) || who.In(access.GroupName("https://b.example", "admins")) || who.In("admins") {
		t.Error("a group is known by its name alone")
	}
}
