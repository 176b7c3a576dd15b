package arm

import (
	"net/http"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/cloudsim/arm/rp"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/world"
)

// answerOf returns the answer of the providers to c, with where to ask how the
// operation is going that was started.
func (s *Simulator) answerOf(c *call, r rp.Result) reply {
	if r.Problem != nil {
		return refusal(r.Problem)
	}
	answer, o := respond(r.Status, r.Body), r.Operation
	if o == nil {
		return answer
	}
	answer.header["Azure-AsyncOperation"] = o.URL(c.Origin, c.Version, "operations")
	if strings.EqualFold(o.Target.Namespace, "Microsoft.Network") {
		answer.header["Azure-AsyncNotification"] = "Enabled"
	}
	if r.Status == http.StatusAccepted {
		answer.header["Location"] = o.URL(c.Origin, c.Version, "operationResults")
	}
	return answer.retryAfter(s.config.RetryAfter)
}

// polls reports whether c asks how an operation is going.
func (c *call) polls() bool {
	return c.Method == http.MethodGet && len(c.ID.Types) == 2 && strings.EqualFold(c.ID.Types[0], "locations") &&
		(strings.EqualFold(c.ID.Types[1], "operations") || strings.EqualFold(c.ID.Types[1], "operationResults"))
}

// poll answers how an operation is going.
func (s *Simulator) poll(c *call) (reply, bool) {
	if !c.polls() {
		return respond(http.StatusNotFound, nil), false
	}
	o := s.rp.Operation(c.ID.Name())
	if o == nil {
		return refusal(world.Refuse(404, "OperationNotFound", "Operation %s not found.", c.ID.Name())), true
	}
	if strings.EqualFold(c.ID.Types[1], "operationResults") {
		switch {
		case o.Status == "InProgress":
			answer := respond(http.StatusAccepted, nil).retryAfter(s.config.RetryAfter)
			answer.header["Location"] = o.URL(c.Origin, c.Version, "operationResults")
			return answer, true
		case o.Problem != nil:
			p := *o.Problem
			p.Status = http.StatusConflict
			return refusal(&p), true
		case o.Result != nil:
			return respond(http.StatusOK, o.Result), true
		}
		return respond(http.StatusNoContent, nil), true
	}
	body := map[string]any{"status": o.Status}
	if strings.EqualFold(o.Target.Namespace, "Microsoft.Compute") {
		body["name"], body["startTime"] = o.ID, o.Starts.UTC().Format(time.RFC3339Nano)
	}
	if o.Problem != nil {
		body["error"] = problemBody(o.Problem)
	}
	if o.Result != nil && o.Status == "Succeeded" {
		body["properties"] = map[string]any{"output": o.Result}
	}
	answer := respond(http.StatusOK, encode(body))
	if o.Status == "InProgress" {
		answer = answer.retryAfter(s.config.RetryAfter)
	}
	return answer, true
}
