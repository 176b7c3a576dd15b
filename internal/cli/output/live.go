package output

import (
	"io"
	"strings"
	"sync"
)

// A Live is the line on a terminal that says what is going on. Elsewhere it is
// silent: who reads a log wants results.
type Live struct {
	w    io.Writer // nil when nobody looks
	mu   sync.Mutex
	said string
}

// NewLive returns a live line on w; terminal says whether w is one.
func NewLive(w io.Writer, terminal bool) *Live {
	if !terminal {
		w = nil
	}
	return &Live{w: w, mu: sync.Mutex{}, said: ""}
}

const clearLine = "\r\x1b[K"

// Show replaces the line.
func (l *Live) Show(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.w == nil || text == l.said {
		return
	}
	l.said = text
	_, _ = io.WriteString(l.w, clearLine+Plain(text)) // a terminal that is gone cannot be told so
}

// Then adds the next stage behind an arrow: "asked → granted".
func (l *Live) Then(stage string) {
	l.mu.Lock()
	said := l.said
	l.mu.Unlock()
	l.Show(strings.TrimPrefix(said+" → "+stage, " → "))
}

// Done leaves the line as it is, and ends it.
func (l *Live) Done() { l.end("\n") }

// Clear takes the line away.
func (l *Live) Clear() { l.end(clearLine) }

func (l *Live) end(with string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.w != nil && l.said != "" {
		_, _ = io.WriteString(l.w, with) // as in Show
	}
	l.said = ""
}
