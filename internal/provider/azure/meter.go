package azure

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
	readGap  = time.Second / 25
	writeGap = time.Second / 10
	// What is left where Azure has not said so yet: what a full bucket holds.
	allReads, allWrites = 250, 200
)

// A line is how long a call waits for its turn at most. What waits longer is the
// next pass's business.
const line = 2 * time.Minute

// A meterKey names the calls that Azure counts together.
type meterKey struct {
	client       *arm.Client
	subscription string
	kind         string // as the header says it
}

// A meter is what Azure says about calls that it counts together.
type meter struct {
	mu    sync.Mutex
	until time.Time // nobody calls before
	code  string    // why not
	short time.Time // until when openings wait, because little was left

	left int           // calls, as Azure said last, without those made since
	gap  time.Duration // between two calls when none is left
	next time.Time     // when the next one in line is made
}

// meters are those of all calls.
type meters struct {
	mu    sync.Mutex
	known map[meterKey]*meter
}

// of returns the meter that counts c.
func (all *meters) of(c call) (*meter, error) {
	subscription, err := subscriptionOf(c.of)
	if err != nil {
		return nil, err
	}
	k := meterKey{client: c.client, subscription: subscription, kind: kindOf(c.method)}
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.known[k] == nil {
		all.known[k] = &meter{left: allWrites, gap: writeGap}
		if c.method == http.MethodGet {
			all.known[k] = &meter{left: allReads, gap: readGap}
		}
	}
	return all.known[k], nil
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

// turn waits until it is the caller's turn. While Azure wants no calls for longer
// than that, the error is a BusyError: each would be refused and be told to wait
// anew.
func (m *meter) turn(ctx context.Context) error {
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
	return pause(ctx, at.Sub(now))
}

// hear takes in what an answer says about the calls to come.
func (m *meter) hear(a answer, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if wait := a.Throttled(now); wait > 0 {
		m.until, m.code, m.left = now.Add(wait), a.String(), 0
	}
	least, said := 0, false
	for _, scope := range []string{"subscription", "subscription-global"} {
		for _, kind := range []string{"reads", "writes", "deletes"} {
			left, err := strconv.Atoi(a.header.Get("x-ms-ratelimit-remaining-" + scope + "-" + kind))
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

// spare returns how long an opening waits, so that closings find calls left and
// nobody in line before them.
func (m *meter) spare(now time.Time) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return min(max(m.short.Sub(now), m.next.Sub(now), 0), patience)
}
