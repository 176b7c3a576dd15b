package arm

import (
	"encoding/json"
	"io"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/sesame-access/sesame/internal/cloudsim/arm/world"
)

// A reply is an answer before it is sent.
type reply struct {
	status  int
	header  map[string]string
	body    json.RawMessage
	wait    time.Duration // before it is sent
	dropped bool          // never sent: the connection breaks
}

func respond(status int, body json.RawMessage) reply {
	return reply{status: status, header: map[string]string{}, body: body, wait: 0, dropped: false}
}

// refusal returns the answer to a problem.
func refusal(p *world.Problem) reply {
	if p == nil {
		return respond(http.StatusOK, nil)
	}
	return respond(p.Status, encode(map[string]any{"error": problemBody(p)}))
}

func problemBody(p *world.Problem) map[string]any {
	details := []any{}
	for i := range p.Details {
		details = append(details, problemBody(&p.Details[i]))
	}
	return map[string]any{"code": p.Code, "message": p.Message, "details": details}
}

// retryAfter asks the client to wait.
func (a reply) retryAfter(d time.Duration) reply {
	if d > 0 {
		a.header["Retry-After"] = strconv.Itoa(int(math.Ceil(d.Seconds())))
	}
	return a
}

func (a reply) write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Content-Type-Options", "nosniff")
	for _, k := range slices.Sorted(maps.Keys(a.header)) {
		h.Set(k, a.header[k])
	}
	if len(a.body) > 0 {
		h.Set("Content-Type", "application/json; charset=utf-8")
		h.Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	w.WriteHeader(a.status)
	// A client that went away does not want to know.
	_, _ = w.Write(a.body)
}

// encode returns v as JSON. Its arguments are maps, lists and texts.
func encode(v any) json.RawMessage {
	text, err := json.Marshal(v)
	if err != nil {
		return json.RawMessage(`{"error":{"code":"InternalServerError","message":"the simulator cannot encode its answer"}}`)
	}
	return text
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, *world.Problem) {
	if r.Body == nil {
		return nil, nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, world.Refuse(http.StatusRequestEntityTooLarge, "RequestContentTooLarge",
			"The request content size exceeds the maximum size of '%d' bytes.", maxBody)
	}
	return body, nil
}

// throttled is the answer to one call too many, as it was recorded.
func throttled(c *call, wait time.Duration) reply {
	return refusal(world.Refuse(http.StatusTooManyRequests, "SubscriptionRequestsThrottled",
		"Number of '%s' requests for subscription '%s' actor '%s' exceeded. Please try again after '%d' seconds.",
		c.operation(), c.ID.Subscription, c.Who.Object, int(wait.Seconds()))).retryAfter(wait)
}
