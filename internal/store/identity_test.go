package store_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/authn/known"
	"github.com/sesame-access/sesame/internal/authn/session"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/store"
)

// What is known of who asks is there after a restart as it was, and goes with the
// person whom somebody erases.
func TestIdentities(t *testing.T) {
	noon := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	file := filepath.Join(t.TempDir(), "x.db")
	s, err := store.Open(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	ana := access.Identity{
		Principal: access.Principal{Issuer: "https://a.example", Subject: "1", Display: "Ana"}, Kind: access.Person,
		Person: "p-1", Groups: []string{"https://a.example#admins"}, At: noon.Add(-time.Minute),
	}
	ci := access.Identity{Principal: access.Principal{Issuer: "https://ci.example", Subject: "repo:x"}, Kind: access.Program}
	one := session.Session{ID: "s-1", Hash: session.Hash("one"), Identity: ana, Created: noon, Seen: noon}
	two := session.Session{ID: "s-2", Hash: session.Hash("two"), Identity: ana, Created: noon, Seen: noon}
	root := access.Principal{Issuer: "local", Subject: "root"}
	save := func(kind audit.Kind, c known.Change) {
		t.Helper()
		if err := s.Save(t.Context(), store.Change{Identity: c, Records: []audit.Record{{Kind: kind, Time: noon, Actor: ana.Principal}}}); err != nil {
			t.Fatal(err)
		}
	}
	save(audit.SignedIn, known.Change{Seen: []known.Sighting{{Identity: ana, Seen: noon}}, Sessions: []session.Session{one}})
	save(audit.SignedIn, known.Change{Seen: []known.Sighting{{Identity: ci, Seen: noon}}, Sessions: []session.Session{two}})
	before, err := s.Rules(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	link := known.Link{Principal: ci.Principal, Person: "p-1", By: root, Since: noon}
	save(audit.Linked, known.Change{Links: []known.Link{link}})

	// A use is no fact to keep a record of, but everything else is.
	if err := s.Save(t.Context(), store.Change{Identity: known.Change{Uses: []known.Use{{Session: "s-1", At: noon.Add(time.Minute)}}}}); err != nil {
		t.Error(err)
	}
	for _, c := range []known.Change{
		{Links: []known.Link{link}},
		{Uses: []known.Use{{Session: "s-1", At: noon}}, Unlinks: []access.Principal{ci.Principal}},
		{Sessions: []session.Session{one}},
	} {
		if err := s.Save(t.Context(), store.Change{Identity: c}); err == nil {
			t.Errorf("%+v is saved without a record", c)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = store.Open(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	one.Seen = noon.Add(time.Minute)
	one.Identity.Scope = nil
	if got, err := s.SessionByHash(t.Context(), session.Hash("one")); err != nil || !cmp.Equal(got, one) {
		t.Errorf("%v\n%s", err, cmp.Diff(one, got))
	}
	rules, err := s.Rules(t.Context())
	if err != nil || rules.Version != before.Version+1 || rules.Links.Person(ci.Principal) != "p-1" || rules.Links.Person(ana.Principal) != "" {
		t.Errorf("%+v, %v; the version was %d", rules, err, before.Version)
	}
	seen, err := s.Identities(t.Context())
	if err != nil || len(seen) != 2 || seen[0].Subject != "1" || seen[0].Groups[0] != ana.Groups[0] || seen[1].Kind != access.Program {
		t.Errorf("%+v, %v", seen, err)
	}
	save(audit.SignedOut, known.Change{Leaves: []known.Leave{{Principal: ana.Principal, At: noon.Add(time.Hour)}}})
	if got, err := s.SessionByHash(t.Context(), session.Hash("two")); err != nil || got.Ended.IsZero() {
		t.Errorf("%+v, %v", got, err)
	}
	save(audit.Unlinked, known.Change{Unlinks: []access.Principal{ci.Principal}})
	err = s.Save(t.Context(), store.Change{Identity: known.Change{Unlinks: []access.Principal{ci.Principal}}, Records: []audit.Record{{Kind: audit.Unlinked, Time: noon}}})
	if errkind.Of(err) != errkind.Conflict {
		t.Errorf("unlinked twice: %v", err)
	}
	err = s.Save(t.Context(), store.Change{Erase: []store.Erasure{{Principal: ana.Principal}}, Records: []audit.Record{{Kind: audit.Erased, Time: noon}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.SessionByHash(t.Context(), session.Hash("one")); errkind.Of(err) != errkind.NotFound {
		t.Error(err)
	}
	if seen, err := s.Identities(t.Context()); err != nil || len(seen) != 1 {
		t.Errorf("%+v, %v", seen, err)
	}
}
