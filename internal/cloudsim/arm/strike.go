package arm

import (
	"net/http"
	"time"

	"github.com/sesame-access/sesame/internal/cloudsim/arm/fault"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/rp"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/world"
)

// Inject adds a fault. Faults are tried in the order in which they were added;
// one call meets at most one.
func (s *Simulator) Inject(f fault.Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rp.Faults.Add(f, time.Now())
}

// Heal takes all faults away. What was going to be late still comes.
func (s *Simulator) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rp.Faults.Clear()
	s.rp.Forget()
}

// strike does what the fault does before the call is handled, and reports
// whether that was all.
func (s *Simulator) strike(c *call) (reply, bool) {
	f := c.Fault
	switch f.Kind {
	case fault.Lost:
		answer := respond(0, nil)
		answer.dropped = true
		return answer, true
	case fault.Refuse:
		return refusedBy(f, c), true
	case fault.Meddle:
		for _, e := range f.Edits {
			_ = s.rp.Edit(e, c.Now) // a hand that slips changes nothing
		}
	case fault.Unanswered, fault.Disowned, fault.Fail, fault.FailApplied, fault.Partial, fault.Supersede, fault.Lie, fault.Late, fault.Slow, fault.Stale:
	}
	return respond(http.StatusOK, nil), false
}

// refusedBy returns the answer of a fault that refuses, in the form that belongs to its status.
func refusedBy(f *fault.Fault, c *call) reply {
	p := world.Refuse(f.Status, f.Code, "The simulator was told to refuse this call.")
	if f.Code == "" {
		switch f.Status {
		case http.StatusTooManyRequests:
			return throttled(c, max(f.RetryAfter, time.Second))
		case http.StatusPreconditionFailed:
			p = rp.PreconditionFailed("PreconditionFailedEtagMismatch",
				"Etag provided in if-match header "+c.IfMatch+" does not match etag W/\"00000000-0000-0000-0000-000000000000\" of resource "+c.ID.String()+" in NRP data store.")
		case http.StatusConflict:
			p.Code = "AnotherOperationInProgress"
		case http.StatusForbidden:
			p.Code = "AuthorizationFailed"
		default:
			p.Code = "InternalServerError"
		}
	}
	return refusal(p).retryAfter(f.RetryAfter)
}

// disguise changes the answer of a call that was handled.
func disguise(f *fault.Fault, answer reply) reply {
	switch f.Kind {
	case fault.Unanswered:
		answer.dropped = true
	case fault.Slow:
		answer.wait = f.Delay
	case fault.Disowned:
		status := f.Status
		if status == 0 {
			status = http.StatusInternalServerError
		}
		return refusal(world.Refuse(status, "InternalServerError", "An error occurred."))
	case fault.Refuse, fault.Lost, fault.Fail, fault.FailApplied, fault.Partial, fault.Supersede, fault.Lie, fault.Late, fault.Stale, fault.Meddle:
	}
	return answer
}
