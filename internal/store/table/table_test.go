package table

import (
	"math"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
)

func start() time.Time { return time.Date(2026, 3, 29, 1, 30, 0, 0, time.UTC) }

func goodRow() Grant {
	return GrantRow(access.Grant{
		ID: "g-1", Door: firewall.Door{VM: "host://web-1", Protocol: firewall.TCP, Port: 22},
		Sources: []netip.Prefix{netip.MustParsePrefix("203.0.113.7/32")}, Start: start(), Created: start(), Epoch: 1,
		Deadline: access.Deadline{Wall: start().Add(time.Hour), Boot: 2 * time.Hour, BootID: "b", Third: start().Add(time.Hour)},
	})
}

// readings are looks at the clocks a minute after the start, with and without
// the clocks that the deadline was set on.
func readings() []access.Reading {
	wall := start().Add(time.Minute)
	return []access.Reading{
		{Wall: wall, Boot: time.Hour, BootID: "b", Third: wall},
		{Wall: wall, Boot: time.Minute, BootID: "other", Third: time.Time{}},
		{Wall: wall, Boot: 0, BootID: "", Third: time.Time{}},
	}
}

// Whatever somebody writes into the columns of a deadline, the grant is over or
// ends within a year; it never becomes one without an end.
func TestDamagedDeadlinesHavePassed(t *testing.T) {
	if g := goodRow().Value(); !g.Live(readings()[0]) {
		t.Fatal("the undamaged grant is not live")
	}
	beyond := []int64{
		-1, math.MinInt64, math.MaxInt64, math.MaxInt64 / 1_000_000, math.MaxInt64/1_000_000 + 1, math.MaxInt64 / 1000,
		latest + 1, math.MinInt64 / 1_000_000, 1 << 62,
	}
	damage := map[string]func(g *Grant, v int64){
		"deadline":       func(g *Grant, v int64) { g.Deadline = v },
		"deadline_boot":  func(g *Grant, v int64) { g.DeadlineBoot = v },
		"deadline_third": func(g *Grant, v int64) { g.DeadlineThird = v },
		"ended":          func(g *Grant, v int64) { g.Ended = v },
		"port":           func(g *Grant, v int64) { g.Port = v },
		"protocol":       func(g *Grant, v int64) { g.Protocol = v },
	}
	for column, set := range damage {
		values := beyond
		switch column {
		case "deadline":
			values = append(values, 0, 1, latest, start().Add(longest+time.Millisecond).UnixMilli())
		case "port":
			values = append(values, 0, 65536, 65536+22)
		case "protocol":
			values = append(values, 256+6)
		}
		for _, v := range values {
			row := goodRow()
			set(&row, v)
			g := row.Value()
			for _, now := range readings() {
				if g.Live(now) || !g.Over(now) {
					t.Errorf("%s = %d: live %t, over %t", column, v, g.Live(now), g.Over(now))
				}
			}
			if !g.Closed.IsZero() {
				t.Errorf("%s = %d: it is not pending any more", column, v)
			}
		}
	}
	for _, v := range beyond {
		row := goodRow()
		row.Closed = v
		if 0 < v && v <= latest {
			continue // a time like any other
		}
		if g := row.Value(); !g.Closed.IsZero() {
			t.Errorf("closed = %d was read as %s", v, g.Closed)
		}
	}
}

func TestDamagedStartsDoNotHideTheEnd(t *testing.T) {
	for _, v := range []int64{0, -1, math.MinInt64, math.MaxInt64, latest + 1} {
		row := goodRow()
		row.Start, row.Created = v, v
		g := row.Value()
		now := readings()[0]
		now.Wall, now.Third = now.Wall.Add(2*time.Hour), now.Third.Add(2*time.Hour)
		if !g.Over(now) {
			t.Errorf("start = %d: not over after its deadline", v)
		}
	}
}

