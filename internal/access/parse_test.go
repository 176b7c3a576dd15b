package access_test

import (
	"encoding/base32"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/errkind"
)

func hostileDurations() []string {
	return []string{
		"", "0", "0s", "0m", "0h", "1", "60", "-1h", "+1h", "1h-30m", "forever", "never", "null", "inf", "NaN", "∞", "1e9h", "1e2m", "1.5h", "1,5h", "0.5h", "1h30", "30m1h", "1s1m", "1h1h",
		"1d", "1w", "1y", "1ms", "60000ms", "3600000000000ns", "1µs", "1H", "1 h", " 1h", "1h ", "1h\n", "1h\x00", "01h", "1h00m", "1h030m", "h", "m", "hm", "1hm", "PT1H", "01:00:00", "1:00", "0x1h", "1_0m",
		"１h", "٣h", "169h", "168h1s", "10081m", "604801s", "59s", "2562048h", "3000000h", "9223372036854775807s", "9223372036854775808s", "18446744073709551616s",
		"2562047h47m16s", "5124095h60m", "5124096h", "307445735m", "1000000h", "99999999h99999999m99999999s", strings.Repeat("9", 1000) + "h", strings.Repeat("1h", 1000),
	}
}

func TestParseDuration(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"1m": time.Minute, "60s": time.Minute, "90s": 90 * time.Second, "2m": 2 * time.Minute, "3h": 3 * time.Hour, "1h30m": 90 * time.Minute,
		"1h0m1s": time.Hour + time.Second, "1h1s": time.Hour + time.Second, "100m": 100 * time.Minute, "168h": access.MaxDuration, "604800s": access.MaxDuration,
	} {
		if got, err := access.ParseDuration("for", in); err != nil || got != want {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", in, got, err, want)
		}
	}
	for _, in := range hostileDurations() {
		got, err := access.ParseDuration("for", in)
		f := errkind.FieldOf(err)
		if err == nil || got != 0 || f.Name != "for" || f.Value != errkind.Shorten(in) || !strings.Contains(f.Want, "1m to 168h") {
			t.Errorf("ParseDuration(%q) = %v, %v", in, got, err)
		}
	}
	if got, err := access.ParseSpan("resync", "1s", time.Second, time.Minute); err != nil || got != time.Second {
		t.Errorf("ParseSpan = %v, %v", got, err)
	}
	if got, err := access.ParseSpan("resync", "61s", time.Second, time.Minute); err == nil || !strings.Contains(err.Error(), "from 1s to 1m") {
		t.Errorf("ParseSpan = %v, %v", got, err)
	}
}

func TestDurationRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(60, 7*24*3600).Draw(t, "seconds")) * time.Second
		text := access.FormatDuration(d)
		if got, err := access.ParseDuration("for", text); err != nil || got != d {
			t.Fatalf("%v is written %q and reads %v, %v", d, text, got, err)
		}
	})
	for d, want := range map[time.Duration]string{
		0: "0s", time.Second: "1s", time.Minute: "1m", 10 * time.Minute: "10m", time.Hour: "1h", 10 * time.Hour: "10h", 90 * time.Minute: "1h30m", 100 * time.Hour: "100h",
		time.Hour + 10*time.Second: "1h0m10s", time.Minute + 20*time.Second: "1m20s", 59*time.Second + 600*time.Millisecond: "1m", -90 * time.Second: "-1m30s", 20*time.Hour + 10*time.Minute: "20h10m",
	} {
		if got := access.FormatDuration(d); got != want {
			t.Errorf("FormatDuration(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestParseTime(t *testing.T) {
	for in, want := range map[string]string{
		"2030-01-31T14:00:00Z":                 "2030-01-31T14:00:00Z",
		"2030-01-31T14:00:00+02:00":            "2030-01-31T12:00:00Z",
		"2030-01-31T14:00:00-23:59":            "2030-02-01T13:59:00Z",
		"2030-01-31T14:00:00.5Z":               "2030-01-31T14:00:00.5Z",
		"2030-01-31T14:00:00.9999999Z":         "2030-01-31T14:00:00.999Z",
		"2028-02-29T00:00:00Z":                 "2028-02-29T00:00:00Z",
		"2030-03-31T02:30:00+01:00":            "2030-03-31T01:30:00Z", // in the gap of many zones; an offset is exact
		"2030-01-31T14:00:00.12345678901234Z":  "2030-01-31T14:00:00.123Z",
		"2030-01-31T23:59:59.999999999+00:00":  "2030-01-31T23:59:59.999Z",
		"2039-12-31T14:00:00-00:00":            "2039-12-31T14:00:00Z",
		"2020-06-01T14:00:00Z":                 "2020-06-01T14:00:00Z", // the past is the caller's business
		"2030-01-31T14:00:00.000000001+05:30":  "2030-01-31T08:30:00Z",
		"2030-01-31T14:00:00.9999999999+05:30": "2030-01-31T08:30:00.999Z",
	} {
		got, err := access.ParseTime("start", in, noon)
		if err != nil || got.Format(time.RFC3339Nano) != want || got.Location() != time.UTC {
			t.Errorf("ParseTime(%q) = %v, %v; want %s", in, got, err, want)
		}
	}
	for _, in := range []string{
		"", "now", "null", "0", "1893456000", "2030-01-31", "14:00", "2030-01-31T14:00Z", "2030-01-31T14:00:00", "2030-01-31 14:00:00Z", "2030-01-31t14:00:00z",
		"2030-01-31T24:00:00Z", "2030-01-31T14:60:00Z", "2030-01-31T14:00:60Z", "2030-01-31T23:59:60Z", "2030-02-30T14:00:00Z", "2029-02-29T14:00:00Z", "2030-13-01T14:00:00Z", "2030-00-01T14:00:00Z",
		"2030-01-31T14:00:00,5Z", "2030-01-31T14:00:00.Z", "2030-01-31T4:00:00Z", "2030-1-31T14:00:00Z", "2030-01-31T14:00:00+24:00", "2030-01-31T14:00:00+02:60", "2030-01-31T14:00:00+0200", "2030-01-31T14:00:00+2:00",
		"2030-01-31T14:00:00 Z", " 2030-01-31T14:00:00Z", "2030-01-31T14:00:00Z\n", "2030-01-31T14:00:00Z ", "2030-01-31T14:00:00Z[Europe/Berlin]", "2030-01-31T14:00:00 UTC",
		"0000-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "+10000-01-01T00:00:00Z", "10000-01-01T00:00:00Z", "-2030-01-31T14:00:00Z", "2041-01-31T14:00:00Z", "1970-01-01T00:00:00Z",
		"２030-01-31T14:00:00Z", "2030-W05-4T14:00:00Z", "20300131T140000Z", strings.Repeat("2", 10000),
	} {
		got, err := access.ParseTime("start", in, noon)
		if f := errkind.FieldOf(err); err == nil || !got.IsZero() || f.Name != "start" || f.Value != errkind.Shorten(in) {
			t.Errorf("ParseTime(%q) = %v, %v", in, got, err)
		}
	}
}

func TestParseReason(t *testing.T) {
	for in, want := range map[string]string{
		"":                             "",
		"  update nginx ":              "update nginx",
		"INC-1234: größere Störung 日本": "INC-1234: größere Störung 日本",
		"<b>&\"'`$(id){{.}}%s%n @channel | =cmd()":  "<b>&\"'`$(id){{.}}%s%n @channel | =cmd()", // text, shown as text
		strings.Repeat("é", access.MaxReasonLength): strings.Repeat("é", access.MaxReasonLength),
	} {
		if got, err := access.ParseReason("reason", in); err != nil || got != want {
			t.Errorf("ParseReason(%q) = %q, %v", in, got, err)
		}
	}
	for _, in := range []string{
		"a\nb", "a\r", "\t", "\x00", "\x1b[31mred\x1b[0m", "\x7f", "\u0085", "\u009b", "a\u2028b", "a\u2029b", "\u202eevil", "\u2066x", "zero\u200bwidth", "\ufeff", "soft\u00adhyphen",
		"\xff", "\xc3\x28", "\xed\xa0\x80", strings.Repeat("é", access.MaxReasonLength+1), strings.Repeat("a", 1<<20), "\U000e0041",
	} {
		if got, err := access.ParseReason("reason", in); err == nil || got != "" || errkind.FieldOf(err).Name != "reason" {
			t.Errorf("ParseReason(%.40q) = %q, %v", in, got, err)
		}
	}
}

func TestIDs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var random [access.IDBytes]byte
		copy(random[:], rapid.SliceOfN(rapid.Byte(), access.IDBytes, access.IDBytes).Draw(t, "random"))
		id := access.NewID(access.GrantPrefix, random)
		if got, err := access.ParseID("grant", access.GrantPrefix, id); err != nil || got != id {
			t.Fatalf("ParseID(%q) = %q, %v", id, got, err)
		}
		if got, err := access.ParseID("request", access.RequestPrefix, id); err == nil {
			t.Fatalf("a grant's id is a request's: %q", got)
		}
	})
	if a, b := access.NewID("g-", [access.IDBytes]byte{}), access.NewID("g-", [access.IDBytes]byte{9: 1}); a == b || a != "g-0000000000000000" {
		t.Errorf("ids %q and %q", a, b)
	}
	for _, in := range []string{
		"", "g-", "g-0123456789abcde", "g-0123456789abcdeff", "0123456789abcdef", "G-0123456789abcdef", "g-0123456789ABCDEF", "g-0123456789abcdei", "g-0123456789abcdeo", "g-0123456789abcdel", "g-0123456789abcdeu",
		"g-0123456789abcde\n", "g-0123456789abcd\r\n", "g-01234567\n89abcde", "g-0123456789abcde ", " g-0123456789abcdef", "g-0123456789abcde\x00", "g-0123456789abcde=", "g-../../../../etc/", "r-0123456789abcdef", "g-' or 1=1; -- x",
	} {
		got, err := access.ParseID("grant", access.GrantPrefix, in)
		if f := errkind.FieldOf(err); err == nil || got != "" || f.Name != "grant" || f.Value != errkind.Shorten(in) {
			t.Errorf("ParseID(%q) = %q, %v", in, got, err)
		}
	}
}

