package azure

import (
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
		all.known[k] = &meter{}
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

// closed returns an error while Azure wants no calls: each would be refused and be
// told to wait anew.
func (m *meter) closed(now time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if wait := m.until.Sub(now); wait > 0 {
		return &nsg.BusyError{Code: m.code, After: wait}
	}
	return nil
}

// hear takes in what an answer says about the calls to come.
func (m *meter) hear(a answer, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if wait := a.Throttled(now); wait > 0 {
		m.until, m.code = now.Add(wait), a.String()
	}
	for _, scope := range []string{"subscription", "subscription-global"} {
		for _, kind := range []string{"reads", "writes", "deletes"} {
			left, err := strconv.Atoi(a.header.Get("x-ms-ratelimit-remaining-" + scope + "-" + kind))
			if err == nil && left < reserve {
				m.short = now.Add(refill)
			}
		}
	}
}

// spare returns how long an opening waits, so that closings find calls left.
func (m *meter) spare(now time.Time) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return max(m.short.Sub(now), 0)
}
