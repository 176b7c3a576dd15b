package arm

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/sesame-access/sesame/internal/cloudsim/arm/fault"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/gate"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/rp"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/world"
)

// What a simulator has when its configuration says nothing else.
const (
	SubscriptionID = "5e5a3e00-0000-4000-8000-000000000001"
	Tenant         = "5e5a3e00-0000-4000-8000-0000000000aa"

	pageSize = 100
	maxBody  = 4 << 20 // Azure Resource Manager's own
)

// Config says what is simulated, and how.
type Config struct {
	// Subscriptions, of which there is one if none is given.
	Subscriptions []world.Subscription
	// Identities may call. If none is given, there is one that may do everything,
	// see [Simulator.Token]. The first one is the managed identity.
	Identities []gate.Identity
	// Secret is what the managed identity endpoint wants to see.
	Secret string

	// Config is how the resource providers behave: latencies, If-Match, the seed,
	// service tags.
	rp.Config

	// RetryAfter is what the answers of an operation ask clients to wait; Azure's
	// recorded answers for network security groups ask nothing.
	RetryAfter time.Duration

	// Limits are the token buckets; the zero value limits nothing, see
	// [gate.Documented].
	Limits gate.Limits

	// Skew is by how much the header Date is ahead of the truth.
	Skew time.Duration
	// PageSize is how many elements a page has, 100 if it is not given.
	PageSize int
}

// A Simulator is an http.Handler that answers as Azure Resource Manager does.
// All methods may be called concurrently.
type Simulator struct {
	config Config

	mu      sync.Mutex
	rp      *rp.Providers
	buckets *gate.Buckets
	counts  map[string]int
	calls   int
}

// New returns a simulator of an empty world.
func New(c Config) *Simulator {
	if len(c.Subscriptions) == 0 {
		c.Subscriptions = []world.Subscription{{ID: SubscriptionID, Name: "Simulated", Tenant: Tenant, ManagementGroup: "simulated"}}
	}
	if len(c.Identities) == 0 {
		object := "5e5a3e00-0000-4000-8000-0000000000bb"
		c.Identities = []gate.Identity{{
			Name: "everything", Object: object, Actions: []string{"*"}, Scopes: nil,
			Token: gate.Token(c.Subscriptions[0].Tenant, object, "https://management.azure.com/", time.Unix(1<<33, 0)),
		}}
	}
	if c.PageSize == 0 {
		c.PageSize = pageSize
	}
	s := &Simulator{config: c, mu: sync.Mutex{}, rp: rp.New(c.Config), buckets: gate.NewBuckets(c.Limits), counts: map[string]int{}, calls: 0}
	for _, x := range c.Subscriptions {
		s.rp.World.AddSubscription(x)
	}
	return s
}

// Token returns the bearer token of the first identity.
func (s *Simulator) Token() string { return s.config.Identities[0].Token }

// Counts returns how many calls were answered, by method and type, such as
// "PUT Microsoft.Network/networkSecurityGroups/securityRules".
func (s *Simulator) Counts() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.counts)
}

// ServeHTTP implements http.Handler.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, p := readBody(w, r)
	answer := refusal(p)
	if p == nil {
		answer = s.answer(r, body)
	}
	if answer.wait > 0 {
		timer := time.NewTimer(answer.wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
			return
		}
	}
	if answer.dropped {
		panic(http.ErrAbortHandler) // the connection breaks off without an answer
	}
	answer.write(w)
}

// answer handles one call. Everything happens at one instant.
func (s *Simulator) answer(r *http.Request, body []byte) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := s.judge(r, body)
	answer.header["Date"] = time.Now().Add(s.config.Skew).UTC().Format(http.TimeFormat)
	for _, name := range []string{"x-ms-request-id", "x-ms-correlation-request-id"} {
		answer.header[name] = fmt.Sprintf("%08x-0000-4000-8000-%012x", uint32(s.config.Seed), s.calls) //nolint:gosec // only the look of a GUID
	}
	return answer
}

func (s *Simulator) judge(r *http.Request, body []byte) reply {
	now := time.Now()
	s.calls++
	s.rp.Settle(now)
	if answer, ok := s.open(r); ok {
		return answer
	}
	c, answer, ok := s.admit(r, body, now)
	if !ok {
		return answer
	}
	s.counts[c.Method+" "+c.name()]++
	c.Fault = s.rp.Faults.Draw(fault.Call{Method: c.Method, Type: c.name(), Key: c.ID.Key(), Identity: c.Who.Name, At: now})
	if c.Fault != nil {
		if answer, done := s.strike(c); done {
			return answer
		}
	}
	count := s.buckets.Take(gate.Call{
		Subscription: c.ID.Subscription, Principal: c.Who.Object, Operation: c.operation(), Network: strings.EqualFold(c.ID.Namespace, "Microsoft.Network"),
	}, now)
	if !count.Allowed {
		answer = throttled(c, count.Wait)
	} else {
		answer = s.handle(c)
	}
	maps.Copy(answer.header, count.Remaining)
	if c.Fault != nil {
		return disguise(c.Fault, answer)
	}
	return answer
}

// handle answers a call that may be made.
func (s *Simulator) handle(c *call) reply {
	if answer, ok := s.tenant(c); ok {
		return answer
	}
	if answer, ok := s.poll(c); ok {
		return answer
	}
	switch c.Method {
	case http.MethodGet, http.MethodHead:
		if c.list != "" {
			return s.list(c)
		}
		return s.get(c)
	case http.MethodPut, http.MethodPatch, http.MethodDelete:
		if c.list != "" {
			return refusal(rp.UnknownType(c.Call))
		}
	}
	switch c.Method {
	case http.MethodPut:
		return s.answerOf(c, s.rp.Put(c.Call))
	case http.MethodPatch:
		return s.answerOf(c, s.rp.Patch(c.Call))
	case http.MethodDelete:
		return s.answerOf(c, s.rp.Remove(c.Call))
	case http.MethodPost:
		return s.answerOf(c, s.rp.Act(c.Call))
	}
	return refusal(world.Refuse(http.StatusMethodNotAllowed, "MethodNotAllowed", "The request method '%s' is not allowed.", c.Method))
}
