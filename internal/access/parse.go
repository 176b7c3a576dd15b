package access

import (
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sesame-access/sesame/internal/errkind"
)

// The bounds of every duration that Sesame accepts.
const (
	MinDuration = time.Minute
	MaxDuration = 7 * 24 * time.Hour
)

// ParseDuration reads how long access lasts: ParseSpan from MinDuration to
// MaxDuration.
func ParseDuration(field, s string) (time.Duration, error) {
	return ParseSpan(field, s, MinDuration, MaxDuration)
}

// ParseSpan reads hours, minutes and seconds in this order, each at most once
// and as whole numbers: "2m", "1h30m", "90s". Nothing else is a duration: no
// sign, fraction, blank or other unit, and nothing outside least to most.
func ParseSpan(field, s string, least, most time.Duration) (time.Duration, error) {
	d, ok := readDuration(s)
	if !ok || d < least || d > most {
		want := "a duration from " + FormatDuration(least) + " to " + FormatDuration(most) +
			" in hours, minutes and seconds, such as " + spanExamples(least, most)
		return 0, errkind.Bad(field, s, want)
	}
	return d, nil
}

// spanExamples writes durations from least to most: the usual ones where they
// are allowed.
func spanExamples(least, most time.Duration) string {
	var fit []string
	for _, d := range []time.Duration{45 * time.Minute, 90 * time.Minute, 30 * time.Second, 5 * time.Minute} {
		if least <= d && d <= most && len(fit) < 2 {
			fit = append(fit, FormatDuration(d))
		}
	}
	if len(fit) == 0 {
		return FormatDuration(most)
	}
	return strings.Join(fit, " or ")
}

func readDuration(s string) (time.Duration, bool) {
	const mostDigits = 6 // keeps every product, and their sum, far from overflow
	var total time.Duration
	rest := s
	for _, unit := range []struct {
		letter string
		size   time.Duration
	}{{"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}} {
		digits, after, found := strings.Cut(rest, unit.letter)
		if !found {
			continue
		}
		if len(digits) > mostDigits {
			return 0, false
		}
		n, err := strconv.ParseUint(digits, 10, 32)
		if err != nil || digits != strconv.FormatUint(n, 10) {
			return 0, false
		}
		total += time.Duration(n) * unit.size
		rest = after
	}
	return total, s != "" && rest == ""
}

// FormatDuration writes d as ParseDuration reads it: "1h30m", never "1h30m0s".
func FormatDuration(d time.Duration) string {
	d = d.Round(time.Second)
	if d == 0 {
		return "0s"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// ParseTime reads an instant in RFC 3339 with its zone, within ten years of now.
// It is returned in UTC, in whole milliseconds.
func ParseTime(field, s string, now time.Time) (time.Time, error) {
	const want = "an instant in RFC 3339 with a zone, within ten years, such as 2030-01-31T14:00:00Z"
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || !isRFC3339(s, t) {
		return time.Time{}, errkind.Bad(field, s, want)
	}
	const tenYears = 10 * 366 * 24 * time.Hour
	if t.Sub(now).Abs() > tenYears {
		return time.Time{}, errkind.Bad(field, s, want)
	}
	return time.UnixMilli(t.UnixMilli()).UTC(), nil
}

// isRFC3339 reports whether s, which reads as t, is written as RFC 3339 has it.
// time.Parse also takes a comma before the fraction, hours of one digit, offsets
// of a day and their sixtieth minute.
func isRFC3339(s string, t time.Time) bool {
	const seconds = "2006-01-02T15:04:05"
	rest, ok := strings.CutPrefix(s, t.Format(seconds))
	if fraction, found := strings.CutPrefix(rest, "."); found {
		rest = strings.TrimLeft(fraction, "0123456789")
	}
	_, offset := t.Zone()
	zone := rest == "Z" || rest == "-00:00" || rest == t.Format("-07:00")
	return ok && zone && offset > -86400 && offset < 86400
}

// ParseReason reads the free text of a request: valid UTF-8 without control or
// formatting characters, at most MaxReasonLength characters.
func ParseReason(field, s string) (string, error) {
	bad := func(want string) (string, error) { return "", errkind.Bad(field, s, want) }
	if !utf8.ValidString(s) {
		return bad("valid UTF-8")
	}
	if utf8.RuneCountInString(s) > MaxReasonLength {
		return bad("at most " + strconv.Itoa(MaxReasonLength) + " characters long")
	}
	for _, r := range s {
		// Cf holds the marks that turn the direction of text around.
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' {
			return bad("plain text on one line, without control characters")
		}
	}
	return strings.TrimSpace(s), nil
}
