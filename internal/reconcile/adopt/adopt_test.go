package adopt_test

import (
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/adoption"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/reconcile/adopt"
	"github.com/sesame-access/sesame/internal/store"
)

var noon = time.Date(2030, 1, 31, 12, 0, 0, 0, time.UTC)

func at(d time.Duration) access.Reading { return access.Reading{Wall: noon.Add(d)} }

func open(t *testing.T) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "sesame.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// A loss is noticed once, at the first look, however often the same proof is
// found again; another one is another loss.
func TestNotice(t *testing.T) {
	s := open(t)
	notice := func(e adoption.Evidence, after time.Duration) adoption.Loss {
		t.Helper()
		l, err := adopt.Notice(t.Context(), s, e, at(after))
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	if l := notice(adoption.Evidence{}, 0); l != (adoption.Loss{}) {
		t.Errorf("nothing proves a loss: %+v", l)
	}
	anew := adoption.Evidence{Keys: true}
	first := notice(anew, time.Minute)
	if !first.At.Equal(noon.Add(time.Minute)) || first.Why != anew.Proof() {
		t.Errorf("a new database beside old keys: %+v", first)
	}
	if l := notice(adoption.Evidence{Keys: true, Records: 1}, 2*time.Minute); l != first {
		t.Errorf("after a restart %+v became %+v", first, l)
	}
	back := adoption.Evidence{Signed: audit.Checkpoint{Size: 9}, Records: 1}
	if l := notice(back, 3*time.Minute); !l.At.Equal(noon.Add(3*time.Minute)) || l.Why != back.Proof() {
		t.Errorf("an older copy that was put back: %+v", l)
	}
	if l := notice(back, time.Hour); !l.At.Equal(noon.Add(3 * time.Minute)) {
		t.Errorf("the same copy, an hour later, is a loss of %s", l.At)
	}
}

func TestTake(t *testing.T) {
	s := open(t)
	l := adoption.Loss{At: noon, Why: "it is proven"}
	d := firewall.Door{VM: "host://web-1", Protocol: firewall.TCP, Port: 22}
	o := firewall.Opening{From: netip.MustParsePrefix("203.0.113.7/32"), Until: noon.Add(time.Hour), Grants: "g-0123456789abcdef"}
	shown := map[firewall.Key]firewall.Opening{{Door: d, From: o.From}: o}
	hops := func(h ...inventory.Hop) []inventory.VM {
		return []inventory.VM{{ID: d.VM, Paths: []inventory.Path{{Name: "in", Hops: h}}}}
	}
	take := func(fw firewall.ID, vms []inventory.VM) bool {
		t.Helper()
		more, err := adopt.Take(t.Context(), s, l, fw, vms, shown, at(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		return more
	}
	inner := inventory.Hop{Firewall: "inner", Sees: netip.MustParsePrefix("10.0.0.4/32")}
	vms := hops(inventory.Hop{Firewall: "edge"}, inner, inventory.Hop{Firewall: "also"})
	if take("inner", vms) {
		t.Error("a firewall behind a translation says for whom an opening is")
	}
	if take("edge", nil) {
		t.Error("an opening before a VM that nobody knows is adopted")
	}
	if !take("edge", vms) || !take("also", vms) {
		t.Error("the book knows more, and does not say so")
	}
	g, err := s.Grant(t.Context(), string(o.Grants))
	if err != nil || g.Deadline.Wall != at(time.Minute).Wall.Add(adoption.Window) {
		t.Fatalf("%+v, %v", g, err)
	}
	if r, err := s.Request(t.Context(), g.Request); err != nil || !r.Decision.Allow {
		t.Errorf("the request is %+v, %v", r, err)
	}
	// A grant that was closed is known, however its rule came back.
	err = s.Save(t.Context(), store.Change{Outcomes: []store.Outcome{{
		Grant: g.ID, Closed: noon.Add(2 * time.Minute), Records: []audit.Record{{Kind: audit.Closed, Actor: access.System(), Grant: g.ID}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	if take("edge", vms) {
		t.Error("a grant that the book knows to be closed was adopted")
	}
}
