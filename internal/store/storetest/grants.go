package storetest

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/store"
)

// anyTime draws an instant of whole milliseconds, or none.
func anyTime(t *rapid.T, name string) time.Time {
	ms := rapid.Int64Range(0, 4102444800000).Draw(t, name)
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// anyText draws text without NUL, which not every database can hold.
func anyText(t *rapid.T, name string) string {
	return rapid.StringOf(rapid.Rune().Filter(func(r rune) bool { return r != 0 })).Draw(t, name)
}

func anyPrincipal(t *rapid.T) access.Principal {
	return access.Principal{
		Issuer:  rapid.SampledFrom([]string{"local", "https://id.example"}).Draw(t, "issuer"),
		Subject: "s" + anyText(t, "subject"),
		Display: anyText(t, "display"),
	}
}

func anySources(t *rapid.T) []netip.Prefix {
	var out []netip.Prefix
	for range rapid.IntRange(0, 4).Draw(t, "sources") {
		four := rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "v4")
		out = append(out, netip.PrefixFrom(netip.AddrFrom4([4]byte(four)), rapid.IntRange(0, 32).Draw(t, "bits")).Masked())
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return slices.Compact(out)
}

func anyGrant(t *rapid.T, n int) access.Grant {
	start := time.UnixMilli(rapid.Int64Range(1, 4102444800000).Draw(t, "start")).UTC()
	g := grant(n, anyPrincipal(t), rapid.StringMatching("[a-z][a-z0-9]{0,10}").Draw(t, "host"))
	g.Door.Port = rapid.Uint16Range(1, 65535).Draw(t, "port")
	g.Door.Protocol = rapid.SampledFrom([]firewall.Protocol{firewall.TCP, firewall.UDP}).Draw(t, "protocol")
	g.Sources, g.Reason = anySources(t), anyText(t, "reason")
	g.Start, g.Created = start, start
	g.Deadline = access.Deadline{
		Wall:   start.Add(time.Duration(rapid.Int64Range(1, 7*24*3600*1000).Draw(t, "lasts")) * time.Millisecond),
		Boot:   time.Duration(rapid.Int64Range(0, 1<<40).Draw(t, "boot")) * time.Millisecond,
		BootID: anyText(t, "boot id"), Third: time.Time{},
	}
	if rapid.Bool().Draw(t, "three clocks") {
		g.Deadline.Third = g.Deadline.Wall.Add(30 * time.Second)
	}
	if at := anyTime(t, "ended"); !at.IsZero() {
		g.Ended = access.Ending{At: at, By: anyPrincipal(t), Why: access.ClosedByUser}
	}
	g.Opened, g.Closed, g.Impeded = anyTime(t, "opened"), anyTime(t, "closed"), anyText(t, "impeded")
	return g
}

func grantsComeBackAsTheyWere(t *testing.T, f fixture) {
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		want := anyGrant(rt, n)
		if err := f.Save(t.Context(), store.Change{Grants: []access.Grant{want}, Records: []audit.Record{record(audit.Requested, want)}}); err != nil {
			rt.Fatal(err)
		}
		got, err := f.Grant(t.Context(), want.ID)
		if err != nil {
			rt.Fatal(err)
		}
		equal(t, "grant", got, want)
		if t.Failed() {
			rt.FailNow()
		}
	})
}

func requestsComeBackAsTheyWere(t *testing.T, f fixture) {
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		want := request(n, anyPrincipal(rt), "a", "b")
		want.Sources, want.Reason, want.Start = anySources(rt), anyText(rt, "reason"), anyTime(rt, "start")
		want.Duration = time.Duration(rapid.Int64Range(0, 1<<40).Draw(rt, "duration")) * time.Millisecond
		if rapid.Bool().Draw(rt, "local") {
			want.Caller = netip.Addr{}
		}
		want.Decision = access.Decision{
			Allow: rapid.Bool().Draw(rt, "allow"), NeedsApproval: rapid.Bool().Draw(rt, "approval"),
			By: []string{anyText(rt, "by")}, Not: nil,
		}
		if err := f.Save(t.Context(), store.Change{Requests: []store.Request{want}, Records: []audit.Record{record(audit.Requested)}}); err != nil {
			rt.Fatal(err)
		}
		got, err := f.Request(t.Context(), want.ID)
		if err != nil {
			rt.Fatal(err)
		}
		equal(t, "request", got, want)
		if t.Failed() {
			rt.FailNow()
		}
	})
}

