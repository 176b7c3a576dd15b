// Package output writes what commands found: tables for people, JSON for
// programs, and a live line while something takes its time.
//
// Results go to standard output, everything else to standard error. Texts that
// somebody else chose are made harmless: a name cannot move the cursor.
package output

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/errkind"
)

// Format is how results are written.
type Format string

// The formats.
const (
	Table Format = "table"
	JSON  Format = "json"
)

// ParseFormat reads the name of a format.
func ParseFormat(s string) (Format, error) {
	if f := Format(s); f == Table || f == JSON {
		return f, nil
	}
	return "", errkind.Bad("--output", s, `"table" or "json"`)
}

// WriteJSON writes v as an indented JSON value and a line end.
func WriteJSON(w io.Writer, v any) error {
	if err := json.MarshalWrite(w, v, json.Deterministic(true), jsontext.WithIndent("  ")); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// WriteJSONLine writes v on one line, as streams have it.
func WriteJSONLine(w io.Writer, v any) error {
	if err := json.MarshalWrite(w, v, json.Deterministic(true)); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// WriteTable writes rows below their heads, in columns that are as wide as they
// need to be. A table without rows is the sentence instead.
func WriteTable(w io.Writer, sentence string, heads []string, rows [][]string) error {
	if len(rows) == 0 {
		_, err := fmt.Fprintln(w, sentence)
		return err
	}
	all := append([][]string{heads}, rows...)
	width := make([]int, len(heads))
	for _, row := range all {
		for i := range row {
			row[i] = Plain(row[i])
			width[i] = max(width[i], utf8.RuneCountInString(row[i]))
		}
	}
	var b strings.Builder
	for _, row := range all {
		var line strings.Builder
		for i, cell := range row {
			line.WriteString(cell)
			line.WriteString(strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell)+2))
		}
		b.WriteString(strings.TrimRight(line.String(), " "))
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Plain returns s without anything that a terminal would act on.
func Plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' {
			return '\ufffd'
		}
		return r
	}, s)
}

// Clock writes an instant for people who know what day it is: the time alone
// today, with the date on every other day. The zone is that of now.
func Clock(t, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	t = t.In(now.Location())
	if t.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return t.Format(time.TimeOnly)
	}
	return t.Format(time.DateTime)
}

// In says how far away t is, in whole seconds: "in 2m", "5s ago".
func In(t, now time.Time) string {
	d := t.Sub(now).Round(time.Second)
	switch {
	case d > 0:
		return "in " + access.FormatDuration(d)
	case d < 0:
		return access.FormatDuration(-d) + " ago"
	}
	return "now"
}

// Until writes the end of something: "14:03:05 (in 2m)".
func Until(t, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return Clock(t, now) + " (" + In(t, now) + ")"
}

// Dash returns s, or a dash where it is empty, so that a column is never blank.
func Dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// Count writes a number of things: "1 opening", "2 openings".
func Count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
