package firewall_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sesame-access/sesame/internal/firewall"
)

func ring() firewall.Keyring {
	return firewall.Keyring{Instance: "k3x9qd", Keys: []firewall.MarkKey{{ID: "a1", Secret: []byte("0123456789abcdef")}}}
}

func place() firewall.Place {
	return firewall.Place{
		Firewall: "nftables:web-1",
		Door:     firewall.Door{VM: "host://web-1", Protocol: firewall.TCP, Port: 22},
		From:     netip.MustParsePrefix("203.0.113.7/32"),
		Detail:   "v4",
	}
}

func mark() firewall.Mark {
	return firewall.Mark{Instance: "k3x9qd", Grant: "g-0123456789abcdef", More: 0, Until: time.UnixMilli(1_893_456_000_123).UTC()}
}

func drawMark(t *rapid.T) firewall.Mark {
	m := firewall.Mark{Instance: ring().Instance}
	if rapid.Bool().Draw(t, "for a grant") {
		m.Grant = rapid.StringMatching(`g-[0-9a-hjkmnp-tv-z]{16}`).Draw(t, "grant")
		m.More = rapid.IntRange(0, 99_999).Draw(t, "more")
		m.Until = time.UnixMilli(rapid.Int64Range(1, 253_402_300_799_999).Draw(t, "until")).UTC()
	}
	return m
}

func drawPlace(t *rapid.T) firewall.Place {
	return firewall.Place{
		Firewall: firewall.ID(rapid.StringMatching(`[a-z:/0-9-]{0,20}`).Draw(t, "firewall")),
		Door:     drawDoor(t),
		From:     drawPrefix(t),
		Detail:   rapid.StringMatching(`[a-z0-9:]{0,8}`).Draw(t, "detail"),
	}
}

func TestMarkRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, p := drawMark(t), drawPlace(t)
		text := ring().Seal(m, p)
		got, state := ring().Open(text, p)
		if state != firewall.MarkGood || got != m {
			t.Fatalf("Open(%q) = %+v, %v; want %+v", text, got, state, m)
		}
		if len(text) > 110 || strings.ContainsAny(text, " \t\"\n") {
			t.Fatalf("%q has %d bytes", text, len(text))
		}
	})
}

func TestMarkFitsIntoAnElementComment(t *testing.T) {
	k := firewall.Keyring{Instance: strings.Repeat("z", 12), Keys: []firewall.MarkKey{{ID: "zzzz", Secret: make([]byte, 32)}}}
	m := firewall.Mark{Grant: "g-" + strings.Repeat("z", 16), More: 99_999, Until: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)}
	if text := k.Seal(m, place()); len(text) > 127 {
		t.Errorf("%q has %d bytes, more than the 127 of a comment in the kernel", text, len(text))
	}
}

// TestMarkFaultsAreSeen changes every single character of a mark, in many ways,
// and shortens and lengthens it: nothing but the mark itself verifies.
func TestMarkFaultsAreSeen(t *testing.T) {
	text := ring().Seal(mark(), place())
	const letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_.+=/ \n\r\x00é"
	check := func(changed string) {
		t.Helper()
		if got, state := ring().Open(changed, place()); state == firewall.MarkGood {
			t.Errorf("%q verifies as %+v; it was %q", changed, got, text)
		}
	}
	for i := range text {
		check(text[:i] + text[i+1:])
		check(text[:i])
		for _, c := range letters {
			check(text[:i] + string(c) + text[i:])
			if string(c) != text[i:i+1] {
				check(text[:i] + string(c) + text[i+1:])
			}
		}
	}
	for _, c := range letters {
		check(text + string(c))
	}
	if _, state := ring().Open(text, place()); state != firewall.MarkGood {
		t.Fatalf("the mark itself is %v", state)
	}
}

func TestMarkIsBoundToItsPlace(t *testing.T) {
	text := ring().Seal(mark(), place())
	for name, change := range map[string]func(*firewall.Place){
		"firewall":          func(p *firewall.Place) { p.Firewall += "x" },
		"vm":                func(p *firewall.Place) { p.Door.VM = "host://web-2" },
		"port":              func(p *firewall.Place) { p.Door.Port = 23 },
		"protocol":          func(p *firewall.Place) { p.Door.Protocol = firewall.UDP },
		"source":            func(p *firewall.Place) { p.From = netip.MustParsePrefix("203.0.113.8/32") },
		"wider source":      func(p *firewall.Place) { p.From = netip.MustParsePrefix("203.0.113.0/24") },
		"detail":            func(p *firewall.Place) { p.Detail = "v5" },
		"moved over a seam": func(p *firewall.Place) { p.Firewall, p.Detail = p.Firewall+"v", "4" },
	} {
		p := place()
		change(&p)
		if got, state := ring().Open(text, p); state != firewall.MarkBroken {
			t.Errorf("another %s: %v, %+v", name, state, got)
		}
	}
	// Two places that would read the same without a mark of where each part ends.
	here, there := place(), place()
	here.From, here.Detail = netip.MustParsePrefix("192.0.0.0/32"), "v4"
	there.From, there.Detail = netip.MustParsePrefix("192.0.0.0/3"), "2v4"
	if _, state := ring().Open(ring().Seal(mark(), here), there); state != firewall.MarkBroken {
		t.Errorf("a mark for 192.0.0.0/32 is %v on 192.0.0.0/3", state)
	}
	rapid.Check(t, func(t *rapid.T) {
		m, here, there := drawMark(t), drawPlace(t), drawPlace(t)
		if _, state := ring().Open(ring().Seal(m, here), there); (state == firewall.MarkGood) != (here == there) {
			t.Fatalf("a mark for %+v is %v at %+v", here, state, there)
		}
	})
}