func unknownIDsAreNotFound(t *testing.T, f fixture) {
	_, err := f.Grant(t.Context(), "g-0000000000000000")
	refused(t, "an unknown grant", err, errkind.NotFound)
	_, err = f.Request(t.Context(), "r-0000000000000000")
	refused(t, "an unknown request", err, errkind.NotFound)
	_, err = f.Idempotency(t.Context(), alice(), "new")
	refused(t, "a new key", err, errkind.NotFound)
	equal(t, "epochs", get(f.Epochs(t.Context(), []string{"g-0"}))(t), map[string]int64{})
}

func grantsAreFoundByTheirKeys(t *testing.T, f fixture) {
	one, two, other := grant(1, alice(), "web-1"), grant(2, bob(), "web-1"), grant(3, bob(), "web-2")
	two.Sources = sources("198.51.100.0/24", "2001:db8::/64")
	f.save(t, store.Change{Grants: []access.Grant{two, other, one}})
	key := func(host, from string) firewall.Key {
		return firewall.Key{Door: ssh(host), From: netip.MustParsePrefix(from)}
	}
	for _, c := range []struct {
		name string
		keys []firewall.Key
		want []access.Grant
	}{
		{"none", nil, []access.Grant{}},
		{"one", []firewall.Key{key("web-1", "203.0.113.7/32")}, []access.Grant{one}},
		{"shared", []firewall.Key{key("web-1", "2001:db8::/64")}, []access.Grant{one, two}},
		{"each once", []firewall.Key{key("web-1", "2001:db8::/64"), key("web-1", "203.0.113.7/32"), key("web-2", "2001:db8::/64")}, []access.Grant{one, two, other}},
		{"exactly", []firewall.Key{key("web-1", "2001:db8::/65"), key("web-1", "203.0.113.0/24"), key("web-3", "203.0.113.7/32")}, []access.Grant{}},
	} {
		equal(t, c.name, get(f.GrantsAt(t.Context(), c.keys))(t), c.want)
	}
	equal(t, "pending", get(f.Pending(t.Context()))(t), []access.Grant{one, two, other})
	vm := func(host string) firewall.VMID { return ssh(host).VM }
	equal(t, "of one", get(f.Pending(t.Context(), vm("web-1")))(t), []access.Grant{one, two})
	equal(t, "of two", get(f.Pending(t.Context(), vm("web-2"), vm("web-1"), vm("web-3")))(t), []access.Grant{one, two, other})
	equal(t, "epochs", get(f.Epochs(t.Context(), []string{one.ID, other.ID}))(t), map[string]int64{one.ID: 1, other.ID: 1})

	f.save(t, store.Change{Outcomes: []store.Outcome{{Grant: two.ID, Closed: now()}}})
	equal(t, "after closing", get(f.GrantsAt(t.Context(), []firewall.Key{key("web-1", "2001:db8::/64")}))(t), []access.Grant{one})
	equal(t, "pending after closing", get(f.Pending(t.Context()))(t), []access.Grant{one, other})
	equal(t, "epochs after closing", get(f.Epochs(t.Context(), []string{two.ID}))(t), map[string]int64{})
}

func updatesNeedTheEpoch(t *testing.T, f fixture) {
	g := grant(1, alice(), "web-1")
	f.save(t, store.Change{Grants: []access.Grant{g}})
	later := access.Deadline{Wall: now().Add(2 * time.Hour), Boot: 6 * time.Hour, BootID: "b-1", Third: time.Time{}}
	update := store.Change{
		GrantUpdates: []store.GrantUpdate{{ID: g.ID, Epoch: 1, Deadline: later}},
		Records:      []audit.Record{record(audit.Extended, g)},
	}
	f.save(t, update)
	g.Deadline, g.Epoch = later, 2
	equal(t, "grant", get(f.Grant(t.Context(), g.ID))(t), g)

	err := f.Save(t.Context(), update)
	refused(t, "an update of an older epoch", err, errkind.Conflict)
	if !errors.Is(err, store.ErrEpoch) {
		t.Errorf("%v is not ErrEpoch", err)
	}
	update.GrantUpdates[0] = store.GrantUpdate{ID: "g-0", Epoch: 1, Deadline: later}
	refused(t, "an update of no grant", f.Save(t.Context(), update), errkind.Conflict)
	update.GrantUpdates[0] = store.GrantUpdate{ID: g.ID, Epoch: 2}
	if f.Save(t.Context(), update) == nil {
		t.Error("an update that changes nothing was saved")
	}
}

