package adoption_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/adoption"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/firewall"
)

var noon = time.Date(2030, 1, 31, 12, 0, 0, 0, time.UTC)

func door(port uint16) firewall.Door {
	return firewall.Door{VM: "host://web-1", Protocol: firewall.TCP, Port: port}
}

func source(text string) netip.Prefix { return netip.MustParsePrefix(text) }

func opening(grants firewall.Holders, from string, until time.Time) firewall.Opening {
	return firewall.Opening{From: source(from), Until: until, Grants: grants}
}

func TestProof(t *testing.T) {
	signed := func(size int64) audit.Checkpoint { return audit.Checkpoint{Size: size, Root: tlog.Hash{byte(size)}} }
	for name, c := range map[string]struct {
		e    adoption.Evidence
		want bool
	}{
		"first start":                    {adoption.Evidence{}, false},
		"never signed":                   {adoption.Evidence{Records: 7, Keys: true}, false},
		"grown":                          {adoption.Evidence{Signed: signed(7), Records: 9, Keys: true}, false},
		"as it was signed":               {adoption.Evidence{Signed: signed(7), Records: 7, Keys: true}, false},
		"put back":                       {adoption.Evidence{Signed: signed(7), Records: 6, Keys: true}, true},
		"rewritten":                      {adoption.Evidence{Signed: signed(7), Records: 9, Forked: true, Keys: true}, true},
		"new beside old keys":            {adoption.Evidence{Keys: true}, true},
		"new beside an old checkpoint":   {adoption.Evidence{Signed: signed(7)}, true},
		"new keys beside an old log":     {adoption.Evidence{Records: 7}, false},
		"old keys beside its first line": {adoption.Evidence{Records: 1, Keys: true}, false},
	} {
		if got := c.e.Proof(); (got != "") != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
	again := adoption.Evidence{Signed: signed(7), Records: 3}
	if a, b := again.Proof(), (adoption.Evidence{Signed: signed(7), Records: 5}).Proof(); a != b {
		t.Errorf("one loss is said as %q and as %q", a, b)
	}
}

func TestOf(t *testing.T) {
	l := adoption.Loss{At: noon, Why: "it is proven"}
	now := access.Reading{Wall: noon.Add(time.Minute), Boot: time.Hour, BootID: "boot-1", Third: noon.Add(61 * time.Second)}
	soon, late := noon.Add(5*time.Minute), noon.Add(5*time.Hour)
	strangers := map[firewall.Key]firewall.Opening{}
	put := func(d firewall.Door, o firewall.Opening) { strangers[firewall.Key{Door: d, From: o.From}] = o }
	put(door(22), opening("g-long", "203.0.113.7/32", late))
	put(door(22), opening("g-two", "203.0.113.9/32", late))
	put(door(22), opening("g-two", "203.0.113.8/32", soon)) // of a rule that it shares
	put(door(22), opening("g-over", "203.0.113.10/32", noon.Add(30*time.Second)))
	put(door(22), opening("", "203.0.113.11/32", time.Time{}))
	put(door(23), opening("g-two", "203.0.113.9/32", late)) // no grant has two doors

	type adopted struct {
		Grant string
		Door  firewall.Door
		From  []string
		Until time.Time
	}
	var got []adopted
	for _, a := range adoption.Of(l, "fw", strangers, now) {
		g := a.Grant
		x := adopted{g.ID, g.Door, nil, g.Deadline.Wall}
		for _, p := range g.Sources {
			x.From = append(x.From, p.String())
		}
		got = append(got, x)
		if g.Request != a.Request.ID || a.Record.Request != g.Request || a.Record.Grant != g.ID || a.Record.Kind != audit.Adopted || !a.Decision.Allow {
			t.Errorf("%s, its request and its record do not belong together: %+v", g.ID, a)
		}
		if !g.Principal.Is(access.System()) || !g.Live(now) || g.Deadline.BootID != now.BootID || g.Deadline.Third.IsZero() {
			t.Errorf("%s is %+v", g.ID, g)
		}
	}
	want := []adopted{
		{"g-long", door(22), []string{"203.0.113.7/32"}, now.Wall.Add(adoption.Window)},
		{"g-two", door(22), []string{"203.0.113.8/32", "203.0.113.9/32"}, soon},
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("adopted (-want +got):\n%s", diff)
	}
}

// Nothing is adopted without a proof, before it, or a Window after it; and nothing
// lives longer than its own mark, or than a Window.
func TestBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := adoption.Loss{Why: "it is proven"}
		if rapid.Bool().Draw(t, "proven") {
			l.At = noon
		}
		minutes := func(name string) time.Duration {
			return time.Duration(rapid.IntRange(-60, 60).Draw(t, name)) * time.Minute
		}
		now := access.Reading{Wall: noon.Add(minutes("now"))}
		if rapid.Bool().Draw(t, "third clock") {
			now.Third = now.Wall.Add(minutes("skew"))
		}
		until := now.Wall.Add(minutes("left"))
		o := opening("g-1", "203.0.113.7/32", until)
		got := adoption.Of(l, "fw", map[firewall.Key]firewall.Opening{{Door: door(22), From: o.From}: o}, now)
		since := now.Wall.Sub(noon)
		may := !l.At.IsZero() && since >= 0 && since < adoption.Window && until.After(now.Wall)
		if (len(got) == 1) != may {
			t.Fatalf("adopted %d, should be %v", len(got), may)
		}
		for _, a := range got {
			if end := a.Grant.Deadline.Wall; end.After(until) || end.Sub(now.Wall) > adoption.Window {
				t.Fatalf("until %s, the mark says %s and it is %s", end, until, now.Wall)
			}
		}
	})
}

// Only a lock that is shown, that the book does not know, that nobody gave back
// and that an adopted grant stands at is an orphan here; its exempt sources stay.
func TestOrphans(t *testing.T) {
	exempt := opening("", "192.0.2.1/32", time.Time{})
	shown := firewall.Wants{
		{Door: door(21), Locked: true, Open: []firewall.Opening{exempt}},
		{Door: door(22), Locked: true, Cut: true, Open: []firewall.Opening{exempt, opening("g-22", "203.0.113.7/32", noon)}},
		{Door: door(23), Locked: true},
		{Door: door(24), Locked: true},
		{Door: door(25)},
		{Door: door(26), Locked: true},
	}
	var grants []access.Grant
	for _, p := range []uint16{22, 23, 24, 25} {
		grants = append(grants, access.Grant{Door: door(p), Principal: access.System()})
	}
	grants = append(grants, access.Grant{Door: door(26), Principal: access.Principal{Issuer: "local", Subject: "alice"}})
	got := adoption.Orphans([]access.Lock{{Door: door(23)}}, grants, shown, []firewall.Door{door(24)})
	want := []access.Lock{{Door: door(22), Cut: true, Exempt: []netip.Prefix{exempt.From}}}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("orphans (-want +got):\n%s", diff)
	}
}
