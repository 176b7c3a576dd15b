// Package truce notices that somebody undoes what Sesame does, again and again, as
// infrastructure as code does at each apply, and says when to stop.
//
// A first time is a mistake, and is put right at once, and so is a second. Whoever
// does the same thing more often has a reason, which a machine does not get to know
// by fighting: each further time waits twice as long as the one before, and
// meanwhile the thing is said aloud instead of done. What was not undone for a day
// is forgotten.
//
// A guard is memory, and lost with the process: then it begins anew, with the two
// times at once that everybody has.
package truce

import (
	"fmt"
	"maps"
	"sync"
	"time"
)

// The limits.
const (
	atOnce    = 3 // the first time and two repetitions
	firstWait = time.Minute
	longest   = time.Hour
	forgotten = 24 * time.Hour
)

// A Guard counts how often things were done. The zero Guard is ready, and safe for
// concurrent use.
type Guard struct {
	mu   sync.Mutex
	done map[string]record
}

type record struct {
	times int
	last  time.Time
}

// Done notes that a thing was done at now. A thing has one name, always the same.
func (g *Guard) Done(thing string, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	maps.DeleteFunc(g.done, func(_ string, r record) bool { return now.Sub(r.last) > forgotten })
	if g.done == nil {
		g.done = map[string]record{}
	}
	r := g.done[thing]
	g.done[thing] = record{times: r.times + 1, last: now}
}

// Undone notes that we have undone a thing ourselves: then nobody fights over it.
func (g *Guard) Undone(thing string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.done, thing)
}

// Held returns the things that have to wait at now, each with a sentence that says
// why, and until when.
func (g *Guard) Held(now time.Time) map[string]string {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := map[string]string{}
	for thing, r := range g.done {
		if until := r.last.Add(wait(r.times)); now.Before(until) {
			out[thing] = fmt.Sprintf("it was done %d times and undone each time; the next time is at %s", r.times, until.UTC().Format(time.RFC3339))
		}
	}
	return out
}

// wait is how long after that many times the next one is.
func wait(times int) time.Duration {
	if times < atOnce {
		return 0
	}
	out := firstWait
	for range times - atOnce {
		if out *= 2; out >= longest {
			return longest
		}
	}
	return out
}