func endedGrantsStayEnded(t *testing.T, f fixture) {
	g := grant(1, alice(), "web-1")
	f.save(t, store.Change{Grants: []access.Grant{g}})
	g.Ended, g.Epoch = access.Ending{At: now(), By: bob(), Why: access.ClosedByUser}, 2
	f.save(t, store.Change{GrantUpdates: []store.GrantUpdate{{ID: g.ID, Epoch: 1, Ended: g.Ended}}})
	equal(t, "grant", get(f.Grant(t.Context(), g.ID))(t), g)
	for name, u := range map[string]store.GrantUpdate{
		"extended":    {ID: g.ID, Epoch: 2, Deadline: access.Deadline{Wall: now().Add(9 * time.Hour)}},
		"ended again": {ID: g.ID, Epoch: 2, Ended: access.Ending{At: now().Add(time.Second), By: alice(), Why: access.PolicyRemoved}},
	} {
		err := f.Save(t.Context(), store.Change{GrantUpdates: []store.GrantUpdate{u}, Records: []audit.Record{record(audit.Ended)}})
		refused(t, "an ended grant "+name, err, errkind.Conflict)
	}
	closed := grant(2, alice(), "web-1")
	f.save(t, store.Change{Grants: []access.Grant{closed}, Outcomes: []store.Outcome{{Grant: closed.ID, Closed: now()}}})
	err := f.Save(t.Context(), store.Change{
		GrantUpdates: []store.GrantUpdate{{ID: closed.ID, Epoch: 1, Deadline: access.Deadline{Wall: now().Add(9 * time.Hour)}}},
		Records:      []audit.Record{record(audit.Extended)},
	})
	refused(t, "extending a closed grant", err, errkind.Conflict)
}

func outcomesCountOnce(t *testing.T, f fixture) {
	g := grant(1, alice(), "web-1")
	f.save(t, store.Change{Grants: []access.Grant{g}})
	step := func(name string, o store.Outcome, records int64, change func(g *access.Grant)) {
		t.Helper()
		o.Grant = g.ID
		for range 2 { // the second time changes nothing
			before := f.size(t)
			must(t, f.Save(t.Context(), store.Change{Outcomes: []store.Outcome{o}}))
			if n := f.size(t) - before; n != records {
				t.Errorf("%s: %d records, want %d", name, n, records)
			}
			records = 0
			change(&g)
			equal(t, name, get(f.Grant(t.Context(), g.ID))(t), g)
		}
	}
	nothing := func(*access.Grant) {}
	step("impeded", store.Outcome{Impeded: "dropped by table inet filter", Records: []audit.Record{record(audit.Impeded, g)}}, 1,
		func(g *access.Grant) { g.Impeded = "dropped by table inet filter" })
	step("impeded otherwise", store.Outcome{Impeded: "no room", Records: []audit.Record{record(audit.Impeded, g)}}, 1,
		func(g *access.Grant) { g.Impeded = "no room" })
	step("opened", store.Outcome{Opened: now().Add(time.Second), Records: []audit.Record{record(audit.Opened, g)}}, 1,
		func(g *access.Grant) { g.Opened, g.Impeded = now().Add(time.Second), "" })
	step("opened later", store.Outcome{Opened: now().Add(time.Minute), Records: []audit.Record{record(audit.Opened, g)}}, 0, nothing)
	step("closed", store.Outcome{Closed: now().Add(time.Hour), Records: []audit.Record{record(audit.Expired, g), record(audit.Closed, g)}}, 2,
		func(g *access.Grant) { g.Closed = now().Add(time.Hour) })
	step("closed later", store.Outcome{Closed: now().Add(2 * time.Hour), Records: []audit.Record{record(audit.Closed, g)}}, 0, nothing)
	step("opened after closing", store.Outcome{Opened: now().Add(3 * time.Hour), Records: []audit.Record{record(audit.Opened, g)}}, 0, nothing)

	entries, _, err := f.Activity(t.Context(), store.ActivityFilter{Grant: g.ID})
	must(t, err)
	var kinds []audit.Kind
	for _, e := range slices.Backward(entries) {
		kinds = append(kinds, e.Kind)
	}
	equal(t, "kinds", kinds, []audit.Kind{audit.Impeded, audit.Impeded, audit.Opened, audit.Expired, audit.Closed})
}

