package firewall_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
)

func TestHolders(t *testing.T) {
	if got := firewall.HoldersOf("g-2", "g-1", "g-2"); got != "g-1,g-2" {
		t.Errorf("HoldersOf = %q", got)
	}
	if got := firewall.HoldersOf().IDs(); got != nil {
		t.Errorf("nobody holds it, but %q", got)
	}
	if got := firewall.Holders("").Join("g-1"); got != "g-1" {
		t.Errorf("nobody and g-1 are %q", got)
	}
	if got := firewall.HoldersOf("g-3", "g-1").Join(firewall.HoldersOf("g-2", "g-1")); !slices.Equal(got.IDs(), []string{"g-1", "g-2", "g-3"}) {
		t.Errorf("Join = %q", got)
	}
	ids := []string{"b", "a"}
	firewall.HoldersOf(ids...)
	if ids[0] != "b" {
		t.Error("HoldersOf sorted its caller's slice")
	}
}

func TestInstant(t *testing.T) {
	zone := time.FixedZone("x", 7200)
	in := time.Date(2030, 1, 2, 3, 4, 5, 6_999_999, zone)
	want := time.Date(2030, 1, 2, 1, 4, 5, 6_000_000, time.UTC)
	if got := firewall.Instant(in); got != want {
		t.Errorf("Instant(%v) = %v, want %v", in, got, want)
	}
	if got := firewall.Instant(want); got != want {
		t.Errorf("Instant(%v) = %v", want, got)
	}
	if got := firewall.Instant(time.Time{}); !got.IsZero() {
		t.Errorf("the instant of no time is %v", got)
	}
	if a, b := firewall.Instant(time.Now()), firewall.Instant(time.Now().Round(0).In(zone)); b.Sub(a) < time.Second && a.Location() != b.Location() {
		t.Errorf("equal instants differ: %#v, %#v", a, b)
	}
}

func TestWantsSortAndOf(t *testing.T) {
	at := time.UnixMilli(1_900_000_000_000).UTC()
	var ws firewall.Wants
	for vm := range 3 {
		for port := range uint16(3) {
			w := firewall.Want{Door: firewall.Door{VM: firewall.HostVM(fmt.Sprint("v", vm)), Protocol: firewall.TCP, Port: port + 1}}
			for i := range byte(3) {
				w.Open = append(w.Open, firewall.Opening{From: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, i}), 32), Until: at, Grants: "g"})
			}
			ws = append(ws, w)
		}
	}
	shuffled := slices.Clone(ws)
	r := rand.New(rand.NewPCG(1, 2))
	r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	for i := range shuffled {
		open := slices.Clone(shuffled[i].Open)
		r.Shuffle(len(open), func(i, j int) { open[i], open[j] = open[j], open[i] })
		shuffled[i].Open = open
	}
	shuffled.Sort()
	if diff := cmp.Diff(ws, shuffled, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Errorf("sorted (-want +got):\n%s", diff)
	}
	for _, w := range ws {
		if got, ok := ws.Of(w.Door); !ok || got.Door != w.Door {
			t.Errorf("Of(%v) = %v, %v", w.Door, got, ok)
		}
	}
	if got, ok := ws.Of(firewall.Door{VM: "host://v1", Protocol: firewall.UDP, Port: 1}); ok {
		t.Errorf("found %v", got)
	}
}

func TestCompareOpeningsAndKeys(t *testing.T) {
	a := firewall.Opening{From: netip.MustParsePrefix("10.0.0.1/32"), Until: time.UnixMilli(1).UTC(), Grants: "a"}
	later, other, wider := a, a, a
	later.Until = time.UnixMilli(2).UTC()
	other.Grants = "b"
	wider.From = netip.MustParsePrefix("10.0.0.0/8")
	for _, x := range []firewall.Opening{later, other} {
		if firewall.CompareOpenings(a, x) >= 0 || firewall.CompareOpenings(x, a) <= 0 {
			t.Errorf("%v is not before %v", a, x)
		}
	}
	if firewall.CompareOpenings(a, a) != 0 || firewall.CompareOpenings(wider, a) >= 0 {
		t.Error("openings are out of order")
	}
	d := firewall.Door{VM: "host://a", Protocol: firewall.TCP, Port: 1}
	if firewall.CompareKeys(firewall.Key{Door: d, From: a.From}, firewall.Key{Door: d, From: wider.From}) <= 0 {
		t.Error("keys are out of order")
	}
}

func TestLockedWants(t *testing.T) {
	door := func(port uint16) firewall.Door {
		return firewall.Door{VM: "host://a", Protocol: firewall.TCP, Port: port}
	}
	open := func(sources ...string) (out []firewall.Opening) {
		for _, s := range sources {
			out = append(out, firewall.Opening{From: netip.MustParsePrefix(s)})
		}
		return out
	}
	given := firewall.Wants{
		{Door: door(3389), Locked: true, Open: open("192.0.2.2/32", "192.0.2.1/32")},
		{Door: door(80), Open: open("192.0.2.1/32")},
		{Door: door(22), Locked: true},
	}
	want := firewall.Wants{
		{Door: door(22), Locked: true},
		{Door: door(3389), Locked: true, Open: open("192.0.2.1/32", "192.0.2.2/32")},
	}
	got, err := given.Locked()
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	if given[0].Open[0].From != netip.MustParsePrefix("192.0.2.2/32") {
		t.Error("what was given was put into order")
	}
	for says, ws := range map[string]firewall.Wants{
		"host://a:22/tcp is wanted twice":                                 {{Door: door(22)}, {Door: door(22), Locked: true}},
		"192.0.2.1/32 is wanted twice at host://a:22/tcp":                 {{Door: door(22), Open: open("192.0.2.1/32", "::/0", "192.0.2.1/32")}},
		"192.0.2.1/24 cannot be let in to host://a:22/tcp: not a masked":  {{Door: door(22), Locked: true, Open: open("192.0.2.1/24")}},
		"invalid Prefix cannot be let in to host://a:22/tcp: not a maske": {{Door: door(22), Open: []firewall.Opening{{}}}},
		"::ffff:192.0.2.0/120 cannot be let in to host://a:22/tcp":        {{Door: door(22), Locked: true, Open: []firewall.Opening{{From: netip.PrefixFrom(netip.MustParseAddr("::ffff:192.0.2.0"), 120)}}}},
	} {
		if got, err := ws.Locked(); errkind.Of(err) != errkind.Invalid || !strings.HasPrefix(errkind.Public(err), says) || got != nil {
			t.Errorf("%v, want an error that begins with %q", err, says)
		}
	}
}
