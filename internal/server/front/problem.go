package front

import (
	"maps"
	"net/http"
	"strings"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/errkind"
)

// A protocolError is a problem with HTTP itself rather than with what is asked.
type protocolError struct {
	api.Problem
	header http.Header
}

// Error returns the text that the caller gets.
func (e *protocolError) Error() string { return e.Detail }

func protocol(status int, name, detail string) *protocolError {
	return &protocolError{Problem: api.NewProblem(status, name, http.StatusText(status), detail), header: nil}
}

func unsupported(detail string) error {
	return protocol(http.StatusUnsupportedMediaType, "unsupported-media-type", detail)
}

func tooLargeBody(most int) error {
	err := errkind.New(errkind.Invalid, "the body is larger than %d bytes, which is all that is read", most)
	return protocol(http.StatusRequestEntityTooLarge, "too-large", errkind.Public(err))
}

func misdirected(host string) error {
	return protocol(http.StatusMisdirectedRequest, "misdirected",
		"this server is not called "+errkind.Quote(host)+"; use a name of its certificate, or add the name to tls.names in its configuration")
}

func crossOrigin() error {
	return protocol(http.StatusForbidden, "cross-origin", "a page of another origin may not change anything here")
}

func noPath(path string) error {
	return errkind.New(errkind.NotFound, "there is nothing at %s; /v1/openapi.json lists what there is", errkind.Quote(path))
}

func noMethod(method string, allowed []string) error {
	e := protocol(http.StatusMethodNotAllowed, "method-not-allowed",
		"there is no "+errkind.Quote(method)+" here; there is "+strings.Join(allowed, ", "))
	e.header = http.Header{"Allow": {strings.Join(allowed, ", ")}}
	return e
}

// fail answers r with the problem that err is. Once something was written it is
// too late for that; then the connection breaks off.
func (w *Recorder) fail(r *http.Request, err error) {
	w.failure = err
	if w.status != 0 {
		panic(http.ErrAbortHandler)
	}
	p := api.ProblemOf(err)
	if e, ok := err.(*protocolError); ok { //nolint:errorlint // made here and never wrapped
		p = e.Problem
		maps.Copy(w.Header(), e.header)
	}
	p.Instance, p.RequestID = r.URL.EscapedPath(), w.id
	switch p.Status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="sesame"`)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "5")
	}
	if w.face != nil {
		w.face.Refuse(w, r, err, p)
		return
	}
	if err := WriteJSON(w, api.ProblemType, p.Status, p); err != nil {
		w.WriteHeader(http.StatusInternalServerError)
	}
}