func outcomesOfOlderEpochsArePassedOver(t *testing.T, f fixture) {
	g := grant(1, alice(), "web-1")
	f.save(t, store.Change{Grants: []access.Grant{g}})
	f.save(t, store.Change{GrantUpdates: []store.GrantUpdate{{ID: g.ID, Epoch: 1, Deadline: access.Deadline{Wall: now().Add(2 * time.Hour)}}}})
	before := f.size(t)
	late := store.Outcome{Grant: g.ID, Epoch: 1, Closed: now(), Records: []audit.Record{record(audit.Closed, g)}}
	must(t, f.Save(t.Context(), store.Change{Outcomes: []store.Outcome{late}}))
	if n := f.size(t) - before; n != 0 {
		t.Errorf("an outcome of an older epoch left %d records", n)
	}
	if p := get(f.Pending(t.Context()))(t); len(p) != 1 || !p[0].Closed.IsZero() {
		t.Errorf("an extended grant was closed by an older read-back: %v", p)
	}
	opened := store.Outcome{Grant: g.ID, Epoch: 1, Opened: now(), Records: []audit.Record{record(audit.Opened, g)}}
	f.save(t, store.Change{Outcomes: []store.Outcome{{Grant: g.ID, Epoch: 2, Impeded: "a wall"}}})
	before = f.size(t)
	must(t, f.Save(t.Context(), store.Change{Outcomes: []store.Outcome{opened, opened}}))
	changed := get(f.Pending(t.Context()))(t)[0]
	if n := f.size(t) - before; n != 1 || !changed.Opened.Equal(now()) || changed.Impeded != "a wall" {
		t.Errorf("that it was open before it changed left %d records, want 1; opened %v, impeded %q", n, changed.Opened, changed.Impeded)
	}
	late.Epoch = 2
	must(t, f.Save(t.Context(), store.Change{Outcomes: []store.Outcome{late}}))
	equal(t, "pending", get(f.Pending(t.Context()))(t), []access.Grant{})
}

func displacedRulesAreKept(t *testing.T, f fixture) {
	change := func(native string) plan.Change {
		return plan.Change{
			Step: 1, Op: plan.Displace, Door: ssh("web-1"),
			Opening: firewall.Opening{From: netip.MustParsePrefix("0.0.0.0/0"), Until: now(), Grants: "g-1,g-2"},
			Why:     "it lets everybody in", Native: native, Undo: "{\"raw\": \"<&>\u2028\"}",
		}
	}
	a, b := change("a"), change("b")
	b.Opening = firewall.Opening{From: netip.Prefix{}, Until: time.Time{}, Grants: ""}
	f.save(t, store.Change{Displaced: []store.Displaced{{Firewall: "sg-1", Change: b}, {Firewall: "sg-1", Change: a}, {Firewall: "sg-2", Change: a}, {Firewall: "sg-1", Change: a}}})
	want := []plan.Change{a, b}
	slices.SortFunc(want, plan.Compare)
	equal(t, "displaced", get(f.Displaced(t.Context(), "sg-1"))(t), want)
	f.save(t, store.Change{Restored: []store.Displaced{{Firewall: "sg-1", Change: a}, {Firewall: "sg-1", Change: a}}})
	equal(t, "displaced", get(f.Displaced(t.Context(), "sg-1"))(t), []plan.Change{b})
	equal(t, "displaced elsewhere", get(f.Displaced(t.Context(), "sg-2"))(t), []plan.Change{a})

	// A newer version supersedes an older one of the same rule at that firewall.
	old, newer, other := change("old"), change("newer"), change("other")
	old.Rule, newer.Rule, other.Rule = "r-1", "r-1", "r-2"
	old.Since, newer.Since = now(), now().Add(time.Hour)
	for _, c := range []plan.Change{old, other, newer, newer} {
		f.save(t, store.Change{Displaced: []store.Displaced{{Firewall: "sg-3", Change: c}}})
	}
	f.save(t, store.Change{Displaced: []store.Displaced{{Firewall: "sg-4", Change: old}}})
	want = []plan.Change{newer, other}
	slices.SortFunc(want, plan.Compare)
	equal(t, "the newest of each", get(f.Displaced(t.Context(), "sg-3"))(t), want)
	equal(t, "of another firewall", get(f.Displaced(t.Context(), "sg-4"))(t), []plan.Change{old})
}
