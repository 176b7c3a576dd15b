package arm

import (
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/sesame-access/sesame/internal/errkind"
)

// The bounds of how long a policy lets people in for, which are Azure's.
const (
	MinAccess = 5 * time.Minute
	MaxAccess = 24 * time.Hour
)

const wantDuration = "an ISO 8601 duration in days, hours, minutes and seconds, such as PT3H"

// ParseDuration reads an ISO 8601 duration of days, hours, minutes and seconds, in
// this order and each at most once: PT3H, PT3H0M, P1D. Months and years are not of
// one length, and fractions are nobody's.
func ParseDuration(field, s string) (time.Duration, error) {
	bad := errkind.Bad(field, s, wantDuration)
	rest, ok := strings.CutPrefix(s, "P")
	date, clock, timed := strings.Cut(rest, "T")
	if !ok || rest == "" || timed && clock == "" {
		return 0, bad
	}
	days, ok := units(date, "D", 24*time.Hour)
	if !ok {
		return 0, bad
	}
	rest = clock
	total := days
	for _, u := range []struct {
		letter string
		size   time.Duration
	}{{"H", time.Hour}, {"M", time.Minute}, {"S", time.Second}} {
		i := strings.Index(rest, u.letter) + 1
		n, ok := units(rest[:i], u.letter, u.size)
		if !ok {
			return 0, bad
		}
		total, rest = total+n, rest[i:]
	}
	if rest != "" {
		return 0, bad
	}
	return total, nil
}

// units reads a whole number of one unit; nothing is none of them.
func units(s, letter string, size time.Duration) (time.Duration, bool) {
	const most = 6 // digits; keeps every product, and their sum, far from overflow
	if s == "" {
		return 0, true
	}
	digits, ok := strings.CutSuffix(s, letter)
	n, err := strconv.ParseUint(digits, 10, 32)
	return time.Duration(n) * size, ok && err == nil && len(digits) <= most
}

// FormatDuration writes d as Azure does: PT3H, PT1H30M.
func FormatDuration(d time.Duration) string {
	const minute, hour = 60, 3600
	s := int64(d / time.Second)
	if s == 0 {
		return "PT0S"
	}
	var out strings.Builder
	out.WriteString("PT")
	for _, u := range []struct {
		n      int64
		letter string
	}{{s / hour, "H"}, {s % hour / minute, "M"}, {s % minute, "S"}} {
		if u.n > 0 {
			out.WriteString(strconv.FormatInt(u.n, 10) + u.letter)
		}
	}
	return out.String()
}

const wantTime = "an instant in RFC 3339 with its zone, such as 2030-01-31T14:00:00Z"

// ParseTime reads an instant with its zone and up to nine digits behind the second.
func ParseTime(field, s string) (time.Time, error) {
	const seconds = "2006-01-02T15:04:05"
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || len(s) < len(seconds) || s[:len(seconds)] != t.Format(seconds) || strings.Contains(s, ",") || t.Year() < 1 {
		return time.Time{}, errkind.Bad(field, s, wantTime)
	}
	return t.UTC(), nil
}

// FormatTime writes t as .NET does: up to seven digits behind the second.
func FormatTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.9999999Z") }

// A Number is a whole number, which some clients send in quotes.
type Number int64

// UnmarshalJSON reads digits, in quotes or not.
func (n *Number) UnmarshalJSON(text []byte) error {
	digits := string(text)
	if s, ok := strings.CutPrefix(digits, `"`); ok {
		digits = strings.TrimSuffix(s, `"`)
	}
	v, err := strconv.ParseInt(digits, 10, 32)
	if err != nil || digits != strconv.FormatInt(v, 10) {
		return errkind.Bad("number", shown(text), "a whole number, such as 22")
	}
	*n = Number(v)
	return nil
}

// shown returns the text of a JSON value for a message.
func shown(text []byte) string {
	if s, err := jsontext.AppendUnquote(nil, text); err == nil {
		return string(s)
	}
	return string(text)
}
