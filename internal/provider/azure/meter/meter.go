// Package meter keeps calls to Azure Resource Manager within what Azure allows. It
// counts the calls of an identity in a subscription, reads apart from writes and from
// deletions, each in a bucket that fills steadily, and says in every answer how many
// are left. Here calls wait for their turn as Azure's answers ask for it.
package meter

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"

	"github.com/sesame-access/sesame/internal/provider/azure/nsg"
)

// How many calls openings leave to closings, and for how long they let the bucket
// fill where there are less. Azure fills it with ten a second. (learn.microsoft.com:
// understand how Azure Resource Manager throttles requests, 2024.)
const (
	reserve = 20
	refill  = 2 * time.Second
)

// When few calls are left, those that are made stand in line: below near they are
// made apart, and with none left as far apart as Azure fills the bucket, so that
// hardly any is refused. (The same page: 250 reads and 25 more a second, 200
// writes and 10 more, for a principal in a subscription.)
const (
	near     = 20
	writeGap = time.Second / 10
	// What is left where Azure has not said so yet: what a full bucket holds.
	allReads, allWrites = 250, 200
)

// ReadGap is how far apart reads are that go on for ever.
const ReadGap = time.Second / 25

// Line is how long a call waits for its turn at most. What waits longer is the
// next pass's business.
const Line = 2 * time.Minute

// patience is how long Azure may ask a call to wait here.
const patience = 15 * time.Second

// A key names the calls that Azure counts together.
type key struct {
	client       *arm.Client
	subscription string
	kind         string // as the header says it
}

// A Meter is what Azure says about calls that it counts together.
type Meter struct {
	mu    sync.Mutex
	until time.Time // nobody calls before
	code  string    // why not
	short time.Time // until when openings wait, because little was left

	left int           // calls, as Azure said last, without those made since
	gap  time.Duration // between two calls when none is left
	next time.Time     // when the next one in line is made
}

// Meters are those of all calls. The zero value is ready.
type Meters struct {
	mu    sync.Mutex
	known map[key]*Meter
}

// Of returns the meter that counts calls of a client with this method in a
// subscription.
func (all *Meters) Of(c *arm.Client, method, subscription string) *Meter {
	k := key{client: c, subscription: subscription, kind: kindOf(method)}
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.known == nil {
		all.known = map[key]*Meter{}
	}
	if all.known[k] == nil {
		all.known[k] = &Meter{left: allWrites, gap: writeGap}
		if method == http.MethodGet {
			all.known[k] = &Meter{left: allReads, gap: ReadGap}
		}
	}
	return all.known[k]
}

func kindOf(method string) string {
	switch method {
	case http.MethodGet:
		return "reads"
	case http.MethodDelete:
		return "deletes"
	}
	return "writes"
}

// Turn waits until it is the caller's turn. While Azure wants no calls for longer
// than that, the error is a BusyError: each would be refused and be told to wait
// anew.
func (m *Meter) Turn(ctx context.Context) error {
	m.mu.Lock()
	now := time.Now()
	if wait := m.until.Sub(now); wait > patience {
		m.mu.Unlock()
		return &nsg.BusyError{Code: m.code, After: wait}
	}
	at := now
	for _, not := range []time.Time{m.until, m.next} {
		if at.Before(not) {
			at = not
		}
	}
	missing := min(max(near-m.left, 0), near)
	m.left--
	m.next = at.Add(m.gap * time.Duration(missing) / near)
	m.mu.Unlock()
	if !at.After(now) {
		return ctx.Err()
	}
	return Pause(ctx, at.Sub(now))
}

// Hear takes in what an answer, with its headers, says about the calls to come.
func (m *Meter) Hear(a nsg.Answer, header http.Header, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if wait := a.Throttled(now); wait > 0 {
		m.until, m.code, m.left = now.Add(wait), a.String(), 0
	}
	least, said := 0, false
	for _, scope := range []string{"subscription", "subscription-global"} {
		for _, kind := range []string{"reads", "writes", "deletes"} {
			left, err := strconv.Atoi(header.Get("x-ms-ratelimit-remaining-" + scope + "-" + kind))
			if err != nil {
				continue
			}
			if !said || left < least {
				least, said = left, true
			}
		}
	}
	if said {
		m.left = least
	}
	if said && least < reserve {
		m.short = now.Add(refill)
	}
}

// Spare returns how long an opening waits, so that closings find calls left and
// nobody in line before them.
func (m *Meter) Spare(now time.Time) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return min(max(m.short.Sub(now), m.next.Sub(now), 0), patience)
}

// Pause waits, or returns the context's error.
func Pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
