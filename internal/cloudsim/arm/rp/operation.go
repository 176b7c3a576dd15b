package rp

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/cloudsim/arm/fault"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/rawjson"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/world"
)

// An Operation is a write that was accepted. It may have ended.
type Operation struct {
	ID   string // a GUID
	Name string // such as PutSecurityRuleOperation
	// lock is the key of what the operation has for itself: the resource; for
	// what is below a firewall policy, the policy. what is the key of the thing
	// written, which may be a child.
	lock, what string
	Target     world.ID // of the resource
	Starts     time.Time
	ends       time.Time
	Status     string // InProgress, Succeeded, Failed or Canceled
	Problem    *world.Problem
	Result     json.RawMessage // of an action

	// before is what was shown. gone says that the resource goes, drop names the
	// property that the child goes from: a deletion is not shown before its end.
	before rawjson.Object
	gone   bool
	drop   string
	call   *Call
	fault  *fault.Fault
}

// A lateWrite takes effect some time after its operation has ended.
type lateWrite struct {
	at   time.Time
	call *Call
}

// start accepts an operation on r.
func (s *Providers) start(c *Call, o Operation) *Operation {
	s.issued++
	o.ID = operationID(s.config.Seed, s.issued)
	o.Starts, o.ends, o.Status = c.Now, c.Now.Add(s.latency(c)), "InProgress"
	o.lock, o.what, o.Target, o.fault, o.call = lockOf(c.Root()), c.ID.Key(), c.Root(), c.Fault, c
	x := &o
	s.operations[x.ID] = x
	s.running = append(s.running, x)
	return x
}

func operationID(seed uint64, n int) string {
	return fmt.Sprintf("%08x-0000-4000-8000-%012x", uint32(seed), n) //nolint:gosec // only the look of a GUID
}

func (s *Providers) latency(c *Call) time.Duration {
	for name, d := range s.config.Latencies {
		if strings.EqualFold(name, c.Kind.Type) {
			return d
		}
	}
	return s.config.Latency
}

// lockOf returns what of id one operation has at a time.
func lockOf(id world.ID) string {
	if len(id.Types) > 1 {
		return id.Parent().Key()
	}
	return id.Key()
}

// Settle ends what has ended by now, in the order in which it did.
func (s *Providers) Settle(now time.Time) {
	for {
		next := -1
		for i, o := range s.running {
			if !o.ends.After(now) && (next < 0 || o.ends.Before(s.running[next].ends)) {
				next = i
			}
		}
		late := -1
		for i, l := range s.late {
			if !l.at.After(now) && (late < 0 || l.at.Before(s.late[late].at)) {
				late = i
			}
		}
		switch {
		case next < 0 && late < 0:
			return
		case next < 0 || late >= 0 && s.late[late].at.Before(s.running[next].ends):
			l := s.late[late]
			s.late = slices.Delete(s.late, late, late+1)
			_ = s.apply(l.call) // what does not fit any more does not happen
		default:
			o := s.running[next]
			s.running = slices.Delete(s.running, next, next+1)
			s.finish(o)
		}
	}
}

// finish ends o as it was going to end.
func (s *Providers) finish(o *Operation) {
	defer o.release()
	s.ground = nil
	s.keep(o.ends, o.Target)
	o.Status = "Succeeded"
	r := s.World.Get(o.Target)
	if o.fault != nil && s.spoil(o.fault, o, r) {
		return
	}
	switch {
	case r == nil || o.call.Method == http.MethodPost:
	case o.gone:
		s.World.Remove(r)
	case o.drop != "":
		text, _ := s.World.Without(r, o.drop, o.call.ID.Name())
		s.World.Settle(s.World.Store(r.ID, r.Kind, text, "Succeeded"), "Succeeded")
	default:
		s.World.Settle(r, "Succeeded")
	}
}

// supersede ends o because a later one took its place. What it showed is not
// shown any more; packets have never met it.
func (s *Providers) supersede(o, by *Operation) {
	s.running = slices.DeleteFunc(s.running, func(x *Operation) bool { return x == o })
	o.Status = "Canceled"
	o.Problem = superseded(o.Name, o.ID, by.Name, by.ID)
	o.release()
}

// release lets go of documents: operations are remembered for ever.
func (o *Operation) release() { o.before, o.call, o.fault = nil, nil, nil }

// superseded is how a superseded operation reports its end, as it was recorded.
func superseded(name, id, byName, byID string) *world.Problem {
	p := world.Refuse(http.StatusOK, "Canceled", "Operation was canceled.")
	p.Details = []world.Problem{*world.Refuse(http.StatusOK, "CanceledAndSupersededDueToAnotherOperation",
		"Operation %s (%s) was canceled and superseded by operation %s (%s).", name, id, byName, byID)}
	return p
}

// busy returns the operation that c would have to wait for, nil if there is none.
func (s *Providers) busy(c *Call) *Operation {
	for _, o := range s.running {
		if o.lock == lockOf(c.Root()) {
			return o
		}
	}
	return nil
}

// blocked refuses a write to what is being written, as the two providers of
// these resources do: a network security group answers 429 to writes of other
// parts of it and lets a newer write of the same thing supersede the older one;
// everything else answers 409.
func (s *Providers) blocked(c *Call, o *Operation) *world.Problem {
	group := strings.EqualFold(c.Kind.Type, "Microsoft.Network/networkSecurityGroups")
	switch {
	case group && c.Method != http.MethodDelete && o.what == c.ID.Key():
		return nil
	case group:
		p := world.Refuse(http.StatusTooManyRequests, "RetryableError", "A retryable error occurred.")
		p.Details = []world.Problem{*world.Refuse(http.StatusTooManyRequests, "RetryableErrorDueToAnotherOperation",
			"Operation %s (%s) is updating resource %s. The call can be retried in %d seconds.", o.Name, o.ID, o.Target, 1+int(o.ends.Sub(c.Now).Seconds()))}
		return p
	}
	return world.Refuse(http.StatusConflict, "AnotherOperationInProgress",
		"Another operation on this or dependent resource is in progress. To retrieve status of the operation use uri: %s.", o.URL(c.Origin, c.Version, "operations"))
}

// Operation returns the operation with this id, nil if there is none.
func (s *Providers) Operation(id string) *Operation { return s.operations[strings.ToLower(id)] }

// URL returns where o is asked about, in the given collection, by the caller c.
func (o *Operation) URL(origin, version, collection string) string {
	return fmt.Sprintf("%s/subscriptions/%s/providers/%s/locations/westeurope/%s/%s?api-version=%s",
		origin, o.Target.Subscription, o.Target.Namespace, collection, o.ID, version)
}

// operationName returns how Microsoft.Network calls an operation, such as
// PutSecurityRuleOperation.
func operationName(method, fullType string) string {
	name := fullType[strings.LastIndex(fullType, "/")+1:]
	name = strings.TrimSuffix(name, "s")
	if base, ok := strings.CutSuffix(name, "ie"); ok {
		name = base + "y"
	}
	return method[:1] + strings.ToLower(method[1:]) + strings.ToUpper(name[:1]) + name[1:] + "Operation"
}