func TestDamagedSourcesAreNobody(t *testing.T) {
	for text, want := range map[string]int{
		"": 0, "x": 0, ",": 0, "203.0.113.7/32": 1, "203.0.113.7/32,x": 1, "203.0.113.7/24": 0, "203.0.113.7/33": 0,
		"::ffff:203.0.113.7/128": 0, "fe80::1%eth0/128": 0, " 203.0.113.7/32": 0,
	} {
		row := goodRow()
		row.Sources = text
		if g := row.Value(); len(g.Sources) != want {
			t.Errorf("%q was read as %v", text, g.Sources)
		}
		if l, ok := (Lock{VM: "host://web-1", Port: 22, Protocol: 6, Exempt: text}).Value(); !ok || len(l.Exempt) != want {
			t.Errorf("exempt %q was read as %v", text, l.Exempt)
		}
	}
	for _, l := range []Lock{{VM: "", Port: 22, Protocol: 6}, {VM: "v", Port: 65558, Protocol: 6}, {VM: "v", Port: -1, Protocol: 6}, {VM: "v", Port: 22, Protocol: -250}} {
		if v, ok := l.Value(); ok {
			t.Errorf("%+v was read as %v", l, v.Door)
		}
	}
}

// A list of sources that became empty would mean any source.
func TestDamagedPoliciesAreLeftOut(t *testing.T) {
	good := `{"vms":["host://web-1"],"ports":[{"port":22,"protocol":6,"max":60000,"sources":["203.0.113.0/24"],"widest_ipv4":32,"widest_ipv6":64}]}`
	if _, ok := (Policy{Name: "web", Version: 1, Body: good}).Value(); !ok {
		t.Fatal("the undamaged policy cannot be read")
	}
	for _, body := range []string{
		"", "{", "[]", `{"ports":[{"port":70000}]}`, `{"ports":[{"protocol":-1}]}`, `{"exempt":["x"]}`,
		`{"vms":["host://web-1"],"ports":[{"port":22,"protocol":6,"max":60000,"sources":["203.0.113.0/2x"]}]}`,
	} {
		if p, ok := (Policy{Name: "web", Version: 1, Body: body}).Value(); ok {
			t.Errorf("%s was read as %+v", body, p)
		}
	}
}

func TestDamagedTokensHaveExpired(t *testing.T) {
	now := start()
	for _, c := range []struct {
		name                      string
		endless, expires, revoked int64
		good                      bool
	}{
		{"never", 1, 0, 0, true},
		{"later", 0, now.Add(time.Hour).UnixMilli(), 0, true},
		{"no end, and not endless", 0, 0, 0, false},
		{"endless, but not quite", 2, 0, 0, false},
		{"negative", 0, -1, 0, false},
		{"too late", 0, math.MaxInt64, 0, false},
		{"revoked", 1, 0, now.UnixMilli(), false},
		{"revoked out of range", 1, 0, math.MaxInt64, false},
		{"revoked before time", 1, 0, -1, false},
	} {
		expires, revoked := Token{Endless: c.endless, Expires: c.expires, Revoked: c.revoked}.Ends()
		if good := revoked.IsZero() && (expires.IsZero() || expires.After(now)); good != c.good {
			t.Errorf("%s: expires %s, revoked %s", c.name, expires, revoked)
		}
	}
}

func TestDamagedDecisionsAreNo(t *testing.T) {
	for _, allowed := range []int64{-1, 2, math.MaxInt64} {
		if _, d := (Request{Allowed: allowed, Decision: "{"}).Value(); d.Allow {
			t.Errorf("allowed = %d is a yes", allowed)
		}
	}
}

func TestTimesAreRoundedDown(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 999_999, time.UTC)
	if got := Instant(Millis(at)); got.After(at) || at.Sub(got) >= time.Millisecond {
		t.Errorf("%s became %s", at, got)
	}
	if !Instant(Millis(time.Time{})).IsZero() {
		t.Error("no time became one")
	}
}

func TestDisplacedRulesComeBackAsTheyWere(t *testing.T) {
	for _, want := range []plan.Change{
		{},
		{
			Step: 3, Op: plan.Restore, Door: firewall.Door{VM: "host://web-1", Protocol: firewall.UDP, Port: 53},
			Opening: firewall.Opening{From: netip.MustParsePrefix("10.0.0.0/8"), Until: start(), Grants: "g-1,g-2"},
			Why:     "why", Native: "native", Undo: "undo",
		},
	} {
		got, err := Displaced{Firewall: "sg-1", Change: ChangeText(want)}.Value()
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{})); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	}
	for _, text := range []string{"", "{", `{"op":"explode"}`, `{"op":"open","from":"x"}`} {
		if c, err := (Displaced{Firewall: "sg-1", Change: text}).Value(); err == nil {
			t.Errorf("%q was read as %v", text, c)
		}
	}
}
