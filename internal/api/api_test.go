package api

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/policy"
	"github.com/sesame-access/sesame/internal/reach"
)

// comparing addresses by their own equality.
func same() cmp.Option {
	return cmp.Options{
		cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
		cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	}
}

func instants() *rapid.Generator[time.Time] {
	return rapid.Custom(func(t *rapid.T) time.Time {
		return time.UnixMilli(rapid.Int64Range(1, 4e12).Draw(t, "ms")).UTC()
	})
}

func texts() *rapid.Generator[string] {
	return rapid.SampledFrom([]string{"", "a", "<b>", "é\u2028", `"\`, "g-0123456789abcdef"})
}

func prefixes() *rapid.Generator[netip.Prefix] {
	return rapid.Custom(func(t *rapid.T) netip.Prefix {
		if rapid.Bool().Draw(t, "v6") {
			a := netip.AddrFrom16([16]byte(append([]byte{0x20, 1}, rapid.SliceOfN(rapid.Byte(), 14, 14).Draw(t, "addr")...)))
			return netip.PrefixFrom(a, rapid.IntRange(16, 128).Draw(t, "bits")).Masked()
		}
		a := netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "addr")))
		return netip.PrefixFrom(a, rapid.IntRange(8, 32).Draw(t, "bits")).Masked()
	})
}

func principals() *rapid.Generator[access.Principal] {
	return rapid.Custom(func(t *rapid.T) access.Principal {
		return access.Principal{Issuer: "local", Subject: texts().Draw(t, "subject"), Display: texts().Draw(t, "display")}
	})
}

func doors() *rapid.Generator[firewall.Door] {
	return rapid.Custom(func(t *rapid.T) firewall.Door {
		return firewall.Door{
			VM:       firewall.HostVM(rapid.SampledFrom([]string{"web-1", "db-1"}).Draw(t, "vm")),
			Protocol: rapid.SampledFrom([]firewall.Protocol{firewall.TCP, firewall.UDP}).Draw(t, "protocol"),
			Port:     rapid.Uint16Range(1, 65535).Draw(t, "port"),
		}
	})
}

// list draws a list as the domain has it: nil when it is empty.
func list[T any](t *rapid.T, g *rapid.Generator[T], least int, label string) []T {
	out := rapid.SliceOfN(g, least, 4).Draw(t, label)
	if len(out) == 0 {
		return nil
	}
	return out
}

// through sends v over the wire: out by Encode, in by decode.
func through[T any](t *rapid.T, v T) T {
	text, err := Encode(v)
	if err != nil {
		t.Fatal(err)
	}
	var out T
	if err := decode(text, &out); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if strings.Contains(string(text), "null") {
		t.Fatalf("null in %s", text)
	}
	return out
}

func TestRequestsGoThroughTheWire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := access.Request{
			ID: "r-1", Principal: principals().Draw(t, "principal"), Doors: list(t, doors(), 1, "doors"),
			Sources: list(t, prefixes(), 1, "sources"), Caller: netip.Addr{}, Start: time.Time{},
			Duration: time.Duration(rapid.Int64Range(60, 7*24*3600).Draw(t, "seconds")) * time.Second,
			Reason:   texts().Draw(t, "reason"), Asked: instants().Draw(t, "asked"),
		}
		if rapid.Bool().Draw(t, "later") {
			want.Start = instants().Draw(t, "start")
			want.Caller = netip.MustParseAddr("2001:db8::1")
		}
		decision := access.Decision{
			Allow: rapid.Bool().Draw(t, "allow"), NeedsApproval: rapid.Bool().Draw(t, "approval"),
			By: list(t, texts(), 0, "by"), Not: list(t, texts(), 0, "not"),
		}
		got, gotDecision, err := through(t, RequestOf(want, decision)).Domain()
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got, same()) + cmp.Diff(decision, gotDecision); d != "" {
			t.Fatal(d)
		}
	})
}

func TestGrantsGoThroughTheWire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := access.Grant{
			ID: "g-1", Request: "r-1", Principal: principals().Draw(t, "principal"), Door: doors().Draw(t, "door"),
			Sources: list(t, prefixes(), 1, "sources"), Reason: texts().Draw(t, "reason"), Policy: "p",
			Start: instants().Draw(t, "start"), Created: instants().Draw(t, "created"),
			Deadline: access.Deadline{Wall: instants().Draw(t, "deadline")},
			Impeded:  texts().Draw(t, "impeded"),
		}
		if rapid.Bool().Draw(t, "ended") {
			want.Ended = access.Ending{At: instants().Draw(t, "at"), By: principals().Draw(t, "by"), Why: access.ClosedByUser}
			want.Opened, want.Closed = instants().Draw(t, "opened"), instants().Draw(t, "closed")
		}
		got, err := through(t, GrantIn(want, access.Open, want.Impeded)).Domain()
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got, same()); d != "" {
			t.Fatal(d)
		}
	})
}

func TestRecordsGoThroughTheWire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := audit.Record{
			Kind: rapid.SampledFrom(audit.Kinds()).Draw(t, "kind"), Time: instants().Draw(t, "time"),
			Actor: principals().Draw(t, "actor"), Request: texts().Draw(t, "request"), Grant: texts().Draw(t, "grant"),
			Door: doors().Draw(t, "door"), Firewall: "fw", Sources: list(t, prefixes(), 0, "sources"),
			Reason: texts().Draw(t, "reason"), By: list(t, texts(), 0, "by"), Not: list(t, texts(), 0, "not"),
			Plan: list(t, texts(), 0, "plan"), Level: audit.RuleGone, Text: texts().Draw(t, "text"),
		}
		if rapid.Bool().Draw(t, "more") {
			want.Caller, want.Deadline = netip.MustParseAddr("192.0.2.1"), instants().Draw(t, "deadline")
			want.Measures = []audit.Measure{{Name: "asked to open", Took: time.Duration(rapid.Int64Range(0, 1e15).Draw(t, "took"))}}
		} else {
			want.Door = firewall.Door{VM: "host://web-1"}
		}
		got, err := through(t, RecordOf(7, want, false)).Domain()
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got, same()); d != "" {
			t.Fatal(d)
		}
	})
}

func TestPoliciesGoThroughTheWire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		prefix := rapid.SampledFrom([]netip.Prefix{
			netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.7/32"), netip.MustParsePrefix("2001:db8::/64"),
		})
		want := policy.Policy{
			Name: "p", VMs: []firewall.VMID{"host://a", "host://b"}, Cut: rapid.Bool().Draw(t, "cut"),
			Ports: []policy.Port{{
				Port: rapid.Uint16Range(1, 65535).Draw(t, "port"), Protocol: firewall.UDP,
				Max:        time.Duration(rapid.Int64Range(60, 7*24*3600).Draw(t, "max")) * time.Second,
				WidestIPv4: rapid.IntRange(8, 32).Draw(t, "v4"), WidestIPv6: rapid.IntRange(16, 128).Draw(t, "v6"),
			}},
		}
		one := []netip.Prefix{prefix.Draw(t, "source")}
		if rapid.Bool().Draw(t, "lists") {
			want.Exempt, want.Ports[0].Sources = one, one
		}
		if rapid.Bool().Draw(t, "guarded") {
			want.Approvals = []policy.Approval{{Stage: "lead", Count: rapid.IntRange(1, 8).Draw(t, "count")}, {Stage: "a", Count: 1}}
			want.Within, want.Reason, want.Ticket = time.Hour, true, "CHG-[0-9]+"
			want.Glass = policy.Glass{Who: []access.Principal{{Issuer: "local", Subject: "dora"}}, Max: time.Minute}
		}
		got, err := through(t, PolicyOf(want)).Domain()
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got, same()); d != "" {
			t.Fatal(d)
		}
	})
}

func TestTimesAndDoors(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := instants().Draw(t, "at")
		if got := through(t, struct {
			At Time `json:"at,omitzero"`
		}{TimeOf(at)}); !got.At.Equal(at) {
			t.Fatalf("%v became %v", at, got.At)
		}
		d := doors().Draw(t, "door")
		if got, err := through(t, DoorOf(d)).Domain(); err != nil || got != d {
			t.Fatalf("%v became %v, %v", d, got, err)
		}
	})
	text, err := Encode(TimeOf(time.Date(2030, 1, 31, 15, 0, 0, 123456789, time.FixedZone("", 3600))))
	if err != nil || string(text) != "\"2030-01-31T14:00:00.123Z\"\n" {
		t.Errorf("%s, %v", text, err)
	}
	for _, s := range []string{`"2030-01-31T14:00:00Z"`, `"2030-01-31T14:00:00.1234Z"`, `"2030-01-31T14:00:00.123+00:00"`, `"2030-01-31 14:00:00.123Z"`, `7`} {
		var at Time
		if err := decode([]byte(s), &at); err == nil {
			t.Errorf("%s became %v", s, at)
		}
	}
}

func TestReach(t *testing.T) {
	layer := firewall.Layer{Firewall: "fw", Kind: firewall.Ordered, Default: firewall.Deny, Rules: []firewall.LayerRule{
		{Name: "office", Action: firewall.Allow, Last: 65535, From: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}},
		{Name: "odd", Action: firewall.Unknown, Last: 65535, From: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}},
	}}
	d := firewall.Door{VM: "host://web-1", Protocol: firewall.TCP, Port: 22}
	set := reach.Layer(layer, d)
	if r := ReachOf(set); r.Open != "198.51.100.0/24" || r.Unknown != "203.0.113.0/24" || len(r.Spans) != set.Len() || r.Omitted != 0 {
		t.Errorf("%+v", r)
	}
	for source, want := range map[string]string{"198.51.100.7/32": "open", "203.0.113.7/32": "unknown", "192.0.2.1/32": "closed", "198.51.0.0/16": "mixed"} {
		if a := AnswerOf(set, netip.MustParsePrefix(source)); a.Verdict != want || len(a.Spans) == 0 {
			t.Errorf("%s: %+v", source, a)
		}
	}
	none := reach.Layer(firewall.Layer{Firewall: "fw", Default: firewall.Deny}, d)
	c := ReachChangeOf(d, none, set)
	if c.Shuts != nil || c.Admits == nil || c.Admits.Witness != "198.51.100.0" || c.Admits.By != "fw: office" {
		t.Errorf("%+v", c)
	}
	if c := ReachChangeOf(d, set, none); c.Admits != nil || c.Shuts == nil || c.Shuts.By != "fw: default" {
		t.Errorf("%+v", c)
	}
	var many []firewall.LayerRule
	for i := range 400 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 7), byte(i << 1), 0}), 24)
		many = append(many, firewall.LayerRule{Name: p.String(), Action: firewall.Allow, Last: 65535, From: []netip.Prefix{p}})
	}
	if r := ReachOf(reach.Layer(firewall.Layer{Firewall: "fw", Rules: many, Default: firewall.Deny}, d)); len(r.Spans) != mostSpans || r.Omitted == 0 {
		t.Errorf("%d spans, %d omitted", len(r.Spans), r.Omitted)
	}
}

func TestProblems(t *testing.T) {
	kinds := []errkind.Kind{
		errkind.Internal, errkind.Invalid, errkind.Unauthenticated, errkind.Denied, errkind.NotFound,
		errkind.Conflict, errkind.Exhausted, errkind.Unavailable,
	}
	var seen []string
	for _, k := range kinds {
		p := ProblemOf(errkind.New(k, "what was asked"))
		if p.Status == 0 || p.Title == "" || slices.Contains(seen, p.Type) || strings.Contains(p.Type, "_") {
			t.Errorf("%s: %+v", k, p)
		}
		seen = append(seen, p.Type)
		if got := errkind.Of(p.Err()); got != k {
			t.Errorf("%s came back as %s", k, got)
		}
		p.Type = "about:blank"
		if got := errkind.Of(p.Err()); got != k {
			t.Errorf("%s came back by its status as %s", k, got)
		}
	}
	secret := ProblemOf(errkind.Wrap(errkind.Internal, errkind.New(errkind.Internal, "password"), "hunter2"))
	if text, _ := Encode(secret); strings.Contains(string(text), "password") || strings.Contains(string(text), "hunter2") {
		t.Errorf("%s", text)
	}
	bad := ProblemOf(errkind.Bad("port", "x", "a port"))
	if f := errkind.FieldOf(bad.Err()); f != (errkind.Field{Name: "port", Value: "x", Want: "a port"}) {
		t.Errorf("%+v", f)
	}
	for status, want := range map[int]errkind.Kind{418: errkind.Invalid, 502: errkind.Unavailable, 302: errkind.Internal} {
		if got := errkind.Of(NewProblem(status, "x", "", "").Err()); got != want {
			t.Errorf("%d is %s", status, got)
		}
	}
}
