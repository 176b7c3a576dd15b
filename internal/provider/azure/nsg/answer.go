package nsg

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/provider"
)

// An Answer is what Azure said to a [Write], or about the long-running operation
// that it started.
type Answer struct {
	// Deletes says that the write was a deletion.
	Deletes bool
	// Status is the HTTP status; 0 when no answer came.
	Status     int
	Body       []byte
	RetryAfter string // the header; empty when there is none
}

// A BusyError says that Azure wants to be asked later. Whether the write was made
// is not known: observe.
type BusyError struct {
	Code string
	// After is how long to wait at least; 0 when Azure did not say.
	After time.Duration
}

// Error says what Azure said.
func (e *BusyError) Error() string {
	if e.After == 0 {
		return "Azure is busy: " + e.Code
	}
	return fmt.Sprintf("Azure is busy: %s; ask again in %v", e.Code, e.After)
}

// wireAnswer is the body of an error, and of a long-running operation.
type wireAnswer struct {
	Status string `json:"status"`
	Error  struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Details []struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"details"`
	} `json:"error"`
}

// The statuses that matter here.
const (
	unauthorized       = 401
	notFound           = 404
	requestTimeout     = 408
	preconditionFailed = 412
	tooManyRequests    = 429
	serviceUnavailable = 503
)

// busyCodes are what Azure says when another operation is in the way, whatever the
// status. What became of ours is not known: it may have been superseded after it
// was made.
func busyCodes() []string {
	return []string{
		"AnotherOperationInProgress", "CanceledAndSupersededDueToAnotherOperation", "ConflictError",
		"ReferencedResourceNotProvisioned", "RetryableError", "RetryableErrorDueToAnotherOperation",
	}
}

// busyWith returns the first of them that is among codes; empty if none is.
func busyWith(codes []string) string {
	for _, code := range busyCodes() {
		if slices.ContainsFunc(codes, func(c string) bool { return strings.EqualFold(c, code) }) {
			return code
		}
	}
	return ""
}

func (a Answer) wire() (w wireAnswer, codes []string) {
	if err := json.Unmarshal(a.Body, &w); err != nil {
		return wireAnswer{}, nil // no error of Azure's looks like that
	}
	codes = []string{w.Error.Code}
	for _, d := range w.Error.Details {
		codes = append(codes, d.Code)
	}
	return w, codes
}

// Pending reports whether the operation that a is about has not come to its end.
// Azure says so in the body of an operation's status; a state that is not known is
// none of the ends.
func (a Answer) Pending() bool {
	w, _ := a.wire()
	return a.Status/100 == 2 && w.Status != "" &&
		!slices.ContainsFunc([]string{"Succeeded", "Failed", "Canceled"}, func(end string) bool { return strings.EqualFold(w.Status, end) })
}

// Err says what a means for the contract, given that it is not pending: nil for
// success, ErrConflict when the version was stale and nothing was written,
// ErrRefused when the content or the caller was, a BusyError when Azure wants to
// be asked later. Any other error leaves the outcome unknown, as no answer does.
func (a Answer) Err(now time.Time) error {
	w, codes := a.wire()
	busy := busyWith(codes)
	said := a.String()
	switch {
	case a.Status == 0:
		return fmt.Errorf("no answer from Azure")
	case a.Status/100 == 2 && (w.Status == "" || strings.EqualFold(w.Status, "Succeeded")):
		return nil
	case a.Deletes && a.Status == notFound && slices.ContainsFunc([]string{"NotFound", "ResourceNotFound"}, func(c string) bool { return strings.EqualFold(c, w.Error.Code) }):
		return nil // only Azure's own word counts: a proxy says 404, too
	case a.Status == preconditionFailed:
		return fmt.Errorf("%s: %w", said, provider.ErrConflict)
	case busy != "":
		return &BusyError{Code: busy, After: a.After(now)}
	case a.Status == tooManyRequests || a.Status == serviceUnavailable:
		return &BusyError{Code: strings.TrimSpace(fmt.Sprintf("HTTP %d %s", a.Status, w.Error.Code)), After: a.After(now)}
	case a.Status == unauthorized || a.Status == requestTimeout || a.Status/100 != 4:
		return fmt.Errorf("%s %s: the outcome is not known", said, w.Status)
	}
	return fmt.Errorf("%s: %w", said, provider.ErrRefused)
}

// String says what Azure said, with its code.
func (a Answer) String() string {
	w, _ := a.wire()
	if w.Error.Code == "" && w.Error.Message == "" {
		return fmt.Sprintf("HTTP %d", a.Status)
	}
	return fmt.Sprintf("HTTP %d %s %s", a.Status, w.Error.Code, quoted(w.Error.Message))
}

// Throttled returns how long nobody is to call, where a says that there were too
// many calls; 0 otherwise. That another operation is in the way is none of that.
func (a Answer) Throttled(now time.Time) time.Duration {
	if _, codes := a.wire(); a.Status != tooManyRequests || busyWith(codes) != "" {
		return 0
	}
	return a.After(now)
}

// After returns how long Azure asks to wait: seconds, or until a date; 0 when it
// does not.
func (a Answer) After(now time.Time) time.Duration {
	const most = 24 * time.Hour // more is nonsense, and would keep doors from closing
	text := strings.TrimSpace(a.RetryAfter)
	if n, err := strconv.Atoi(text); err == nil {
		return min(max(time.Duration(min(n, int(most/time.Second)))*time.Second, 0), most)
	}
	at, err := time.Parse("Mon, 02 Jan 2006 15:04:05 GMT", text)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), most)
}

// quoted returns a message of Azure's for people, not too long.
func quoted(message string) string {
	const most = 300
	if len(message) > most {
		message = message[:most] + "…"
	}
	return strconv.Quote(message)
}
