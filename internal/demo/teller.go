package demo

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"
)

// A teller writes the demo's words: plain lines, with a little colour on a
// terminal.
type teller struct {
	w      io.Writer
	colour bool
}

func newTeller(w io.Writer) *teller { return &teller{w: w, colour: isTerminal(w)} }

// isTerminal reports whether w is a terminal, and one that may be coloured.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// What a terminal is told.
const (
	bold   = "1"
	dim    = "2"
	green  = "32"
	cyan   = "36"
	margin = "   "
	width  = 80
)

func (t *teller) in(style, s string) string {
	if !t.colour {
		return s
	}
	return "\x1b[" + style + "m" + s + "\x1b[0m"
}

func (t *teller) line(format string, args ...any) { fmt.Fprintf(t.w, format+"\n", args...) }

// title begins a chapter.
func (t *teller) title(number int, s string) {
	t.line("\n%s", t.in(bold, fmt.Sprintf("%d  %s", number, s)))
}

// say writes prose, wrapped.
func (t *teller) say(format string, args ...any) {
	for _, l := range wrap(fmt.Sprintf(format, args...), width-len(margin)) {
		t.line("%s", strings.TrimRight(margin+l, " "))
	}
}

// command shows what somebody types.
func (t *teller) command(who, text string) {
	t.line("\n%s%s %s", margin, t.in(cyan, who+"$"), t.in(bold, text))
}

// output shows what came of it.
func (t *teller) output(text string) {
	for l := range strings.Lines(text) {
		t.line("%s  %s", margin, t.in(dim, strings.TrimSuffix(l, "\n")))
	}
}

// ok says what was tried and found to be so.
func (t *teller) ok(format string, args ...any) {
	const label = "ok  "
	for i, l := range wrap(fmt.Sprintf(format, args...), width-len(margin)-len(label)) {
		if i == 0 {
			t.line("%s%s%s", margin, t.in(green, label), l)
		} else {
			t.line("%s%*s%s", margin, len(label), "", l)
		}
	}
}

// wait shows a line on a terminal that the next one replaces; empty to end it.
func (t *teller) wait(text string) {
	if !isTerminal(t.w) {
		return
	}
	fmt.Fprintf(t.w, "\r\x1b[K")
	if text != "" {
		fmt.Fprintf(t.w, "%s%s", margin, t.in(dim, text))
	}
}

// wrap breaks text into lines of at most so many characters. A line end in it
// is kept.
func wrap(text string, most int) []string {
	var lines []string
	for paragraph := range strings.Lines(text) {
		line := ""
		for word := range strings.FieldsSeq(paragraph) {
			switch {
			case line == "":
				line = word
			case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > most:
				lines = append(lines, line)
				line = word
			default:
				line += " " + word
			}
		}
		lines = append(lines, line)
	}
	return lines
}