func TestMarkStates(t *testing.T) {
	good := ring().Seal(mark(), place())
	other := ring()
	other.Instance = "other"
	forged := ring()
	forged.Keys = []firewall.MarkKey{{ID: "a1", Secret: []byte("another secret!!")}}
	unknownKey := ring()
	unknownKey.Keys = []firewall.MarkKey{{ID: "b2", Secret: ring().Keys[0].Secret}}
	for name, c := range map[string]struct {
		text string
		want firewall.MarkState
	}{
		"nothing":         {"", firewall.MarkAbsent},
		"somebody's text": {"allow ssh from the office", firewall.MarkAbsent},
		"ours":            {good, firewall.MarkGood},
		"another's":       {other.Seal(mark(), place()), firewall.MarkForeign},
		"forged":          {forged.Seal(mark(), place()), firewall.MarkBroken},
		"key unknown":     {unknownKey.Seal(mark(), place()), firewall.MarkBroken},
		"only the prefix": {"sesame1", firewall.MarkBroken},
		"upper case":      {strings.ToUpper(good[:20]) + good[20:], firewall.MarkAbsent},
	} {
		if _, got := ring().Open(c.text, place()); got != c.want {
			t.Errorf("%s (%q) is %v, want %v", name, c.text, got, c.want)
		}
	}
	if got := (firewall.Keyring{Instance: "x"}).Seal(mark(), place()); got != "" {
		t.Errorf("a ring without keys made %q", got)
	}
}

func TestOldKeysVerify(t *testing.T) {
	old := ring()
	text := old.Seal(mark(), place())
	rotated := firewall.Keyring{Instance: old.Instance, Keys: append([]firewall.MarkKey{{ID: "b2", Secret: []byte("fedcba9876543210")}}, old.Keys...)}
	if got, state := rotated.Open(text, place()); state != firewall.MarkGood || got != mark() {
		t.Errorf("a mark of the old key is %v, %+v", state, got)
	}
	fresh := rotated.Seal(mark(), place())
	if !strings.Contains(fresh, ".b2.") {
		t.Errorf("%q was not made with the first key", fresh)
	}
	if _, state := old.Open(fresh, place()); state != firewall.MarkBroken {
		t.Errorf("a mark of a key that is not in the ring is %v", state)
	}
}

// A deadline that has long passed must never read as no deadline at all.
func TestMarkNeverForgetsItsDeadline(t *testing.T) {
	for _, until := range []time.Time{time.UnixMilli(0), time.UnixMilli(-1), time.Unix(0, 1), time.Unix(-1<<40, 0), time.Date(1, 1, 1, 0, 0, 0, 1_000_000, time.UTC)} {
		m := mark()
		m.Until = until.UTC()
		got, state := ring().Open(ring().Seal(m, place()), place())
		if state != firewall.MarkGood || got.Until.IsZero() || got.Until.After(time.UnixMilli(1)) {
			t.Errorf("until %v reads as %v (%v)", until, got.Until, state)
		}
	}
}

func FuzzMarkOpen(f *testing.F) {
	good := ring().Seal(mark(), place())
	f.Add(good)
	f.Add(good + "\n")
	f.Add(strings.Replace(good, ".g-", ".+g-", 1))
	f.Add("sesame1.k3x9qd.a1.0.-." + strings.Repeat("A", 22))
	f.Add("sesame1.....")
	f.Fuzz(func(t *testing.T, text string) {
		m, state := ring().Open(text, place())
		switch {
		case state == firewall.MarkGood && ring().Seal(m, place()) != text:
			t.Fatalf("%q verifies, but is not how %+v is sealed", text, m)
		case state == firewall.MarkAbsent && strings.HasPrefix(text, "sesame1"):
			t.Fatalf("%q claims to be ours and is absent", text)
		}
	})
}