func FuzzParseDuration(f *testing.F) {
	for _, s := range append(hostileDurations(), "1h30m", "90s", "168h") {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := access.ParseDuration("for", s)
		if err != nil {
			if d != 0 {
				t.Fatalf("ParseDuration(%q) failed and returned %v", s, d)
			}
			return
		}
		// Where the standard library reads it too, it reads the same.
		if std, stdErr := time.ParseDuration(s); stdErr != nil || std != d || d < access.MinDuration || d > access.MaxDuration {
			t.Fatalf("ParseDuration(%q) = %v; the standard library says %v, %v", s, d, std, stdErr)
		}
	})
}

func FuzzParseTime(f *testing.F) {
	for _, s := range []string{"2030-01-31T14:00:00Z", "2030-01-31T14:00:00.5+02:00", "2030-01-31T4:00:00Z", "2030-01-31T14:00:00+24:00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		at, err := access.ParseTime("start", s, noon)
		if err != nil {
			return
		}
		std, err := time.Parse(time.RFC3339, s)
		if err != nil || std.Sub(at) < 0 || std.Sub(at) >= time.Millisecond || at.Location() != time.UTC {
			t.Fatalf("ParseTime(%q) = %v; the standard library says %v, %v", s, at, std, err)
		}
	})
}

func FuzzParseReason(f *testing.F) {
	f.Add("update nginx")
	f.Add("\u202eevil")
	f.Fuzz(func(t *testing.T, s string) {
		got, err := access.ParseReason("reason", s)
		if err == nil && (!utf8.ValidString(got) || strings.ContainsAny(got, "\n\r\t\x00\x1b\u2028\u202e") || got != strings.TrimSpace(got)) {
			t.Fatalf("ParseReason(%q) = %q", s, got)
		}
		if again, err2 := access.ParseReason("reason", got); err == nil && (err2 != nil || again != got) {
			t.Fatalf("%q reads as %q, %v", got, again, err2)
		}
	})
}

func FuzzParseID(f *testing.F) {
	for _, s := range []string{"g-0123456789abcdef", "r-0123456789abcdef", "g-0123456789ABCDEF", "g-0123456789abcde\n", "g-", "g-ilouilouilouilou"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := access.ParseID("grant", access.GrantPrefix, s)
		if err != nil {
			if id != "" || errkind.FieldOf(err).Name != "grant" {
				t.Fatalf("ParseID(%q) failed and returned %q, %v", s, id, err)
			}
			return
		}
		// What is an id was made of some random bytes, and of those alone.
		const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
		digits, ok := strings.CutPrefix(id, access.GrantPrefix)
		random, err := base32.NewEncoding(alphabet).WithPadding(base32.NoPadding).DecodeString(digits)
		if !ok || id != s || err != nil || len(random) != access.IDBytes || access.NewID(access.GrantPrefix, [access.IDBytes]byte(random)) != id {
			t.Fatalf("ParseID(%q) = %q, of %x, %v", s, id, random, err)
		}
		if other, err := access.ParseID("request", access.RequestPrefix, s); err == nil {
			t.Fatalf("%q is a grant and a request, %q", s, other)
		}
	})
}
