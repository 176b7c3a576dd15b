package access_test

import (
	"math"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/firewall"
)

// hour returns a grant of one hour from noon.
func hour() access.Grant {
	return access.Grant{
		ID: "g-0123456789abcdef", Door: firewall.Door{VM: "host://web-1", Protocol: firewall.TCP, Port: 22},
		Sources: []netip.Prefix{netip.MustParsePrefix("203.0.113.7/32")},
		Start:   noon, Deadline: access.DeadlineAt(noon.Add(time.Hour), clocks()), Created: noon,
	}
}

func TestStateAt(t *testing.T) {
	type edit = func(*access.Grant)
	opened := func(g *access.Grant) { g.Opened = noon.Add(time.Second) }
	closed := func(g *access.Grant) { g.Closed = noon.Add(time.Hour + time.Second) }
	ended := func(at time.Duration) edit {
		return func(g *access.Grant) {
			g.Ended = access.Ending{At: noon.Add(at), By: access.System(), Why: access.ClosedByUser}
		}
	}
	future := func(g *access.Grant) {
		g.Start, g.Deadline = noon.Add(time.Hour), access.DeadlineAt(noon.Add(2*time.Hour), clocks())
	}
	stepBack := func(r *access.Reading) { r.Wall = r.Wall.Add(-24 * time.Hour) }
	for _, c := range []struct {
		name  string
		at    time.Duration
		clock func(*access.Reading)
		edits []edit
		want  access.State
		live  bool
	}{
		{"before the start", 0, nil, []edit{future}, access.Scheduled, false},
		{"right before the start", time.Hour - 1, nil, []edit{future}, access.Scheduled, false},
		{"at a later start", time.Hour, nil, []edit{future}, access.Opening, true},
		{"at once", 0, nil, nil, access.Opening, true},
		{"read back", time.Minute, nil, []edit{opened}, access.Open, true},
		{"right before the end", time.Hour - 1, nil, []edit{opened}, access.Open, true},
		{"at the end", time.Hour, nil, []edit{opened}, access.Closing, false},
		{"at the end, never opened", time.Hour, nil, nil, access.Closing, false},
		{"a minute late", time.Hour + access.OverdueAfter, nil, []edit{opened}, access.Closing, false},
		{"over a minute late", time.Hour + access.OverdueAfter + 1, nil, []edit{opened}, access.Overdue, false},
		{"closed", time.Hour + 2*time.Second, nil, []edit{opened, closed}, access.Closed, false},
		{"closed late, for good", 100 * time.Hour, nil, []edit{opened, closed}, access.Closed, false},
		{"ended early", 10 * time.Minute, nil, []edit{opened, ended(10 * time.Minute)}, access.Closing, false},
		{"ended early, overdue", 12 * time.Minute, nil, []edit{opened, ended(10 * time.Minute)}, access.Overdue, false},
		{"ended before its start", time.Minute, nil, []edit{future, ended(time.Minute)}, access.Closing, false},
		// A clock that was set back neither opens again nor hides anything.
		{"set back while open", time.Minute, stepBack, []edit{opened}, access.Open, true},
		{"set back while opening", time.Minute, stepBack, nil, access.Opening, true},
		{"set back before a later start", time.Minute, stepBack, []edit{future}, access.Scheduled, false},
		{"set back after a later start, open", 90 * time.Minute, stepBack, []edit{future, opened}, access.Open, true},
		{"set back at the end", time.Hour, stepBack, []edit{opened}, access.Closing, false},
		{"set back, overdue", time.Hour + access.OverdueAfter + 1, stepBack, []edit{opened}, access.Overdue, false},
		// A row that no Sesame ever wrote is over, and says that it needs somebody.
		{"end in the year 9999", time.Minute, nil, []edit{opened, func(g *access.Grant) { g.Deadline = access.Deadline{Wall: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)} }}, access.Overdue, false},
		{"no end", time.Minute, nil, []edit{opened, func(g *access.Grant) { g.Deadline = access.Deadline{} }}, access.Overdue, false},
		{"no start", time.Minute, nil, []edit{opened, func(g *access.Grant) { g.Start = time.Time{} }}, access.Overdue, false},
		{"a second too long", time.Minute, nil, []edit{opened, func(g *access.Grant) {
			g.Deadline = access.DeadlineAt(noon.Add(access.MaxDuration+time.Second), clocks())
		}}, access.Overdue, false},
		{"as long as it gets", time.Minute, nil, []edit{opened, func(g *access.Grant) {
			g.Deadline = access.DeadlineAt(noon.Add(access.MaxDuration), clocks())
		}}, access.Open, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := hour()
			for _, e := range c.edits {
				e(&g)
			}
			now := clocks().Add(c.at)
			if c.clock != nil {
				c.clock(&now)
			}
			if got := g.StateAt(now); got != c.want {
				t.Errorf("state %s, want %s", got, c.want)
			}
			if got := g.Live(now); got != c.live {
				t.Errorf("live: %v", got)
			}
		})
	}
}

