package arm

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/api/arm"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/server/arm/guise"
	"github.com/sesame-access/sesame/internal/server/front"
)

// An answer is what a call is answered with: a body, or none.
type answer struct {
	status int
	body   any
	header http.Header
}

func ok(body any) answer { return answer{status: http.StatusOK, body: body, header: http.Header{}} }

func (a *answer) set(name string, value any) { a.header.Set(name, fmt.Sprint(value)) }

// A refusal is an error with a code of Azure's.
type refusal struct {
	status       int
	code, target string
	text         string
}

// Error returns the text that the caller gets.
func (e *refusal) Error() string { return e.text }

func refuse(status int, code, target, format string, args ...any) error {
	return &refusal{status: status, code: code, target: target, text: fmt.Sprintf(format, args...)}
}

func unreadable(err error) error {
	return errkind.Wrap(errkind.Unavailable, err, "the rules cannot be read, so nothing can be shown or decided; closing goes on")
}

func noPolicy(id arm.PolicyID) error {
	return refuse(http.StatusNotFound, "PolicyNotFound", "", "Just-In-Time Network Access Policy '%s' does not exist.", id)
}

// failure is the answer that an error is; p is the same among the problems.
func failure(err error, p api.Problem, origin string) answer {
	out := answer{status: p.Status, body: nil, header: http.Header{}}
	detail := arm.ErrorDetail{Code: codeOf(p.Status), Message: p.Detail, Target: errkind.FieldOf(err).Name}
	if e, ours := errors.AsType[*refusal](err); ours {
		out.status = e.status
		detail = arm.ErrorDetail{Code: e.code, Message: e.text, Target: e.target}
	}
	switch out.status {
	case http.StatusUnauthorized:
		out.set("WWW-Authenticate", `Bearer authorization_uri="`+origin+`/", error="invalid_token", error_description="`+detail.Code+`"`)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		out.set("Retry-After", 5)
	}
	out.body = arm.CloudError{Error: detail}
	return out
}

// codeOf returns the code of an error that has none of its own.
func codeOf(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "InvalidRequestContent"
	case http.StatusUnauthorized:
		return "AuthenticationFailed"
	case http.StatusForbidden:
		return "AuthorizationFailed"
	case http.StatusNotFound:
		return "ResourceNotFound"
	case http.StatusConflict:
		return "Conflict"
	case http.StatusTooManyRequests:
		return "TooManyRequests"
	case http.StatusServiceUnavailable:
		return "ServiceUnavailable"
	case http.StatusInternalServerError:
		return "InternalServerError"
	}
	return strings.ReplaceAll(http.StatusText(status), " ", "")
}

// write sends an answer.
func write(w *front.Recorder, r *http.Request, a answer) {
	var text []byte
	if a.body != nil {
		var err error
		if text, err = arm.Encode(a.body); err != nil {
			a.status, text = http.StatusInternalServerError, []byte(`{"error":{"code":"InternalServerError","message":"internal error; the server's log says more"}}`)
		}
	}
	h := w.Header()
	maps.Copy(h, a.header)
	request := guise.Random()
	h.Set("X-Ms-Request-Id", request)
	h.Set("X-Ms-Correlation-Request-Id", correlation(r, request))
	h.Set("X-Ms-Routing-Request-Id", "SESAME:"+request)
	if id := r.Header.Get("X-Ms-Client-Request-Id"); isGUID(id) && r.Header.Get("X-Ms-Return-Client-Request-Id") == "true" {
		h.Set("X-Ms-Client-Request-Id", id)
	}
	if text != nil {
		h.Set("Content-Type", "application/json; charset=utf-8")
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(text) // nobody is left to be told of an error
}

// correlation returns the id that ties requests of a client together: its own, if
// it is one.
func correlation(r *http.Request, otherwise string) string {
	if id := r.Header.Get("X-Ms-Correlation-Request-Id"); isGUID(id) {
		return id
	}
	return otherwise
}

func isGUID(s string) bool { return arm.ParseSubscription(s) == nil }