// A grant moves through its states in order and never goes back, whatever the
// clocks do, as long as one of them is right.
func TestStatesNeverGoBack(t *testing.T) {
	order := map[access.State]int{access.Scheduled: 0, access.Opening: 1, access.Open: 2, access.Closing: 3, access.Overdue: 4, access.Closed: 5}
	rapid.Check(t, func(t *rapid.T) {
		g := hour()
		now := clocks()
		last := access.Scheduled
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(20*time.Minute)).Draw(t, "passes")))
			if rapid.Bool().Draw(t, "set") {
				// Not back beyond what the wall clock showed when it ended.
				now.Wall = now.Wall.Add(time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "forward")))
			}
			switch state := g.StateAt(now); state {
			case access.Opening:
				g.Opened = now.Wall
			case access.Closing, access.Overdue:
				if rapid.Bool().Draw(t, "closes") {
					g.Closed = now.Wall
				}
			case access.Scheduled, access.Open, access.Closed:
			}
			state := g.StateAt(now)
			if order[state] < order[last] {
				t.Fatalf("%s after %s", state, last)
			}
			if g.Live(now) && g.Over(now) {
				t.Fatal("live and over")
			}
			last = state
		}
	})
}

// Whatever a row says, its grant lives no longer than the longest that there are.
func TestEveryGrantEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := hour()
		g.Start = time.Unix(rapid.Int64().Draw(t, "start"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns"))
		g.Deadline = access.Deadline{
			Wall:   time.Unix(rapid.Int64().Draw(t, "wall"), 0),
			Boot:   time.Duration(rapid.Int64().Draw(t, "boot")),
			BootID: rapid.SampledFrom([]string{"", "boot-1", "boot-2"}).Draw(t, "boot id"),
			Third:  time.Unix(rapid.Int64().Draw(t, "third"), 0),
		}
		now := clocks().Add(access.MaxDuration + time.Hour)
		if g.Start.After(now.Wall) {
			return // has not begun
		}
		if g.Live(now) && now.Wall.Sub(g.Start) > access.MaxDuration {
			t.Fatalf("%+v lives for ever", g.Deadline)
		}
	})
	g := hour()
	g.Deadline.Boot = math.MaxInt64
	if !g.Over(clocks().Add(2 * time.Hour)) {
		t.Error("a boot time out of range keeps the grant alive")
	}
}

func TestEnd(t *testing.T) {
	g := hour()
	if got := g.End(); !got.Equal(noon.Add(time.Hour)) {
		t.Errorf("End = %v", got)
	}
	g.Ended.At = noon.Add(time.Minute)
	if got := g.End(); !got.Equal(noon.Add(time.Minute)) {
		t.Errorf("ended early, but End = %v", got)
	}
	g.Ended.At = noon.Add(2 * time.Hour)
	if got := g.End(); !got.Equal(noon.Add(time.Hour)) {
		t.Errorf("ended after its deadline, but End = %v", got)
	}
}

func TestForeign(t *testing.T) {
	me := netip.MustParseAddr("203.0.113.7")
	for _, c := range []struct {
		caller  netip.Addr
		sources []string
		want    bool
	}{
		{me, []string{"203.0.113.7/32"}, false},
		{me, []string{"203.0.113.0/24"}, true},
		{me, []string{"203.0.113.8/32"}, true},
		{me, []string{"203.0.113.7/32", "2001:db8::7/128"}, true},
		{netip.Addr{}, []string{"203.0.113.8/32"}, false},
		{me, nil, false},
	} {
		r := access.Request{Caller: c.caller}
		for _, s := range c.sources {
			r.Sources = append(r.Sources, netip.MustParsePrefix(s))
		}
		if got := r.Foreign(); got != c.want {
			t.Errorf("%v asks for %v: foreign %v", c.caller, c.sources, got)
		}
	}
}

func TestPrincipal(t *testing.T) {
	a := access.Principal{Issuer: "local", Subject: "u1", Display: "Alice"}
	b := access.Principal{Issuer: "local", Subject: "u1", Display: "Mallory"}
	if !a.Is(b) {
		t.Error("a principal changed with the name it is displayed by")
	}
	for _, other := range []access.Principal{{Issuer: "https://idp", Subject: "u1", Display: "Alice"}, {Issuer: "local", Subject: "u2", Display: "Alice"}} {
		if a.Is(other) {
			t.Errorf("%+v is %+v", a, other)
		}
	}
	if a.String() != "Alice" || (access.Principal{Subject: "u1"}).String() != "u1" || access.System().String() != "sesame" {
		t.Error("a principal is shown by another name")
	}
}
